"""A call: one client's request, decoded."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

from hotgraph_server.batching.completion import Completion
from hotgraph_server.batching.lane_key import LaneKey, Padded, lane_key, with_scalars
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array


class Call:
    """What the transport hands in and the executor runs.

    Attributes:
        signature: what to run.
        outputs: the aliases that were asked for, in the caller's order.
        inputs: one array for each input of the signature, in the signature's order.
        rows: size along dimension 0 where the call has one, else 1; also where that dimension is known not to
            be rows.
        length: size along dimension 0 where all inputs have one, else 1; it says how long the run takes.
        lane: calls with an equal key may share a batch; None: this call runs alone.
        deadline: monotonic seconds after which its caller wants no answer; infinite for none.
        queue_until: monotonic seconds until which it may wait for its run; infinite: as long as it takes. See
            policies.py.
        level: of priority, from 1; 1 goes first.
        arrived: monotonic seconds at the door.
        nbytes: memory that its inputs hold, for the queue's edge.
        completion: where the outcome goes.
        rows_done: of a call that is run in pieces: the rows that are behind it.
        pieces: of such a call: what the executor keeps of them.
        peer: the connection that it came by, for suspects.py; None: it is not known.
        apart: it shares no run for now, because calls of its peer keep failing.
        company: of one that carries rows of several callers: when those besides the first came.
        waits_in: where the queue has put it last; the queue's own, and nothing to others. None: nowhere yet.
    """

    __slots__ = (
        "apart",
        "arrived",
        "company",
        "completion",
        "deadline",
        "inputs",
        "lane",
        "length",
        "level",
        "nbytes",
        "outputs",
        "peer",
        "pieces",
        "queue_until",
        "rows",
        "rows_done",
        "signature",
        "waits_in",
    )

    def __init__(
        self,
        signature: Signature,
        inputs: Sequence[Array],
        outputs: tuple[str, ...],
        completion: Completion,
        *,
        arrived: float,
        deadline: float = math.inf,
        queue_until: float = math.inf,
        joinable: bool = False,
        level: int = 1,
        padded: Padded = (),
        lane: LaneKey | None = None,
        rows: int = 0,
        nbytes: int = -1,
    ) -> None:
        """What a caller knows beyond the arrays it passes on, and saves the time of finding it out again.

        Args:
            joinable: may calls of this signature share batches? Without it `lane` is ignored.
            padded: see lane_key.
            lane: what `lane_key` says of this call, if that is known; None: it is worked out here.
            rows: goes with `lane`.
            nbytes: of the inputs; below 0: it is worked out here, with pointers for strings.
        """
        self.signature = signature
        self.inputs = inputs
        self.outputs = outputs
        self.completion = completion
        self.arrived = arrived
        self.deadline = deadline
        self.queue_until = queue_until
        self.level = level
        self.nbytes = nbytes if nbytes >= 0 else sum([array.nbytes for array in inputs])
        self.company: Sequence[float] = ()
        self.rows_done = 0
        self.pieces: Any = None
        self.waits_in: Any = None
        self.peer: Hashable = None
        self.apart = False
        if lane is not None and joinable:
            self.rows = self.length = rows
            self.lane: LaneKey | None = lane
            return
        found = _common_rows(signature, inputs)
        self.rows = self.length = 1 if found is None else found
        self.lane = None
        if joinable and found:
            key = lane_key(signature, outputs, [array.shape for array in inputs], padded)
            self.lane = key if key is None else with_scalars(key, inputs)


def _common_rows(signature: Signature, inputs: Sequence[Array]) -> int | None:
    """The size that all inputs have along dimension 0; None where they have none in common.

    What the signature declares a scalar has no say.
    """
    rows: int | None = None
    for spec, array in zip(signature.inputs, inputs, strict=False):
        if not array.ndim:
            if spec.shape == ():
                continue
            return None
        size: int = array.shape[0]
        if rows is not None and size != rows:
            return None
        rows = size
    return rows
