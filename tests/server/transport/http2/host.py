"""Calls on a connection in memory, in a server that does nothing by itself."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from hotgraph_server.errors import Unsupported
from hotgraph_server.transport.deadlines import Alarm
from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.http2.admission import Admission
from hotgraph_server.transport.http2.call import Call, RefusedCall
from hotgraph_server.transport.http2.connection import Connection
from hotgraph_server.transport.http2.deflating import Deflater
from hotgraph_server.transport.http2.header_blocks import Head
from hotgraph_server.transport.http2.stream import Stream
from hotgraph_server.transport.http2.stream_call import StreamCall
from hotgraph_server.transport.http2.unary_call import UnaryCall
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.load_trailers import LoadTrailers
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.service import Failure, OpenStream, Reply, StreamingMethod, Tell

from .peer import Answer, Client, Feeder, taken_out

LIMIT = 2**20


class Decoders:
    """The threads that large messages are decoded in, held shut until the test lets them run."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], None]] = deque()

    def submit(self, work: Callable[[], None]) -> None:
        self.waiting.append(work)

    def run(self) -> None:
        while self.waiting:
            self.waiting.popleft()()


class StillHost:
    """A server in which things happen when the test says so; and the caller's side of its one connection.

    Attributes:
        taken: unary calls inside.
        calls: all that came, by stream.
        seen: messages that the method got, with their replies or streams.
        turns: what is to be done by whoever serves, at once.
        told: calls that failed: their method and status, and whether one was at work for them.
    """

    def __init__(self, kind: str = "hot", **settings: int) -> None:
        self.max_message_bytes = LIMIT
        self.inflight = Inflight(16 * LIMIT)
        self.decoders = Decoders()
        self.aside: Callable[[Callable[[], None]], object] = self.decoders.submit
        # Everything here happens as if in the thread that has it.
        lock = threading.Lock()
        lock.acquire()
        open_calls = OpenCalls()
        max_calls = settings.get("max_calls", 1000)
        self.admission = Admission((), lock, max_calls=max_calls, open_calls=open_calls)
        self.posted: deque[Call] = deque()
        self.turns: deque[Alarm] = deque()
        self.expiring: list[Call | Alarm] = []
        self.arrived_at = self.sends_at = time.monotonic()
        self.calls: dict[int, Call] = {}
        self.seen: list[tuple[Any, Any]] = []
        self.error: Exception | None = None
        self.opened: list[OpenStream] = []
        self.deflater: Deflater | None = None
        self.load: LoadTrailers | None = None
        self.told: list[tuple[str, str, bool]] = []
        self.tell: Tell | None = self._note
        self._kind = kind
        self.connection = Connection(self._open, 100, lambda: None, time.monotonic)
        self.client = Client({frames.INITIAL_WINDOW_SIZE: settings.get("window", 65_535)})
        self._feeder = Feeder(self.connection)
        self.exchange()

    # What calls need of a server.

    def _note(self, failure: Failure) -> None:
        # Nothing of it is kept, as nobody may.
        self.told.append((failure.method, failure.error.status.name, failure.leave is not None))

    def post(self, call: Call) -> None:
        self.posted.append(call)

    def expire_later(self, call: Call | Alarm) -> None:
        if isinstance(call, Alarm) and call.deadline == -math.inf:
            self.turns.append(call)
        else:
            self.expiring.append(call)

    @property
    def taken(self) -> int:
        return self.admission.inside

    def _open(self, connection: Connection, number: int, head: Head) -> Stream:
        if head.path == "/unknown" or head.http_status != 200:
            call: Call = RefusedCall(connection, number, head, self, Unsupported("Method not found!"))
        elif self._kind == "hot":
            call = UnaryCall(connection, number, head, self, self._method, True)
        else:
            method = StreamingMethod(self._opened, paced=self._kind == "paced")
            call = StreamCall(connection, number, head, self, method)
        self.calls[number] = call
        return call

    def _method(self, message: Any, reply: Reply) -> None:
        if self.error is not None:
            raise self.error
        self.seen.append((message, reply))

    def _opened(self, stream: OpenStream) -> Callable[[Any], None]:
        if self.error is not None:
            raise self.error
        self.opened.append(stream)
        return lambda message: self._method(message, stream)  # type: ignore[arg-type]

    # What the test makes happen.

    def request(self, *wire: bytes, end: bool = True, more: tuple[tuple[str, str], ...] = ()) -> int:
        """Open a call and send these pieces. Returns its stream."""
        number = self.client.request(*more)
        for index, piece in enumerate(wire):
            if len(piece) > self.client.h2.local_flow_control_window(number):
                self.exchange()
            self.client.h2.send_data(number, piece, end_stream=end and index == len(wire) - 1)
        if end and not wire:
            self.client.h2.end_stream(number)
        self.exchange()
        return number

    def exchange(self) -> None:
        while True:
            out = self.client.h2.data_to_send()
            self._feeder.feed(out)
            back = taken_out(self.connection)
            self.client.take(back)
            if not out and not back:
                return

    def deliver(self) -> None:
        while self.turns or self.posted:
            if self.turns:
                self.turns.popleft().expire()
            else:
                self.posted.popleft().deliver()
        self.exchange()

    def answer(self, number: int) -> Answer:
        self.deliver()
        return self.client.answers[number]


def finish(reply: Reply, answer: bytes = b"well") -> None:
    reply.finish(lambda: answer)


def fail(error: Exception) -> bytes:
    raise error


def end(host: StillHost, number: int, how: str) -> None:
    """End a call from outside."""
    if how == "reset":
        if number in host.connection.streams:
            host.client.h2.reset_stream(number)
            host.exchange()
    elif how == "lost":
        host.connection.lose()
    elif how == "expired":
        host.calls[number].expire()
    else:
        host.calls[number].cancel()
