"""What RFC 9113 (HTTP/2) and RFC 7541 (HPACK) say that a server does with what a caller sends, rule by rule.

Each case is what a caller sends after its greeting, and what becomes of it, in one word or three:

    answered              stream 1 was heard whole, and answered
    open                  nothing was said against it, and stream 1 waits for more
    reset N CODE          stream N was reset; stream 1, where it is another, was answered all the same
    broken CODE           the connection was ended with a GOAWAY of this code

and all of them are sent whole, by the byte, and (test_..._to_a_live_server) to a server on a socket.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterable, Iterator
from typing import Any

import hpack
import pytest

from hotgraph_server.settings import ListenSettings
from hotgraph_server.transport.http2 import flood_limits, frames
from hotgraph_server.transport.http2.connection import Connection
from hotgraph_server.transport.http2.frames import Code, frame, rst_stream, settings, window_update
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken
from hotgraph_server.transport.server import CallServer

from ..conftest import PATIENCE_S
from .conftest import Serving, Toys
from .peer import REQUEST, Feeder, Kept, decoded, every, greeting, parse_frames, prefixed, taken_out

END_HEADERS, END_STREAM, PADDED, PRIORITY = (
    frames.END_HEADERS,
    frames.END_STREAM,
    frames.PADDED,
    frames.HAS_PRIORITY,
)
MESSAGE = prefixed(b"hello")

Fields = list[tuple[str, str]]


def frames_of(wire: bytes) -> list[Any]:
    """As hyperframe reads them, each of its own kind."""
    return list(parse_frames(wire))


def text(value: str) -> bytes:
    raw = value.encode("latin-1")
    head = bytes((len(raw),)) if len(raw) < 127 else b"\x7f" + number_of(len(raw) - 127)
    return head + raw


def number_of(rest: int) -> bytes:
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes((*out, rest))


def block(fields: Fields) -> bytes:
    """Literals, so that whatever is wrong with a field comes through as it is."""
    return b"".join(b"\x00" + text(name) + text(value) for name, value in fields)


def head(
    number: int, *more: tuple[str, str], flags: int = END_HEADERS, fields: Fields | None = None
) -> bytes:
    return frame(frames.HEADERS, flags, number, block([*(REQUEST if fields is None else fields), *more]))


def data(number: int, payload: bytes = MESSAGE, flags: int = END_STREAM) -> bytes:
    return frame(frames.DATA, flags, number, payload)


def call(number: int = 1, *more: tuple[str, str]) -> bytes:
    return head(number, *more) + data(number)


def without(name: str) -> Fields:
    return [field for field in REQUEST if field[0] != name]


def instead(name: str, value: str) -> Fields:
    return [(one, value if one == name else before) for one, before in REQUEST]


def malformed(*more: tuple[str, str], fields: Fields | None = None) -> bytes:
    """A good call, a bad one on stream 3, and its content."""
    return head(3, *more, fields=fields) + data(3) + call(1 + 4)


ENDED = head(1, flags=END_HEADERS | END_STREAM)

FRAMING: dict[str, tuple[bytes, str]] = {
    "4.1 frames of unknown types are passed over": (frame(0x42, 0xFF, 7, bytes(9)) + call(), "answered"),
    "4.1 unknown flags mean nothing": (head(1, flags=END_HEADERS | 0x82) + data(1), "answered"),
    "4.1 the reserved bit means nothing": (head(1 | 1 << 31) + data(1 | 1 << 31), "answered"),
    "4.2 a frame as large as was announced": (frame(0x42, 0, 0, bytes(2**20)) + call(), "answered"),
    "4.2 DATA as large as was announced": (
        head(1) + data(1, prefixed(bytes(2**20 - 5))),
        "answered",
    ),
    "4.2 DATA larger than was announced": (head(1) + data(1, bytes(2**20 + 1)), "broken FRAME_SIZE_ERROR"),
    "4.2 an unknown frame larger than that": (frame(0x42, 0, 0, bytes(2**20 + 1)), "broken FRAME_SIZE_ERROR"),
    "4.2 GOAWAY with a long farewell": (frame(frames.GOAWAY, 0, 0, bytes(300_000)) + call(), "answered"),
    "4.3 a block that cannot be decoded": (
        frame(frames.HEADERS, END_HEADERS, 1, b"\xff\xff"),
        "broken COMPRESSION_ERROR",
    ),
    "4.3 a block in several frames": (
        frame(frames.HEADERS, 0, 1, block(REQUEST)[:20])
        + frame(frames.CONTINUATION, 0, 1, block(REQUEST)[20:30])
        + frame(frames.CONTINUATION, END_HEADERS, 1, block(REQUEST)[30:])
        + data(1),
        "answered",
    ),
    "4.3 a block interrupted by another stream's": (
        frame(frames.HEADERS, 0, 1, block(REQUEST)) + head(3),
        "broken PROTOCOL_ERROR",
    ),
    "4.3 a block interrupted by an unknown frame": (
        frame(frames.HEADERS, 0, 1, block(REQUEST)) + frame(0x42, 0, 0),
        "broken PROTOCOL_ERROR",
    ),
}

STATES: dict[str, tuple[bytes, str]] = {
    "5.1 idle: DATA": (data(1), "broken PROTOCOL_ERROR"),
    "5.1 idle: RST_STREAM": (rst_stream(1, Code.CANCEL), "broken PROTOCOL_ERROR"),
    "5.1 idle: WINDOW_UPDATE": (window_update(1, 1), "broken PROTOCOL_ERROR"),
    "5.1 idle: CONTINUATION": (frame(frames.CONTINUATION, END_HEADERS, 1, b""), "broken PROTOCOL_ERROR"),
    "5.1 idle: PRIORITY is allowed": (frame(frames.PRIORITY, 0, 9, bytes(5)) + call(), "answered"),
    "5.1 half-closed: DATA": (head(1) + head(3) + data(3) + data(3) + data(1), "reset 3 STREAM_CLOSED"),
    "5.1 half-closed: HEADERS": (
        head(1) + head(3) + data(3) + head(3, flags=END_HEADERS | END_STREAM) + data(1),
        "reset 3 STREAM_CLOSED",
    ),
    "5.1 half-closed: WINDOW_UPDATE, PRIORITY are allowed": (
        head(1) + head(3) + data(3) + window_update(3, 9) + frame(frames.PRIORITY, 0, 3, bytes(5)) + data(1),
        "answered 3",
    ),
    "5.1 closed by its caller: DATA": (
        head(1) + rst_stream(1, Code.CANCEL) + data(1),
        "broken STREAM_CLOSED",
    ),
    "5.1 closed by its caller: HEADERS": (
        head(1) + rst_stream(1, Code.CANCEL) + head(1),
        "broken STREAM_CLOSED",
    ),
    "5.1 closed by its caller: RST_STREAM, WINDOW_UPDATE and PRIORITY may come late": (
        head(3)
        + rst_stream(3, Code.CANCEL)
        + rst_stream(3, Code.CANCEL)
        + window_update(3, 1)
        + frame(frames.PRIORITY, 0, 3, bytes(5))
        + call(5),
        "answered 5",
    ),
    "5.1 closed by us: what was on its way is passed over": (
        # Stream 3 is reset for its content, and goes on for a while.
        head(3, ("content-length", "2")) + data(3, b"abc", 0) + data(3, flags=0) + head(3, flags=5) + call(5),
        "reset 3 PROTOCOL_ERROR",
    ),
    "5.1.1 an even number": (head(2), "broken PROTOCOL_ERROR"),
    "5.1.1 stream 0": (head(0), "broken PROTOCOL_ERROR"),
    "5.1.1 a number that was passed over": (call(5) + head(3), "broken PROTOCOL_ERROR"),
    "5.1.1 a number that was used": (call(1) + head(1), "reset 1 STREAM_CLOSED"),
    "5.1.2 more streams than were allowed": (
        b"".join(head(number) for number in range(1, 9, 2)) + data(1),
        "reset 7 REFUSED_STREAM",
    ),
    "5.5 a setting that nobody knows": (settings({0xFF00: 1}) + call(), "answered"),
}

FRAMES: dict[str, tuple[bytes, str]] = {
    "3.4 the first frame is no SETTINGS": (b"", "broken PROTOCOL_ERROR"),
    "6.1 DATA on stream 0": (data(0), "broken PROTOCOL_ERROR"),
    "6.1 DATA with padding": (
        head(1) + data(1, b"\x03" + MESSAGE + bytes(3), END_STREAM | PADDED),
        "answered",
    ),
    "6.1 DATA all padding": (
        head(1) + data(1, b"\x03" + bytes(3), PADDED) + data(1),
        "answered",
    ),
    "6.1 DATA with padding as long as it": (
        head(1) + data(1, b"\x02xx"[:2], PADDED),
        "broken PROTOCOL_ERROR",
    ),
    "6.1 DATA with no length of its padding": (head(1) + data(1, b"", PADDED), "broken FRAME_SIZE_ERROR"),
    "6.2 HEADERS with padding": (
        frame(frames.HEADERS, END_HEADERS | PADDED, 1, b"\x02" + block(REQUEST) + bytes(2)) + data(1),
        "answered",
    ),
    "6.2 HEADERS with padding longer than they": (
        frame(frames.HEADERS, END_HEADERS | PADDED, 1, b"\x7f" + block(REQUEST)[:20]),
        "broken PROTOCOL_ERROR",
    ),
    "6.2 HEADERS with a priority": (
        frame(frames.HEADERS, END_HEADERS | PRIORITY, 1, bytes(5) + block(REQUEST)) + data(1),
        "answered",
    ),
    "6.2 HEADERS with half a priority": (
        frame(frames.HEADERS, END_HEADERS | PRIORITY, 1, bytes(3)),
        "broken FRAME_SIZE_ERROR",
    ),
    "6.3 PRIORITY on stream 0": (frame(frames.PRIORITY, 0, 0, bytes(5)), "broken PROTOCOL_ERROR"),
    "6.3 PRIORITY of four bytes": (
        head(3) + frame(frames.PRIORITY, 0, 3, bytes(4)) + call(5),
        "reset 3 FRAME_SIZE_ERROR",
    ),
    "6.4 RST_STREAM on stream 0": (rst_stream(0, Code.CANCEL), "broken PROTOCOL_ERROR"),
    "6.4 RST_STREAM of three bytes": (
        head(1) + frame(frames.RST_STREAM, 0, 1, bytes(3)),
        "broken FRAME_SIZE_ERROR",
    ),
    "6.4 RST_STREAM with a code that nobody knows": (
        head(3) + frame(frames.RST_STREAM, 0, 3, b"\xff" * 4) + call(5),
        "answered 5",
    ),
    "6.5 SETTINGS on a stream": (frame(frames.SETTINGS, 0, 1), "broken PROTOCOL_ERROR"),
    "6.5 SETTINGS of five bytes": (frame(frames.SETTINGS, 0, 0, bytes(5)), "broken FRAME_SIZE_ERROR"),
    "6.5 SETTINGS acknowledged with something": (
        frame(frames.SETTINGS, frames.ACK, 0, bytes(6)),
        "broken FRAME_SIZE_ERROR",
    ),
    "6.5.2 ENABLE_PUSH of 2": (settings({frames.ENABLE_PUSH: 2}), "broken PROTOCOL_ERROR"),
    "6.5.2 a window of 2^31": (settings({frames.INITIAL_WINDOW_SIZE: 2**31}), "broken FLOW_CONTROL_ERROR"),
    "6.5.2 frames of 16,383 bytes": (settings({frames.MAX_FRAME_SIZE: 2**14 - 1}), "broken PROTOCOL_ERROR"),
    "6.5.2 frames of 2^24 bytes": (settings({frames.MAX_FRAME_SIZE: 2**24}), "broken PROTOCOL_ERROR"),
    "6.5.3 a setting that comes twice counts as it came last": (
        frame(frames.SETTINGS, 0, 0, bytes((0, 4, 0, 0, 0, 0, 0, 4, 0, 0, 255, 255))) + call(),
        "answered",
    ),
    "6.6 PUSH_PROMISE": (head(1) + frame(frames.PUSH_PROMISE, 4, 1, bytes(4)), "broken PROTOCOL_ERROR"),
    "6.7 PING on a stream": (frame(frames.PING, 0, 1, bytes(8)), "broken PROTOCOL_ERROR"),
    "6.7 PING of six bytes": (frame(frames.PING, 0, 0, bytes(6)), "broken FRAME_SIZE_ERROR"),
    "6.7 PING acknowledged is not answered": (
        frame(frames.PING, frames.ACK, 0, bytes(8)) + call(),
        "answered",
    ),
    "6.8 GOAWAY on a stream": (frame(frames.GOAWAY, 0, 1, bytes(8)), "broken PROTOCOL_ERROR"),
    "6.8 GOAWAY: open streams go on": (
        head(1) + frame(frames.GOAWAY, 0, 0, bytes(8)) + data(1),
        "answered",
    ),
    "6.9 WINDOW_UPDATE of 0 on the connection": (window_update(0, 0), "broken PROTOCOL_ERROR"),
    "6.9 WINDOW_UPDATE of 0 on a stream": (head(3) + window_update(3, 0) + call(5), "reset 3 PROTOCOL_ERROR"),
    "6.9 WINDOW_UPDATE of three bytes": (
        frame(frames.WINDOW_UPDATE, 0, 0, bytes(3)),
        "broken FRAME_SIZE_ERROR",
    ),
    "6.9.1 the connection's window too far": (window_update(0, 2**31 - 1), "broken FLOW_CONTROL_ERROR"),
    "6.9.1 a stream's window too far": (
        head(3) + window_update(3, 2**31 - 1) + call(5),
        "reset 3 FLOW_CONTROL_ERROR",
    ),
    "6.9.1 more than a stream's window": (
        # Of the connection's 16 MiB there is enough; nothing is given back to a stream that is held.
        head(3) + data(3, bytes(2**20), 0) * 5 + call(5),
        "reset 3 FLOW_CONTROL_ERROR",
    ),
    "6.9.1 more than its window on a stream that we have reset": (
        head(3, ("content-length", "2")) + data(3, bytes(2**20), 0) * 6,
        "broken FLOW_CONTROL_ERROR",
    ),
    "6.9.2 a window that settings open too far": (
        head(1) + window_update(1, 2**30) + settings({frames.INITIAL_WINDOW_SIZE: 2**31 - 1}),
        "broken FLOW_CONTROL_ERROR",
    ),
    "6.10 CONTINUATION on stream 0": (
        frame(frames.HEADERS, 0, 1, b"") + frame(frames.CONTINUATION, END_HEADERS, 0, block(REQUEST)),
        "broken PROTOCOL_ERROR",
    ),
    "6.10 CONTINUATION behind the end of the block": (
        head(1) + frame(frames.CONTINUATION, END_HEADERS, 1, b""),
        "broken PROTOCOL_ERROR",
    ),
}

BAD_REQUESTS: dict[str, bytes] = {
    "8.1 trailers that do not end the stream": head(3) + head(3, fields=[("x", "y")]) + call(5),
    "8.1 trailers with a pseudo-header": (
        head(3) + data(3, flags=0) + head(3, flags=5, fields=[(":path", "/x")]) + call(5)
    ),
    "8.1 trailers with a bad field": head(3) + head(3, flags=5, fields=[("X", "y")]) + call(5),
    "8.1.1 content-length, and less comes": malformed(("content-length", "11")),
    "8.1.1 content-length, and more comes": malformed(("content-length", "9")),
    "8.1.1 content-length, and nothing comes": (
        head(3, ("content-length", "1"), flags=END_HEADERS | END_STREAM) + call(5)
    ),
    "8.1.1 content-length, twice and differently": malformed(
        ("content-length", "10"), ("content-length", "11")
    ),
    "8.1.1 content-length that is no number": malformed(("content-length", "1O")),
    "8.1.1 content-length below zero": malformed(("content-length", "-1")),
    "8.2 a name in upper case": malformed(("X-Name", "y")),
    "8.2.1 a name that is empty": malformed(("", "y")),
    "8.2.1 a name with a blank": malformed(("x name", "y")),
    "8.2.1 a name with a colon": malformed(("x:name", "y")),
    "8.2.1 a name with a control character": malformed(("x\x01", "y")),
    "8.2.1 a name beyond ASCII": malformed(("x\xe9", "y")),
    "8.2.1 a value with NUL": malformed(("x", "a\0b")),
    "8.2.1 a value with LF": malformed(("x", "a\nb")),
    "8.2.1 a value with CR": malformed(("x", "a\rb")),
    "8.2.1 a value that begins with a blank": malformed(("x", " a")),
    "8.2.1 a value that ends with a tab": malformed(("x", "a\t")),
    "8.2.2 connection": malformed(("connection", "keep-alive")),
    "8.2.2 proxy-connection": malformed(("proxy-connection", "keep-alive")),
    "8.2.2 keep-alive": malformed(("keep-alive", "1")),
    "8.2.2 transfer-encoding": malformed(("transfer-encoding", "chunked")),
    "8.2.2 upgrade": malformed(("upgrade", "h2c")),
    "8.2.2 te that is not trailers": malformed(fields=instead("te", "gzip")),
    "8.3 a pseudo-header that nobody knows": malformed(fields=[(":x", "y"), *REQUEST]),
    "8.3 a pseudo-header of answers": malformed(fields=[(":status", "200"), *REQUEST]),
    "8.3 a pseudo-header behind other fields": malformed(fields=[*without(":path"), (":path", "/x")]),
    "8.3.1 :method twice": malformed(fields=[(":method", "POST"), *REQUEST]),
    "8.3.1 :path twice": malformed(fields=[(":path", "/x"), *REQUEST]),
    "8.3.1 :scheme twice": malformed(fields=[(":scheme", "http"), *REQUEST]),
    "8.3.1 :authority twice": malformed(fields=[(":authority", "localhost"), *REQUEST]),
    "8.3.1 no :method": malformed(fields=without(":method")),
    "8.3.1 no :scheme": malformed(fields=without(":scheme")),
    "8.3.1 no :path": malformed(fields=without(":path")),
    "8.3.1 an empty :path": malformed(fields=instead(":path", "")),
    "8.3.1 a :path that is none": malformed(fields=instead(":path", "test.Toys/Echo")),
    "8.3.1 host that is not :authority": malformed(("host", "elsewhere")),
    "8.5 CONNECT with a :path": malformed(fields=instead(":method", "CONNECT")),
}

GOOD_REQUESTS: dict[str, bytes] = {
    "8.1 trailers": head(1) + data(1, flags=0) + head(1, flags=5, fields=[("x", "y")]),
    "8.1.1 content-length that is kept": call(1, ("content-length", "10")),
    "8.1.1 content-length, twice the same": call(1, ("content-length", "10"), ("content-length", "10")),
    "8.2.1 a value beyond ASCII": call(1, ("x", "\xe9")),
    "8.2.1 a value that is empty": call(1, ("x", "")),
    "8.2.3 cookies in pieces": call(1, ("cookie", "a=b"), ("cookie", "c=d")),
    "8.3.1 host that is :authority": call(1, ("host", "LOCALHOST")),
    "8.3.1 no :authority": head(1, fields=without(":authority")) + data(1),
}

HPACK: dict[str, tuple[bytes, str]] = {
    "2.3.3 an index beyond the table": (frame(1, END_HEADERS, 1, b"\xfe"), "broken COMPRESSION_ERROR"),
    "4.2 a table's size behind a field": (
        frame(1, END_HEADERS, 1, block(REQUEST) + b"\x20"),
        "broken COMPRESSION_ERROR",
    ),
    "4.2 a table's size, twice, before the fields": (
        frame(1, END_HEADERS, 1, b"\x20\x3f\xe1\x1f" + block(REQUEST)) + data(1),
        "answered",
    ),
    "4.3 a table larger than we allow": (
        frame(1, END_HEADERS, 1, b"\x3f\xe2\x1f" + block(REQUEST)),
        "broken COMPRESSION_ERROR",
    ),
    "4.4 an entry larger than the table empties it": (
        frame(1, END_HEADERS, 1, block(REQUEST) + b"\x40\x01a" + text("b" * 5000))
        + data(1)
        + frame(1, END_HEADERS, 3, block(REQUEST) + b"\xbe"),
        "broken COMPRESSION_ERROR",
    ),
    "5.1 a number without end": (
        frame(1, END_HEADERS, 1, b"\xff" + b"\x80" * 20 + b"\x01"),
        "broken COMPRESSION_ERROR",
    ),
    "5.2 a string that is cut off": (frame(1, END_HEADERS, 1, b"\x00\x05ab"), "broken COMPRESSION_ERROR"),
    "5.2 Huffman's padding of more than seven bits": (
        frame(1, END_HEADERS, 1, block(REQUEST) + b"\x00\x01x\x82\x1f\xff"),
        "broken COMPRESSION_ERROR",
    ),
    "5.2 Huffman's padding that is no EOS": (
        frame(1, END_HEADERS, 1, block(REQUEST) + b"\x00\x01x\x81\x18"),
        "broken COMPRESSION_ERROR",
    ),
    "5.2 Huffman's EOS in a string": (
        frame(1, END_HEADERS, 1, block(REQUEST) + b"\x00\x01x\x84\xff\xff\xff\xff"),
        "broken COMPRESSION_ERROR",
    ),
    "6.1 index 0": (frame(1, END_HEADERS, 1, b"\x80"), "broken COMPRESSION_ERROR"),
    "6.2.1 a field that is remembered is found again": (
        frame(1, END_HEADERS, 3, block(REQUEST) + b"\x40" + text("x") + text("y"))
        + data(3)
        + frame(1, END_HEADERS, 5, block(REQUEST) + b"\xbe")
        + data(5),
        "answered 5",
    ),
    "6.2.1 a bad field that is remembered is as bad the next time, and the table goes on": (
        frame(1, END_HEADERS, 3, block(REQUEST) + b"\x40" + text("X") + text("y"))
        + data(3)
        + frame(1, END_HEADERS, 5, block(REQUEST) + b"\xbe")
        + data(5)
        + call(7),
        "reset 5 PROTOCOL_ERROR",
    ),
    "6.2.3 a field that is never to be remembered": (
        frame(1, END_HEADERS, 1, block(REQUEST) + b"\x10" + text("x") + text("y")) + data(1),
        "answered",
    ),
}


def churning(number: int) -> bytes:
    """A block with a field that was never there before, to be remembered."""
    return block(REQUEST) + b"\x40" + text(f"x{number}") + text("y")


CASES: dict[str, tuple[bytes, str]] = {
    **FRAMING,
    **STATES,
    **FRAMES,
    **{name: (wire, "reset 3 PROTOCOL_ERROR") for name, wire in BAD_REQUESTS.items()},
    **{name: (wire, "answered") for name, wire in GOOD_REQUESTS.items()},
    **{f"RFC 7541, {name}": case for name, case in HPACK.items()},
}


class Answering:
    """A connection that answers each call when it has come whole.

    Attributes:
        answered: the streams whose calls were.
    """

    def __init__(self) -> None:
        self.connection = Connection(self._open, 3, lambda: None, time.monotonic)
        self.answered: list[int] = []
        self.kept: list[Kept] = []
        self._feeder = Feeder(self.connection)

    def _open(self, connection: Connection, number: int, head: Any) -> Kept:
        stream = Kept(connection, number, head)
        # No room is given back on stream 3, so that its window can be used up.
        stream.held = number == 3
        self.kept.append(stream)
        return stream

    def feed(self, wire: bytes) -> None:
        self._feeder.feed(wire)

    def feed_all(self, parts: Iterable[bytes]) -> Code | None:
        """The code that it ends with; None: it does not."""
        try:
            for part in parts:
                self.feed(part)
        except ConnectionBroken as error:
            return error.code
        return None

    def answer(self) -> None:
        for stream in self.kept:
            if stream.open and stream.ends:
                self.connection.answer(stream, b"well")
                self.answered.append(stream.number)


def outcome(wire: bytes, size: int, begin: bytes) -> str:
    one = Answering()
    code = one.feed_all(every(size, begin + wire))
    if code is not None:
        (*_, away) = frames_of(taken_out(one.connection))
        assert away.error_code == code
        return f"broken {code.name}"
    resets = [each for each in frames_of(taken_out(one.connection)) if each.type == frames.RST_STREAM]
    one.answer()
    if resets:
        return f"reset {resets[-1].stream_id} {Code(resets[-1].error_code).name}"
    if one.answered:
        return "answered" if one.answered[-1] == 1 else f"answered {one.answered[-1]}"
    return "open"


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [7, 2**30], ids=["in pieces", "whole"])
def test_rule(name: str, size: int) -> None:
    wire, expected = CASES[name]
    begin = greeting()
    if name.startswith("3.4"):
        begin, wire = frames.PREFACE, call()
    size = size if len(wire) < 100_000 else size * 1001
    assert outcome(wire, size, begin) == expected


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_malformed_request_to_a_live_server_is_reset_and_the_next_one_answered(
    serving: Serving, name: str
) -> None:
    with socket.create_connection(("127.0.0.1", serving.port), PATIENCE_S) as sock:
        sock.sendall(greeting() + BAD_REQUESTS[name])
        received, decoder = b"", hpack.Decoder()
        reset, status = None, None
        while status is None:
            piece = sock.recv(65_536)
            assert piece, "the connection was closed"
            received += piece
            while len(received) >= 9 and len(received) >= 9 + int.from_bytes(received[:3], "big"):
                length = 9 + int.from_bytes(received[:3], "big")
                (one,) = frames_of(received[:length])
                received = received[length:]
                if one.type == frames.RST_STREAM and one.stream_id == 3:
                    reset = one.error_code
                elif one.type == frames.HEADERS:
                    assert one.stream_id == 5, "a malformed request was answered"
                    status = decoded(list(decoder.decode(one.data))).get("grpc-status")
    assert (reset, status) == (Code.PROTOCOL_ERROR, "0")


SMALLER = "it announces smaller frames than we do"
PADDING = "it knows no padding"
STRICTER_THAN_THE_RFC = {
    "4.2 a frame as large as was announced": SMALLER,
    "4.2 DATA as large as was announced": SMALLER,
    "4.2 GOAWAY with a long farewell": SMALLER,
    "6.1 DATA with padding": PADDING,
    "6.1 DATA all padding": PADDING,
    "6.2 HEADERS with padding": PADDING,
    "8.3.1 no :authority": "it wants one of every call",
}
"""What grpc's own server refuses, and why."""


