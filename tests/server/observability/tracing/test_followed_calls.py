"""tracing.py for spans and the access log: which calls are followed, and what those cost that are not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import CallError, DeadlineExceeded, NotFound
from hotgraph_server.observability.logs.context import TRACE_ID
from hotgraph_server.observability.request_log import records
from hotgraph_server.observability.tracing import tracing as module
from hotgraph_server.observability.tracing.sampling import Sampler
from hotgraph_server.observability.tracing.trace import Trace
from hotgraph_server.observability.tracing.tracing import Spans, Tracing
from hotgraph_server.protocols.tfs.predict import Predict
from hotgraph_server.protocols.v2.inference import Infer
from hotgraph_server.settings import TraceSettings
from hotgraph_server.transport.http import Content, Endpoint
from hotgraph_server.transport.http import Request as HttpRequest
from hotgraph_server.transport.service import HotMethod

from ...protocols.fakes import FakeGraph, FakeReply, Models, add_and_subtract, float_signature
from ...rest.v2.http_calls import FakeHttpReply

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-00"}


class Kept:
    """A sink."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []

    def offer(self, trace: Trace) -> None:
        self.traces.append(trace)


class Followed:
    """Model "m", version 3."""

    def __init__(self) -> None:
        self.models = Models()
        self.models.add("m", 3, FakeGraph((float_signature(), add_and_subtract)))
        self.spans, self.access = Kept(), Kept()

    def tracing(self, rate: float = 0.0, *, access: bool = False) -> Tracing:
        spans = Spans(Sampler(rate), self.spans)
        return Tracing(TraceSettings(), self.models.registry, spans, self.access if access else None)

    def infer(self, rate: float = 0.0, *, access: bool = False) -> HotMethod:
        return self.tracing(rate, access=access).around(Infer(self.models.registry))


@pytest.fixture
def followed() -> Iterator[Followed]:
    one = Followed()
    yield one
    one.models.stop()


def message(model: str = "m", request_id: str = "seven") -> bytes:
    request = pb.ModelInferRequest(model_name=model, id=request_id)
    for name in ("x", "y"):
        request.inputs.add(name=name, datatype="FP32", shape=[1, 2])
        request.raw_input_contents.append(np.ones((1, 2), np.float32).tobytes())
    return request.SerializeToString()


def reply(headers: dict[str, str] | None = None) -> FakeReply:
    one = FakeReply()
    one.headers = headers or {}
    return one


def test_sampled_call_is_followed_from_its_door_to_its_answer(followed: Followed) -> None:
    one = reply(SAMPLED)
    followed.infer()(message(), one)
    one.answer()
    (trace,) = followed.spans.traces
    assert (trace.model, trace.version, trace.rows, trace.request_id) == ("m", 3, 1, "seven")
    assert trace.signature == float_signature().name
    assert trace.origin.method == "/inference.GRPCInferenceService/ModelInfer"
    assert trace.span is not None
    assert f"{trace.span.trace_id:032x}" == trace.trace_id == TRACE
    assert (len(trace.runs), trace.status) == (1, (0, "OK"))
    assert list(trace.moments)[-1] == "GRPC_SEND_END"


