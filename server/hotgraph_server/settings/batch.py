"""How calls wait and travel together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hotgraph_server.settings.fields import Former, check, check_choice, setting
from hotgraph_server.settings.queue_policy import QueuePolicy

BATCHING = ("proven-only", "tried", "always", "never")
"""From the most to the least that must be shown before calls of a signature share runs; the last says no."""
REFUSE_WITH = ("resource_exhausted", "unavailable")
ON_DIFFERENCE = ("stop", "warn")
_FORMER_WORDS = {"auto": "tried"}
_PADDED = re.compile(r".+\.[1-9]\d*")


@dataclass(frozen=True)
class BatchSettings:
    """How calls of a model wait and travel together; owned by batching/."""

    max_batch_rows: int = setting(64, "most rows in one run of the graph; for larger calls see split")
    max_call_rows: int = setting(0, "most rows of one call; larger ones are refused; 0: no limit", flag=False)
    max_wait_us: int = setting(
        0,
        "how long a free executor may wait for more rows, microseconds; it does so only as far as it pays;"
        " 0: it takes what is there",
    )
    max_queued_calls: int = setting(1024, "calls that may wait for one model; further ones are refused")
    max_queued_rows: int = setting(
        65_536, "rows that may wait for one model; further calls are refused; 0: no limit", flag=False
    )
    max_queued_mb: int = setting(
        1024, "MiB of inputs that may wait for one model; further calls are refused; 0: no limit", flag=False
    )
    default_timeout_ms: int = setting(
        0, "deadline of calls that bring none, milliseconds after their arrival; 0: they have none"
    )
    refuse_with: str = setting(
        "resource_exhausted",
        "gRPC status of calls that are refused for load; unavailable makes proxies turn to another server",
        choices=REFUSE_WITH,
    )
    priority_levels: int = setting(
        1,
        "levels of priority; 1 goes first, and calls that name none have default_priority_level;"
        " 1: all calls are equal",
        flag=False,
    )
    default_priority_level: int = setting(
        0, "level of calls that name none, or none that there is; 0: the one in the middle", flag=False
    )
    queue_policy: QueuePolicy = setting(  # noqa: RUF009 - frozen, so all may share it
        QueuePolicy(),
        "how long, and how many, calls of each level may wait; by default as many as max_queued_calls and"
        " as long as it takes",
        flag=False,
    )
    queue_policy_by_level: Mapping[int, QueuePolicy] = setting(
        {}, "queue_policy for single levels, by their numbers", kind=dict, of=QueuePolicy, flag=False
    )
    refuse_by_policy_with: str = setting(
        "unavailable",
        "gRPC status of calls that a queue policy refuses or ends; Triton's clients expect unavailable",
        choices=REFUSE_WITH,
        flag=False,
    )
    preferred_batch_rows: tuple[int, ...] = setting(
        (),
        "sizes of batches to keep to as long as max_wait_us allows: the largest that what waits gives"
        " exactly; empty: as many rows as there are",
        flag=False,
    )
    preserve_ordering: bool = setting(
        False,
        "give answers in the order in which the calls came, though an earlier one may come late",
        flag=False,
    )
    split: bool = setting(
        True, "run a call larger than max_batch_rows in pieces; off: in one run of its own", flag=False
    )
    batching: str = setting(
        "tried",
        "which calls share runs: proven-only those whose graph's structure proves that rows cannot influence"
        " each other; tried those too of which runs have shown it, and service goes on checking; always those"
        " that have rows, on the owner's word; never none",
        choices=BATCHING,
        former=Former("join", _FORMER_WORDS),
    )
    batching_by_signature: Mapping[str, str] = setting(
        {},
        "batching for single signatures, by their names",
        kind=dict,
        flag=False,
        former=Former("join_by_signature", _FORMER_WORDS),
    )
    verify_one_in: int = setting(
        1000,
        "of so many joined calls one is run again alone to compare when nothing else waits, besides those"
        " that are compared while trust grows; 0: none ever is",
        flag=False,
        former=Former("check_one_in"),
    )
    on_difference: str = setting(
        "stop",
        "when a joined answer differs from the one alone: stop joining that signature's calls, or warn",
        choices=ON_DIFFERENCE,
        flag=False,
    )
    row_buckets: tuple[int, ...] = setting(
        (),
        "sizes that batches are filled up to, with rows that are cut off again; empty: none",
        flag=False,
    )
    pad: Mapping[str, float | str] = setting(
        {},
        'dimensions that are filled up to make calls alike: "INPUT.DIMENSION" = value; empty: none',
        kind=dict,
        flag=False,
    )
    unpad: Mapping[str, str] = setting(
        {},
        'dimensions of outputs that are cut back after padding: "OUTPUT.DIMENSION" = "INPUT.DIMENSION"',
        kind=dict,
        flag=False,
        former=Former("cut"),
    )

    def __post_init__(self) -> None:
        self._check_edges()
        self._check_waits()
        self._check_policies()
        self._check_joining()

    def batching_of(self, signature: str) -> str:
        """One of BATCHING, for a signature by its name."""
        return self.batching_by_signature.get(signature, self.batching)

    def level_of(self, priority: int) -> int:
        """The level of a call that asks for `priority`: that one if it exists, else the default."""
        if 1 <= priority <= self.priority_levels:
            return priority
        return self.default_priority_level or (self.priority_levels + 1) // 2

    def policy_of(self, level: int) -> QueuePolicy:
        """Of calls of that level."""
        return self.queue_policy_by_level.get(level, self.queue_policy)

    @property
    def has_policies(self) -> bool:
        """Does any level limit how long or how many calls wait?"""
        return any(policy != QueuePolicy() for policy in self._policies())

    @property
    def has_queue_timeouts(self) -> bool:
        """May a call end because it has waited so long?"""
        return any(policy.rejects for policy in self._policies())

    def _policies(self) -> list[QueuePolicy]:
        return [self.queue_policy, *self.queue_policy_by_level.values()]

    def _check_policies(self) -> None:
        check(
            0 <= self.default_priority_level <= self.priority_levels,
            f"default-priority-level must be 1 to priority-levels ({self.priority_levels}), or 0 for the one"
            f" in the middle, got {self.default_priority_level}",
        )
        for level in self.queue_policy_by_level:
            check(
                1 <= level <= self.priority_levels,
                f"queue-policy-by-level must be of levels 1 to priority-levels ({self.priority_levels}),"
                f" got {level}",
            )
        check_choice("refuse-by-policy-with", self.refuse_by_policy_with, REFUSE_WITH)
        check(
            all(1 <= rows <= self.max_batch_rows for rows in self.preferred_batch_rows),
            f"preferred-batch-rows must be 1 to max-batch-rows ({self.max_batch_rows}), got"
            f" {list(self.preferred_batch_rows)}",
        )
        check(
            not self.preserve_ordering or self.priority_levels == 1,
            "preserve-ordering goes with one level of priority only, because levels change the order, got"
            f" priority-levels {self.priority_levels}",
        )
        check(
            not self.preserve_ordering or not any(policy.delays for policy in self._policies()),
            "preserve-ordering does not go with timeout-action delay, which changes the order",
        )

    def _check_edges(self) -> None:
        check(self.max_batch_rows >= 1, f"max-batch-rows must be at least 1, got {self.max_batch_rows}")
        check(self.max_call_rows >= 0, f"max-call-rows must be 0 or more, got {self.max_call_rows}")
        check(self.max_queued_calls >= 1, f"max-queued-calls must be at least 1, got {self.max_queued_calls}")
        check(self.max_queued_rows >= 0, f"max-queued-rows must be 0 or more, got {self.max_queued_rows}")
        check(self.max_queued_mb >= 0, f"max-queued-mb must be 0 or more, got {self.max_queued_mb}")
        check(
            not self.max_queued_rows or self.max_queued_rows >= self.max_batch_rows,
            f"max-queued-rows must be at least max-batch-rows ({self.max_batch_rows}), or no batch could ever"
            f" be full, got {self.max_queued_rows}",
        )
        check(
            1 <= self.priority_levels <= 100,
            f"priority-levels must be 1 to 100, got {self.priority_levels}",
        )

    def _check_waits(self) -> None:
        check(
            0 <= self.max_wait_us <= 10_000_000,
            f"max-wait-us must be 0 to 10000000 (ten seconds), got {self.max_wait_us}",
        )
        check(
            0 <= self.default_timeout_ms <= 86_400_000,
            f"default-timeout-ms must be 0 to 86400000 (a day), got {self.default_timeout_ms}",
        )
        check(
            not self.default_timeout_ms or self.max_wait_us < self.default_timeout_ms * 1000,
            f"max-wait-us must be less than default-timeout-ms ({self.default_timeout_ms}), or calls expire"
            f" while they wait for company, got {self.max_wait_us}",
        )

    def _check_joining(self) -> None:
        check_choice("refuse-with", self.refuse_with, REFUSE_WITH)
        check_choice("on-difference", self.on_difference, ON_DIFFERENCE)
        check_choice("batching", self.batching, BATCHING)
        for signature, batching in self.batching_by_signature.items():
            check_choice(f"batching-by-signature of {signature!r}", batching, BATCHING)
        check(self.verify_one_in >= 0, f"verify-one-in must be 0 or more, got {self.verify_one_in}")
        buckets = self.row_buckets
        check(
            not buckets
            or (
                all(a < b for a, b in zip((0, *buckets), buckets, strict=False))
                and buckets[-1] == self.max_batch_rows
            ),
            f"row-buckets must rise from 1 or more to max-batch-rows ({self.max_batch_rows}),"
            f" got {list(buckets)}",
        )
        for key, value in self.pad.items():
            check(
                _PADDED.fullmatch(key) is not None and isinstance(value, (int, float, str)),
                f'pad must be "INPUT.DIMENSION" = value with a dimension from 1 (0 is the rows),'
                f" got {key!r} = {value!r}",
            )
        for key, source in self.unpad.items():
            check(
                isinstance(source, str) and bool(_PADDED.fullmatch(key)) and source in self.pad,
                'unpad must be "OUTPUT.DIMENSION" = "INPUT.DIMENSION" with a dimension from 1 that pad names,'
                f" got {key!r} = {source!r}",
            )
        check(
            not self.pad or self.batching != "never" or bool(self.batching_by_signature),
            "pad makes calls alike so that they can be joined; with batching never there is nothing to gain",
        )
