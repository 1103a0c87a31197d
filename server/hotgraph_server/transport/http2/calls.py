"""The calls of the fast lane: what happens on a stream, by the kind of its method.

Every call is known under three aspects: to its connection as a Stream, to its method as a Reply or an
OpenStream, and to the lane as something to be delivered or to expire. One object is all three, since a
call is made some thousand times a second.

Threads. `on_...`, `deliver` and `expire` run in the thread that has the lane's turn. `finish`, `send`, `end`
and `when_gone` come from anywhere: they only note what is to be done, and tell the lane (`Lane.post`).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc

from hotgraph_server.errors import CallError, Cancelled, DeadlineExceeded, Unsupported, forget_traceback
from hotgraph_server.statistics import CallObserver
from hotgraph_server.transport.deadlines import Alarm
from hotgraph_server.transport.http2.connection import Connection
from hotgraph_server.transport.http2.frames import Code
from hotgraph_server.transport.http2.header_blocks import Head
from hotgraph_server.transport.http2.messages import (
    PREFIX,
    PREFIX_BYTES,
    BrokenMessage,
    Message,
    MessageReader,
    unpacked,
)
from hotgraph_server.transport.http2.stream import Stream
from hotgraph_server.transport.inflight import Held, TooMuchInside
from hotgraph_server.transport.service import Answered, HotMethod, Left, StreamingMethod
from hotgraph_server.transport.status import as_call_error, code_of, details_of, trailers_of

if TYPE_CHECKING:
    from hotgraph_server.transport.http2.server import Http2Server

_LOG = logging.getLogger(__name__)

# From this size on decoding is left to other threads: that of many strings can take seconds, in which the
# serving thread would answer nobody. A guess.
_LARGE_MESSAGE = 256 * 1024

# Answers of a stream that may wait to be read when its caller asks for more.
_MAX_UNREAD = 256


class NotRead(CallError):
    """A caller asks on, and does not read the answers."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(self) -> None:
        super().__init__(f"more than {_MAX_UNREAD} answers of this stream wait to be read")


class HeadersTooLarge(CallError):
    """A call's headers are more than a call may have."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the call's headers have {size} bytes, and {limit} are allowed")


class Call(Stream):
    """What all calls have in common.

    Attributes:
        deadline: monotonic seconds; infinite if the caller set none.
        held_bytes: of its messages; see inflight.Inflight.
    """

    __slots__ = ("_awaited", "_begun", "_gone", "_leave", "_reader", "deadline", "held_bytes", "lane")

    observer: CallObserver | None = None

    def __init__(self, connection: Connection, number: int, head: Head, lane: Http2Server) -> None:
        super().__init__(connection, number, head)
        self.lane = lane
        self.deadline = math.inf
        self._begun = False  # headers of an answer were sent
        self._gone = False
        self.held_bytes = 0
        self._awaited = False  # it has been left, and its outcome is still to come
        self._leave: Callable[[], Left] | None = None
        self._reader: MessageReader | None = None
        if head.timeout_s != math.inf:
            self.deadline = lane.arrived_at + head.timeout_s
            lane.expire_later(self)

    @property
    def peer(self) -> str:
        """See Reply and StreamOfCalls."""
        return self.connection.peer

    def when_gone(self, cancel: Callable[[], Left]) -> None:
        """See Reply and OpenStream."""
        self._leave = cancel
        # Looked at after the note: if the end came between the two, one of the threads sees the other's.
        if self._gone:
            cancel()
        if not self.open:
            self._leave = None

    def deliver(self) -> None:
        """Send what was noted."""
        raise NotImplementedError

    def expire(self) -> None:
        """The deadline has come."""
        self._break_off(DeadlineExceeded(), waits=True)

    def cancel(self) -> None:
        """The server will wait no longer."""
        self._break_off(Cancelled())

    def _break_off(self, error: CallError, *, waits: bool = False) -> None:
        """`waits`: for an outcome that is still to come though the call has been left."""
        if not self.open:
            return
        if waits and self._awaited:
            return
        left = self._left()
        if waits and left is True:
            self._awaited = True
            return
        if isinstance(left, CallError):
            error = left
        if self.unsent:
            # In the middle of a message a status would be taken for the message's end, and behind it, it
            # would wait for the same windows.
            self.connection.reset(self, Code.CANCEL)
        else:
            self._fail(error)

    def on_data(self, data: memoryview, ends: bool) -> None:
        if self._gone:
            # It has failed, and its end waits for the peer's window; what comes still is of no use.
            return
        try:
            self._hold(len(data))
            if self._reader is None:
                self._reader = MessageReader(self.lane.max_message_bytes)
            for flag, message in self._reader.feed(data):
                self._on_message(flag, message)
            if ends:
                if not self._reader.between_messages:
                    raise BrokenMessage("the call ended in the middle of a message")
                self._on_last()
        except Exception as error:
            self._left()
            self._on_mistake(error)

    def on_reset(self) -> None:
        self._left()

    @property
    def in_a_message(self) -> bool:
        return not self._peer_done and self._reader is not None and not self._reader.between_messages

    def _hold(self, nbytes: int) -> None:
        """So many bytes of messages more; any thread. Raises TooMuchInside."""
        self.lane.inflight.take(self, self.connection, nbytes)

    def on_sent(self) -> None:
        self.lane.inflight.end(self, self.connection)

    def _on_message(self, flag: int, message: Message) -> None:
        raise NotImplementedError

    def _on_mistake(self, error: Exception) -> None:
        """What the caller sent cannot be taken."""
        self._fail(error)

    def _unpacked(self, flag: int, message: Message) -> Message:
        return unpacked(flag, message, self.head.encoding, self.lane.max_message_bytes, self._hold)

    def _on_last(self) -> None:
        """The caller will send no more."""

    def _left(self) -> Left:
        """Nobody waits for an answer any more: tell whoever works on one."""
        self._gone = True
        leave, self._leave = self._leave, None
        if leave is None:
            return None
        try:
            return leave()
        except Exception:
            # One call's trouble; whose thread this is has others to look after.
            _LOG.exception("a call could not be told that its caller has gone")
            return None

    def _fail(self, error: BaseException) -> None:
        """End with an error's status."""
        failure = as_call_error(error)
        if self.open:
            headers, status = self.connection.headers, code_of(failure).value[0]
            if self._begun:
                block = headers.trailers(status, details_of(failure), trailers_of(failure))
                self.connection.end(self, block)
            else:
                # Without a message, and in one block: only so will a proxy try elsewhere.
                block = headers.error(status, details_of(failure), trailers_of(failure))
                self.connection.fail(self, block)
        forget_traceback(error)
        forget_traceback(failure)


