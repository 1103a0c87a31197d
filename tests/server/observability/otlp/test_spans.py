"""spans.py: what a trace is as spans, and that all who were in a batch find the same one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from hotgraph_server.errors import CallError, DeadlineExceeded, InvalidCall, NotReady
from hotgraph_server.observability.otlp.spans import SpanMaker
from hotgraph_server.observability.tracing.trace import Origin, Trace
from hotgraph_server.observability.tracing.traceparent import SpanIdentity, passed_on

from .traces import GRPC, HTTP, IDENTITY, RUN, trace_of

S = 10**9
RESOURCE = Resource({"service.name": "test"})


def maker(seed: bytes = b"seed") -> SpanMaker:
    return SpanMaker(RESOURCE, seed, itertools.count(100).__next__)


def spans_of(trace: Trace) -> dict[str, ReadableSpan]:
    return {span.name: span for span in maker().of_call(trace, 1000 * S)}


def between(span: ReadableSpan) -> tuple[float, float]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time / S - 1000, span.end_time / S - 1000


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_call_has_a_span_and_a_child_for_each_step() -> None:
    spans = spans_of(trace_of(GRPC, IDENTITY, RUN))
    call = spans.pop("inference.GRPCInferenceService/ModelInfer")
    assert call.kind is SpanKind.SERVER
    assert call.parent is not None
    assert call.context is not None
    assert (call.parent.trace_id, call.parent.span_id, call.parent.is_remote) == (0xAB, 0xEF, True)
    assert (call.context.trace_id, call.context.span_id) == (0xAB, 0xCD)
    assert call.context.trace_state.to_header() == "a=1"
    assert between(call) == (1.0, 9.0)
    assert {name: between(span) for name, span in spans.items()} == {
        "door": (1.0, 2.0),
        "queue": (2.0, 4.0),
        "run": (4.0, 7.0),
        "answer": (8.0, 9.0),
    }
    assert all(span.parent == call.context for span in spans.values())
    assert attributes(call) == {
        "rpc.system": "grpc",
        "rpc.service": "inference.GRPCInferenceService",
        "rpc.method": "ModelInfer",
        "rpc.grpc.status_code": 0,
        "hotgraph.model.name": "m",
        "hotgraph.model.version": 12,
        "hotgraph.signature": "f",
        "hotgraph.rows": 2,
        "hotgraph.request.id": "seven",
        "hotgraph.batch.id": 3,
        "client.address": "10.0.0.1",
        "client.port": 4711,
    }


def test_call_without_a_caller_has_no_parent() -> None:
    call = spans_of(trace_of(GRPC, SpanIdentity(1, 2)))["inference.GRPCInferenceService/ModelInfer"]
    assert call.parent is None


def test_all_of_a_batch_link_to_one_span_that_is_in_none_of_their_traces() -> None:
    mine, other = trace_of(GRPC, IDENTITY, RUN), trace_of(GRPC, SpanIdentity(5, 6), RUN)
    batch = maker().of_batch(RUN, other, 1000 * S)
    for trace in (mine, other):
        (link,) = spans_of(trace)["run"].links
        assert link.context == batch.context
    assert batch.parent is None
    assert batch.context is not None
    assert batch.context.trace_id not in (0xAB, 5)
    assert between(batch) == (4.0, 7.0)
    said = attributes(batch)
    assert (batch.name, said["hotgraph.batch.calls"], said["hotgraph.batch.rows"]) == ("batch m", 2, 5)


def test_another_run_is_another_batch_and_so_is_that_of_another_process() -> None:
    other = RUN._replace(number=4)
    assert maker().batch(RUN) != maker().batch(other)
    assert maker().batch(RUN) != maker(b"other").batch(RUN)


def test_call_in_pieces_links_to_each_of_its_runs() -> None:
    trace = trace_of(GRPC, IDENTITY, RUN, RUN._replace(number=4, started=7.0, ended=7.5))
    run = spans_of(trace)["run"]
    assert len(run.links) == 2
    assert between(run) == (4.0, 7.5)


def test_call_that_was_never_run_ends_in_the_queue() -> None:
    trace = trace_of(GRPC, IDENTITY)
    trace.failed(DeadlineExceeded())
    spans = spans_of(trace)
    assert "run" not in spans
    assert between(spans["queue"])[0] == 2.0


def test_call_that_nobody_took_has_its_door_alone() -> None:
    spans = spans_of(trace_of(GRPC, IDENTITY, queued=False))
    assert set(spans) == {"inference.GRPCInferenceService/ModelInfer", "door", "answer"}
    assert "hotgraph.model.version" not in attributes(spans["inference.GRPCInferenceService/ModelInfer"])


@pytest.mark.parametrize(
    ("error", "number", "status"),
    [
        (InvalidCall("x"), 3, StatusCode.UNSET),
        (NotReady("x"), 14, StatusCode.ERROR),
        (OSError("x"), 13, None),
    ],
)
def test_error_is_the_servers_or_its_callers(
    error: Exception, number: int, status: StatusCode | None
) -> None:
    trace = trace_of(GRPC, IDENTITY)
    trace.failed(error)
    call = spans_of(trace)["inference.GRPCInferenceService/ModelInfer"]
    assert attributes(call)["rpc.grpc.status_code"] == number
    assert call.status.status_code is (status or StatusCode.ERROR)
    if not isinstance(error, CallError):
        # As its caller, nobody is told what a bug says.
        assert call.status.description == "INTERNAL"


@pytest.mark.parametrize(("code", "status"), [(200, StatusCode.UNSET), (503, StatusCode.ERROR)])
def test_over_http_words_and_rules_are_those_of_http(code: int, status: StatusCode) -> None:
    trace = trace_of(HTTP, IDENTITY, RUN)
    if code != 200:
        trace.failed(NotReady("x"))
    trace.http_status = code
    call = spans_of(trace)["POST /v1/models/{model}:predict"]
    said = attributes(call)
    assert said["http.response.status_code"] == code
    assert (said["http.route"], said["url.path"]) == (HTTP.route, HTTP.path)
    assert not any(name.startswith("rpc.") for name in said)
    assert said.get("error.type") == (None if code == 200 else "503")
    assert call.status.status_code is status


@pytest.mark.parametrize(
    ("peer", "address", "port"),
    [
        ("ipv4:10.0.0.1:5", "10.0.0.1", 5),
        ("ipv6:%5B::1%5D:5", "::1", 5),
        ("[::1]:5", "::1", 5),
        ("unix:/run/x", "unix:/run/x", None),
        ("", None, None),
    ],
)
def test_peers_of_every_transport_are_told_apart(peer: str, address: str | None, port: int | None) -> None:
    call, *_ = maker().of_call(trace_of(Origin("/a/B", peer=peer)), 0)
    said = attributes(call)
    assert (said.get("client.address"), said.get("client.port")) == (address, port)


# JSON can bring halves of characters.
ANY_TEXT = st.text(st.characters() | st.sampled_from("\ud800\udfff"), max_size=50)


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_whatever_callers_say_can_be_sent(model: str, path: str, text: str, state: str) -> None:
    origin = Origin("POST", "/r", path)
    trace = Trace(None, 1, model, text, origin, SpanIdentity(1, 2, 3, passed_on(state)))
    trace.failed(NotReady(text))
    trace.http_status = 503
    trace.now("REQUEST_START")
    sent: Sequence[ReadableSpan] = [*maker().of_call(trace, 0), maker().of_batch(RUN, trace, 0)]
    encoded = encode_spans(sent)
    assert encoded.SerializeToString()
    # What cannot be encoded is left out by OpenTelemetry, with a traceback in the log.
    call = encoded.resource_spans[0].scope_spans[0].spans[0]
    assert len(call.attributes) == len(sent[0].attributes or ())
