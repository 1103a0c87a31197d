"""From a decoded call to the queue, and from its outcome to the reply: what both protocols do alike."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.completion import Completion, Outcome
from hotgraph_server.batching.lane_key import LaneKey
from hotgraph_server.errors import CallError
from hotgraph_server.models.version import Version
from hotgraph_server.sequences.call import SequenceCall
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.transport.service import Answered, Reply


class QueueHints(NamedTuple):
    """A call's place in the queue, as Version.call takes it; by default it is worked out there."""

    lane: LaneKey | None = None
    rows: int = 0
    nbytes: int = -1


def place_of(
    version: Version, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]
) -> QueueHints:
    """Where all calls with inputs of these shapes have their place, as far as shapes tell it."""
    nbytes = sum(array.nbytes for array in inputs)
    shapes = [array.shape for array in inputs]
    sizes = {shape[0] if shape else 0 for shape in shapes}
    if len(sizes) != 1 or 0 in sizes:
        return QueueHints(nbytes=nbytes)
    lane = version.lane_key(signature, outputs, shapes)
    return QueueHints(nbytes=nbytes) if lane is None else QueueHints(lane, sizes.pop(), nbytes)


class Answer:
    """What comes of one call: its completion brings the outcome, the transport encodes when it likes."""

    __slots__ = ("_outcome", "_reply")

    def __init__(self, reply: Reply) -> None:
        self._reply: Reply | None = reply
        self._outcome: Outcome | None = None

    def deliver(self, outcome: Outcome) -> None:
        """Once, as completions do."""
        # The reply knows how to leave the call, whose completion knows this: a cycle, if it were not cut
        # here.
        reply, self._reply = self._reply, None
        self._outcome = outcome
        assert reply is not None
        reply.finish(self._encode)

    def encode(self, arrays: Sequence[Array]) -> Answered:
        """The bytes that answer the call."""
        raise NotImplementedError

    def worded(self, error: CallError) -> CallError:
        """The error that the call ended with, as this protocol's clients expect it."""
        return error

    def _encode(self) -> Answered:
        outcome = self._outcome
        assert outcome is not None
        if isinstance(outcome, CallError):
            raise self.worded(outcome)
        return self.encode(outcome)


class InSequence(NamedTuple):
    """What a call says of the sequence that it belongs to; see sequences.Sequences.call."""

    sequence_id: int | str
    start: bool
    end: bool


def hand_in(
    version: Version,
    signature: Signature,
    inputs: Sequence[Array],
    outputs: tuple[str, ...],
    answer: Answer,
    reply: Reply,
    *,
    deadline: float,
    place: QueueHints,
    timeout_s: float = math.inf,
    priority: int = 0,
    sequence: InSequence | None = None,
) -> None:
    """Queue a call, and tell the transport when and how it can end before its answer.

    Args:
        timeout_s: see Version.call; of a call in a sequence it is a deadline.
        sequence: given where the version keeps sequences.

    Raises:
        CallError: the version does not take it, and why; the reply is not used then.
    """
    completion = Completion(answer.deliver)
    call: Call | SequenceCall
    if sequence is None:
        lane, rows, nbytes = place
        call = version.call(
            signature,
            inputs,
            outputs,
            completion,
            deadline=deadline,
            timeout_s=timeout_s,
            priority=priority,
            lane=lane,
            rows=rows,
            nbytes=nbytes,
            peer=reply.peer,
        )
    else:
        assert version.sequences is not None
        call = version.sequences.call(
            signature,
            inputs,
            outputs,
            completion,
            sequence_id=sequence.sequence_id,
            start=sequence.start,
            end=sequence.end,
            deadline=min(deadline, time.monotonic() + timeout_s),
            priority=priority,
        )
    if call.deadline < reply.deadline:
        reply.expire_at(call.deadline)
    reply.when_gone(functools.partial(version.leave, call))
