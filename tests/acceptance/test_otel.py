"""A server that sends spans and metrics to an OpenTelemetry collector, over its own command line."""

from __future__ import annotations

import functools
import http.client
import itertools
import json
import os
import secrets
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tensorflow_serving.apis import predict_pb2
from tritonclient.grpc import service_pb2

from ..ports import free_port
from .command import Serving, arguments, starting
from .otlp_collector import Collector, attributes_of, collecting, useless

INFER = "/inference.GRPCInferenceService/ModelInfer"
PREDICT = "/tensorflow.serving.PredictionService/Predict"
PATIENCE_S = 60.0
HOSTILE = (
    *(
        "",
        "00",
        "-" * 55,
        "0" * 55,
        "x" * 8000,
        f"ff-{'1' * 32}-{'2' * 16}-01",
        f"00-{'0' * 32}-{'2' * 16}-01",
    ),
    *(f"00-{'1' * 32}-{'0' * 16}-01", f"00-{'A' * 32}-{'2' * 16}-01", f"00-{'1' * 31}-{'2' * 16}-01"),
    f"00-{'1' * 32}-{'2' * 16}-01-more",
)
"""Headers that name no parent."""
PHASES = ["answer", "door", "queue", "run"]


class Parent(NamedTuple):
    """A caller's span."""

    trace: str
    span: str

    def header(self, flags: str = "01") -> str:
        return f"00-{self.trace}-{self.span}-{flags}"


def parent() -> Parent:
    return Parent(secrets.token_hex(16), secrets.token_hex(8))


class Running:
    """The server with its built-in model."""

    def __init__(self, serving: Serving, rest: str) -> None:
        self.serving = serving
        self.channel = grpc.insecure_channel(serving.address)
        self.rest = rest

    def unary(self, path: str, message: Any, *headers: tuple[str, str]) -> Any:
        call: Any = self.channel.unary_unary(path, lambda one: one.SerializeToString(), bytes)
        return call(message, metadata=headers, timeout=30)

    def infer(self, *headers: tuple[str, str], model: str = "digits", request_id: str = "") -> Any:
        request = service_pb2.ModelInferRequest(model_name=model, id=request_id)
        request.inputs.add(name="images", datatype="FP32", shape=[1, 784])
        request.raw_input_contents.append(np.zeros((1, 784), np.float32).tobytes())
        return self.unary(INFER, request, *headers)

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.rest, timeout=30)
        try:
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@contextmanager
def running(*flags: str, **environ: str) -> Iterator[Running]:
    port = free_port()
    command = arguments("--port", "0", "--rest-port", str(port), *flags)
    settings = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_METRIC_EXPORT_INTERVAL": "200", **environ}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **settings})
    serving = Serving(process)
    try:
        if "json" in flags:
            said = json.loads(serving.wait_for_text("serving on "))
            serving.address = said["message"].removeprefix("serving on ")
        else:
            serving.until_it_serves()
        server = Running(serving, f"127.0.0.1:{port}")
        try:
            yield server
        finally:
            server.channel.close()
    finally:
        serving.close()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as one:
        yield one


@pytest.fixture(scope="module")
def server(collector: Collector) -> Iterator[Running]:
    flags = ("--otlp-endpoint", collector.url, "--otlp-sampling", "0")
    with running(*flags, OTEL_RESOURCE_ATTRIBUTES="zone=attic", OTEL_SERVICE_NAME="numbers") as one:
        yield one


def has_id(wanted: bytes, span: Any) -> bool:
    return bool(span.span_id == wanted)


def of_trace(collector: Collector, trace: str, count: int = 5) -> dict[str, Any]:
    """The spans of a trace, by name."""
    spans = collector.wait_for(lambda span: span.trace_id.hex() == trace, count)
    return {span.name: span for span in spans}


