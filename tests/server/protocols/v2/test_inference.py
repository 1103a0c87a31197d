"""ModelInfer with its templates: a message never means anything else because of what came before it."""

from __future__ import annotations

import math
import time

import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_server.batching.call import Call
from hotgraph_server.batching.request import Request
from hotgraph_server.errors import CallError, InvalidCall
from hotgraph_server.protocols.v2.inference import Infer

from ..fakes import FakeReply, RecordingVersion, float_signature
from ..hot_methods import outcome, registry_of
from .infer_messages import DEFAULT_Y, GOOD, INFER, floats, version


def test_ids_of_one_length_are_of_one_form(monkeypatch: pytest.MonkeyPatch) -> None:
    model = version()
    hot = Infer(registry_of(model))
    outcome(hot, floats(id="call-1").SerializeToString(), model)
    INFER.forbid_parsing(monkeypatch)
    answer = outcome(hot, floats(3, id="call-2").SerializeToString(), model)[-1]
    assert isinstance(answer, bytes)
    assert pb.ModelInferResponse.FromString(answer).id == "call-2"
    model.refusal = InvalidCall("no room")
    with pytest.raises(CallError, match=r"^\[request id: call-3\] no room$"):
        hot(floats(3, id="call-3").SerializeToString(), FakeReply())


def test_rows_are_checked_as_soon_as_calls_share_batches() -> None:
    """A form that was learned while they ran alone says nothing about it."""
    model = version(alone="reason")
    hot = Infer(registry_of(model))
    built = floats(rows=2)
    built.inputs[1].shape[0] = 1
    built.raw_input_contents[1] = DEFAULT_Y.tobytes()
    message = built.SerializeToString()
    outcome(hot, message, model)
    model.unbatched_reasons = dict.fromkeys(model.unbatched_reasons)
    with pytest.raises(InvalidCall, match="batch size does not match"):
        hot(message, FakeReply())


def test_timeout_parameter_is_a_deadline_and_the_sooner_one_counts() -> None:
    model = version()
    hot = Infer(registry_of(model))
    built = floats()
    built.parameters["timeout"].int64_param = 2_000_000
    message = built.SerializeToString()
    for _ in range(2):
        before = time.monotonic()
        for own in (math.inf, before + 1):
            reply = FakeReply(own)
            hot(message, reply)
            deadline = model.calls[-1].deadline
            if own < math.inf:
                assert deadline == own
                assert reply.expires is None
            else:
                assert before + 2 <= deadline <= time.monotonic() + 2
                assert reply.expires == deadline


def test_deadline_that_the_model_sets_is_told_to_the_transport() -> None:
    class Impatient(RecordingVersion):
        def record(self, request: Request) -> Call:
            request.deadline = 5.0
            return super().record(request)

    hot = Infer(registry_of(Impatient("m", 3, float_signature())))
    for _ in range(2):
        reply = FakeReply()
        hot(GOOD["raw"], reply)
        assert reply.expires == 5.0


def test_priority_parameter_is_the_calls() -> None:
    model = version()
    hot = Infer(registry_of(model))
    built = floats()
    built.parameters["priority"].uint64_param = 7
    for _ in range(2):
        hot(built.SerializeToString(), FakeReply())
        assert model.calls[-1].level == 7


def test_calls_of_a_known_form_wait_in_the_lane_of_those_that_were_read() -> None:
    model = version()
    hot = Infer(registry_of(model))
    for rows in (1, 8):
        hot(floats(rows=rows).SerializeToString(), FakeReply())
        read = model.calls[-1]
        hot(floats(3, rows=rows).SerializeToString(), FakeReply())
        known = model.calls[-1]
        assert known.lane is not None
        assert (known.lane, known.rows, known.nbytes) == (read.lane, rows, read.nbytes)
