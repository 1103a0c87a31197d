"""How long, and how many, calls of one level of priority may wait."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import check, check_choice, setting

TIMEOUT_ACTION = ("reject", "delay")
# A hundred years: as good as none, and still a number of seconds that a clock can be ahead by.
_MAX_TIMEOUT_US = 100 * 365 * 86_400 * 1_000_000


@dataclass(frozen=True)
class QueuePolicy:
    """What Triton calls a queue policy. All of it is about the time before a run; a call's deadline, which is
    about its answer, stands beside it.
    """

    max_queue_size: int = setting(
        0, "calls of a level that may wait; further ones are refused; 0: no limit of its own", flag=False
    )
    default_timeout_us: int = setting(
        0, "how long a call may wait for its run, microseconds; 0: as long as it takes", flag=False
    )
    allow_timeout_override: bool = setting(
        False, "may a call ask for less time in the queue than default_timeout_us?", flag=False
    )
    timeout_action: str = setting(
        "reject",
        "what becomes of calls that have waited so long: reject ends them, delay puts them behind all others"
        " of their level",
        choices=TIMEOUT_ACTION,
        flag=False,
    )

    def __post_init__(self) -> None:
        check(self.max_queue_size >= 0, f"max-queue-size must be 0 or more, got {self.max_queue_size}")
        check(
            0 <= self.default_timeout_us <= _MAX_TIMEOUT_US,
            f"default-timeout-us must be 0 to {_MAX_TIMEOUT_US} (a hundred years),"
            f" got {self.default_timeout_us}",
        )
        check_choice("timeout-action", self.timeout_action, TIMEOUT_ACTION)

    @property
    def rejects(self) -> bool:
        """May a call end by this policy while it waits?"""
        return bool(self.default_timeout_us) and self.timeout_action == "reject"

    @property
    def delays(self) -> bool:
        """May a call be put behind others by this policy?"""
        return bool(self.default_timeout_us) and self.timeout_action == "delay"

    def timeout_us(self, asked_us: int) -> int:
        """How long a call may wait for its run, microseconds; 0: as long as it takes.

        The rule is Triton's: what a call asks for counts only where the policy allows it, and only if it is
        less than the policy's own time; where that is none, nothing that a call asks for counts.

        Args:
            asked_us: what the call asks for; 0: nothing.
        """
        if self.allow_timeout_override and 0 < asked_us < self.default_timeout_us:
            return asked_us
        return self.default_timeout_us
