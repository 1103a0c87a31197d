"""A request: what a protocol has read and wants answered, before a version takes it (models/admission.py).

One dataclass for every way in, so that nothing on the way hands its fields on one by one.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hotgraph_server.batching.completion import Completion
from hotgraph_server.batching.lane_key import LaneKey, Padded, joins_by_values, lane_key
from hotgraph_server.call_observer import CallObserver
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array


class QueueHints(NamedTuple):
    """What is known of a call before it is looked at, and need not be worked out again.

    Attributes:
        lane: what lane_key says of its shapes; None: it is worked out from the arrays.
        rows: goes with `lane`: the size of all inputs along dimension 0.
        nbytes: that the call holds; below 0: they are counted.
    """

    lane: LaneKey | None = None
    rows: int = 0
    nbytes: int = -1


NO_HINTS = QueueHints()


class InSequence(NamedTuple):
    """What a call says of the sequence that it belongs to.

    Attributes:
        sequence_id: an integer of 64 bits or a string; 0 and "" are none.
        start, end: is it the first, the last of its sequence?
    """

    sequence_id: int | str
    start: bool
    end: bool


@dataclass(slots=True, eq=False)
class Request:
    """One call that a version is asked to take.

    Attributes:
        signature: one of the version's.
        inputs: one array for each input of the signature, in its order, with exactly its dtype; of a call in
            a sequence: for each input that clients send.
        outputs: aliases of the outputs wanted, each once.
        completion: not yet taken; where the outcome lands, by the thread that ends the call.
        deadline: monotonic seconds; infinite: the settings' default, if there is one.
        timeout_s: seconds that the caller wants to wait at most; infinite: it does not say. Where the model
            has queue policies, they say what that means for the time before the run; where it has none, and
            of a call in a sequence, it is a deadline like the other.
        priority: 1 is the highest; 0, or what is no level: the settings' default. Calls that change state all
            have that one, because they run in the order of their arrival.
        hints: see QueueHints.
        peer: the connection that it comes by; calls of one that keep failing share no runs for a while
            (suspects.py). None: it is not known.
        sequence: that it belongs to, if the version keeps sequences of its signature; None: to none.
        member_arrivals: of one that carries a row for each of several callers, and perhaps empty ones: when
            they came, monotonic seconds. It shares no run.
        observer: follows the call; None: it is not followed.
    """

    signature: Signature
    inputs: Sequence[Array]
    outputs: tuple[str, ...]
    completion: Completion
    deadline: float = math.inf
    timeout_s: float = math.inf
    priority: int = 0
    hints: QueueHints = NO_HINTS
    peer: Hashable = None
    sequence: InSequence | None = None
    member_arrivals: Sequence[float] = ()
    observer: CallObserver | None = None


def hints_of(
    signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array], padded: Padded
) -> QueueHints:
    """What holds for all calls with inputs of these shapes, as far as shapes tell it.

    Args:
        padded: see lane_key.
    """
    nbytes = sum(array.nbytes for array in inputs)
    shapes = [array.shape for array in inputs]
    sizes = {shape[0] if shape else 0 for shape in shapes}
    if len(sizes) != 1 or 0 in sizes or joins_by_values(signature):
        return QueueHints(nbytes=nbytes)
    lane = lane_key(signature, outputs, shapes, padded)
    return QueueHints(nbytes=nbytes) if lane is None else QueueHints(lane, sizes.pop(), nbytes)
