"""Tracing: draws calls on their way in, and follows them to their end.

A call is drawn before its message is read, by the model that it names. From there its trace goes with it:
with the reply, through which the call ends, and as the reply's observer with the request and the call that
are made of it, whose run the executor tells. What is followed are calls of a hot method.

While nothing is traced a call costs one comparison more, and without a file to write traces to nothing at
all: then the methods are left as they are.
"""

from __future__ import annotations

import collections
import itertools
import threading
from collections.abc import Callable

from hotgraph_protos.open_inference import ModelInferRequest
from hotgraph_server.models.registry import Registry
from hotgraph_server.observability.tracing.configs import TENSORS, Change, TraceConfig, at_start
from hotgraph_server.observability.tracing.samplings import Samplings
from hotgraph_server.observability.tracing.trace import Trace
from hotgraph_server.observability.tracing.writer import TraceWriter
from hotgraph_server.settings import TraceSettings
from hotgraph_server.transport.forwarding import ForwardingReply
from hotgraph_server.transport.message_fields import MalformedMessage, Message, values_of
from hotgraph_server.transport.service import Answered, HotMethod, Left, Reply, joined

# For a disk that is slow at the end; what is left then is lost.
_STOP_S = 5.0

_MODEL = ModelInferRequest.MODEL_NAME_FIELD_NUMBER
_ID = ModelInferRequest.ID_FIELD_NUMBER


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
            trace = self._drawn(message) if self._on else None
            if trace is None:
                method(message, reply)
            else:
                _follow(trace, method, message, reply, writer)

        return look

    def _drawn(self, message: Message) -> Trace | None:
        view = memoryview(message)
        model = _text(view, _MODEL)
        with self._lock:
            drawn = self._samplings.draw(model)
        return None if drawn is None else Trace(drawn, next(self._numbers), model, _text(view, _ID))


def _follow(trace: Trace, method: HotMethod, message: Message, reply: Reply, writer: TraceWriter) -> None:
    trace.now("GRPC_WAITREAD_START", "GRPC_WAITREAD_END", "REQUEST_START")
    traced = _TracedReply(trace, reply, writer)
    try:
        method(message, traced)
    except BaseException:
        traced.end()
        raise


class _TracedReply(ForwardingReply):
    """A reply whose call is traced to its end."""

    def __init__(self, trace: Trace, reply: Reply, writer: TraceWriter) -> None:
        super().__init__(reply)
        self._trace = trace
        self._writer = writer
        # Taken once, by the thread that ends the trace: the caller may leave while its answer is written.
        self._to_end = collections.deque([None])

    @property
    def observer(self) -> Trace:
        return self._trace

    def finish(self, encode: Callable[[], Answered]) -> None:
        trace = self._trace
        trace.now("INFER_RESPONSE_COMPLETE", "REQUEST_END")

        def traced() -> Answered:
            trace.now("GRPC_SEND_START")
            try:
                answer = encode()
                if TENSORS in trace.drawn.level:
                    answer = joined(answer)
                    trace.keep_response(answer)
                return answer
            finally:
                trace.now("GRPC_SEND_END")
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


def _text(view: memoryview, field: int) -> str:
    """A field of a request, as far as it has one that can be read."""
    try:
        found = values_of(view, field)
        return str(view[found[-1].at : found[-1].end], "utf-8") if found else ""
    except (MalformedMessage, UnicodeDecodeError):
        return ""