class HotCall(Call):
    """A call of a hot or plain method, and the Reply that the method gets.

    Attributes:
        limited: counts towards the limit of hot calls.
    """

    __slots__ = ("_encode", "_flag", "_message", "_method", "_taken", "limited")

    def __init__(
        self,
        connection: Connection,
        number: int,
        head: Head,
        lane: Http2Server,
        method: HotMethod,
        limited: bool,
    ) -> None:
        super().__init__(connection, number, head, lane)
        self.limited = limited
        self._method = method
        self._message: Message | None = None
        self._flag = 0  # of the message
        self._taken = False  # counted among those that are owed an answer
        self._encode: Callable[[], Answered] | None = None

    def on_open(self) -> None:
        if self.limited and self.lane.refusal is not None:
            self._fail(self.lane.refusal)

    def on_data(self, data: memoryview, ends: bool) -> None:
        # Most messages come whole, in one frame, which is the last.
        if ends and self._reader is None and len(data) >= PREFIX_BYTES:
            flag, length = PREFIX.unpack_from(data)
            if not flag and length == len(data) - PREFIX_BYTES and length <= self.lane.max_message_bytes:
                try:
                    self._hold(length)
                except TooMuchInside as error:
                    self._fail(error)
                else:
                    self._take(bytes(data[PREFIX_BYTES:]))
                return
        super().on_data(data, ends)

    def finish(self, encode: Callable[[], Answered]) -> None:
        """See Reply."""
        self._encode = encode
        self.lane.post(self)

    def expire_at(self, deadline: float) -> None:
        """See Reply."""
        if deadline < self.deadline:
            self.deadline = deadline
            self.lane.expire_later(self)

    def deliver(self) -> None:
        encode, self._encode = self._encode, None
        # News for one who has gone do no harm, but are not worth encoding.
        if encode is None or not self.open:
            return
        try:
            message = encode()
        except Exception as error:
            self._fail(error)
        else:
            self.connection.answer(self, message)
            self.lane.answered(self)
            if self.open:
                # It waits for the caller's windows, and the message that it answers is done with.
                self.lane.inflight.settle(self, self.connection, self.unsent_bytes)

    def on_sent(self) -> None:
        # The call behind a reply refers to it, and the reply to the call: a cycle that would keep both,
        # and their arrays, until the garbage collector comes.
        self._leave = None
        # However many callers leave while their large messages wait to be decoded, nothing is kept of them.
        self._message = None
        super().on_sent()
        if self._taken:
            self.lane.let_go(self)

    @property
    def in_a_message(self) -> bool:
        # A caller who wants one answer to one message sends it at once.
        return not self._taken and not self._peer_done

    def _on_message(self, flag: int, message: Message) -> None:
        if self._message is not None:
            raise Unsupported("a unary method requires exactly one request message")
        self._message, self._flag = message, flag

    def _on_last(self) -> None:
        message, self._message = self._message, None
        if message is None:
            raise Unsupported("a unary method requires exactly one request message")
        self._take(message)

    def _take(self, message: Message) -> None:
        """The message has come: from here on an answer is owed, and the call counts. A caller who opens calls
        and sends nothing is owed none, and keeps nobody out."""
        self._taken = True
        refusal = self.lane.take(self)
        if refusal is not None:
            self._fail(refusal)
        elif self._flag or len(message) > _LARGE_MESSAGE:
            self._message = message
            self.lane.decoders.submit(self._handle_large)
        else:
            self._handle(message)

    def _handle_large(self) -> None:
        message, self._message = self._message, None
        if message is None:
            return
        try:
            message = self._unpacked(self._flag, message)
        except Exception as error:
            self._finish_with(error)
        else:
            self._handle(message)

    def _handle(self, message: Message) -> None:
        try:
            self._method(message, self)
        except Exception as error:
            self._finish_with(error)

    def _finish_with(self, error: Exception) -> None:
        # In whatever thread this is: what fails is delivered like what succeeds.
        self.finish(lambda: _raise(error))


