"""Tracing: draws calls on their way in, and follows them to their end.

A call is drawn before its message is read, by the model that it names and by its caller's headers; over HTTP
its path names the model, and what it calls itself is known later. From there its trace goes with it: with the
reply, through which the call ends (followed.py), and as the reply's observer with the request and the call
that are made of it, whose run the executor tells, and with the answer. What is followed are calls of hot
methods, and of what runs models over HTTP.

A trace is one, whoever wants it: Triton's file (samplings.py draws for it, of the Open Inference Protocol's
calls), spans (sampling.py), the access log. Where nobody does, methods are left as they are; where somebody
may, a call that is not drawn costs a comparison for a file, and what sampling.py says for spans.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from hotgraph_protos.open_inference import ModelInferRequest
from hotgraph_server.errors import CallError
from hotgraph_server.models.registry import Registry
from hotgraph_server.observability.tracing.configs import Change, TraceConfig, at_start
from hotgraph_server.observability.tracing.followed import FollowedHttpReply, FollowedReply, Sink
from hotgraph_server.observability.tracing.sampling import Sampler
from hotgraph_server.observability.tracing.samplings import Drawn, Samplings
from hotgraph_server.observability.tracing.trace import Origin, Trace
from hotgraph_server.observability.tracing.traceparent import HEADER, SpanIdentity
from hotgraph_server.observability.tracing.writer import TraceWriter
from hotgraph_server.settings import TraceSettings
from hotgraph_server.transport.http import Endpoint, Request
from hotgraph_server.transport.message_fields import MalformedMessage, Message, values_of
from hotgraph_server.transport.service import HotMethod, Reply

# For a disk that is slow at the end; what is left then is lost.
_STOP_S = 5.0

_MODEL = ModelInferRequest.MODEL_NAME_FIELD_NUMBER
_ID = ModelInferRequest.ID_FIELD_NUMBER
_MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"

CallEndpoint = Callable[[Request, str, str], Endpoint]
"""What is done with a request of HTTP to run a model, by the model's name and a version."""

Begin = Callable[[Message, Any], None]
"""See Endpoint.begin."""

HttpCode = Callable[[CallError], int]
"""The status of HTTP that an error is."""


class Spans(NamedTuple):
    """Traces as spans: which calls, and where they go."""

    sampler: Sampler
    sink: Sink


