"""gRPC calls on an HTTP/2 connection, seen from a client that must cost little. Pure: bytes in, bytes out.

The load generator of the overload bench has a core of its own and some hundred microseconds a call. A
request is therefore two frames made once, in which only the stream's number and the time that is left are
new. The client announces a header table of size zero, so that every block of headers an answer brings says
all by itself, and a block that was seen before need not be decoded again.

What is not done: server push (switched off), priorities, padding and headers that go on in a second frame
(each ends the connection with `WireError`; no gRPC server sends them).
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_PUSH_PROMISE, _CONTINUATION = 5, 9
_END_STREAM, _END_HEADERS, _ACK, _PADDED, _PRIORITY = 1, 4, 1, 8, 32
_FRAME = struct.Struct(">IBI")
"""RFC 9113, 4.1, with length and type in one word: ``length << 8 | type``, flags, stream."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_MAX = 2**31 - 1
_DEFAULT_WINDOW = 65_535
# HEADER_TABLE_SIZE 0, ENABLE_PUSH 0, INITIAL_WINDOW_SIZE: never in the way.
_OUR_SETTINGS = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, _MAX)
_TIME_LEFT = b"00000000u"
_MIN_LEFT_US, _MAX_LEFT_US = 1, 99_999_999

DecodeHeaders = Callable[[bytes], Mapping[bytes, bytes]]


class WireError(Exception):
    """The server does not speak HTTP/2 as this client understands it, or ended the connection."""


@dataclass(frozen=True)
class Answer:
    """How a call ended.

    Attributes:
        status: gRPC's number; -1: the stream was reset without one.
        message: with gRPC's frame; empty for an error.
    """

    stream: int
    status: int
    message: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """An HTTP/2 frame."""
    return _FRAME.pack(len(payload) << 8 | kind, flags, stream) + payload


class Request:
    """A request's bytes, but for its stream and the time that is left.

    Args:
        body: with gRPC's frame; at most one HTTP/2 frame of 16 kB.
    """

    def __init__(self, authority: str, path: str, body: bytes) -> None:
        if len(body) > 16_384:
            raise ValueError(f"a body of {len(body)} bytes does not go into one frame")
        fields = [
            b"\x83\x86",  # :method POST, :scheme http
            _literal(4, path.encode()),
            _literal(1, authority.encode()),
            _literal(31, b"application/grpc"),
            b"\x00" + _string(b"te") + _string(b"trailers"),
        ]
        self._headers = b"".join(fields)
        self._timeout = b"\x00" + _string(b"grpc-timeout") + _string(_TIME_LEFT)
        self.body = body

    def headers(self, stream: int, left_us: int | None) -> bytes:
        """The HEADERS frame; `left_us` until the deadline, None for a call without one."""
        block = self._headers
        if left_us is not None:
            left_us = min(max(left_us, _MIN_LEFT_US), _MAX_LEFT_US)
            block += self._timeout[: -len(_TIME_LEFT)] + b"%08du" % left_us
        return frame(_HEADERS, _END_HEADERS, stream, block)

    def data(self, stream: int) -> bytes:
        """The DATA frame, the last of the stream."""
        return frame(_DATA, _END_STREAM, stream, self.body)


class Connection:
    """One connection. Used by one thread.

    Attributes:
        to_send: what is to be written to the socket; whoever writes takes it away.

    Args:
        decode_headers: a block of headers, which refers to no other, as fields.
    """

    def __init__(self, decode_headers: DecodeHeaders) -> None:
        self.to_send = bytearray(_PREFACE)
        self.to_send += frame(_SETTINGS, 0, 0, _OUR_SETTINGS)
        self.to_send += frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _MAX - _DEFAULT_WINDOW))
        self._decode = decode_headers
        self._statuses: dict[bytes, int | None] = {}
        self._received = bytearray()
        self._next_stream = 1
        self._open: dict[int, bytearray] = {}
        self._window = _DEFAULT_WINDOW
        self._held: deque[bytes] = deque()

    @property
    def calls(self) -> int:
        """That have no answer."""
        return len(self._open)

    def call(self, request: Request, left_us: int | None) -> int:
        """Send a request, or have it wait for the server to take more bytes; returns its stream."""
        stream = self._next_stream
        self._next_stream += 2
        self._open[stream] = bytearray()
        self.to_send += request.headers(stream, left_us)
        self._held.append(request.data(stream))
        self._release()
        return stream

    def receive(self, data: bytes) -> list[Answer]:
        """The calls that are over with these bytes.

        Raises:
            WireError: see there.
        """
        received = self._received
        received += data
        answers: list[Answer] = []
        start = 0
        while len(received) - start >= _FRAME.size:
            word, flags, stream = _FRAME.unpack_from(received, start)
            end = start + _FRAME.size + (word >> 8)
            if len(received) < end:
                break
            payload = bytes(received[start + _FRAME.size : end])
            answer = self._take(word & 0xFF, flags, stream & _MAX, payload)
            if answer is not None:
                answers.append(answer)
            start = end
        del received[:start]
        return answers

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> Answer | None:
        if kind == _DATA:
            if flags & _PADDED:
                raise WireError("padding")
            if stream in self._open:
                self._open[stream] += payload
        elif kind == _HEADERS:
            return self._take_headers(flags, stream, payload)
        elif kind == _RST_STREAM:
            return Answer(stream, -1, b"") if self._open.pop(stream, None) is not None else None
        elif kind == _SETTINGS:
            if not flags & _ACK:
                self.to_send += frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING:
            if not flags & _ACK:
                self.to_send += frame(_PING, _ACK, 0, payload)
        elif kind == _WINDOW_UPDATE:
            # A stream's own window is never used up by one small body.
            if stream == 0:
                self._window += struct.unpack(">I", payload)[0] & _MAX
                self._release()
        elif kind == _GOAWAY:
            raise WireError(f"the server says goodbye: {payload[8:].decode(errors='replace') or 'no reason'}")
        elif kind in (_PUSH_PROMISE, _CONTINUATION):
            raise WireError(f"a frame of type {kind}")
        return None

    def _take_headers(self, flags: int, stream: int, block: bytes) -> Answer | None:
        if flags & (_PADDED | _PRIORITY) or not flags & _END_HEADERS:
            raise WireError("headers with padding or a priority, or in several frames")
        if not flags & _END_STREAM:
            return None
        if block not in self._statuses:
            text = self._decode(block).get(b"grpc-status")
            self._statuses[block] = None if text is None else int(text)
        status = self._statuses[block]
        message = self._open.pop(stream, None)
        if message is None:
            return None
        return Answer(stream, -1 if status is None else status, bytes(message))

    def _release(self) -> None:
        while self._held and len(self._held[0]) - _FRAME.size <= self._window:
            data = self._held.popleft()
            self._window -= len(data) - _FRAME.size
            self.to_send += data


def _string(text: bytes) -> bytes:
    """A string of HPACK, not compressed; at most 126 bytes."""
    if len(text) > 126:
        raise ValueError(f"{text!r} is too long")
    return bytes([len(text)]) + text


def _literal(name: int, value: bytes) -> bytes:
    """A field whose name is in the static table, not to be remembered (RFC 7541, 6.2.2)."""
    prefix = bytes([name]) if name < 15 else bytes([15, name - 15])
    return prefix + _string(value)