class StreamingCall(Call):
    """A call of a streaming method, and the OpenStream that the method gets."""

    __slots__ = (
        "_ended",
        "_holds",
        "_inflated",
        "_inside",
        "_method",
        "_on_read",
        "_outgoing",
        "_packed",
        "_packed_bytes",
        "_receive",
    )

    def __init__(
        self, connection: Connection, number: int, head: Head, lane: Http2Server, method: StreamingMethod
    ) -> None:
        super().__init__(connection, number, head, lane)
        self._method = method
        # Messages, and at the end None or an error.
        self._outgoing: deque[bytes | CallError | None] = deque()
        self._ended = False  # the end was delivered, and may wait for a window
        self._holds = False  # what the method wants; the connection learns of it in the lane's turn
        self._receive: Callable[[Message | None], None] | None = None
        # From the first one that is compressed on, what comes waits for the threads that inflate, in its
        # order: messages with their flags, and None behind the last. They put it into `_inflated`, one at a
        # time.
        self._packed: deque[tuple[int, Message] | None] = deque()
        self._packed_bytes = 0
        self._inflated: deque[Message | Exception | None] = deque()
        # Of a method that lets go of them: the messages that it has, the oldest first.
        self._inside: deque[Held] = deque()
        self._on_read: Callable[[], None] | None = None

    def on_open(self) -> None:
        try:
            self._receive = self._method.open(self)
        except Exception as error:
            self._fail(error)

    def send(self, message: bytes) -> None:
        """See OpenStream."""
        self._outgoing.append(message)
        self.lane.post(self)

    def end(self, error: CallError | None = None) -> None:
        """See OpenStream."""
        self._outgoing.append(error)
        self.lane.post(self)

    def header(self, name: str) -> str | None:
        """See StreamOfCalls."""
        return self.head.fields.get(name)

    def take(self) -> CallError | None:
        """See StreamOfCalls."""
        refusal = self.lane.take_part()
        if refusal is not None:
            self._end_oldest()
        return refusal

    def let_go(self) -> None:
        """See StreamOfCalls."""
        self._end_oldest()
        self.lane.let_part_go()

    def _end_oldest(self) -> None:
        # Which of them it is does not matter. There is none when the call is over.
        with contextlib.suppress(IndexError):
            self.lane.inflight.end(self._inside.popleft(), self.connection)

    @property
    def unread(self) -> int:
        """See StreamOfCalls."""
        return len(self._outgoing) + self.unsent

    def when_read(self, act: Callable[[], None]) -> None:
        """See StreamOfCalls."""
        self._on_read = act
        self.lane.post(self)

    def aside(self, work: Callable[[], None]) -> None:
        """See StreamOfCalls."""
        self.lane.decoders.submit(work)

    def hold(self) -> None:
        """See StreamOfCalls."""
        self._holds = True
        self.lane.post(self)

    def go_on(self) -> None:
        """See StreamOfCalls."""
        self._holds = False
        self.lane.post(self)

    def call_at(self, moment: float, act: Callable[[], None]) -> Callable[[], None]:
        """See StreamOfCalls."""
        alarm = Alarm(moment, act)
        self.lane.expire_later(alarm)
        return alarm.take_back

    def deliver(self) -> None:
        if self._inflated:
            self._take_inflated()
        if self.held is not self._holds:
            self.held = self._holds
            self.connection.let_in(self)
        while self._outgoing:
            item = self._outgoing.popleft()
            if not self.open or self._ended:
                continue
            if isinstance(item, CallError):
                self._ended = True
                self._fail(item)
                continue
            if not self._begun:
                self._begun = True
                self.connection.begin(self)
            if item is None:
                self._ended = True
                self.connection.end(self, self.connection.headers.end)
            else:
                self.connection.send(self, item)
        self.on_room()

    def on_room(self) -> None:
        if not self._packed:
            self._settle()
        if self._on_read is not None and not self.unread:
            act, self._on_read = self._on_read, None
            act()

    def on_sent(self) -> None:
        self._leave = self._receive = self._on_read = None
        self._packed.clear()
        super().on_sent()
        while self._inside:
            self._end_oldest()

    def on_data(self, data: memoryview, ends: bool) -> None:
        super().on_data(data, ends)
        if not self._packed:
            self._settle()

    def _settle(self) -> None:
        """What came and is the method's now, it holds; this call holds what is between. Not while a message
        of it is inflated: of that only the budget knows how large it is."""
        nbytes = self._packed_bytes + self.unsent_bytes
        if self._reader is not None:
            nbytes += self._reader.received
        if nbytes != self.held_bytes and self.open:
            self.lane.inflight.settle(self, self.connection, nbytes)

    def _on_message(self, flag: int, message: Message) -> None:
        if not self._method.paced and self.unread > _MAX_UNREAD:
            raise NotRead
        if flag == 1 or self._packed:
            self._inflate_later((flag, message))
        else:
            self._hand_over(self._unpacked(flag, message))

    def _on_last(self) -> None:
        if self._packed:
            self._inflate_later(None)
        else:
            self._hand_over(None)

    def _hand_over(self, message: Message | None) -> None:
        if self._receive is None:
            return
        if message is not None and self._method.paced:
            held = Held()
            self.lane.inflight.settle(held, self.connection, len(message))
            self._inside.append(held)
        self._receive(message)

    def _inflate_later(self, what: tuple[int, Message] | None) -> None:
        self._packed.append(what)
        if what is not None:
            self._packed_bytes += len(what[1])
        if len(self._packed) == 1:
            self.lane.decoders.submit(functools.partial(self._inflate, what))

    def _inflate(self, what: tuple[int, Message] | None) -> None:
        """One message, in a thread that is not the serving one, which takes it from there."""
        inflated: Message | Exception | None = None
        if what is not None:
            try:
                inflated = self._unpacked(*what)
            except Exception as error:
                inflated = error
        self._inflated.append(inflated)
        self.lane.post(self)

    def _take_inflated(self) -> None:
        inflated = self._inflated.popleft()
        if not self._packed:
            return  # the call is over
        done = self._packed.popleft()
        if done is not None:
            self._packed_bytes -= len(done[1])
        if isinstance(inflated, Exception):
            self._packed.clear()
            self._left()
            self._on_mistake(inflated)
            return
        try:
            self._hand_over(inflated)
        except Exception as error:
            self._packed.clear()
            self._left()
            self._on_mistake(error)
            return
        self._settle()
        if self._packed:
            self.lane.decoders.submit(functools.partial(self._inflate, self._packed[0]))

    def _on_mistake(self, error: Exception) -> None:
        # Behind the answers to what it said before.
        self.end(as_call_error(error))


class RefusedCall(Call):
    """A call that is no call of ours: its path is unknown, its headers are too large, or it is no gRPC."""

    __slots__ = ("_error",)

    def __init__(
        self, connection: Connection, number: int, head: Head, lane: Http2Server, error: CallError
    ) -> None:
        super().__init__(connection, number, head, lane)
        self._error = error

    def on_open(self) -> None:
        if self.head.http_status != 200:
            self.connection.fail(self, self.connection.headers.http_error(self.head.http_status))
        else:
            self._fail(self._error)

    def on_data(self, data: memoryview, ends: bool) -> None:
        """Never comes: the stream was closed when it was opened."""


def _raise(error: Exception) -> bytes:
    raise error
