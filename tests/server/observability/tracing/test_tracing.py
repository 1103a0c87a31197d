"""tracing.py over the whole of ModelInfer: which calls have a trace, and what is in it."""

from __future__ import annotations

import gc
import itertools
import json
import math
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_server.batching.request import Request
from hotgraph_server.errors import CallError, NotFound
from hotgraph_server.models.admission import Submitted
from hotgraph_server.models.version import Version
from hotgraph_server.observability.tracing.configs import TENSORS, read_change
from hotgraph_server.observability.tracing.samplings import Drawn
from hotgraph_server.observability.tracing.trace import Trace
from hotgraph_server.observability.tracing.tracing import Tracing
from hotgraph_server.protocols.v2.inference import Infer
from hotgraph_server.rest.v2.generate import HttpGenerate
from hotgraph_server.rest.v2.infer import HttpInfer
from hotgraph_server.settings import TraceSettings
from hotgraph_server.tensors import Array
from hotgraph_server.transport.http import Request as HttpRequest
from hotgraph_server.transport.service import HotMethod

from ...protocols.fakes import FakeGraph, FakeReply, Models, add_and_subtract, float_signature
from ...rest.v2.http_calls import MOST_BYTES, FakeHttpReply, no_pool

ALL = [
    *("GRPC_WAITREAD_START", "GRPC_WAITREAD_END", "REQUEST_START", "QUEUE_START"),
    *("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END"),
    *("INFER_RESPONSE_COMPLETE", "REQUEST_END", "GRPC_SEND_START", "GRPC_SEND_END"),
]


OVER_HTTP = {
    **{"GRPC_WAITREAD_START": "HTTP_RECV_START", "GRPC_WAITREAD_END": "HTTP_RECV_END"},
    **{"GRPC_SEND_START": "HTTP_SEND_START", "GRPC_SEND_END": "HTTP_SEND_END"},
}


class Traced:
    """Model "m", version 3, whose calls are traced as the test says."""

    def __init__(self, folder: Path) -> None:
        self.models = Models()
        self.graph = FakeGraph((float_signature(), add_and_subtract))
        self.version: Version = self.models.add("m", 3, self.graph)
        self.file = folder / "traces.json"
        self.tracing = Tracing(
            TraceSettings(trace_file=str(self.file), trace_rate=1, trace_level="OFF"), self.models.registry
        )
        self.tracing.start()
        registry, pool = self.models.registry, no_pool()
        self.infer: HotMethod = self.tracing.around(Infer(registry))
        self.over_http = self.tracing.around_http(HttpInfer(registry, pool, MOST_BYTES).endpoint)
        self.generate = self.tracing.around_http(HttpGenerate(registry, pool, MOST_BYTES).endpoint)

    def say(self, model: str = "", **settings: list[str]) -> None:
        self.tracing.change(read_change(settings), model)

    def hand_in(self, model: str = "m", request_id: str = "", deadline: float = math.inf) -> FakeReply:
        request = pb.ModelInferRequest(model_name=model, id=request_id)
        for name, value in (("x", 1.5), ("y", 2.0)):
            request.inputs.add(name=name, datatype="FP32", shape=[1, 2])
            request.raw_input_contents.append(np.full((1, 2), value, np.float32).tobytes())
        reply = FakeReply(deadline)
        self.infer(request.SerializeToString(), reply)
        return reply

    def call(self, **asked: Any) -> None:
        self.hand_in(**asked).answer()

    def ask(self, body: dict[str, Any], tails: bytes = b"", method: Any = None) -> FakeHttpReply:
        """A call over HTTP, by `over_http` if no other is said."""
        text = json.dumps(body).encode()
        headers = {"inference-header-content-length": str(len(text))} if tails else {}
        request = HttpRequest("POST", "", "", headers)
        reply = FakeHttpReply(request)
        (method or self.over_http)(request, "m", "").begin(text + tails, reply)
        return reply

    def written(self) -> list[dict[str, Any]]:
        """All entries; the last thing that a test asks for."""
        self.tracing.stop()
        found: list[dict[str, Any]] = json.loads(self.file.read_text()) if self.file.exists() else []
        return found


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[Traced]:
    traced = Traced(tmp_path)
    yield traced
    traced.models.stop()


def test_trace_has_every_moment_in_its_order(traced: Traced) -> None:
    traced.say(trace_level=["TIMESTAMPS"])
    traced.call(request_id="call-7")
    about, stamps = traced.written()
    assert about == {"id": 1, "model_name": "m", "model_version": 3, "request_id": "call-7"}
    assert stamps["id"] == 1
    assert [stamp["name"] for stamp in stamps["timestamps"]] == ALL
    moments = [stamp["ns"] for stamp in stamps["timestamps"]]
    assert all(isinstance(moment, int) for moment in moments)
    # The queue's clock and ours are one clock, whose seconds are rounded differently.
    assert all(later - earlier > -1000 for earlier, later in itertools.pairwise(moments))