class Tracing:
    """The traces of a server. `start` and `stop` belong to one thread; any may call the rest.

    Args:
        settings: see there.
        registry: of the versions whose calls are traced.
        spans: None: no call becomes one.
        access: gets every call; None: there is no such log.

    Attributes:
        file: the name of the file that traces are written to; empty: there is none, and nothing is written.
    """

    def __init__(
        self,
        settings: TraceSettings,
        registry: Registry,
        spans: Spans | None = None,
        access: Sink | None = None,
    ) -> None:
        self.file = settings.trace_file
        self._registry = registry
        self._writer = TraceWriter(settings.trace_file) if settings.trace_file else None
        self._spans = spans
        self._access = access
        self._lock = threading.Lock()  # guards the samplings
        self._samplings = Samplings(at_start(settings))
        self._on = self._writer is not None and self._samplings.any_active
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """Begin to write traces.

        Raises:
            StartError: the file cannot be written.
        """
        if self._writer is not None:
            self._writer.start()

    def stop(self, timeout_s: float = _STOP_S) -> None:
        """Write what waits, and end, within so many seconds; once no more calls come."""
        self._on = False
        if self._writer is not None:
            self._writer.stop(timeout_s)

    @property
    def lost(self) -> int:
        """How many traces were not written so far."""
        return self._writer.lost if self._writer is not None else 0

    def config(self, model: str = "") -> TraceConfig:
        """What holds for a model, or for those of which nothing was said."""
        with self._lock:
            return self._samplings.shown(model)

    def change(self, change: Change, model: str = "") -> None:
        """Say what is traced from now on, for one model or for all."""
        with self._lock:
            self._samplings.change(change, model)
            self._on = self._writer is not None and self._samplings.any_active

    def around(self, method: HotMethod, path: str = _MODEL_INFER) -> HotMethod:
        """A method of the Open Inference Protocol's that runs models, with every call looked at.

        Args:
            path: ``/SERVICE/METHOD``.
        """
        if self._writer is None:
            return self.around_others(method, path, _model_of)

        def look(message: Message, reply: Reply) -> None:
            span = self._span(reply)
            if span is None and not self._on and self._access is None:
                method(message, reply)
                return
            model = _model_of(message)
            drawn = self._drawn(model) if self._on else None
            if drawn is None and span is None and self._access is None:
                method(message, reply)
                return
            self._follow(method, message, reply, path, model, drawn, span)

        return look

    def around_others(
        self, method: HotMethod, path: str, model_of: Callable[[Message], str | None]
    ) -> HotMethod:
        """A method whose calls go into no file.

        Args:
            path: ``/SERVICE/METHOD``.
            model_of: the model that a message names.
        """
        if self._spans is None and self._access is None:
            return method

        def look(message: Message, reply: Reply) -> None:
            span = self._span(reply)
            if span is None and self._access is None:
                method(message, reply)
            else:
                self._follow(method, message, reply, path, model_of(message) or "", None, span)

        return look

    def around_http(
        self, endpoint: CallEndpoint, route: str = "", http_code: HttpCode = lambda _: 0
    ) -> CallEndpoint:
        """The same for what runs models over HTTP.

        Args:
            route: the path, with what varies in it in braces.
            http_code: see there.
        """
        if self._writer is None and self._spans is None and self._access is None:
            return endpoint

        def look(request: Request, model: str, version: str) -> Endpoint:
            found = endpoint(request, model, version)
            if not self._on and self._spans is None and self._access is None:
                return found
            begin = functools.partial(self._begin, model, route, http_code, True, found.begin)
            return found._replace(begin=begin)

        return look

    def around_begin(self, begin: Begin, model: str, route: str, http_code: HttpCode) -> Begin:
        """The same for one request, whose call goes into no file."""
        if self._spans is None and self._access is None:
            return begin
        return functools.partial(self._begin, model, route, http_code, False, begin)

    def _begin(
        self,
        model: str,
        route: str,
        http_code: HttpCode,
        to_file: bool,
        begin: Begin,
        body: Message,
        reply: Any,
    ) -> None:
        span = self._span(reply)
        drawn = self._drawn(model) if to_file and self._on else None
        if drawn is None and span is None and self._access is None:
            begin(body, reply)
            return
        request: Request = reply.request
        said = reply.header(HEADER)
        origin = Origin.of(request.method, reply.peer, said, route=route, path=request.path)
        trace = Trace(drawn, next(self._numbers), model, "", origin, span)
        FollowedHttpReply(trace, reply, self._sinks(trace), http_code).follow(begin, body)

    def _follow(
        self,
        method: HotMethod,
        message: Message,
        reply: Reply,
        path: str,
        model: str,
        drawn: Drawn | None,
        span: SpanIdentity | None,
    ) -> None:
        request_id = _text(memoryview(message), _ID) if path.startswith("/inference.") else ""
        origin = Origin.of(path, reply.peer, reply.header(HEADER))
        trace = Trace(drawn, next(self._numbers), model, request_id, origin, span)
        FollowedReply(trace, reply, self._sinks(trace)).follow(method, message)

    def _span(self, reply: Reply) -> SpanIdentity | None:
        return None if self._spans is None else self._spans.sampler.drawn(reply.header)

    def _sinks(self, trace: Trace) -> list[Sink]:
        sinks: list[Sink] = []
        if trace.drawn is not None and self._writer is not None:
            sinks.append(self._writer)
        if trace.span is not None and self._spans is not None:
            sinks.append(self._spans.sink)
        if self._access is not None:
            sinks.append(self._access)
        return sinks

    def _drawn(self, model: str) -> Drawn | None:
        with self._lock:
            return self._samplings.draw(model)


def _model_of(message: Message) -> str:
    return _text(memoryview(message), _MODEL)


def _text(view: memoryview, field: int) -> str:
    """A field of a request, as far as it has one that can be read."""
    try:
        found = values_of(view, field)
        return str(view[found[-1].at : found[-1].end], "utf-8") if found else ""
    except (MalformedMessage, UnicodeDecodeError):
        return ""