@pytest.mark.parametrize("headers", [{}, UNSAMPLED], ids=["no parent", "parent unsampled"])
def test_of_a_call_that_is_not_sampled_nothing_is_made(
    followed: Followed, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    for name in ("Trace", "Origin", "FollowedReply"):
        monkeypatch.setattr(module, name, lambda *given: made.append(given))
    one = reply(headers)
    followed.infer()(message(), one)
    one.answer()
    assert not made
    assert not followed.spans.traces


@pytest.mark.parametrize("headers", [{}, UNSAMPLED], ids=["no parent", "parent unsampled"])
def test_call_that_is_not_sampled_costs_a_look_at_one_header(
    followed: Followed, headers: dict[str, str]
) -> None:
    reached: list[object] = []

    def method(*_: object) -> None:
        reached.append(None)

    one, data = reply(headers), message()
    plain = functions_called(lambda: method(data, one))
    watched = functions_called(lambda: followed.tracing().around(method)(data, one))
    around = functions_called(lambda: followed.tracing().around(method))
    assert reached
    # The method around it, the question for a span, its answer, the header; and of an unsampled parent or a
    # rate one more.
    assert len(watched) - len(around) - len(plain) <= 5
    assert watched.count("__init__") == around.count("__init__")


def functions_called(act: Callable[[], Any]) -> list[str]:
    """The names of Python's functions that are called, in their order."""
    names: list[str] = []

    def note(frame: Any, event: str, _: object) -> None:
        if event == "call":
            names.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return names


def test_without_spans_and_access_log_methods_are_as_they_were(followed: Followed) -> None:
    tracing = Tracing(TraceSettings(), followed.models.registry)
    method = Infer(followed.models.registry)
    assert tracing.around(method) is method
    assert tracing.around_others(method, "/a/B", str) is method

    def begin(*_: object) -> None:
        pass

    assert tracing.around_begin(begin, "m", "/r", lambda _: 0) is begin


def test_access_log_gets_every_call_and_spans_their_own(followed: Followed) -> None:
    infer = followed.infer(access=True)
    for headers in (SAMPLED, UNSAMPLED, {}):
        one = reply(headers)
        infer(message(), one)
        one.answer()
    assert len(followed.access.traces) == 3
    assert len(followed.spans.traces) == 1
    # Whether a caller keeps its span or not, its trace can be found by its id.
    assert [trace.trace_id for trace in followed.access.traces] == [TRACE, TRACE, ""]


def test_refused_call_is_told_with_its_status(followed: Followed) -> None:
    with pytest.raises(CallError):
        followed.infer()(message("nobody"), reply(SAMPLED))
    (trace,) = followed.spans.traces
    assert (trace.model, trace.version, trace.status) == ("nobody", 0, (5, "NOT_FOUND"))
    assert "nobody" in trace.text


def test_caller_that_leaves_ends_its_trace_once(followed: Followed) -> None:
    left: list[Callable[[], object]] = []

    def method(_: object, given: Any) -> None:
        given.when_gone(lambda: None)
        given.finish(lambda: b"late")

    one = reply(SAMPLED)
    followed.tracing().around_others(method, "/a/B", lambda _: "m")(b"", one)
    assert one.cancel is not None
    left.append(one.cancel)
    left[0]()
    one.answer()
    (trace,) = followed.spans.traces
    assert trace.status == (1, "CANCELLED")


def test_call_that_runs_out_of_time_says_so(followed: Followed) -> None:
    def method(_: object, given: Any) -> None:
        given.when_gone(lambda: DeadlineExceeded())

    one = reply(SAMPLED)
    followed.tracing().around_others(method, "/a/B", lambda _: "m")(b"", one)
    assert one.cancel is not None
    one.cancel()
    assert followed.spans.traces[0].status == (4, "DEADLINE_EXCEEDED")


def test_answer_that_cannot_be_encoded_is_an_error_and_goes_on_to_the_transport(followed: Followed) -> None:
    def encode() -> bytes:
        raise OSError("secret")

    one = reply(SAMPLED)
    watched = followed.tracing().around_others(lambda _, given: given.finish(encode), "/a/B", lambda _: "m")
    watched(b"", one)
    with pytest.raises(OSError, match="secret"):
        one.answer()
    (trace,) = followed.spans.traces
    assert (trace.status, trace.text) == ((13, "INTERNAL"), "")


def test_predict_names_its_model(followed: Followed) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "nobody"
    predict = followed.tracing().around_others(
        Predict(followed.models.registry), "/t.P/Predict", lambda one: records.model_name("Predict", one)
    )
    with pytest.raises(CallError):
        predict(request.SerializeToString(), reply(SAMPLED))
    assert followed.spans.traces[0].model == "nobody"


@pytest.mark.parametrize(
    ("answer", "code"), [(b"well", 200), (Content([b"x"], status=206), 206), (NotFound("no"), 404)]
)
def test_over_http_the_status_is_that_of_the_answer(followed: Followed, answer: Any, code: int) -> None:
    def begin(_: object, given: Any) -> None:
        if isinstance(answer, Exception):
            raise answer
        given.finish(lambda: answer)

    request = HttpRequest("POST", "/v1/models/m:predict", "", SAMPLED)
    one = FakeHttpReply(request)
    one.headers = SAMPLED
    watched = followed.tracing().around_begin(begin, "m", "/v1/models/{model}:predict", lambda _: 404)
    if isinstance(answer, Exception):
        with pytest.raises(NotFound):
            watched(b"", one)
    else:
        watched(b"", one)
        one.content()
    (trace,) = followed.spans.traces
    assert trace.http_status == code
    assert (trace.origin.method, trace.origin.path) == ("POST", "/v1/models/m:predict")


def test_endpoint_keeps_its_limits(followed: Followed) -> None:
    found = Endpoint(lambda *_: None, 7, 3, limited=True)
    watched = followed.tracing().around_http(lambda *_: found, "/r")(
        HttpRequest("POST", "/", "", {}), "m", ""
    )
    assert watched[1:] == found[1:]


def test_what_is_logged_meanwhile_knows_the_trace(followed: Followed) -> None:
    seen: list[str] = []

    def method(_: object, given: Any) -> None:
        seen.append(TRACE_ID.get())
        given.finish(encode)

    def encode() -> bytes:
        seen.append(TRACE_ID.get())
        return b""

    one = reply(SAMPLED)
    followed.tracing().around_others(method, "/a/B", lambda _: "m")(b"", one)
    one.answer()
    assert seen == [TRACE, TRACE]
    assert TRACE_ID.get() == ""
