"""What all calls have in common: each is a stream on which something happens, by the kind of its method.

Every call is known under three aspects: to its connection as a Stream, to its method as a Reply or an
OpenStream, and to the server as something to be delivered or to expire. One object is all three, since a call
is made some thousand times a second.

Threads. `on_...`, `deliver`, `expire` and `cancel` require the server's connections_lock (server.py).
`finish`, `send`, `end` and `when_gone` come from any thread: they only note what is to be done, and tell the
server (`Host.post`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Protocol

from hotgraph_server.call_observer import ReplyObserver
from hotgraph_server.errors import CallError, forget_traceback
from hotgraph_server.transport.deadlines import Alarm
from hotgraph_server.transport.http2.admission import Admission
from hotgraph_server.transport.http2.deflating import Deflater
from hotgraph_server.transport.http2.frames import Code
from hotgraph_server.transport.http2.header_blocks import Head
from hotgraph_server.transport.http2.messages import BrokenMessage, MessageReader, unpacked
from hotgraph_server.transport.http2.stream import Outgoing, Stream
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.leaving import Leaving
from hotgraph_server.transport.load_trailers import LoadTrailers
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import Failure, Left, Tell
from hotgraph_server.transport.status import as_call_error, code_of, details_of, trailers_of


class Host(Protocol):
    """The server, as its calls see it.

    Attributes:
        admission: counts calls.
        inflight: the bytes of calls that are inside.
        arrived_at: the earliest moment at which what is read now can have come, monotonic seconds.
        sends_at: when what is sent now is sent, monotonic seconds.
        max_message_bytes: of a request.
        aside: has work done that may take long, in a thread that keeps no other call waiting.
        deflater: compresses answers; None: they are not compressed.
        load: what answers say of the server's load; None: nothing.
        tell: is told of calls that fail; None: nobody is.
    """

    admission: Admission
    inflight: Inflight
    arrived_at: float
    sends_at: float
    max_message_bytes: int
    aside: Callable[[Callable[[], None]], object]
    deflater: Deflater | None
    load: LoadTrailers | None
    tell: Tell | None

    def post(self, call: Call) -> None:
        """A call has something to send; any thread."""

    def expire_later(self, call: Call | Alarm) -> None:
        """Tell a call when its deadline comes; any thread."""


class Call(Leaving, Stream):
    """What all calls have in common.

    Attributes:
        deadline: monotonic seconds; infinite if the caller set none.
        peer: see Reply and StreamOfCalls.
        held_bytes: of its messages; see inflight.Inflight.
    """

    __slots__ = ("_awaited", "_begun", "_gone", "_leave", "_reader", "deadline", "held_bytes", "host", "peer")

    observer: ReplyObserver | None = None
    held_up: Callable[[bool], object] | None = None

    def __init__(self, connection: Outgoing, number: int, head: Head, host: Host) -> None:
        super().__init__(connection, number, head)
        self.host = host
        self.peer = connection.peer
        self.deadline = math.inf
        self._begun = False  # headers of an answer were sent
        self._gone = False
        self.held_bytes = 0
        self._awaited = False  # it has been left, and its outcome is still to come
        self._leave: Callable[[], Left] | None = None
        self._reader: MessageReader | None = None
        if head.timeout_s != math.inf:
            self.deadline = host.arrived_at + head.timeout_s
            host.expire_later(self)

    def deliver(self) -> None:
        """Send what was noted."""
        raise NotImplementedError

    def header(self, name: str) -> str | None:
        """See Reply and StreamOfCalls."""
        return self.head.fields.get(name)

    @property
    def headers(self) -> Mapping[str, str]:
        """See Reply and StreamOfCalls."""
        return self.head.fields

    def _end_with(self, error: CallError, leave: Callable[[], Left] | None) -> None:
        if self.unsent:
            # In the middle of a message a status would be taken for the message's end, and behind it, it
            # would wait for the same windows.
            self.connection.reset(self, Code.CANCEL)
        else:
            self._fail(error, leave)

    def on_data(self, data: memoryview, ends: bool) -> None:
        if self._gone:
            # It has failed, and its end waits for the peer's window; what comes still is of no use.
            return
        reader = self._reader
        try:
            if reader is None:
                reader = self._reader = MessageReader(self.host.max_message_bytes)
            nbytes = len(data)
            if self.filling is not None:
                nbytes += reader.filled(len(self.filling))
                self.filling = None
            self._hold(nbytes)
            for flag, message in reader.feed(data):
                self._on_message(flag, message)
            self.filling = reader.unfilled
            if ends:
                if not reader.between_messages:
                    raise BrokenMessage("the call ended in the middle of a message")
                self._on_last()
        except Exception as error:
            self._left()
            self._on_mistake(error)

    def on_filled(self) -> None:
        if self.filling is None:
            return  # told already, or the call is over
        assert self._reader is not None
        try:
            self._hold(self._reader.filled(len(self.filling)))
        except Exception as error:
            self._left()
            self._on_mistake(error)

    def on_reset(self) -> None:
        self._left()

    @property
    def in_a_message(self) -> bool:
        return not self.peer_done and self._reader is not None and not self._reader.between_messages

    def _hold(self, nbytes: int) -> None:
        """So many bytes of messages more; any thread. Raises TooMuchInside."""
        self.host.inflight.take(self, self.connection, nbytes)

    def on_sent(self) -> None:
        self.host.inflight.end(self, self.connection)

    def _on_message(self, flag: int, message: Message) -> None:
        raise NotImplementedError

    def _on_mistake(self, error: Exception) -> None:
        """What the caller sent cannot be taken."""
        self._fail(error)

    def _unpacked(self, flag: int, message: Message) -> Message:
        return unpacked(flag, message, self.head.encoding, self.host.max_message_bytes, self._hold)

    def _on_last(self) -> None:
        """The caller will send no more."""

    def _left(self) -> Left:
        self.filling = None
        return super()._left()

    def _load(self) -> bytes:
        """What the block that ends the call says of the server's load."""
        load = self.host.load
        trailer = load.for_call(self.head.fields) if load is not None else None
        return self.connection.headers.trailer(*trailer) if trailer is not None else b""

    def _fail(self, error: BaseException, leave: Callable[[], Left] | None = None) -> None:
        """End with an error's status."""
        failure = as_call_error(error)
        if self.open:
            self.host.admission.failed("grpc", failure)
            tell = self.host.tell
            if tell is not None:
                tell(Failure(self.head.path, self.peer, failure, self.header, leave or self._leave))
            headers, status = self.connection.headers, code_of(failure).value[0]
            if self._begun:
                block = headers.trailers(status, details_of(failure), trailers_of(failure))
                self.connection.end(self, block + self._load())
            else:
                # Without a message, and in one block: only so will a proxy try elsewhere.
                block = headers.error(status, details_of(failure), trailers_of(failure))
                self.connection.fail(self, block + self._load())
        forget_traceback(error)
        if failure is not error:
            forget_traceback(failure)


class RefusedCall(Call):
    """A call that is no call of ours: its path is unknown, its headers are too large, or it is no gRPC."""

    __slots__ = ("_error",)

    def __init__(self, connection: Outgoing, number: int, head: Head, host: Host, error: CallError) -> None:
        super().__init__(connection, number, head, host)
        self._error = error

    def on_open(self) -> None:
        if self.head.http_status != 200:
            self.connection.fail(self, self.connection.headers.http_error(self.head.http_status))
        else:
            self._fail(self._error)

    def on_data(self, data: memoryview, ends: bool) -> None:
        """Never comes: the stream was closed when it was opened."""