def test_call_is_a_child_of_its_callers_span_and_has_a_child_for_each_step(
    server: Running, collector: Collector
) -> None:
    mine = parent()
    server.infer(("traceparent", mine.header()), ("tracestate", "a=1,b=2"), request_id="seven")
    spans = of_trace(collector, mine.trace)
    call = spans.pop(INFER[1:])
    assert sorted(spans) == PHASES
    assert call.parent_span_id.hex() == mine.span
    assert call.trace_state == "a=1,b=2"
    assert call.kind == call.SPAN_KIND_SERVER
    assert {span.parent_span_id for span in spans.values()} == {call.span_id}
    said = attributes_of(call)
    assert said.pop("hotgraph.batch.id") > 0
    assert said.pop("client.port") > 0
    assert said == {
        "rpc.system": "grpc",
        "rpc.service": "inference.GRPCInferenceService",
        "rpc.method": "ModelInfer",
        "rpc.grpc.status_code": 0,
        "hotgraph.model.name": "digits",
        "hotgraph.model.version": 1,
        "hotgraph.signature": "serving_default",
        "hotgraph.rows": 1,
        "hotgraph.request.id": "seven",
        "client.address": "127.0.0.1",
    }
    starts = [spans[name].start_time_unix_nano for name in ("door", "queue", "run", "answer")]
    assert starts == sorted(starts)
    assert all(call.start_time_unix_nano <= start <= call.end_time_unix_nano for start in starts)