def test_tensors_are_those_that_came_and_went(traced: Traced) -> None:
    traced.say(trace_level=["TENSORS"])
    traced.call()
    about, *tensors = traced.written()
    assert "request_id" not in about
    assert [entry["activity"] for entry in tensors] == ["TENSOR_QUEUE_INPUT"] * 2 + [
        "TENSOR_BACKEND_OUTPUT"
    ] * 2
    assert [entry["tensor"] for entry in tensors] == [
        {"name": "x", "data": "1.5,1.5", "shape": "1,2", "dtype": "FP32"},
        {"name": "y", "data": "2.0,2.0", "shape": "1,2", "dtype": "FP32"},
        {"name": "sum", "data": "3.5,3.5", "shape": "1,2", "dtype": "FP32"},
        {"name": "difference", "data": "-0.5,-0.5", "shape": "1,2", "dtype": "FP32"},
    ]


def test_call_that_was_known_before_is_traced_like_the_first(traced: Traced) -> None:
    """Messages of a form that is known go to the queue without being parsed."""
    for _ in range(20):
        traced.call()
    traced.say(trace_level=["TIMESTAMPS"])
    traced.call()
    _, stamps = traced.written()
    assert [stamp["name"] for stamp in stamps["timestamps"]] == ALL


def test_call_that_is_refused_at_the_door_has_only_its_beginning(traced: Traced) -> None:
    traced.say(trace_level=["TIMESTAMPS"])
    with pytest.raises(NotFound):
        traced.hand_in("nonesuch")
    about, stamps = traced.written()
    assert (about["model_name"], about["model_version"]) == ("nonesuch", 0)
    assert [stamp["name"] for stamp in stamps["timestamps"]] == ALL[:3]


def test_call_whose_run_fails_has_its_run_and_no_outputs(traced: Traced) -> None:
    traced.say(trace_level=["TIMESTAMPS", "TENSORS"])
    traced.graph._computes["serving_default"] = lambda x, y: {}
    with pytest.raises(CallError):
        traced.call()
    _, stamps, *tensors = traced.written()
    names = [stamp["name"] for stamp in stamps["timestamps"]]
    assert names == ALL
    assert [entry["activity"] for entry in tensors] == ["TENSOR_QUEUE_INPUT"] * 2


def test_caller_that_leaves_ends_its_trace(traced: Traced) -> None:
    traced.say(trace_level=["TIMESTAMPS"])
    traced.graph.gate.clear()
    running = traced.hand_in()
    assert traced.graph.inside.wait(60)
    waiting = traced.hand_in()
    assert waiting.cancel is not None
    waiting.cancel()
    traced.graph.gate.set()
    running.answer()
    entries = traced.written()
    left = next(one["timestamps"] for one in entries if "timestamps" in one and one["id"] == 2)
    assert [stamp["name"] for stamp in left] == [
        *ALL[:4],
        *("INFER_RESPONSE_COMPLETE", "REQUEST_END"),
    ]


def test_one_call_in_so_many_is_traced_until_the_count_is_reached(traced: Traced) -> None:
    traced.say(trace_level=["TIMESTAMPS"], trace_rate=["2"], trace_count=["2"])
    for n in range(1, 10):
        traced.call(request_id=str(n))
    assert [entry["request_id"] for entry in traced.written() if "model_name" in entry] == ["2", "4"]


def test_one_model_can_be_traced_alone(traced: Traced) -> None:
    traced.models.add("other", 1, FakeGraph((float_signature(), add_and_subtract)))
    traced.say("other", trace_level=["TIMESTAMPS"])
    traced.call(model="m")
    traced.call(model="other")
    assert [entry["model_name"] for entry in traced.written() if "model_name" in entry] == ["other"]


def test_calls_are_followed_no_more_once_tracing_is_off(traced: Traced) -> None:
    traced.say(trace_level=["TIMESTAMPS"])
    traced.call()
    traced.say(trace_level=["OFF"])
    assert traced.hand_in().observer is None
    assert len(traced.written()) == 2


def test_call_is_held_by_its_trace_no_longer_than_it_lasts(traced: Traced) -> None:
    taken: list[weakref.ref[Array]] = []
    submit = traced.version.submit

    def watched(request: Request) -> Submitted:
        taken.append(weakref.ref(request.inputs[0]))
        return submit(request)

    traced.version.submit = watched
    traced.say(trace_level=["TIMESTAMPS"])
    gc.disable()
    try:
        traced.call()
        assert len(taken) == 1
        traced.call()
        assert taken[0]() is None
    finally:
        gc.enable()


