"""A call: one client's request, decoded. And the key of the lane that it waits in."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from hotgraph_server.batching.slot import Slot
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array

LaneKey = Hashable


class Call:
    """What the transport hands in and the executor runs.

    Attributes:
        signature: what to run.
        outputs: the aliases that were asked for, in the caller's order.
        inputs: one array for each input of the signature, in the signature's order.
        rows: size along dimension 0 where the call has one, else 1.
        lane: calls with an equal key may share a batch; None: this call runs alone.
        deadline: monotonic seconds after which nobody wants the answer; infinite for none.
        arrived: monotonic seconds at the door.
        slot: where the outcome goes.
    """

    __slots__ = ("arrived", "deadline", "inputs", "lane", "outputs", "rows", "signature", "slot")

    def __init__(
        self,
        signature: Signature,
        inputs: Sequence[Array],
        outputs: tuple[str, ...],
        slot: Slot,
        *,
        arrived: float,
        deadline: float = math.inf,
        joinable: bool = False,
    ) -> None:
        self.signature = signature
        self.inputs = inputs
        self.outputs = outputs
        self.slot = slot
        self.arrived = arrived
        self.deadline = deadline
        rows = _common_rows(inputs)
        self.rows = 1 if rows is None else rows
        self.lane = _lane_key(signature, outputs, inputs) if joinable and rows else None


def _common_rows(inputs: Sequence[Array]) -> int | None:
    """The size that all inputs have along dimension 0; None where they have none in common."""
    rows: int | None = None
    for array in inputs:
        if array.ndim == 0 or (rows is not None and array.shape[0] != rows):
            return None
        rows = array.shape[0]
    return rows


def _lane_key(signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]) -> LaneKey | None:
    """What calls must have in common to be joined without changing a shape.

    A call whose inner dimensions contradict the signature gets no lane: on TensorFlow Serving's
    protocol it must reach the graph, which may refuse it, and then it shall be refused alone.
    """
    for spec, array in zip(signature.inputs, inputs, strict=True):
        if spec.shape is None or array.ndim != len(spec.shape):
            return None
        for wanted, got in zip(spec.shape[1:], array.shape[1:], strict=True):
            if wanted is not None and wanted != got:
                return None
    return (signature.name, outputs, *(array.shape[1:] for array in inputs))
