"""What a graph goes through between being opened and being live.

In this order, all of it in the thread that owns the session: every signature is tried (first_runs.py), and
what can never be called is given up; a plan is chosen for each (the graph's own); it is settled how calls
are joined, where the owner has padding tried first; and the graph is run as it will be run in service, with
the calls that the model brings, with every number of rows that batches are filled up to, and with the sizes
from which the first cost curves come.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from hotgraph_server.batching.joining import PLAIN, Joining, compiled_buckets, joining_of
from hotgraph_server.batching.padding import Padding, names_nobody_has, padding_of
from hotgraph_server.errors import LoadError, RunFailed
from hotgraph_server.settings import BatchSettings, WarmupSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup import first_runs
from hotgraph_server.warmup.calibration import BUDGET_S, Timed, time_runs
from hotgraph_server.warmup.first_runs import FirstRuns, Samples, warm_up
from hotgraph_server.warmup.padding_safety import why_not_padded
from hotgraph_server.warmup.synthetic_inputs import Kind, generate
from hotgraph_server.warmup.warmup_calls import WarmupSource, replay

_LOG = logging.getLogger(__name__)


class Runnable(first_runs.Runnable, Protocol):
    """What graph.Graph is to us."""

    unusable: dict[str, str]

    def give_up(self, name: str, reason: str) -> None: ...


class Preparation:
    """Of one graph.

    Args:
        name: of the model and version, for the log and for errors.
        graph: opened.
        settings: of the model.
        warmup: what is run, and within which limits.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        graph: Runnable,
        settings: BatchSettings,
        warmup: WarmupSettings,
        clock: Callable[[], float],
    ) -> None:
        self._name = name
        self._graph = graph
        self._settings = settings
        self._warmup = warmup
        self._clock = clock

    def first_runs(self, samples: Samples, *, batch_writes: bool) -> FirstRuns:
        """Try every signature, and give up those that can never be called.

        Args:
            samples: inputs that the model brings, or that were asked before.
            batch_writes: as in first_runs.warm_up.

        Raises:
            LoadError: none is left.
        """
        graph = self._graph
        first = warm_up(
            graph,
            self._name,
            self._settings.batching_of,
            samples,
            batch_writes=batch_writes,
            settings=self._warmup,
            max_rows=self._settings.max_batch_rows,
            clock=self._clock,
        )
        for name, reason in first.unusable.items():
            graph.give_up(name, reason)
            _LOG.warning("%s: signature %r cannot be called: %s", self._name, name, reason)
        if not graph.signatures:
            raise LoadError(self._name, _no_signature(graph.unusable))
        for name, signature in graph.signatures.items():
            if signature.python_call:
                _LOG.warning(
                    "%s: a run of signature %r that comes to %s fails: its Python function is not here",
                    self._name,
                    name,
                    signature.python_call,
                )
        return first

    def joinings(self, first: FirstRuns) -> dict[str, Joining]:
        """How calls are joined, for each signature where that is not the plain way.

        Raises:
            LoadError: the owner pads what cannot be padded.
        """
        settings = self._settings
        unknown = names_nobody_has(self._graph.signatures, settings.pad, settings.unpad)
        if unknown:
            raise LoadError(
                self._name, f"pad and unpad name what no signature has: {', '.join(map(repr, unknown))}"
            )
        joinings = {}
        for name, signature in self._graph.signatures.items():
            try:
                padding = padding_of(signature, settings.pad, settings.unpad)
            except ValueError as error:
                raise LoadError(self._name, f"signature {name!r} cannot be padded: {error}") from error
            if first.unbatched_reasons[name] is not None:
                continue
            if signature.writes:
                # A row that only fills up would be learnt from like any other.
                joinings[name] = joining_of(signature)
                continue
            if padding is not None and not self._may_pad(signature, padding, first.kind(name)):
                padding = None
            buckets = settings.row_buckets
            if signature.compiles and not buckets:
                buckets = compiled_buckets(settings.max_batch_rows)
            joining = joining_of(signature, padding, buckets)
            if joining != PLAIN:
                joinings[name] = joining
        return joinings

    def _may_pad(self, signature: Signature, padding: Padding, kind: Kind | None) -> bool:
        reason = why_not_padded(signature, padding, self._running(signature), kind)
        if reason is None:
            return True
        overruled = self._settings.batching_of(signature.name) == "always"
        _LOG.warning(
            "%s: signature %r is %s: %s",
            self._name,
            signature.name,
            "padded by setting, though" if overruled else "not padded",
            reason,
        )
        return overruled

    def run_as_in_service(
        self,
        first: FirstRuns,
        joinings: dict[str, Joining],
        brings: WarmupSource,
        timed: Callable[[str, Timed], None],
    ) -> dict[str, int]:
        """Run the calls that the model brings, every size that batches will be filled up to, and others for
        the time that they take.

        Args:
            first: what the first runs have told.
            joinings: how calls are joined, by signature; buckets that take too long to compile are left out.
            brings: the calls that the model brings.
            timed: is told of each run that was timed, and of which signature it was.

        Returns:
            How many rows a run may have, of signatures for which that is less than the settings say.

        Raises:
            LoadError: a call cannot be read, or fails.
        """
        graph = self._graph
        started = self._clock()
        brought = brings(graph.signatures, graph.unusable)
        counts = replay(brought, graph.run, self._name, self._warmup.warmup_rounds)
        sizes: dict[str, list[int]] = {}
        row_caps: dict[str, int] = {}
        until = started + self._warmup.warm_up_budget_s
        for name, joining in joinings.items():
            signature = graph.signatures[name]
            # What a setting names is run whatever it takes; what follows from a model's nature is not.
            last = until if signature.compiles and not self._settings.row_buckets else math.inf
            filled = warm_up_sizes(graph, signature, joining.buckets, first.kind(name), last, self._clock)
            if not filled:
                continue
            sizes[name] = filled
            if last < math.inf and filled[-1] < joining.buckets[-1]:
                joinings[name] = dataclasses.replace(joining, buckets=tuple(filled))
                row_caps[name] = filled[-1]
        for name, taken in first.taken.items():
            # Larger runs than these have not been tried, and joined calls shall not be the first: where an op
            # asks for more than there is, or counts further than it can, the whole process may end.
            fitting = taken.rows_within(self._warmup.warm_up_memory_mb << 20)
            if first.unbatched_reasons[name] is None and fitting < self._settings.max_batch_rows:
                row_caps[name] = min(fitting, row_caps.get(name, fitting))
        for name, rows in self._time_runs(first, joinings, timed).items():
            sizes.setdefault(name, rows)
        words = warmed(counts, sizes)
        if words:
            _LOG.info("%s: warmed up in %.2f s with %s", self._name, self._clock() - started, words)
        return row_caps

    def _time_runs(
        self, first: FirstRuns, joinings: Mapping[str, Joining], timed: Callable[[str, Timed], None]
    ) -> dict[str, list[int]]:
        """The first points of the cost curves, told to `timed`; returns the rows of the runs, by
        signature."""
        sizes: dict[str, list[int]] = {}
        left = [self._graph.signatures[name] for name in first.taken]
        until = self._clock() + BUDGET_S
        while left:
            signature = left.pop()
            name, taken = signature.name, first.taken[signature.name]
            fitting = taken.rows_within(self._warmup.warm_up_memory_mb << 20)
            max_rows = (
                min(self._settings.max_batch_rows, fitting) if first.unbatched_reasons[name] is None else 1
            )
            budget_s = (until - self._clock()) / (len(left) + 1)
            joining = joinings.get(name, PLAIN)
            run = self._running(signature)
            for one in time_runs(signature, run, taken.kind, max_rows, joining, budget_s, self._clock):
                timed(name, one)
                if one.rows not in sizes.setdefault(name, []):
                    sizes[name].append(one.rows)
        return sizes

    def _running(self, signature: Signature) -> Callable[[Sequence[Array]], Sequence[Array]]:
        return lambda inputs: self._graph.run(signature, signature.output_aliases, inputs)


