"""Tracing: draws calls on their way in, and follows them to their end.

A call is drawn before its message is read, by the model that it names; over HTTP its path does, and what it
calls itself is known later. From there its trace goes with it: with the reply, through which the call ends,
and as the reply's observer with the request and the call that are made of it, whose run the executor tells,
and with the answer. What is followed are calls of a hot method, and of what runs models over HTTP.

While nothing is traced a call costs one comparison more, and without a file to write traces to nothing at
all: then the methods are left as they are.
"""

from __future__ import annotations

import collections
import functools
import itertools
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from hotgraph_protos.open_inference import ModelInferRequest
from hotgraph_server.models.registry import Registry
from hotgraph_server.observability.tracing.configs import Change, TraceConfig, at_start
from hotgraph_server.observability.tracing.samplings import Samplings
from hotgraph_server.observability.tracing.trace import Trace
from hotgraph_server.observability.tracing.writer import TraceWriter
from hotgraph_server.settings import TraceSettings
from hotgraph_server.transport.forwarding import ForwardingReply
from hotgraph_server.transport.http import Endpoint, Request
from hotgraph_server.transport.message_fields import MalformedMessage, Message, values_of
from hotgraph_server.transport.service import Answered, HotMethod, Left, Reply

# For a disk that is slow at the end; what is left then is lost.
_STOP_S = 5.0

_MODEL = ModelInferRequest.MODEL_NAME_FIELD_NUMBER
_ID = ModelInferRequest.ID_FIELD_NUMBER


class _Names(NamedTuple):
    """Of the moments that each way in has."""

    received: tuple[str, ...]
    sends: str
    sent: str


_OVER_GRPC = _Names(("GRPC_WAITREAD_START", "GRPC_WAITREAD_END"), "GRPC_SEND_START", "GRPC_SEND_END")
_OVER_HTTP = _Names(("HTTP_RECV_START", "HTTP_RECV_END"), "HTTP_SEND_START", "HTTP_SEND_END")

CallEndpoint = Callable[[Request, str, str], Endpoint]
"""What is done with a request of HTTP to run a model, by the model's name and a version."""


class Tracing:
    """The traces of a server. `start` and `stop` belong to one thread; any may call the rest.

    Args:
        settings: see there.
        registry: of the versions whose calls are traced.

    Attributes:
        file: the name of the file that traces are written to; empty: there is none, and nothing is traced.
    """

    def __init__(self, settings: TraceSettings, registry: Registry) -> None:
        self.file = settings.trace_file
        self._registry = registry
        self._writer = TraceWriter(settings.trace_file) if settings.trace_file else None
        self._lock = threading.Lock()  # guards the samplings
        self._samplings = Samplings(at_start(settings))
        self._on = self._samplings.any_active
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """Begin to write traces.

        Raises:
            StartError: the file cannot be written.
        """
        if self._writer is not None:
            self._writer.start()

    def stop(self) -> None:
        """Write what waits, and end; once no more calls come."""
        self._on = False
        if self._writer is not None:
            self._writer.stop(_STOP_S)

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
            self._on = self._samplings.any_active

    def around(self, method: HotMethod) -> HotMethod:
        """ModelInfer with every call looked at that could be traced."""
        writer = self._writer
        if writer is None:
            return method

        def look(message: Message, reply: Reply) -> None:
            if not self._on:
                method(message, reply)
                return
            view = memoryview(message)
            trace = self._drawn(_text(view, _MODEL))
            if trace is None:
                method(message, reply)
                return
            trace.named(_text(view, _ID))
            _TracedReply(trace, reply, writer, _OVER_GRPC).follow(method, message)

        return look

    def around_http(self, endpoint: CallEndpoint) -> CallEndpoint:
        """The same for what runs models over HTTP."""
        writer = self._writer
        if writer is None:
            return endpoint

        def look(request: Request, model: str, version: str) -> Endpoint:
            found = endpoint(request, model, version)
            if not self._on:
                return found
            return found._replace(begin=functools.partial(self._begin, writer, model, found.begin))

        return look

    def _begin(
        self,
        writer: TraceWriter,
        model: str,
        begin: Callable[[Message, Any], None],
        body: Message,
        reply: Any,
    ) -> None:
        trace = self._drawn(model)
        if trace is None:
            begin(body, reply)
        else:
            _TracedHttpReply(trace, reply, writer, _OVER_HTTP).follow(begin, body)

    def _drawn(self, model: str) -> Trace | None:
        with self._lock:
            drawn = self._samplings.draw(model)
        return None if drawn is None else Trace(drawn, next(self._numbers), model, "")


class _TracedReply(ForwardingReply):
    """A reply whose call is traced to its end."""

    def __init__(self, trace: Trace, reply: Reply, writer: TraceWriter, names: _Names) -> None:
        super().__init__(reply)
        self._trace = trace
        self._writer = writer
        self._names = names
        # Taken once, by the thread that ends the trace: the caller may leave while its answer is written.
        self._to_end = collections.deque([None])

    @property
    def observer(self) -> Trace:
        return self._trace

    def follow(self, method: HotMethod, message: Message) -> None:
        """Call the method."""
        self._trace.now(*self._names.received, "REQUEST_START")
        try:
            method(message, self)
        except BaseException:
            self.end()
            raise

    def finish(self, encode: Callable[[], Answered]) -> None:
        trace, names = self._trace, self._names
        trace.now("INFER_RESPONSE_COMPLETE", "REQUEST_END")

        def traced() -> Answered:
            trace.now(names.sends)
            try:
                return encode()
            finally:
                trace.now(names.sent)
                self.end()

        self._reply.finish(traced)

    def when_gone(self, cancel: Callable[[], Left]) -> None:
        def left() -> Left:
            told = cancel()
            if told is not True:
                self.end()
            return told

        self._reply.when_gone(left)

    def end(self) -> None:
        """The trace is complete; once."""
        try:
            self._to_end.pop()
        except IndexError:
            return
        self._writer.offer(self._trace)


class _TracedHttpReply(_TracedReply):
    """An HttpReply of a call that runs a model."""

    @property
    def request(self) -> Request:
        """See HttpReply."""
        request: Request = self._http.request
        return request

    @property
    def json_bytes_out(self) -> int:
        """See HttpReply."""
        return int(self._http.json_bytes_out)

    @json_bytes_out.setter
    def json_bytes_out(self, nbytes: int) -> None:
        self._http.json_bytes_out = nbytes

    @property
    def _http(self) -> Any:
        return self._reply


def _text(view: memoryview, field: int) -> str:
    """A field of a request, as far as it has one that can be read."""
    try:
        found = values_of(view, field)
        return str(view[found[-1].at : found[-1].end], "utf-8") if found else ""
    except (MalformedMessage, UnicodeDecodeError):
        return ""
