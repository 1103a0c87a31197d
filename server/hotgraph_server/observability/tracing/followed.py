"""A reply whose call is followed to its end: its trace's moments, what became of it, and who gets it then."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from hotgraph_server.call_observer import ReplyObserver
from hotgraph_server.errors import CallError, Cancelled, DeadlineExceeded
from hotgraph_server.observability.logs.context import TRACE_ID
from hotgraph_server.observability.tracing.trace import Trace
from hotgraph_server.transport.forwarding import ForwardingReply
from hotgraph_server.transport.http import Content, Request
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import Answered, HotMethod, Left, Reply


class Sink(Protocol):
    """Where traces go when they are complete."""

    def offer(self, trace: Trace) -> object:
        """Take a trace, or drop and count it; neither waits nor raises. Any thread."""


class Names(NamedTuple):
    """Of the moments that each way in has."""

    received: tuple[str, ...]
    sends: str
    sent: str


OVER_GRPC = Names(("GRPC_WAITREAD_START", "GRPC_WAITREAD_END"), "GRPC_SEND_START", "GRPC_SEND_END")
OVER_HTTP = Names(("HTTP_RECV_START", "HTTP_RECV_END"), "HTTP_SEND_START", "HTTP_SEND_END")


class FollowedReply(ForwardingReply):
    """
    Args:
        trace: of its call.
        reply: that it stands before.
        sinks: that get the trace.
        names: see there.
    """

    def __init__(self, trace: Trace, reply: Reply, sinks: Sequence[Sink], names: Names = OVER_GRPC) -> None:
        super().__init__(reply)
        self._trace = trace
        self._sinks = sinks
        self._names = names
        # Taken once, by the thread that ends the trace: the caller may leave while its answer is written.
        self._to_end = collections.deque([None])

    @property
    def observer(self) -> ReplyObserver | None:
        """See Reply."""
        return self._trace

    def follow(self, method: HotMethod, message: Message) -> None:
        """Call the method."""
        trace = self._trace
        trace.now(*self._names.received, "REQUEST_START")
        token = TRACE_ID.set(trace.trace_id)
        try:
            method(message, self)
        except BaseException as error:
            self._failed(error)
            self.end()
            raise
        finally:
            TRACE_ID.reset(token)

    def finish(self, encode: Callable[[], Answered]) -> None:
        """See Reply."""
        self._trace.now("INFER_RESPONSE_COMPLETE", "REQUEST_END")
        self._reply.finish(partial(self._encoded, encode))

    def when_gone(self, cancel: Callable[[], Left]) -> None:
        """See Reply."""
        self._reply.when_gone(partial(self._left, cancel))

    def end(self) -> None:
        """The trace is complete; once."""
        try:
            self._to_end.pop()
        except IndexError:
            return
        for sink in self._sinks:
            sink.offer(self._trace)

    def _encoded(self, encode: Callable[[], Answered]) -> Answered:
        trace, names = self._trace, self._names
        trace.now(names.sends)
        token = TRACE_ID.set(trace.trace_id)
        try:
            answer = encode()
        except BaseException as error:
            self._failed(error)
            raise
        else:
            self._answered(answer)
            return answer
        finally:
            TRACE_ID.reset(token)
            trace.now(names.sent)
            self.end()

    def _left(self, cancel: Callable[[], Left]) -> Left:
        told = cancel()
        if told is not True and self._to_end:
            late = self._reply.deadline <= time.monotonic()
            self._failed(told if isinstance(told, CallError) else DeadlineExceeded() if late else Cancelled())
            self.end()
        return told

    def _answered(self, answer: Answered) -> None:
        pass

    def _failed(self, error: BaseException) -> None:
        self._trace.failed(error)


class FollowedHttpReply(FollowedReply):
    """The same for an HttpReply.

    Args:
        http_code: the status of HTTP that an error is.
    """

    def __init__(
        self, trace: Trace, reply: Any, sinks: Sequence[Sink], http_code: Callable[[CallError], int]
    ) -> None:
        super().__init__(trace, reply, sinks, OVER_HTTP)
        self._http_code = http_code

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

    def aside(self, make: Callable[[], Any]) -> None:
        """See HttpReply."""
        self._http.aside(make)

    @property
    def _http(self) -> Any:
        return self._reply

    def _answered(self, answer: Answered) -> None:
        self._trace.http_status = answer.status if isinstance(answer, Content) else 200

    def _failed(self, error: BaseException) -> None:
        super()._failed(error)
        self._trace.http_status = self._http_code(error) if isinstance(error, CallError) else 500
