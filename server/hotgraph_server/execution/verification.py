"""What the checks in service compare: is an answer from a batch what the call would have got alone? Pure.

Which calls are compared, and when, is said in trust.py; who runs them is verifier.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.comparing import TOLERANCE, alike, alike_by_row, scale_of
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array

_MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Sample:
    """A call that is compared later, and what it was answered from its batch; the arrays are its own."""

    signature: Signature
    outputs: tuple[str, ...]
    inputs: list[Array]
    answer: list[Array]
    rows: int


def sample_of(call: Call, answer: Sequence[Array]) -> Sample | None:
    """None: it is too large to be remembered."""
    if sum(array.nbytes for array in (*call.inputs, *answer)) > _MAX_BYTES:
        return None
    # Copies: views would keep a whole message and a whole batch alive.
    return Sample(
        call.signature,
        call.outputs,
        [array.copy() for array in call.inputs],
        [array.copy() for array in answer],
        call.rows,
    )


def _alike(one: Array, other: Array, tolerance: float) -> bool:
    if one.ndim == 0 or len(one) < 2:
        return alike(one, other, tolerance=tolerance)
    # A large row of a call must not hide what has become of a small one.
    usual = median_low([scale_of(other[row : row + 1]) for row in range(len(other))])
    return all(alike_by_row(one, other, usual, tolerance))


def difference(
    outputs: Sequence[str],
    answer: Sequence[Array],
    alone: Sequence[Array],
    tolerance: float = TOLERANCE,
) -> str | None:
    """How the answer of a batch differs from that of the call alone; None: it does not (floats within
    `tolerance` of the largest of their row, everything else exactly)."""
    for alias, one, other in zip(outputs, answer, alone, strict=True):
        if one.shape != other.shape:
            return f"output {alias!r} has shape {list(one.shape)} from a batch and {list(other.shape)} alone"
        if not _alike(one, other, tolerance):
            return f"output {alias!r} differs between a batch and the call alone"
    return None
