"""generate and generate_stream, from a body to an answer."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest

from hotgraph_server.errors import CallError, Cancelled, InternalError, InvalidCall, NotFound, RunFailed
from hotgraph_server.models.contract import Contract, TensorContract
from hotgraph_server.rest.v2 import generate_text
from hotgraph_server.rest.v2.generate import HttpGenerate
from hotgraph_server.signatures import Signature
from hotgraph_server.transport.http import Content, Request

from ...protocols.fakes import float_signature, spec, strings
from .http_calls import MOST_BYTES, FakeHttpReply, Scene, as_bytes, no_pool

TEXTS = Signature(
    "serving_default", (spec("text_input", object, None),), (spec("text_output", object, None),)
)


class Generating(Scene):
    """A scene whose model is called by generate."""

    def __init__(self, *signatures: Signature, **more: Any) -> None:
        super().__init__(*signatures, **more)
        self.generate = HttpGenerate(self.registry, no_pool(), MOST_BYTES)

    def start(self, body: Any, *, stream: bool = False, model: str = "m", version: str = "") -> FakeHttpReply:
        request = Request("POST", f"/v2/models/{model}/generate", "", {}, "127.0.0.1:1")
        endpoint = self.generate.endpoint(request, model, version, stream=stream)
        assert (endpoint.most_bytes, endpoint.limited, endpoint.json_bytes) == (MOST_BYTES, True, None)
        reply = FakeHttpReply(request)
        endpoint.begin(as_bytes(body), reply)
        return reply

    def say(self, body: Any, *arrays: Any, **more: Any) -> Content:
        reply = self.start(body, **more)
        self.version.calls.pop().completion.finish(list(arrays))
        return reply.content()


def test_answer_has_a_member_for_each_output() -> None:
    scene = Generating(TEXTS)
    content = scene.say({"text_input": "hi", "id": "i"}, strings(b"ho"))
    assert scene.requests[0].inputs[0].tolist() == [b"hi"]
    assert (content.kind, content.status) == ("application/json", 200)
    assert json.loads(b"".join(content)) == {
        "id": "i",
        "model_name": "m",
        "model_version": "3",
        "text_output": "ho",
    }


def test_stream_is_one_event() -> None:
    content = Generating(TEXTS).say({"text_input": "hi"}, strings("hé".encode()), stream=True)
    assert content.kind == "text/event-stream; charset=utf-8"
    event = b"".join(content).decode()
    assert event.startswith("data: ")
    assert event.endswith("\n\n")
    assert json.loads(event.removeprefix("data: "))["text_output"] == "hé"


def test_parameters_are_those_of_a_call() -> None:
    scene = Generating(float_signature(), float_signature("other"))
    body = {"x": [1, 2], "y": [3, 4], "parameters": {"priority": 2, "signature_name": "other"}}
    ones = np.ones((1, 2), np.float32)
    assert json.loads(b"".join(scene.say(body, ones, ones)))["sum"] == [1.0, 1.0]
    (request,) = scene.requests
    assert (request.priority, request.signature.name) == (2, "other")
    assert [array.tolist() for array in request.inputs] == [[[1, 2]], [[3, 4]]]


def test_shape_is_the_one_that_clients_see() -> None:
    rules = {"x": TensorContract((1,), reshape=()), "y": TensorContract((2, 1), reshape=(2,))}
    outputs = {"sum": TensorContract((2, 1), reshape=(2,))}
    signature = Signature(
        "serving_default",
        (spec("x", np.float32, None), spec("y", np.float32, None, 2)),
        (spec("sum", np.float32, None, 2),),
    )
    contract = Contract(None, "serving_default", batched=True, inputs=rules, outputs=outputs)
    scene = Generating(signature, contract=contract)
    content = scene.say({"x": 5, "y": [1, 2]}, np.ones((1, 2), np.float32))
    assert [array.shape for array in scene.requests[0].inputs] == [(1,), (1, 2)]
    assert json.loads(b"".join(content))["sum"] == [1.0, 1.0]


def test_version_that_gives_any_number_of_answers_may_be_called() -> None:
    outputs = {"text_output": TensorContract(None)}
    scene = Generating(TEXTS, contract=Contract(None, "serving_default", outputs=outputs, decoupled=True))
    assert scene.say({"text_input": "a"}, strings(b"b"))


def test_unknown_model_is_not_found_before_the_body_is_read() -> None:
    with pytest.raises(NotFound, match=r"^Request for unknown model: 'n' is not found$"):
        Generating(TEXTS).start(b"{", model="n")
    with pytest.raises(NotFound, match="version 9 is not found"):
        Generating(TEXTS).start(b"{", version="9")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "expected 1 inputs but got 0 inputs for model 'm'"),
        ({"text_input": "a", "parameters": {"signature_name": "none"}}, "has no signature 'none'"),
        ({"text_input": 1}, "JSON non-string as string"),
        (b"{", "failed to parse the request JSON buffer"),
    ],
)
def test_what_is_wrong_with_a_call_is_told(body: Any, text: str) -> None:
    with pytest.raises(InvalidCall, match=text):
        Generating(TEXTS).start(body)


def test_dtype_that_the_protocol_cannot_carry_is_refused() -> None:
    signature = Signature("serving_default", (spec("x", np.complex64, None),), (spec("y", np.float32, None),))
    with pytest.raises(CallError, match="'x' of model 'm' is complex64, which this protocol cannot carry"):
        Generating(signature).start({"x": 1})


def test_errors_have_the_id() -> None:
    scene = Generating(TEXTS)
    with pytest.raises(CallError, match=r"^\[request id: i\] expected 1 inputs"):
        scene.start({"id": "i"})
    with pytest.raises(
        CallError, match=r"^\[request id: i\] output 'text_output' holds bytes that are no UTF-8"
    ):
        scene.say({"id": "i", "text_input": "a"}, strings(b"\xff"))
    reply = scene.start({"id": "i", "text_input": "a"}, stream=True)
    scene.version.calls.pop().completion.finish(RunFailed(3, "no"))
    with pytest.raises(CallError, match=r"^\[request id: i\] no$") as failed:
        reply.content()
    assert failed.value.status is InternalError.status


def test_caller_that_leaves_ends_its_call() -> None:
    reply = Generating(TEXTS).start({"text_input": "a"})
    assert reply.cancel is not None
    reply.cancel()
    with pytest.raises(Cancelled):
        reply.content()
    assert reply.json_bytes_out < 0


def test_much_json_is_announced_and_written_by_a_function_that_can_be_sent_elsewhere() -> None:
    scene = Generating(TEXTS)
    reply = scene.start({"text_input": "a"})
    scene.version.calls.pop().completion.finish([np.zeros(10_000, object)])
    assert reply.json_bytes_out > 10_000
    for function in (generate_text.read_generate, generate_text.write_generate):
        assert pickle.loads(pickle.dumps(function)) is function
