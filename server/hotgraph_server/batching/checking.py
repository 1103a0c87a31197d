"""Checks in service: is an answer from a batch still what the call would have got alone? Pure.

The trial before a version is live knows only the rows that it was given. So one joined call in many is
remembered with its answer, and run again by itself when the executor has nothing else to do, or ten seconds
later if it always has. At most one call of a version is remembered at a time, and none that is very large.

A call is counted by its signature, not drawn: the same calls are sampled in every test and every replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.trial import alike
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array

AT_THE_LATEST_S = 10.0
"""A busy executor runs a check after so long: one run of one call in ten seconds is nothing."""

_MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Sample:
    """A call and what it was answered from its batch; the arrays are its own."""

    signature: Signature
    outputs: tuple[str, ...]
    inputs: list[Array]
    answer: list[Array]
    rows: int
    taken_at: float


class Checks:
    """Which calls are compared; the executor's thread alone uses it.

    Args:
        one_in: of so many joined calls of a signature one is sampled; 0: none.

    Attributes:
        waiting: the sample that is still to be run; None: none is.
    """

    def __init__(self, one_in: int) -> None:
        self._one_in = one_in
        self._seen: dict[str, int] = {}
        self.waiting: Sample | None = None

    def answered(self, calls: Sequence[Call], answers: Sequence[Sequence[Array]], now: float) -> None:
        """Calls of one signature have got these answers from one run that was not theirs alone."""
        if not self._one_in:
            return
        signature = calls[0].signature
        seen = self._seen.get(signature.name, 0) + len(calls)
        if seen >= self._one_in and self.waiting is None:
            # The one that made it so many, or the first where a sample was overdue.
            index = max(len(calls) - 1 - (seen - self._one_in), 0)
            self.waiting = _sample(calls[index], answers[index], now)
            seen = 0
        self._seen[signature.name] = seen

    def is_due(self, idle: bool, now: float) -> bool:
        """Shall the waiting sample be run now?"""
        waiting = self.waiting
        return waiting is not None and (idle or now - waiting.taken_at >= AT_THE_LATEST_S)

    def take(self) -> Sample:
        """The waiting sample, which waits no more."""
        assert self.waiting is not None
        sample, self.waiting = self.waiting, None
        return sample

    def forget(self) -> None:
        """The state of the session may have changed: what waits can no longer be compared."""
        self.waiting = None


def difference(sample: Sample, alone: Sequence[Array]) -> str | None:
    """How the answer of a sample differs from that of its call alone; None: it does not (1e-4 for floats,
    exactly for the rest)."""
    for alias, one, other in zip(sample.outputs, sample.answer, alone, strict=True):
        if one.shape != other.shape:
            return f"output {alias!r} has shape {list(one.shape)} from a batch and {list(other.shape)} alone"
        if not alike(one, other):
            return f"output {alias!r} differs between a batch and the call alone"
    return None


def _sample(call: Call, answer: Sequence[Array], now: float) -> Sample | None:
    if sum(array.nbytes for array in (*call.inputs, *answer)) > _MAX_BYTES:
        return None
    # Copies: views would keep a whole message and a whole batch alive.
    return Sample(
        call.signature,
        call.outputs,
        [array.copy() for array in call.inputs],
        [array.copy() for array in answer],
        call.rows,
        now,
    )
