"""A call: one client's request, decoded."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

from hotgraph_server.batching.completion import Completion
from hotgraph_server.batching.lane_key import LaneKey, Padded, lane_key, with_scalars
from hotgraph_server.call_observer import CallObserver
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
        member_arrivals: of one that carries rows of several callers: when those besides the first came.
        taken_by: what took it in, and can cancel it; see models/admission.py.
        observer: follows it; None: it is not followed.
        ran: when the run began and ended that it failed in, monotonic seconds; set then alone.
        waits_in: where the queue has put it last; the queue's own, and nothing to others. None: nowhere yet.
    """

    __slots__ = (
        "apart",
        "arrived",
        "completion",
        "deadline",
        "inputs",
        "lane",
        "length",
        "level",
        "member_arrivals",
        "nbytes",
        "observer",
        "outputs",
        "peer",
        "pieces",
        "queue_until",
        "ran",
        "rows",
        "rows_done",
        "signature",
        "taken_by",
        "waits_in",
    )

    ran: tuple[float, float]

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
        peer: Hashable = None,
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
        self.member_arrivals: Sequence[float] = ()
        self.taken_by: Any = None
        self.observer: CallObserver | None = None
        self.rows_done = 0
        self.pieces: Any = None
        self.waits_in: Any = None
        self.peer = peer
        self.apart = False
        if lane is not None and joinable:
            self.rows = self.length = rows
            self.lane: LaneKey | None = lane
            return
        self.move_to(signature, joinable=joinable, padded=padded)

    def move_to(self, signature: Signature, *, joinable: bool, padded: Padded = ()) -> None:
        """Make it a call of this signature, for which its inputs and outputs are right; before it is queued.

        Args:
            joinable, padded: see the constructor.
        """
        self.signature = signature
        found = _common_rows(signature, self.inputs)
        self.rows = self.length = 1 if found is None else found
        self.lane = None
        if joinable and found:
            key = lane_key(signature, self.outputs, [array.shape for array in self.inputs], padded)
            self.lane = key if key is None else with_scalars(key, self.inputs)


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
