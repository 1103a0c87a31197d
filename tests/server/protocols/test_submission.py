"""What becomes of a call's outcome, and what its reply is told."""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hotgraph_server.batching.completion import Completion
from hotgraph_server.batching.request import Request
from hotgraph_server.errors import CallError, Draining, InvalidCall, NotLoaded
from hotgraph_server.protocols.submission import Answer, Facts, facts_of, refusal_of, submit
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.transport.service import Failure

from .fakes import FakeReply, RecordingVersion, float_signature, spec

SCALAR = Signature(
    "scalar", (spec("x", np.float32, None, 2), spec("k", np.float32)), (spec("y", np.float32, None),)
)


class Spelled(Answer[None]):
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


def submit_one(model: RecordingVersion, reply: FakeReply) -> Spelled:
    answer = Spelled(reply, None)
    signature = model.signatures["serving_default"]
    inputs = [floats(1, 2), floats(1, 2)]
    submit(model, Request(signature, inputs, ("sum",), answer, reply.deadline, peer=reply.peer), reply)
    return answer


def test_outcome_is_encoded_when_the_transport_asks() -> None:
    model, reply = version(), FakeReply()
    submit_one(model, reply)
    model.calls[0].completion.finish([floats(1, 2)])
    assert reply.answer() == b"1"


def test_error_is_worded_by_the_protocol() -> None:
    model, reply = version(), FakeReply()
    submit_one(model, reply)
    model.calls[0].completion.finish(InvalidCall("no"))
    with pytest.raises(InvalidCall, match=r"^worded: no$"):
        reply.answer()


def test_call_that_has_ended_is_no_cycle_though_its_reply_can_cancel_it() -> None:
    """A cycle per call would be a leak between two collections."""
    model, reply = version(), FakeReply()
    answer = weakref.ref(submit_one(model, reply))
    model.calls.pop().completion.finish([])
    gc.disable()
    try:
        assert reply.cancel is not None
        reply.answer()
        del reply
        assert answer() is None
    finally:
        gc.enable()


def test_call_that_is_refused_leaves_its_reply_alone() -> None:
    model, reply = version(), FakeReply()
    model.refusal = InvalidCall("no")
    with pytest.raises(InvalidCall):
        submit_one(model, reply)
    assert reply.cancel is None
    assert reply.expires is None


def test_deadline_that_is_earlier_than_the_callers_is_told_to_the_reply() -> None:
    model, reply = version(), FakeReply(1e9)
    answer = Spelled(reply, None)
    signature = model.signatures["serving_default"]
    submit(model, Request(signature, [floats(1, 2)] * 2, ("sum",), answer, 5.0), reply)
    assert reply.expires == 5.0


def test_call_knows_the_connection_that_it_came_by() -> None:
    model, reply = version(), FakeReply()
    reply.peer = "10.0.0.1:7"
    submit_one(model, reply)
    assert [call.peer for call in model.calls] == ["10.0.0.1:7"]


def failure(error: CallError, leave: Callable[[], object] | None) -> Failure:
    return Failure("/a/B", "127.0.0.1:1", error, lambda _: None, leave)


def test_call_that_was_taken_is_known_by_what_leaves_it_through_whatever_stands_around() -> None:
    model, reply = version(), FakeReply()
    submit_one(model, reply)
    call = model.calls[0]
    assert reply.cancel is not None
    around = functools.partial(print, functools.partial(print, reply.cancel))
    known = Facts("m", 1, "serving_default", call.arrived, None)
    for leave in (reply.cancel, around):
        assert facts_of(failure(InvalidCall("x"), leave)) == known
    call.ran = 5.0, 6.0
    assert facts_of(failure(InvalidCall("x"), reply.cancel)) == known._replace(ran=(5.0, 6.0))


def test_call_that_was_refused_is_known_by_its_error() -> None:
    model = version()
    model.refusal = InvalidCall("no")
    with pytest.raises(InvalidCall) as refused:
        submit_one(model, FakeReply())
    assert facts_of(failure(refused.value, None)) == Facts("m", 1, "serving_default")


@pytest.mark.parametrize("leave", [None, print, functools.partial(print)])
def test_of_a_call_that_came_nowhere_nothing_is_known(leave: Callable[[], object] | None) -> None:
    assert facts_of(failure(InvalidCall("x"), leave)) == Facts()


def test_a_version_that_was_given_up_sends_its_callers_to_the_next_one_where_models_come_and_go() -> None:
    found = version()
    request = Request(SCALAR, [], ("y",), Completion(lambda outcome: None))
    refusal = refusal_of(found, request, Draining(found.title))
    assert isinstance(refusal, Draining)
    assert refusal.about == ("m", 1, "scalar")
    found.loaded_at_call = True
    assert isinstance(refusal_of(found, request, Draining(found.title)), NotLoaded)
    assert isinstance(refusal_of(found, request, InvalidCall("no")), InvalidCall)