@pytest.fixture(scope="module")
def grpcio() -> Iterator[CallServer]:
    server = CallServer(ListenSettings(port=0, fast_lane=False), [Toys().service])
    server.start()
    yield server
    server.stop(PATIENCE_S)


def answered_by(address: str, wire: bytes) -> bool:
    """Does a server answer the last call of these bytes, by and by?"""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), PATIENCE_S) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(greeting() + wire)
        received, decoder = b"", hpack.Decoder()
        fields: dict[str, str] = {}
        while True:
            try:
                piece = sock.recv(65_536)
            except ConnectionError:
                return False
            if not piece:
                return False
            received += piece
            while len(received) >= 9 and len(received) >= 9 + int.from_bytes(received[:3], "big"):
                length = 9 + int.from_bytes(received[:3], "big")
                (one,) = frames_of(received[:length])
                received = received[length:]
                if one.type == frames.HEADERS:
                    fields.update(decoded(list(decoder.decode(one.data))))
                if one.type in (frames.RST_STREAM, frames.GOAWAY) and one.error_code:
                    return False
                if "grpc-status" in fields:
                    return fields["grpc-status"] == "0"


ANSWERED = [name for name, (_, expected) in CASES.items() if expected.startswith("answered")]


@pytest.mark.parametrize("name", ANSWERED)
def test_grpcs_own_server_answers_what_ours_answers(grpcio: CallServer, name: str) -> None:
    """We are no more lenient than it, but where it asks for more than the RFC."""
    assert answered_by(grpcio.address, CASES[name][0]) == (name not in STRICTER_THAN_THE_RFC)


