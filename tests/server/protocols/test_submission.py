"""Where calls of one form wait, and what becomes of a call's outcome."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence

import numpy as np
import pytest

from hotgraph_server.errors import CallError, InvalidCall
from hotgraph_server.protocols.submission import Answer, QueueHints, hand_in, place_of
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array

from .fakes import FakeReply, RecordingVersion, float_signature, spec

SCALAR = Signature(
    "scalar", (spec("x", np.float32, None, 2), spec("k", np.float32)), (spec("y", np.float32, None),)
)


class Spelled(Answer):
    """Its answer is how many arrays there are, its errors are called differently."""

    __slots__ = ("__weakref__",)

    def encode(self, arrays: Sequence[Array]) -> bytes:
        return b"%d" % len(arrays)

    def worded(self, error: CallError) -> CallError:
        return InvalidCall(f"worded: {error}")


def version() -> RecordingVersion:
    return RecordingVersion("m", 1, float_signature(), SCALAR)


def floats(*shape: int) -> Array:
    return np.zeros(shape, np.float32)


def test_place_tells_lane_rows_and_bytes_where_shapes_tell_them() -> None:
    model = version()
    signature = model.signatures["serving_default"]
    place = place_of(model, signature, ("sum",), [floats(3, 2), floats(3, 2)])
    assert place == QueueHints(model.lane_key(signature, ("sum",), [(3, 2), (3, 2)]), 3, 48)
    assert place.lane is not None


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("serving_default", [floats(3, 2), floats(2, 2)]),
        ("serving_default", [floats(0, 2), floats(0, 2)]),
        ("serving_default", [floats(), floats()]),
        ("serving_default", [floats(3, 5), floats(3, 5)]),
        ("scalar", [floats(3, 2), floats()]),
        ("scalar", [floats(3, 2), floats(3)]),
    ],
)
def test_place_is_left_open_where_more_than_shapes_counts(name: str, inputs: list[Array]) -> None:
    model = version()
    place = place_of(model, model.signatures[name], ("y",), inputs)
    assert place == QueueHints(nbytes=sum(array.nbytes for array in inputs))


def hand_in_one(model: RecordingVersion, reply: FakeReply) -> Spelled:
    answer = Spelled(reply)
    signature = model.signatures["serving_default"]
    inputs = [floats(1, 2), floats(1, 2)]
    hand_in(model, signature, inputs, ("sum",), answer, reply, deadline=reply.deadline, place=QueueHints())
    return answer


def test_outcome_is_encoded_when_the_transport_asks() -> None:
    model, reply = version(), FakeReply()
    hand_in_one(model, reply)
    model.calls[0].completion.finish([floats(1, 2)])
    assert reply.answer() == b"1"


def test_error_is_worded_by_the_protocol() -> None:
    model, reply = version(), FakeReply()
    hand_in_one(model, reply)
    model.calls[0].completion.finish(InvalidCall("no"))
    with pytest.raises(InvalidCall, match=r"^worded: no$"):
        reply.answer()


def test_call_that_has_ended_is_no_cycle_though_its_reply_can_leave_it() -> None:
    """A cycle per call would be a leak between two collections."""
    model, reply = version(), FakeReply()
    answer = weakref.ref(hand_in_one(model, reply))
    model.calls.pop().completion.finish([])
    gc.disable()
    try:
        assert reply.leave is not None
        reply.answer()
        del reply
        assert answer() is None
    finally:
        gc.enable()


def test_call_that_is_refused_leaves_its_reply_alone() -> None:
    model, reply = version(), FakeReply()
    model.refusal = InvalidCall("no")
    with pytest.raises(InvalidCall):
        hand_in_one(model, reply)
    assert reply.leave is None
    assert reply.expires is None


def test_call_knows_the_connection_that_it_came_by() -> None:
    model, reply = version(), FakeReply()
    reply.peer = "10.0.0.1:7"
    hand_in_one(model, reply)
    assert [call.peer for call in model.calls] == ["10.0.0.1:7"]
