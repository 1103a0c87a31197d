"""HTTP/2: a connection's frames, its header blocks, and gRPC's messages in its streams."""

from __future__ import annotations

import contextlib
import random

import hpack

from fuzzing.http2_cases import Http2Cases, changed, frames_in
from fuzzing.targets import Target
from hotgraph_server.errors import CallError
from hotgraph_server.transport.http2 import frames, messages
from hotgraph_server.transport.http2.connection import MAX_UNUSED_BYTES, Connection
from hotgraph_server.transport.http2.header_blocks import Head, HeaderReader
from hotgraph_server.transport.http2.hpack_decoder import BadHeaders, TooManyHeaders
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken
from hotgraph_server.transport.http2.stream import Stream

_MAX_STREAMS = 4
_MAX_BYTES = 100_000
_CALLS = (("/s/Unary", b"hello"), ("/s/Other", b""), ("/s/Stream", b"xyz" * 30))


class _Answered(Stream):
    """Answers, when all has come, with what has come."""

    def __init__(self, connection: Connection, number: int, head: Head) -> None:
        super().__init__(connection, number, head)
        self.content = bytearray()
        self.ended = False

    def on_data(self, data: memoryview, ends: bool) -> None:
        assert self.open
        assert not self.ended
        assert not self.head.fault
        self.content += data
        self.ended = ends
        if ends:
            self.connection.answer(self, bytes(self.content))

    def on_reset(self) -> None:
        pass


def _connection() -> Target:
    seeds = [bytes((at + 1,)) + seed for at, seed in enumerate(_conversations())]
    return Target(_run_connection, seeds, change=_change_frames)


def _change_frames(data: bytes, chance: random.Random) -> bytes:
    sent = changed(frames_in(data[1:]), chance)
    return bytes((chance.randrange(256),)) + b"".join(frame.encoded() for frame in sent)


def _run_connection(data: bytes) -> None:
    """The frames behind a greeting, in one piece and in pieces: what comes of them must be the same."""
    size = data[0] % 32 + 1 if data else 1
    sent = frames.PREFACE + frames.settings({}) + data[1:]
    whole, pieces = _heard(sent, len(sent)), _heard(sent, size)
    assert whole == pieces, f"whole: {whole}\nin pieces of {size}: {pieces}"


def _heard(sent: bytes, size: int) -> tuple[str, dict[int, bytes | None]]:
    """Why the connection broke, and what was heard whole on its streams: of a frame that is refused for its
    end, pieces have told the beginning."""
    streams: dict[int, _Answered] = {}

    def opened(connection: Connection, number: int, head: Head) -> _Answered:
        assert number not in streams
        streams[number] = _Answered(connection, number, head)
        return streams[number]

    connection = Connection(opened, _MAX_STREAMS, lambda: None, clock=lambda: 0.0)
    broken, rest = "", b""
    for at in range(0, len(sent), size):
        buffer = bytearray(rest + sent[at : at + size])
        try:
            used = connection.receive(memoryview(buffer))
        except ConnectionBroken as error:
            broken = error.code.name
            break
        rest = bytes(buffer[used:])
        assert len(rest) <= MAX_UNUSED_BYTES
        # The memory is another's after the call.
        buffer[:] = b"\xee" * len(buffer)
    _check_frames(b"".join(connection.out))
    return broken, {
        number: bytes(stream.content) if stream.ended else None for number, stream in streams.items()
    }


def _check_frames(data: bytes) -> None:
    at = 0
    while at < len(data):
        word, _, _ = frames.FRAME_HEADER.unpack_from(data, at)
        assert word & 0xFF in range(frames.CONTINUATION + 1), f"we sent a frame of type {word & 0xFF}"
        at += frames.HEADER_BYTES + (word >> 8)
    assert at == len(data), "we sent half a frame"


def _headers() -> Target:
    encoder = hpack.Encoder()
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/s/M"),
        ("te", "trailers"),
        ("x-bin", "AA=="),
    ]
    blocks = [
        encoder.encode([*fields, ("content-type", "application/grpc")], huffman=h) for h in (True, False)
    ]
    encoder.header_table_size = 64
    blocks.append(encoder.encode(fields))
    return Target(_run_headers, [bytes((len(block),)) + block for block in blocks] + [_blocks(blocks)])


def _blocks(blocks: list[bytes]) -> bytes:
    return b"".join(bytes((len(block),)) + block for block in blocks)


def _run_headers(data: bytes) -> None:
    """Blocks of one connection, each behind its length; every third is one of trailers."""
    reader = HeaderReader()
    at = count = 0
    while at < len(data):
        block = data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
        count += 1
        try:
            reader.read(block, trailers=count % 3 == 0)
        except (BadHeaders, TooManyHeaders):
            return


def _grpc() -> Target:
    import gzip
    import zlib

    seeds = [
        messages.prefix(5) + b"hello",
        messages.prefix(0) * 3,
        *(
            messages.PREFIX.pack(1, len(z)) + z
            for z in (gzip.compress(b"a" * 99, mtime=0), zlib.compress(b"bc"))
        ),
    ]
    return Target(_run_grpc, [bytes((which,)) + seed for seed in seeds for which in (0, 1, 2, 3)])


def _run_grpc(data: bytes) -> None:
    encoding = ("identity", "gzip", "deflate", "br")[data[0] % 4] if data else "identity"
    whole, pieces = _messages(data[1:], len(data)), _messages(data[1:], 3)
    assert whole == pieces
    for flag, message in whole or ():
        with contextlib.suppress(CallError):
            assert len(messages.unpacked(flag, message, encoding, _MAX_BYTES)) <= _MAX_BYTES


def _messages(data: bytes, size: int) -> list[tuple[int, bytes]] | None:
    reader = messages.MessageReader(_MAX_BYTES)
    found = []
    for at in range(0, len(data), max(size, 1)):
        try:
            found += [(flag, bytes(one)) for flag, one in reader.feed(memoryview(data)[at : at + size])]
        except CallError:
            return None
    return found


def _conversations() -> list[bytes]:
    cases = Http2Cases(_CALLS, seed=1)
    made = [cases.conversation(random.Random(number)) for number in range(40)]
    return [data for one in made if len(data := b"".join(frame.encoded() for frame in one)) < 2000]


TARGETS = {"http2": _connection, "headers": _headers, "grpc": _grpc}