FLOODS = {
    "PING": frame(frames.PING, 0, 0, bytes(8)),
    "PING acknowledged": frame(frames.PING, frames.ACK, 0, bytes(8)),
    "SETTINGS": settings({}),
    "SETTINGS acknowledged": frame(frames.SETTINGS, frames.ACK, 0),
    "PRIORITY": frame(frames.PRIORITY, 0, 1, bytes(5)),
    "WINDOW_UPDATE": window_update(1, 1),
    "WINDOW_UPDATE of a stream that is over": window_update(3, 1),
    "empty DATA": data(1, b"", 0),
    "DATA that is all padding": data(1, b"\x04" + bytes(4), PADDED),
    "RST_STREAM of a stream that is over": rst_stream(3, Code.CANCEL),
    "frames of an unknown type": frame(0x42, 0, 0),
}


@pytest.mark.parametrize("name", FLOODS)
def test_flood_is_cut_off_and_told_to_be_calm(name: str) -> None:
    """RFC 9113, section 10.5."""
    one = Answering()
    one.feed(greeting() + head(1) + head(3) + rst_stream(3, Code.CANCEL))
    code = one.feed_all(FLOODS[name] * 100 for _ in range(int(2 * flood_limits.MAX) // 100))
    assert code is Code.ENHANCE_YOUR_CALM


def test_rapid_resets_are_cut_off() -> None:
    one = Answering()
    one.feed(greeting())
    numbers = range(1, 4 * int(flood_limits.MAX) // flood_limits.RAPID_RESET, 2)
    code = one.feed_all(head(number) + rst_stream(number, Code.CANCEL) for number in numbers)
    assert code is Code.ENHANCE_YOUR_CALM


def test_headers_that_only_churn_the_table_are_cut_off() -> None:
    one = Answering()
    one.feed(greeting())
    code = one.feed_all(
        frame(1, END_HEADERS, number, churning(number)) for number in range(1, 3 * int(flood_limits.MAX), 2)
    )
    assert code is Code.ENHANCE_YOUR_CALM


def test_callers_that_call_may_ping_and_churn_and_cancel_for_ever() -> None:
    one = Answering()
    one.feed(greeting())
    for number in range(1, 8 * int(flood_limits.MAX), 2):
        one.feed(
            frame(1, END_HEADERS, number, churning(number))
            + data(number)
            + frame(frames.PING, 0, 0, bytes(8))
            + window_update(0, 9)
        )
        if number % 4 == 1:
            one.feed(rst_stream(number, Code.CANCEL))
        one.answer()
        one.kept.clear()
        taken_out(one.connection)
