"""Which generated input does a graph take? Found from small to large, within a time and a memory.

A model knows what it may be asked; a signature does not say it. Integers may be ids, and then the widest
range shows most; or sizes, and then a thousand asks for a cube of a thousand; or the start of a loop that
ends for some and for others never. So nothing large is tried before something smaller has been seen to be
harmless:

* Every run ends after a time, whatever it does: TensorFlow is told to interrupt it.
* TensorFlow tells what a run allocated. What the next larger input will need is reckoned from the last two
  (a power of the range: what grew by the cube goes on so), and one that would need more than the budget is
  not tried.
* The total is limited too; when it is used up, what has been found so far is what is used.

What is found is the widest kind that the graph takes. If it takes none, the refusal says why, and what would
help. Pure but for `run` and the clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hotgraph_server.errors import RunFailed
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.synthetic_inputs import RANGES, Kind, generate, has_integers, has_texts, sizes

DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED = 4, 8

# One that hangs costs this part of the time, and what is left is for what can still be tried.
_PART_OF_THE_TIME = 4

Clock = Callable[[], float]


class Measured(NamedTuple):
    """What a run gave, and the bytes that its ops allocated for it, all together."""

    answers: Sequence[Array]
    nbytes: int


class Cost(NamedTuple):
    """Of a run: seconds, and the bytes that its ops allocated."""

    seconds: float
    nbytes: int


class Limits(NamedTuple):
    """What runs on generated input of one signature may take.

    Attributes:
        seconds: all of them together.
        nbytes: that the ops of one may allocate.
    """

    seconds: float
    nbytes: int

    @property
    def run_s(self) -> float:
        """Seconds of one run, after which it is interrupted."""
        return self.seconds / _PART_OF_THE_TIME


class Taken(NamedTuple):
    """Generated input that a graph takes.

    Attributes:
        kind: of it.
        rows: that a run had.
        cost: of that run.
    """

    kind: Kind
    rows: int
    cost: Cost

    def rows_within(self, nbytes: int) -> int:
        """The most rows of this kind whose run allocates no more than this, by what this one did."""
        return max(nbytes * self.rows // max(self.cost.nbytes, 1), 1)


class BoundedRuns:
    """Runs of one signature, within limits.

    Args:
        run: ends by itself after `limits.run_s`, with RunFailed (DEADLINE_EXCEEDED).
        limits: see there; the time begins now.
        clock: seconds.

    Attributes:
        last: what the last run cost that went well.
        interrupted: a run did not end in its time.
    """

    def __init__(self, run: Callable[[Sequence[Array]], Measured], limits: Limits, clock: Clock) -> None:
        self._run = run
        self._clock = clock
        self._until = clock() + limits.seconds
        self.limits = limits
        self.last = Cost(0.0, 0)
        self.interrupted = False

    @property
    def left_s(self) -> float:
        """Seconds of the time that are left."""
        return self._until - self._clock()

    def __call__(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """One run; raises RunFailed, and that too where the time is used up."""
        if self.left_s <= 0:
            raise RunFailed(DEADLINE_EXCEEDED, "the time for generated input (warm-up-budget-s) is over")
        started = self._clock()
        try:
            measured = self._run(inputs)
        except RunFailed as error:
            if error.code != DEADLINE_EXCEEDED:
                raise
            self.interrupted = True
            raise RunFailed(
                DEADLINE_EXCEEDED, f"a run on generated input had not ended after {self.limits.run_s:.3g} s"
            ) from error
        self.last = Cost(self._clock() - started, measured.nbytes)
        return measured.answers


def probe(signature: Signature, run: BoundedRuns, rows: int) -> Taken | RunFailed:
    """The widest generated input of so many rows that the graph takes, or what it says to all of them."""
    refusal = RunFailed(DEADLINE_EXCEEDED, "no generated input was tried")
    for size in sizes(signature, rows):
        for numerals in (False, True) if has_texts(signature) else (False,):
            found = _widest(signature, run, rows, size, numerals=numerals)
            if isinstance(found, Taken):
                return found
            refusal = found
            if run.interrupted:
                # Larger input is no reason to end sooner.
                return refusal
    return refusal


def _widest(
    signature: Signature, run: BoundedRuns, rows: int, size: int, *, numerals: bool
) -> Taken | RunFailed:
    best: Taken | None = None
    refusal = RunFailed(DEADLINE_EXCEEDED, "no generated input was tried")
    costs: list[tuple[int, Cost]] = []
    for below in RANGES if numerals or has_integers(signature) else RANGES[-1:]:
        if best is not None and _asks_too_much(costs, below, run):
            break
        kind = Kind(size, below, numerals)
        try:
            run(generate(signature, rows, kind))
        except RunFailed as error:
            refusal = error
            if best is not None or run.interrupted:
                break
            continue
        if run.last.nbytes > run.limits.nbytes:
            refusal = _too_large(rows, run)
            break
        best = Taken(kind, rows, run.last)
        costs.append((below, run.last))
    return best or refusal


def _too_large(rows: int, run: BoundedRuns) -> RunFailed:
    needed, limit = run.last.nbytes / 1e6, run.limits.nbytes / 1e6
    return RunFailed(
        RESOURCE_EXHAUSTED,
        f"a run of {rows} generated rows allocates {needed:.3g} MB, and warm-up-memory-mb allows {limit:.3g}",
    )


def _asks_too_much(costs: Sequence[tuple[int, Cost]], below: int, run: BoundedRuns) -> bool:
    """Is more to be expected of this range than there is, by what the ones before cost?"""
    if len(costs) < 2:
        # Nothing is known of how it grows: a cube of three sides is taken for the worst.
        return bool(costs) and costs[-1][1].nbytes * (below / costs[-1][0]) ** 3 > run.limits.nbytes
    (first, one), (second, other) = costs[-2:]
    step, ahead = math.log(second / first), math.log(below / second)

    def expected(before: float, last: float) -> float:
        return last * math.exp(max(math.log(max(last, 1e-9) / max(before, 1e-9)) / step, 0.0) * ahead)

    # Times of small runs are noise: what counts is whether a run would come near to being interrupted.
    return expected(one.nbytes + 1, other.nbytes + 1) > run.limits.nbytes or (
        other.seconds > run.limits.run_s / 10 and expected(one.seconds, other.seconds) > run.limits.run_s
    )