def test_calls_of_one_batch_link_to_its_one_span(server: Running, collector: Collector) -> None:
    # So many at once that some wait for the same run.
    parents = [parent() for _ in range(48)]
    threads = [
        threading.Thread(target=server.infer, args=(("traceparent", one.header()),)) for one in parents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    links = {}
    for one in parents:
        (link,) = of_trace(collector, one.trace)["run"].links
        links[one.trace] = link.span_id
    for batch in set(links.values()):
        (span,) = collector.wait_for(functools.partial(has_id, batch))
        said = attributes_of(span)
        assert span.name == "batch digits"
        assert not span.parent_span_id
        assert said["hotgraph.batch.calls"] == said["hotgraph.batch.rows"]
        assert said["hotgraph.batch.calls"] == list(links.values()).count(batch)
    assert len(set(links.values())) < len(parents), "none shared a batch"


def test_call_that_fails_says_so(server: Running, collector: Collector) -> None:
    mine = parent()
    with pytest.raises(grpc.RpcError):
        server.infer(("traceparent", mine.header()), model="nobody")
    call = of_trace(collector, mine.trace, 2)[INFER[1:]]
    said = attributes_of(call)
    assert (said["rpc.grpc.status_code"], said["error.type"]) == (5, "NOT_FOUND")
    assert said["hotgraph.model.name"] == "nobody"
    # It is the caller's mistake, and the span of a server no error.
    assert call.status.code == call.status.STATUS_CODE_UNSET


def test_predict_is_followed_as_well(server: Running, collector: Collector) -> None:
    mine = parent()
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "digits"
    pixels = request.inputs["images"]
    pixels.dtype = 1
    pixels.tensor_shape.dim.add(size=1)
    pixels.tensor_shape.dim.add(size=784)
    pixels.tensor_content = np.zeros(784, np.float32).tobytes()
    server.unary(PREDICT, request, ("traceparent", mine.header()))
    spans = of_trace(collector, mine.trace)
    assert attributes_of(spans[PREDICT[1:]])["hotgraph.model.name"] == "digits"
    assert set(spans) == {PREDICT[1:], *PHASES}


@pytest.mark.parametrize(
    ("path", "route", "body"),
    [
        ("/v1/models/digits:predict", "/v1/models/{model}:predict", {"instances": [[0.0] * 784]}),
        (
            "/v2/models/digits/infer",
            "/v2/models/{model}/infer",
            {"inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 784], "data": [0.0] * 784}]},
        ),
    ],
    ids=["v1", "v2"],
)
def test_rest_is_followed_by_its_headers(
    server: Running, collector: Collector, path: str, route: str, body: Any
) -> None:
    mine = parent()
    assert server.post(path, body, traceparent=mine.header())[0] == 200
    spans = of_trace(collector, mine.trace)
    call = spans.pop(f"POST {route}")
    assert sorted(spans) == PHASES
    assert call.parent_span_id.hex() == mine.span
    said = attributes_of(call)
    assert (said["http.request.method"], said["http.route"], said["url.path"]) == ("POST", route, path)
    assert (said["http.response.status_code"], said["hotgraph.model.version"]) == (200, 1)
    assert "rpc.system" not in said


def test_rest_call_that_fails_has_its_status(server: Running, collector: Collector) -> None:
    mine = parent()
    status, _ = server.post("/v1/models/digits:predict", {"instances": [[1.0]]}, traceparent=mine.header())
    said = attributes_of(of_trace(collector, mine.trace, 2)["POST /v1/models/{model}:predict"])
    assert said["http.response.status_code"] == status == 400
    assert said["error.type"] == "400"


def test_what_is_not_sampled_makes_no_span(server: Running, collector: Collector) -> None:
    quiet, mine = parent(), parent()
    for _ in range(3):
        server.infer(("traceparent", quiet.header("00")))
        server.infer()
    before = len(collector.spans)
    server.infer(("traceparent", mine.header()))
    of_trace(collector, mine.trace)
    # The call's, its four steps', and its batch's.
    assert len(collector.wait_for(lambda _: True, before + 6)) == before + 6
    assert quiet.trace not in {span.trace_id.hex() for span in collector.spans}


def test_sender_is_who_the_environment_says(server: Running, collector: Collector) -> None:
    server.infer(("traceparent", parent().header()))
    collector.wait_for(lambda _: True)
    sender = collector.resources[-1]
    assert (sender["service.name"], sender["zone"]) == ("numbers", "attic")
    assert sender["service.version"]


def test_metrics_come_by_otlp_too(server: Running, collector: Collector) -> None:
    server.infer()
    collector.metrics.clear()
    collector.wait_for_metric("hotgraph_calls")
    calls = collector.metrics["hotgraph_calls"].sum
    assert calls.is_monotonic
    assert any(attributes_of(point).get("model") == "digits" for point in calls.data_points)
    assert collector.metrics["hotgraph_ready"].gauge.data_points[0].as_double == 1.0


def test_metrics_that_come_by_otlp_are_those_of_the_page() -> None:
    port = free_port()
    with (
        collecting() as collector,
        running("--otlp-endpoint", collector.url, "--admin-port", str(port)) as server,
    ):
        for _ in range(7):
            server.infer()
        until = time.monotonic() + PATIENCE_S
        while counted(collector, "hotgraph_calls") != 7:
            assert time.monotonic() < until
            time.sleep(0.05)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
            page = list(text_string_to_metric_families(answer.read().decode()))
    # Triton's are on the page alone; what has no figure yet is not sent.
    shown = {one.name for one in page if one.samples and not one.name.startswith("nv_")}
    assert set(collector.metrics) == shown
    (took,) = collector.metrics["hotgraph_call_duration_seconds"].histogram.data_points
    samples = [
        sample for one in page if one.name == "hotgraph_call_duration_seconds" for sample in one.samples
    ]
    buckets = [sample.value for sample in samples if sample.name.endswith("_bucket")]
    assert list(itertools.accumulate(took.bucket_counts)) == buckets
    assert took.sum == next(sample.value for sample in samples if sample.name.endswith("_sum"))


def counted(collector: Collector, name: str) -> float:
    found = collector.metrics.get(name)
    return 0.0 if found is None else sum(point.as_double for point in found.sum.data_points)


def test_collector_that_is_down_costs_no_call_and_is_said_once() -> None:
    port = free_port()
    flags = ("--otlp-endpoint", f"http://127.0.0.1:{port}", "--otlp-sampling", "1", "--no-otlp-metrics")
    with running(*flags, OTEL_EXPORTER_OTLP_TIMEOUT="1") as server:
        for _ in range(20):
            server.infer()
        server.serving.wait_for_text("cannot be reached")
        for _ in range(20):
            server.infer()
        back = Collector(port)
        try:
            server.infer()
            server.serving.wait_for_text("spans arrive again; those of")
            server.serving.process.terminate()
            assert server.serving.status() == 0
            server.serving.wait_for_text("stopped")
        finally:
            back.close()
        said = [line for line in server.serving.lines if "cannot be reached" in line]
        assert len(said) == 1
        assert f"http://127.0.0.1:{port}/v1/traces" in said[0]


@pytest.mark.parametrize(
    ("said", "then"), [(b"", b""), (b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", b"x")]
)
def test_collector_that_never_ends_an_answer_holds_up_neither_calls_nor_the_end(
    said: bytes, then: bytes
) -> None:
    few = {"OTEL_BSP_MAX_QUEUE_SIZE": "8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2"}
    # The exporter alone would wait for ten minutes.
    settings = {"OTEL_EXPORTER_OTLP_TIMEOUT": "600", **few}
    with (
        useless(said, then) as url,
        running("--otlp-endpoint", url, "--otlp-sampling", "1", **settings) as server,
    ):
        for _ in range(30):
            server.infer()
        server.serving.process.terminate()
        # All steps of the end together: docs/operations.md.
        assert server.serving.process.wait(15) == 0
        server.serving.wait_for_text("the spans are not all sent")


def test_collector_that_fails_costs_no_call_and_is_said_once() -> None:
    failing = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    with useless(failing) as url:
        with running("--otlp-endpoint", url, "--otlp-sampling", "1", "--no-otlp-metrics") as server:
            server.infer()
            line = server.serving.wait_for_text("cannot be reached")
            assert "500" in line
            for _ in range(20):
                server.infer()
            server.serving.process.terminate()
            assert server.serving.process.wait(15) == 0
            server.serving.wait_for_text("stopped")
        assert len([one for one in server.serving.lines if "cannot be reached" in one]) == 1


def test_hostile_headers_of_traces_change_no_answer_and_write_no_line(
    server: Running, collector: Collector
) -> None:
    mine, lines = parent(), len(server.serving.lines)
    for header in HOSTILE:
        server.infer(("traceparent", header))
    for state in ("a", "A=1", "a=1,a=2", "x" * 4000, ",".join(f"k{one}=1" for one in range(33))):
        server.infer(("traceparent", mine.header()), ("tracestate", state))
    spans = collector.wait_for(
        lambda span: span.trace_id.hex() == mine.trace and span.name == INFER[1:], count=5
    )
    assert [span.trace_state for span in spans] == [""] * 5
    assert server.serving.lines[lines:] == []


def test_tritons_flag_sends_spans() -> None:
    with collecting() as collector:
        url = f"{collector.url}/v1/traces"
        words = f"mode=opentelemetry,url={url},resource=service.name=triton,rate=1"
        with running("--trace-config", words) as server:
            server.infer()
            (call,) = collector.wait_for(lambda span: span.name == INFER[1:])
            assert not call.parent_span_id
            assert collector.resources[0]["service.name"] == "triton"


def test_extra_that_is_missing_is_one_line() -> None:
    # As where OpenTelemetry was never installed.
    program = "import sys; sys.modules['opentelemetry'] = None\n" + (
        "from hotgraph_server.commands.cli import main; sys.exit(main())"
    )
    command = arguments("--port", "0", "--otlp-endpoint", "http://127.0.0.1:1")
    command[1:3] = ["-c", program]
    with starting(command) as serving:
        assert serving.status() == 1
        line = serving.wait_for_text("hotgraph[otel]")
    assert line == (
        "hotgraph serve: --otlp-endpoint: sending to an OpenTelemetry collector needs: "
        "pip install 'hotgraph[otel]'"
    )


def test_line_of_a_call_that_fails_has_its_trace_and_forges_no_other() -> None:
    mine = parent()
    with running("--log-format", "json", "--access-log") as server:
        with pytest.raises(grpc.RpcError):
            server.infer(("traceparent", mine.header("00")), model='no\n{"level":"error"}')
        failed = json.loads(server.serving.wait_for_text("call failed"))
        assert failed["model"] == 'no\n{"level":"error"}'
        assert (failed["status"], failed["method"]) == ("NOT_FOUND", INFER)
        assert failed["trace_id"] == mine.trace
        server.infer(("traceparent", mine.header("00")))
        called = json.loads(server.serving.wait_for_text('"status":"OK"'))
        assert (called["logger"], called["model"], called["rows"]) == (
            "hotgraph_server.access_log",
            "digits",
            1,
        )
        assert called["trace_id"] == mine.trace
        assert called["wait_ms"] >= 0 < called["total_ms"]
    # Every line since it serves; before, TensorFlow's C++ may have had something to say.
    lines = server.serving.lines
    first = next(at for at, line in enumerate(lines) if "serving on" in line)
    assert all(json.loads(line) for line in lines[first:] if line)