def _no_signature(unusable: Mapping[str, str]) -> str:
    """What is to be done about a graph that has none that can be called."""
    if unusable:
        reasons = "; ".join(f"{name!r}: {reason}" for name, reason in unusable.items())
        return f"none of its signatures can be called: {reasons}"
    return "it has no signature, so there is nothing to call"


def warm_up_sizes(
    graph: Runnable,
    signature: Signature,
    sizes: Sequence[int],
    kind: Kind | None,
    until: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> list[int]:
    """Run generated rows once in each of these numbers, rising; returns the numbers that the graph took.

    A kernel that chooses its way by trying, as GPUs' do, tries again for every shape; TensorFlow
    allocates, and XLA compiles.

    Args:
        kind: generated input that the graph takes; None: it takes none.
        until: monotonic seconds at which no further one is begun.
    """
    taken: list[int] = []
    for size in sizes if kind is not None else ():
        if taken and clock() >= until:
            break
        assert kind is not None
        if _takes(graph, signature, generate(signature, size, kind)):
            taken.append(size)
    return taken


def warmed(brought: Mapping[str, int], sizes: Mapping[str, Sequence[int]]) -> str:
    """Words for the log, empty if there is nothing to say: what was run before the version is live.

    Args:
        brought: how many calls of each kind the model brought.
        sizes: for each signature, the numbers of generated rows.
    """
    count = sum(brought.values())
    parts = []
    if count:
        of_kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(brought.items()))
        parts.append(f"{count} calls that the model brings ({of_kinds})")
    alike: dict[tuple[int, ...], list[str]] = {}
    for name, rows in sizes.items():
        alike.setdefault(tuple(rows), []).append(name)
    parts += [
        f"{', '.join(map(str, rows))} generated rows for {', '.join(names)}" for rows, names in alike.items()
    ]
    return "; ".join(parts)


def _takes(graph: Runnable, signature: Signature, inputs: Sequence[Array]) -> bool:
    try:
        graph.run(signature, signature.output_aliases, inputs)
    except RunFailed:
        return False
    return True