FLOATS = [
    {"name": name, "datatype": "FP32", "shape": [1, 2], "data": [value] * 2}
    for name, value in (("x", 1.5), ("y", 2.0))
]
BINARY = [
    {"name": name, "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
    for name in ("x", "y")
]
TAILS = np.array([1.5, 1.5, 2.0, 2.0], np.float32).tobytes()
WAYS: dict[str, Callable[[Traced], FakeHttpReply]] = {
    "json": lambda traced: traced.ask({"id": "q", "inputs": FLOATS}),
    "bytes": lambda traced: traced.ask(
        {"id": "q", "inputs": BINARY, "parameters": {"binary_data_output": True}}, TAILS
    ),
    "generate": lambda traced: traced.ask(
        {"id": "q", "x": [1.5, 1.5], "y": [2.0, 2.0]}, method=traced.generate
    ),
}


@pytest.mark.parametrize(
    ("array", "dtype", "data"),
    [
        (np.array(3, np.int64), "INT64", "3"),
        (np.array(True), "BOOL", "True"),
        (np.array([0.5, 2], ml_dtypes.bfloat16), "BF16", "0.5,2.0"),
        (np.array([[b"a", b"\xff"]], object), "BYTES", "a,\\xff"),
        (np.arange(4, dtype=np.float32).reshape(2, 2).T, "FP32", "0.0,2.0,1.0,3.0"),
        (np.zeros((0, 2), np.int8), "INT8", ""),
    ],
)
def test_outputs_of_every_kind_are_shown(array: Any, dtype: str, data: str) -> None:
    trace = Trace(Drawn(frozenset({TENSORS}), "", 0), 1, "m", "")
    trace.answered(["n"], [array])
    assert trace.nbytes >= array.size
    array.fill(array.dtype.type(0) if array.dtype != object else b"")
    _, entry = trace.entries()
    assert entry["tensor"] == {
        **{"name": "n", "data": data, "dtype": dtype},
        "shape": ",".join(map(str, array.shape)),
    }


class TestOverHttp:
    @pytest.mark.parametrize("way", WAYS)
    def test_traces_look_like_those_of_grpc(self, traced: Traced, way: str) -> None:
        # The second call may be of a form that is known.
        WAYS[way](traced).content()
        traced.say(trace_level=["TIMESTAMPS", "TENSORS"])
        traced.call(request_id="q")
        WAYS[way](traced).content()
        entries = traced.written()
        over_grpc, over_http = ([entry for entry in entries if entry["id"] == number] for number in (1, 2))
        for entry in over_http:
            entry["id"] = 1
        stamps = [stamp["name"] for stamp in over_http[1]["timestamps"]]
        assert stamps == [OVER_HTTP.get(name, name) for name in ALL]
        assert (
            over_http[0]
            == over_grpc[0]
            == {
                **{"id": 1, "model_name": "m", "model_version": 3, "request_id": "q"},
            }
        )
        assert over_http[2:] == over_grpc[2:]
        assert len(over_http) == 6

    def test_outputs_that_come_as_classes_are_shown_so(self, traced: Traced) -> None:
        traced.say(trace_level=["TENSORS"])
        outputs = [{"name": "sum", "parameters": {"classification": 1}}]
        traced.ask({"inputs": FLOATS, "outputs": outputs}).content()
        (output,) = [
            one["tensor"] for one in traced.written() if one.get("activity") == "TENSOR_BACKEND_OUTPUT"
        ]
        assert (output["name"], output["dtype"], output["data"]) == ("sum", "BYTES", "3.500000:0")

    def test_how_much_json_an_answer_will_be_is_said_still(self, traced: Traced) -> None:
        traced.say(trace_level=["TIMESTAMPS"])
        reply = traced.ask({"inputs": FLOATS})
        reply.content()
        assert reply.json_bytes_out > 0

    def test_call_that_is_refused_has_only_its_beginning_and_its_id(self, traced: Traced) -> None:
        traced.say(trace_level=["TIMESTAMPS"])
        with pytest.raises(CallError):
            traced.ask({"id": "q", "inputs": FLOATS[:1]})
        with pytest.raises(CallError):
            traced.ask({"id": "q"})
        first, stamps, second, _ = traced.written()
        assert (first["request_id"], first["model_version"]) == ("q", 0)
        assert [stamp["name"] for stamp in stamps["timestamps"]] == [
            *("HTTP_RECV_START", "HTTP_RECV_END", "REQUEST_START"),
        ]
        # It could not be read.
        assert "request_id" not in second

    def test_those_of_all_ways_are_counted_together(self, traced: Traced) -> None:
        traced.say(trace_level=["TIMESTAMPS"], trace_rate=["2"])
        for _ in range(2):
            traced.call()
            WAYS["json"](traced).content()
            WAYS["generate"](traced).content()
        assert len([entry for entry in traced.written() if "model_name" in entry]) == 3

    def test_while_nothing_is_traced_requests_are_left_as_they_are(self, traced: Traced) -> None:
        assert WAYS["json"](traced).observer is None
        assert traced.written() == []


def test_without_a_file_methods_are_left_as_they_are(models_of: Callable[[], Models]) -> None:
    registry = models_of().registry
    tracing = Tracing(TraceSettings(trace_level="TIMESTAMPS"), registry)
    infer = Infer(registry)
    assert tracing.around(infer) is infer
    endpoint = HttpInfer(registry, no_pool(), MOST_BYTES).endpoint
    assert tracing.around_http(endpoint) == endpoint
    tracing.start()
    tracing.stop()


@pytest.fixture
def models_of() -> Callable[[], Models]:
    return Models
