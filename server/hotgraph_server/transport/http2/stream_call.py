"""Calls of streaming methods: any number of messages either way."""

from __future__ import annotations

import contextlib
import functools
import math
from collections import deque
from collections.abc import Callable

import grpc

from hotgraph_server.errors import CallError
from hotgraph_server.transport.deadlines import Alarm
from hotgraph_server.transport.http2.call import Call, Host
from hotgraph_server.transport.http2.deflating import Deflated
from hotgraph_server.transport.http2.header_blocks import Head
from hotgraph_server.transport.http2.stream import Outgoing
from hotgraph_server.transport.inflight import Held
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import Failure, StreamingMethod, joined
from hotgraph_server.transport.status import as_call_error

# Answers of a stream that may wait to be read when its caller asks for more.
_MAX_UNREAD = 256


class NotRead(CallError):
    """A caller asks on, and does not read the answers."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(self) -> None:
        super().__init__(f"more than {_MAX_UNREAD} answers of this stream wait to be read")


class StreamCall(Call):
    """A call of a streaming method, and the OpenStream that the method gets."""

    __slots__ = (
        "_deflated",
        "_deflating",
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
        self, connection: Outgoing, number: int, head: Head, host: Host, method: StreamingMethod
    ) -> None:
        super().__init__(connection, number, head, host)
        self._method = method
        # Messages, and at the end None or an error.
        self._outgoing: deque[bytes | CallError | None] = deque()
        # Of the oldest message, which is being compressed, bytes; those behind it wait in `_outgoing`.
        self._deflating = 0
        self._deflated: Deflated | None = None  # and so it is to be sent
        self._ended = False  # the end was delivered, and may wait for a window
        self._holds = False  # what the method wants; the connection learns of it under connections_lock
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
        self.host.post(self)

    def end(self, error: CallError | None = None) -> None:
        """See OpenStream."""
        self._outgoing.append(error)
        self.host.post(self)

    def failed(self, error: CallError, leave: Callable[[], object] | None) -> None:
        """See StreamOfCalls."""
        tell = self.host.tell
        if tell is not None:
            tell(Failure(self.head.path, self.peer, error, self.header, leave))

    def take(self) -> CallError | None:
        """See StreamOfCalls."""
        refusal = self.host.admission.take_part()
        if refusal is not None:
            self._end_oldest()
        return refusal

    def let_go(self) -> None:
        """See StreamOfCalls."""
        self._end_oldest()
        self.host.admission.let_part_go()

    def _end_oldest(self) -> None:
        # Which of them it is does not matter. There is none when the call is over.
        with contextlib.suppress(IndexError):
            self.host.inflight.end(self._inside.popleft(), self.connection)

    @property
    def unread(self) -> int:
        """See StreamOfCalls."""
        return len(self._outgoing) + bool(self._deflating) + self.unsent

    def when_read(self, act: Callable[[], None]) -> None:
        """See StreamOfCalls."""
        self._on_read = act
        self.host.post(self)

    def aside(self, work: Callable[[], None]) -> None:
        """See StreamOfCalls."""
        self.host.aside(work)

    def hold(self) -> None:
        """See StreamOfCalls."""
        self._holds = True
        self._in_a_turn(self._let_in)

    def go_on(self) -> None:
        """See StreamOfCalls."""
        self._holds = False
        self._in_a_turn(self._let_in)

    def call_at(self, moment: float, act: Callable[[], None]) -> Callable[[], None]:
        """See StreamOfCalls."""
        alarm = Alarm(moment, act)
        self.host.expire_later(alarm)
        return alarm.take_back

    def deliver(self) -> None:
        deflated, self._deflated = self._deflated, None
        if deflated is not None:
            self._deflating = 0
            message, encoding = deflated
            if self.open and not self._ended:
                self.connection.send(self, joined(message), flag=int(bool(encoding)))
        deflater = self.host.deflater
        while self._outgoing and not self._deflating:
            item = self._outgoing.popleft()
            if not self.open or self._ended:
                continue
            if isinstance(item, CallError):
                self._ended = True
                self._fail(item)
                continue
            if not self._begun:
                self._begun = True
                self.connection.begin(self, "" if deflater is None else deflater.encoding(self.head.fields))
            if item is None:
                self._ended = True
                self.connection.end(self, self.connection.headers.end + self._load())
            elif deflater is not None and deflater.defer(self, item, self._take_deflated):
                self._deflating = len(item)
            else:
                self.connection.send(self, item)
        self.on_room()

    def _take_deflated(self, deflated: Deflated) -> None:
        """The oldest message as it is to be sent; in the thread that compressed it."""
        self._deflated = deflated
        self.host.post(self)

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
        if self._deflating:
            nbytes += self._deflating + sum(
                len(item) for item in tuple(self._outgoing) if isinstance(item, bytes)
            )
        if self._reader is not None:
            nbytes += self._reader.received
        if nbytes != self.held_bytes and self.open:
            self.host.inflight.settle(self, self.connection, nbytes)

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
            self.host.inflight.settle(held, self.connection, len(message))
            self._inside.append(held)
        self._receive(message)

    def _inflate_later(self, what: tuple[int, Message] | None) -> None:
        self._packed.append(what)
        if what is not None:
            self._packed_bytes += len(what[1])
        if len(self._packed) == 1:
            self.host.aside(functools.partial(self._inflate, what))

    def _inflate(self, what: tuple[int, Message] | None) -> None:
        """One message, in a thread that is not the serving one, which takes it from there."""
        inflated: Message | Exception | None = None
        if what is not None:
            try:
                inflated = self._unpacked(*what)
            except Exception as error:
                inflated = error
        self._inflated.append(inflated)
        self._in_a_turn(self._take_inflated)

    def _in_a_turn(self, act: Callable[[], None]) -> None:
        """Do something in whichever thread serves, and not in the one that happens to send next: that one
        may hold a lock of its own (see OpenStream), which what is done may take."""
        self.host.expire_later(Alarm(-math.inf, act))

    def _let_in(self) -> None:
        if self.held is not self._holds:
            self.held = self._holds
            self.connection.let_in(self)

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
            self.host.aside(functools.partial(self._inflate, self._packed[0]))

    def _on_mistake(self, error: Exception) -> None:
        # Behind the answers to what it said before.
        self.end(as_call_error(error))
