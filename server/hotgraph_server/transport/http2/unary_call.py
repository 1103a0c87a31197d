"""Calls of hot and plain methods: one message in, one out."""

from __future__ import annotations

from collections.abc import Callable

from hotgraph_server.errors import Unsupported
from hotgraph_server.transport.http2.call import Call, Host
from hotgraph_server.transport.http2.deflating import Deflated, size_of
from hotgraph_server.transport.http2.header_blocks import Head
from hotgraph_server.transport.http2.messages import PREFIX, PREFIX_BYTES
from hotgraph_server.transport.http2.stream import Outgoing
from hotgraph_server.transport.inflight import TooMuchInside
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import LARGE_MESSAGE, Answered, HotMethod, failing


class UnaryCall(Call):
    """A call of a hot or plain method, and the Reply that the method gets.

    Attributes:
        limited: counts towards the limit of hot calls.
    """

    __slots__ = ("_deflated", "_encode", "_flag", "_message", "_method", "_taken", "limited")

    def __init__(
        self,
        connection: Outgoing,
        number: int,
        head: Head,
        host: Host,
        method: HotMethod,
        limited: bool,
    ) -> None:
        super().__init__(connection, number, head, host)
        self.limited = limited
        self._method = method
        self._message: Message | None = None
        self._flag = 0  # of the message
        self._taken = False  # counted among those that are owed an answer
        self._encode: Callable[[], Answered] | None = None
        self._deflated: Deflated | None = None  # its answer, come back from where it was compressed

    def on_data(self, data: memoryview, ends: bool) -> None:
        # Most messages come whole, in one frame, which is the last.
        if ends and self._reader is None and len(data) >= PREFIX_BYTES:
            flag, length = PREFIX.unpack_from(data)
            if not flag and length == len(data) - PREFIX_BYTES and length <= self.host.max_message_bytes:
                try:
                    self.host.inflight.take(self, self.connection, length)
                except TooMuchInside as error:
                    self._fail(error)
                else:
                    self._take(bytes(data[PREFIX_BYTES:]))
                return
        super().on_data(data, ends)

    def finish(self, encode: Callable[[], Answered]) -> None:
        """See Reply."""
        self._encode = encode
        self.host.post(self)

    def expire_at(self, deadline: float) -> None:
        """See Reply."""
        if deadline < self.deadline:
            self.deadline = deadline
            self.host.expire_later(self)

    def deliver(self) -> None:
        encode, self._encode = self._encode, None
        deflated, self._deflated = self._deflated, None
        # News for one who has gone do no harm, but are not worth encoding.
        if not self.open:
            return
        if (encode or deflated) and self.deadline <= self.host.sends_at and self._leave is not None:
            # The leader, which tells calls so, may not have come to it yet.
            self.expire()
            if not self.open:
                return
        if deflated is not None:
            self._answer(*deflated)
            return
        if encode is None:
            return
        try:
            message = encode()
        except Exception as error:
            self._fail(error)
            return
        deflater = self.host.deflater
        if deflater is None or not deflater.defer(self, message, self._take_deflated):
            self._answer(message)
        else:
            # The message that it answers is done with.
            self.host.inflight.settle(self, self.connection, size_of(message))

    def _take_deflated(self, deflated: Deflated) -> None:
        """The answer as it is to be sent; in the thread that compressed it."""
        self._deflated = deflated
        self.host.post(self)

    def _answer(self, message: Answered, encoding: str = "") -> None:
        load = self.host.load
        if load is not None and (load.always or load.header in self.head.fields):
            self.connection.answer(self, message, encoding, self._load())
        else:
            self.connection.answer(self, message, encoding)
        self.host.admission.answered += self.limited
        if self.open:
            # It waits for the caller's windows, and the message that it answers is done with.
            self.host.inflight.settle(self, self.connection, self.unsent_bytes)

    def on_sent(self) -> None:
        # The call behind a reply refers to it, and the reply to the call: a cycle that would keep both,
        # and their arrays, until the garbage collector comes.
        self._leave = None
        # However many callers leave while their large messages wait to be decoded, nothing is kept of them.
        self._message = None
        host = self.host
        host.inflight.end(self, self.connection)
        if self._taken:
            host.admission.let_go(self.limited)

    @property
    def in_a_message(self) -> bool:
        # A caller who wants one answer to one message sends it at once.
        return not self._taken and not self.peer_done

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
        and sends nothing is owed none, and keeps no other out."""
        self._taken = True
        refusal = self.host.admission.take(self.limited)
        if refusal is not None:
            self._fail(refusal)
        elif self._flag or len(message) > LARGE_MESSAGE:
            self._message = message
            self.host.aside(self._handle_large)
        else:
            try:
                self._method(message, self)
            except Exception as error:
                # Here at once and not by way of the outbox, which more refusals than answers would go.
                self._fail(error)

    def _handle_large(self) -> None:
        message, self._message = self._message, None
        if message is None:
            return
        try:
            self._method(self._unpacked(self._flag, message), self)
        except Exception as error:
            # In whatever thread this is: what fails is delivered like what succeeds.
            self.finish(failing(error))
