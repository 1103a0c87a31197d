"""gRPC calls on one HTTP/2 connection. Pure: bytes in, bytes out.

Frames, header blocks, both windows and the server's settings are nghttp2's, by its binding `ngh2`. Against
frames made by hand in Python, of which calls of one size alone were asked (us a call, both ways, no sockets,
CPython 3.11): 6.3 to 5.2 at 400 bytes up and 200 down, 123 to 165 with answers of 600 kB, 7.2 to 6.4 with
requests of 16 kB. What was by hand knew neither padding nor continuations nor a stream's own window.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from ngh2 import (
    Configuration,
    Connection,
    DataReceived,
    GoAwayReceived,
    NeverIndexedHeader,
    NGH2Error,
    ResponseReceived,
    Role,
    Setting,
    SettingsReceived,
    StreamClosed,
    StreamReset,
    TrailersReceived,
)

from . import statuses
from .calls import Call, Ended, Reply, WireError

# Of one connection and of each stream: never in the way of answers that are read at once.
_WINDOW = 1 << 24
_REFUSED, _CANCEL = 7, 8
_PREFIX = struct.Struct(">BI")
# Of bodies that the server does not take yet: what is beyond waits as calls, which are smaller.
_MOST_QUEUED = 1 << 20
# A server that sends many pings, or resets what it refuses, is no attack on a load test.
_NO_LIMIT = (2**63, 2**63)
_CONFIGURATION = Configuration(
    glitch_rate_limit=_NO_LIMIT, stream_reset_rate_limit=_NO_LIMIT, max_outbound_ack=100_000
)
_SETTINGS = {Setting.ENABLE_PUSH: 0, Setting.INITIAL_WINDOW_SIZE: _WINDOW}

Headers = list[tuple[bytes, bytes]]


class GrpcRequest:
    """A request but for the time that is left.

    Args:
        headers: beside gRPC's own; names in lower case.
        message: without gRPC's prefix.
    """

    __slots__ = ("body", "headers")

    def __init__(
        self, scheme: str, authority: str, path: str, headers: Iterable[tuple[str, str]], message: bytes
    ) -> None:
        self.headers: Headers = [
            (b":method", b"POST"),
            (b":scheme", scheme.encode()),
            (b":path", path.encode()),
            (b":authority", authority.encode()),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
            *((name.encode(), value.encode()) for name, value in headers),
        ]
        self.body = _PREFIX.pack(0, len(message)) + message


class _Exchange:
    __slots__ = ("call", "head", "parts")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.head: dict[bytes, bytes] = {}
        self.parts: list[bytes] = []


class GrpcConversation:
    """The calls of one connection. Used by one thread."""

    def __init__(self) -> None:
        self._h2 = Connection(Role.CLIENT, _CONFIGURATION)
        self._h2.initiate_connection(_SETTINGS)
        self._h2.set_local_window_size(_WINDOW)
        self._exchanges: dict[int, _Exchange] = {}
        self._streams: dict[Call, int] = {}
        self._goodbye = ""
        self._has_begun = False

    @property
    def calls(self) -> list[Call]:
        """That have no answer."""
        return list(self._streams)

    @property
    def takes_more(self) -> bool:
        """Whether another call may be sent: not after a goodbye, nor while the server takes no bodies."""
        h2 = self._h2
        return self._has_begun and h2.can_send_request and h2.queued_body_size() < _MOST_QUEUED

    @property
    def has_begun(self) -> bool:
        """Whether the server has said how many calls it takes at once: those beyond it would be refused."""
        return self._has_begun

    @property
    def is_over(self) -> bool:
        """Whether it is of no more use: all is said after a goodbye, or the server broke a rule."""
        return not self._h2.want_read or not (self._streams or self._h2.can_send_request)

    @property
    def is_leaving(self) -> bool:
        """Whether it takes no more calls, ever."""
        return not self._h2.can_send_request

    @property
    def goodbye(self) -> str:
        """Why the connection is over, where it is."""
        return self._goodbye or "the server does not speak HTTP/2, or not by its rules"

    def start(self, call: Call, request: GrpcRequest, left_s: float | None) -> None:
        """Send a call, or have its body wait for the server's window.

        Args:
            left_s: until its deadline; None: it has none.

        Raises:
            WireError: the connection takes none; see `takes_more`.
        """
        headers: list[tuple[bytes, bytes] | NeverIndexedHeader] = [*request.headers]
        if left_s is not None:
            # Not to be remembered: the next one's is another.
            headers.append(NeverIndexedHeader(b"grpc-timeout", timeout(left_s)))
        try:
            stream = self._h2.send_request(headers)
            self._h2.send_data(stream, request.body, end_stream=True)
        except NGH2Error as error:
            raise WireError(str(error)) from None
        self._exchanges[stream] = _Exchange(call)
        self._streams[call] = stream

    def cancel(self, call: Call) -> None:
        """Tell the server that nobody waits for it any more; whatever comes is dropped."""
        stream = self._streams.pop(call, None)
        if stream is not None:
            del self._exchanges[stream]
            self._h2.reset_stream(stream, _CANCEL)

    def to_send(self) -> bytes:
        """What is to be written to the socket now; each byte is given once."""
        return self._h2.data_to_send()

    def receive(self, data: bytes | memoryview, ended: Ended) -> None:
        """Add the calls that are over with these bytes, also where an error comes after them.

        Raises:
            WireError: that is no HTTP/2, or breaks its rules.
        """
        try:
            self._h2.receive_data(data)
            for event in self._h2.events():
                if isinstance(event, DataReceived):
                    self._take_data(event, ended)
                elif isinstance(event, ResponseReceived):
                    self._take_head(event, ended)
                elif isinstance(event, TrailersReceived):
                    self._take_trailers(event, ended)
                elif isinstance(event, (StreamReset, StreamClosed)):
                    self._take_end(event, ended)
                elif isinstance(event, SettingsReceived):
                    self._has_begun = True
                elif isinstance(event, GoAwayReceived):
                    self._goodbye = goodbye(event)
        except NGH2Error as error:
            raise WireError(f"the server breaks the rules of HTTP/2: {error}") from None

    def receive_end(self, ended: Ended) -> None:
        """The connection is closed, with which no call of HTTP/2 is whole."""

    def _take_head(self, event: ResponseReceived, ended: Ended) -> None:
        exchange = self._exchanges.get(event.stream_id)
        if exchange is not None:
            exchange.head = dict(event.headers)
            if event.end_stream:
                self._finish(event.stream_id, exchange, exchange.head, ended)

    def _take_data(self, event: DataReceived, ended: Ended) -> None:
        exchange = self._exchanges.get(event.stream_id)
        if exchange is not None:
            exchange.parts.append(event.data)
            if event.end_stream:
                self._finish(event.stream_id, exchange, exchange.head, ended)

    def _take_trailers(self, event: TrailersReceived, ended: Ended) -> None:
        exchange = self._exchanges.get(event.stream_id)
        if exchange is not None:
            self._finish(event.stream_id, exchange, dict(event.headers), ended)

    def _take_end(self, event: StreamReset | StreamClosed, ended: Ended) -> None:
        exchange = self._exchanges.pop(event.stream_id, None)
        if exchange is None:
            return
        del self._streams[exchange.call]
        # RFC 9113, 8.7; of its goodbye it is true of what comes after the last stream.
        unbegun = event.error_code == _REFUSED
        if isinstance(event, StreamReset):
            text = f"the server reset the stream, code {event.error_code}".encode()
            ended.append((exchange.call, Reply(statuses.of_reset(event.error_code), text, unbegun=unbegun)))
        elif event.local_error is not None:
            ended.append((exchange.call, Reply("INTERNAL", str(event.local_error).encode())))
        else:
            text = self.goodbye.encode()
            ended.append((exchange.call, Reply(statuses.DISCONNECTED, text, unbegun=unbegun)))

    def _finish(
        self,
        stream: int,
        exchange: _Exchange,
        fields: dict[bytes, bytes],
        ended: Ended,
    ) -> None:
        del self._exchanges[stream]
        del self._streams[exchange.call]
        if self._h2.queued_body_size(stream):
            # Answered before it was read: an error, as a rule; RFC 9113, 8.1.
            self._h2.reset_stream(stream, _CANCEL)
        ended.append((exchange.call, reply_of(exchange.head, fields, exchange.parts)))


def reply_of(head: dict[bytes, bytes], fields: dict[bytes, bytes], parts: list[bytes]) -> Reply:
    """An answer from its first headers, its last ones and what came in between."""
    number = fields.get(b"grpc-status")
    http_status = head.get(b":status", b"")
    if number is None or http_status != b"200":
        if number is None or number == b"0":
            text = f"an answer of HTTP status {http_status.decode(errors='replace')} without gRPC's status"
            return Reply(statuses.of_http_status(http_status), text.encode())
        return Reply(statuses.grpc_status(number), _text(fields))
    status = statuses.grpc_status(number)
    if status is not statuses.GOOD:
        return Reply(status, _text(fields))
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    if len(body) < _PREFIX.size:
        return Reply("INTERNAL", b"an answer without a message")
    compressed, size = _PREFIX.unpack_from(body)
    if compressed:
        return Reply("INTERNAL", b"an answer that is compressed, which was not asked for")
    if size != len(body) - _PREFIX.size:
        return Reply("INTERNAL", b"an answer that is cut, or of several messages")
    return Reply(statuses.GOOD, body[_PREFIX.size :])


def timeout(left_s: float) -> bytes:
    """`grpc-timeout`: at most eight digits and a unit; what is over already is the shortest there is."""
    left_us = max(int(left_s * 1e6), 1)
    if left_us < 100_000_000:
        return b"%du" % left_us
    return b"%dm" % min(left_us // 1000, 99_999_999)


def goodbye(event: GoAwayReceived) -> str:
    """What the server said with it."""
    said = event.debug_data.decode(errors="replace") or f"code {event.error_code}"
    return f"the server said goodbye: {said}"


def _text(fields: dict[bytes, bytes]) -> bytes:
    return statuses.grpc_text(fields.get(b"grpc-message", b"")).encode()
