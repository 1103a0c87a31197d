"""The first runs of a graph, before it may be called.

Some graphs load and then fail at their first run (a table or variable that nothing initialises, an op
without a kernel): that must be found before the version is live. The same runs tell which signatures
may be batched, and what generated input each takes (probing.py).

One signature that cannot run is no reason to keep the others from their callers: it is given up, with its
reason, if its runs fail whatever they are given. Where the failure may depend on what is asked (a path that
is not there, an id out of range) it stays callable: what callers send is not what was generated. A signature
that changes state is never run here: no caller has asked for the change.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

import grpc

from hotgraph_server.errors import RunFailed, first_line
from hotgraph_server.row_independence.verdict import Judgement
from hotgraph_server.settings import WarmupSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.adversarial import adversarial_rows
from hotgraph_server.warmup.batch_safety import ROWS, Rows, why_not_joined
from hotgraph_server.warmup.batching_rules import is_proven, why_unbatched
from hotgraph_server.warmup.climbing import SHARE_FOR_PLAN, SHARE_FOR_TRIAL, Lone, climb, says_nothing
from hotgraph_server.warmup.probing import BoundedRuns, Limits, Measured, Taken, probe
from hotgraph_server.warmup.row_comparison import CURE
from hotgraph_server.warmup.synthetic_inputs import RANGES, Kind, described, generate

_LOG = logging.getLogger(__name__)

# What TensorFlow says of a graph that is unfit to run, and of some inputs as well. Every other error may be
# the fault of generated input that the model has no use for, and says nothing about real calls.
_UNFIT = frozenset(
    {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED}
)

_WITHOUT_VALUE = ("initialized", "without a value")

Clock = Callable[[], float]


class Runnable(Protocol):
    """What graph.Graph is to us."""

    signatures: dict[str, Signature]
    proofs: Mapping[str, Judgement]

    def run(
        self, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]
    ) -> Sequence[Array]: ...

    def bounded(self, signature: Signature, run_s: float) -> Callable[[Sequence[Array]], Measured]: ...


Samples = Mapping[str, Sequence[Sequence[Array]]]
"""Sets of inputs that a model brings to be warmed up with, by signature; any number of rows each."""


@dataclass(frozen=True)
class FirstRuns:
    """What they have told, by signature.

    Attributes:
        unbatched_reasons: why its calls run alone; None where they may share a batch. Those of `unusable`
        are not there. taken: the generated input that it takes; not there: it takes none, or was not run.
        warmed: what it was run with, or why it was not, in words for people. unusable: why it cannot be
        called after all. odd: inputs of one row that it has answered or refused within the limits, ordinary
        ones among them.
    """

    unbatched_reasons: dict[str, str | None] = field(default_factory=dict)
    warmed: dict[str, str] = field(default_factory=dict)
    taken: dict[str, Taken] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    odd: dict[str, list[Sequence[Array]]] = field(default_factory=dict)

    def kind(self, name: str) -> Kind | None:
        """The kind of generated input that a signature takes."""
        taken = self.taken.get(name)
        return None if taken is None else taken.kind


def warm_up(
    graph: Runnable,
    where: str,
    batching_of: Callable[[str], str] = lambda _: "tried",
    samples: Samples | None = None,
    *,
    batch_writes: bool = False,
    settings: WarmupSettings | None = None,
    max_rows: int = ROWS,
    clock: Clock = time.monotonic,
) -> FirstRuns:
    """Run every signature that can be run without a trace, and try which may be batched.

    Args:
        graph: opened.
        where: names the model in the log.
        batching_of: the owner's word on a signature by its name, one of settings.batch.BATCHING.
        samples: what the model brings.
        batch_writes: as in batching_rules.why_unbatched.
        settings: what the runs may take, and whether there are any.
        max_rows: that a batch may have.
        clock: monotonic seconds.
    """
    settings = settings or WarmupSettings()
    found = FirstRuns()
    left = list(graph.signatures.values())
    until = clock() + settings.warm_up_budget_s
    while left:
        signature = left.pop(0)
        name, batching = signature.name, batching_of(signature.name)
        if signature.writes:
            found.unbatched_reasons[name] = why_unbatched(signature, batching, batch_writes=batch_writes)
            found.warmed[name] = "not warmed up: it may change state"
        elif not settings.warm_up:
            proof = graph.proofs.get(name)
            never = BoundedRuns(_never, Limits(math.inf, 0), clock)
            rows = Rows(kind="warm_up is off")
            found.unbatched_reasons[name] = why_not_joined(signature, never, batching, rows, proof)
            found.warmed[name] = "not warmed up: warm_up is off"
        else:
            # Each has an equal part of what the ones before it have left.
            part_s = max(until - clock(), 0.0) / (1 + sum(not one.writes for one in left))
            limits = Limits(part_s, settings.warm_up_memory_mb << 20)
            of_it = (samples or {}).get(name, ())
            first = _First(graph, signature, where, batching, of_it, limits, max_rows, clock)
            first.add_to(found)
    return found


class _First:
    """The first runs of one signature."""

    def __init__(
        self,
        graph: Runnable,
        signature: Signature,
        where: str,
        batching: str,
        samples: Sequence[Sequence[Array]],
        limits: Limits,
        max_rows: int,
        clock: Clock,
    ) -> None:
        self._graph = graph
        self._signature = signature
        self._title = f"{where}: signature {signature.name!r}"
        self._batching = batching
        self._proof = graph.proofs.get(signature.name)
        self._samples = samples
        self._limits = limits
        self._max_rows = max_rows
        self._clock = clock
        self._has_run = False
        self._failures: list[RunFailed] = []

    def add_to(self, found: FirstRuns) -> None:
        """Run it, and say what came of it."""
        signature, name = self._signature, self._signature.name
        try:
            bounded = self._graph.bounded(signature, self._limits.run_s)
        except RunFailed as error:
            found.unusable[name] = f"TensorFlow cannot prepare a run of it: {first_line(error)}"
            return
        runs = BoundedRuns(self._noted(bounded), self._limits, self._clock)
        taken = self._probe(runs)
        kind = taken.kind if isinstance(taken, Taken) and taken.rows == ROWS else _why(taken)
        lone = self._climb(runs, taken)
        rows = Rows(self._samples, kind, lone, self._most_rows(lone))
        unbatched_reason = why_not_joined(signature, runs, self._batching, rows, self._proof)
        if not self._has_run:
            self._run_others(runs)
        reason = self._why_unusable()
        if reason is not None:
            found.unusable[name] = reason
            return
        found.unbatched_reasons[name] = (
            self._why_not_at_all(taken) if unbatched_reason is None else unbatched_reason
        )
        if isinstance(taken, Taken):
            found.taken[name] = taken
            found.odd[name] = [one.inputs for one in lone]
            what = described(signature, taken.kind)
            found.warmed[name] = f"warmed up with generated input{f': {what}' if what else ''}"
        elif self._has_run and self._samples:
            found.warmed[name] = "warmed up with what it brings"
        else:
            found.warmed[name] = f"not warmed up: {first_line(taken)}; {CURE}"
            _LOG.warning("%s is %s", self._title, found.warmed[name])

    def _why_not_at_all(self, taken: Taken | RunFailed) -> str | None:
        """Why not even what is proven is joined: a few rows were too much already."""
        if isinstance(taken, Taken) or self._batching == "always" or not says_nothing(taken):
            return None
        return f"it is not known how many of its rows can be run at once: {first_line(taken)}; {CURE}"

    def _probe(self, runs: BoundedRuns) -> Taken | RunFailed:
        taken = probe(self._signature, runs, ROWS) if self._is_joined else None
        if isinstance(taken, Taken) or runs.interrupted:
            assert taken is not None
            return taken
        # What is not joined, or takes no three rows, is warmed up with one.
        return probe(self._signature, runs, 1)

    def _climb(self, runs: BoundedRuns, taken: Taken | RunFailed) -> list[Lone]:
        """Odd rows alone, to try batch safety and plans with."""
        # What values a part of a tensor may have depends on the other parts.
        inputs = self._signature.inputs
        if not isinstance(taken, Taken) or not inputs or any(spec.part is not None for spec in inputs):
            return []
        proven = is_proven(self._signature, self._proof)
        share = SHARE_FOR_TRIAL if self._is_joined and not proven else SHARE_FOR_PLAN
        return climb(adversarial_rows(self._signature, taken.kind), runs, taken.cost, share)

    def _most_rows(self, lone: Sequence[Lone]) -> int:
        """Rows whose run is harmless: the largest of them may make all others as large."""
        largest = max((one.nbytes for one in lone), default=0)
        return max(min(self._max_rows, self._limits.nbytes // max(largest, 1)), 1)

    @property
    def _is_joined(self) -> bool:
        """By its structure, and by its owner's word."""
        return why_unbatched(self._signature, self._batching, proof=self._proof) is None

    def _run_others(self, runs: BoundedRuns) -> None:
        """Until one is taken: what the model brings, and other generated input, which shows whether an error
        depends on what is asked."""
        others = (generate(self._signature, 1, Kind(8, RANGES[-1]), seed=seed) for seed in (1, 2))
        for inputs in chain(self._samples, others if self._signature.inputs else ()):
            if runs.interrupted:
                return
            try:
                runs(inputs)
            except RunFailed:
                continue
            return

    def _noted(self, run: Callable[[Sequence[Array]], Measured]) -> Callable[[Sequence[Array]], Measured]:
        def noting(inputs: Sequence[Array]) -> Measured:
            try:
                measured = run(inputs)
            except RunFailed as error:
                self._failures.append(error)
                raise
            self._has_run = True
            return measured

        return noting

    def _why_unusable(self) -> str | None:
        """Why it can never be called; None: it can, or what it was given may be to blame."""
        if self._has_run or not self._failures:
            return None
        lines = {first_line(error) for error in self._failures}
        if not self._signature.inputs:
            return f"it fails, and takes nothing that could be to blame: {min(lines)}"
        if len(lines) == 1 and all(_is_unfit(error) for error in self._failures):
            return f"it fails whatever it is given: {min(lines)}"
        return None


def summary(unbatched_reasons: Mapping[str, str | None], unusable: Mapping[str, str]) -> str:
    """One line for the log: which signatures are batched, which not, and which cannot be called."""
    batched = [name for name, reason in unbatched_reasons.items() if reason is None]
    single = [name for name, reason in unbatched_reasons.items() if reason is not None]
    parts = []
    if batched:
        parts.append(f"batched: {', '.join(batched)}")
    if single:
        parts.append(f"run alone: {', '.join(single)}")
    parts += [f"not callable: {name} ({why})" for name, why in unusable.items()]
    return "; ".join(parts) or "no signature that can be called"


def _is_unfit(error: RunFailed) -> bool:
    # Tables and variables without a value are told so; but so are inputs that do not go together.
    if error.status is grpc.StatusCode.FAILED_PRECONDITION:
        return any(words in str(error) for words in _WITHOUT_VALUE)
    return error.status in _UNFIT


def _never(_: Sequence[Array]) -> Measured:
    raise AssertionError("nothing is run where warm_up is off")


def _why(refusal: Taken | RunFailed) -> str:
    if isinstance(refusal, Taken):
        return f"the graph takes no {ROWS} generated rows at once"
    return first_line(refusal)
