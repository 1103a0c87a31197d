"""Odd rows, each run alone once, from small numbers to large, for as long as that is harmless.

A number may be an id, and then a large one is telling; or a size, and then it asks for more memory than there
is. TensorFlow tells what a run allocated. Where that grows with the numbers, they are sizes, and a row is run
only if the cube of what it is larger by leaves it within the limits. The first run that is interrupted is the
last one. What rows are answered alone is kept: whatever they are run together with is compared with it.

Pure but for `run`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from hotgraph_server.errors import RunFailed
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.adversarial import Row
from hotgraph_server.warmup.probing import DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, BoundedRuns, Cost

# What numbers up to this do to memory, kernels that take temporary memory hide; what larger ones do shows.
_TELLING = 200.0
_HIDDEN_BYTES, _HIDDEN_SHARE = 2**16, 0.02
_TAME = 2.0

SHARE_FOR_TRIAL, SHARE_FOR_PLAN = 1 / 8, 1 / 32
"""Of the time that is left for a signature: where batch safety is tried next, and where only plans are
compared."""

# Fewer are not worth the time that they would take from what has to be tried.
_MIN_ROWS = 6

# Of the memory that a run may take, for what is kept.
_SHARE_OF_MEMORY = 1 / 8

_CANCELLED, _ABORTED, _UNAVAILABLE = 1, 10, 14
_SAYS_NOTHING = frozenset({_CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, _ABORTED, _UNAVAILABLE})


@dataclass(frozen=True)
class Lone:
    """A row that has been run alone.

    Attributes:
        inputs: in the signature's order, one row in those that have rows.
        outcome: its answers, or how the graph refused it.
        odd: it was made to be; see adversarial.Row.
        nbytes: that its run allocated, if it was measured.
    """

    inputs: Sequence[Array]
    outcome: Sequence[Array] | RunFailed
    odd: bool = True
    nbytes: int = 0

    @property
    def is_refused(self) -> bool:
        """Did it fail?"""
        return isinstance(self.outcome, RunFailed)


def says_nothing(error: RunFailed) -> bool:
    """Is it the time or the memory of this run that failed, and not what was asked?"""
    return error.code in _SAYS_NOTHING


def climb(rows: Sequence[Row], run: BoundedRuns, cost: Cost, share: float) -> list[Lone]:
    """Run rows alone, as many as there is time for.

    Args:
        rows: the most telling first.
        run: within its limits.
        cost: of a run of ordinary rows.
        share: of the time that is left.

    Returns:
        Those that were answered or refused, in the order of `rows`.
    """
    least_s = run.left_s * (1 - share)
    affordable = int(run.left_s * share / max(cost.seconds, 1e-6))
    if affordable < _MIN_ROWS:
        return []
    found: dict[int, Lone] = {}
    growth = _Growth(cost.nbytes)
    kept_bytes = 0
    chosen = list(enumerate(rows[:affordable]))
    for index, row in sorted(chosen, key=lambda numbered: numbered[1].magnitude):
        if run.left_s < least_s or growth.expected(row.magnitude) > run.limits.nbytes:
            break
        try:
            answers = run(row.inputs)
        except RunFailed as error:
            if run.interrupted:
                break
            if not says_nothing(error):
                found[index] = Lone(row.inputs, error, row.odd)
            continue
        kept_bytes += sum(array.nbytes for array in (*row.inputs, *answers))
        if max(run.last.nbytes, kept_bytes / _SHARE_OF_MEMORY) > run.limits.nbytes:
            break
        growth = growth.after(row.magnitude, run.last.nbytes)
        found[index] = Lone(row.inputs, answers, row.odd, run.last.nbytes)
    return [found[index] for index in sorted(found)]


@dataclass(frozen=True)
class _Growth:
    """How memory grows with the numbers in a row.

    Attributes:
        tame: bytes for what the smallest numbers took.
        magnitude: of the largest numbers so far.
        grown: bytes by which they took more.
    """

    tame: int
    magnitude: float = _TAME
    grown: float = 0.0

    def after(self, magnitude: float, nbytes: int) -> _Growth:
        """With a further row, of no smaller numbers."""
        if magnitude <= _TAME:
            return dataclasses.replace(self, tame=max(self.tame, nbytes))
        hidden = _HIDDEN_BYTES + _HIDDEN_SHARE * self.tame if magnitude >= _TELLING else 0.0
        grown = max(nbytes - self.tame - hidden, 0.0)
        if magnitude == self.magnitude:
            grown = max(grown, self.grown)
        return dataclasses.replace(self, magnitude=magnitude, grown=grown)

    def expected(self, magnitude: float) -> float:
        """Bytes that a row of no smaller numbers may take."""
        if not self.grown:
            return self.tame
        return self.tame + self.grown * (magnitude / self.magnitude) ** 3
