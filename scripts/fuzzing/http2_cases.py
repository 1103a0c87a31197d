"""HTTP/2 as a broken or a hostile caller would speak it: frames of calls in which nothing is wrong, and then
some of them left out, doubled, put elsewhere, spoiled or lied about. Pure."""

from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

import hpack

from hotgraph_server.transport.http2 import frames

PING = b"fuzzdone"
"""What the PING at the end of each case holds; its answer says that all before it was read."""

_TIMEOUTS = ("1S", "100m", "0n", "1u", "99999999H", "-1S", "1", "")
_ENCODINGS = ("identity", "gzip", "deflate", "br")
_ODD_FIELDS = (
    (":path", "/inference.GRPCInferenceService/NoSuchThing"),
    (":path", ""),
    (":method", "GET"),
    (":scheme", "ftp"),
    (":status", "200"),
    (":authority", "elsewhere"),
    ("te", "gzip"),
    ("content-type", "text/html"),
    ("content-length", "5"),
    ("content-length", "99999999999999999999"),
    ("connection", "close"),
    ("grpc-timeout", "1Y"),
    ("Upper", "case"),
    ("", "nameless"),
    ("x", "\x00\r\n"),
    ("x-bin", "!"),
    ("x", "y" * 20_000),
    ("cookie", "a=b"),
)
_SETTINGS = (0, 1, 2, 3, 4, 5, 6, 8, 0xFFFF)
_NUMBERS = (0, 1, 2, 100, 16_384, 65_535, 2**20, 2**24 - 1, 2**31 - 1, 2**31, 2**32 - 1)
# Into a header block: indices of both tables and of none, sizes of the table, numbers and strings that do not
# end, Huffman's code cut off or padded with what it must not be.
_HPACK = (
    *(b"\x80", b"\x82", b"\xbe", b"\xbf", b"\xff\x00", b"\xff\xff\xff\xff\xff\x0f", b"\xff" * 12),
    *(b"\x20", b"\x3f\xe1\x1f", b"\x3f\xe2\x1f", b"\x3f\xff\xff\xff\xff\x0f"),
    *(b"\x40\x01a\x01b", b"\x00\x01a\x01b", b"\x10\x01a\x01b", b"\x7e\x01c", b"\x0f\x2f\x01c"),
    *(
        b"\x40\x7f\xff\xff\xff\xff\x07",
        b"\x00\x81\xff\x00",
        b"\x00\x82\xff\xff\x01b",
        b"\x00\x84\xff\xff\xff\xff\x00",
    ),
)


class Frame(NamedTuple):
    """One frame; `lie` is added to the length that its header tells."""

    kind: int
    flags: int
    stream: int
    payload: bytes
    lie: int = 0

    def encoded(self) -> bytes:
        length = (len(self.payload) + self.lie) % 2**24
        return frames.FRAME_HEADER.pack(length << 8 | self.kind, self.flags, self.stream) + self.payload


class Http2Cases:
    """Makes cases.

    Args:
        calls: method and message of calls, valid ones.
        seed: of all cases.
    """

    def __init__(self, calls: Sequence[tuple[str, bytes]], seed: int) -> None:
        self._calls = calls
        self._seed = seed

    def case(self, number: int) -> list[bytes]:
        """What a caller sends, in the pieces in which it sends it."""
        chance = random.Random(f"{self._seed} http2 {number}")
        sent = self.conversation(chance)
        for _ in range(chance.choice((0, 1, 1, 1, 1, 2, 2, 4))):
            sent = changed(sent, chance)
        greeting = frames.PREFACE + frames.settings(
            {frames.INITIAL_WINDOW_SIZE: chance.choice((65_535, 100))}
        )
        data = greeting + b"".join(frame.encoded() for frame in sent)
        what = chance.random()
        if what < 0.05:
            data = data[: chance.randrange(len(data) + 1)]
        elif what < 0.1:
            spoiled = bytearray(data)
            for _ in range(chance.choice((1, 1, 2, 8))):
                spoiled[chance.randrange(len(spoiled))] ^= 1 << chance.randrange(8)
            data = bytes(spoiled)
        data += Frame(frames.PING, 0, 0, PING).encoded()
        places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 0, 0, 1, 3))))
        return [data[at:end] for at, end in zip([0, *places], [*places, len(data)], strict=True) if end > at]

    def conversation(self, chance: random.Random) -> list[Frame]:
        """The frames of some calls on one connection, mixed; nothing is wrong with them but, now and then,
        a field of a header."""
        encoder = hpack.Encoder()
        calls = [self._call(2 * at + 1, encoder, chance) for at in range(chance.choice((1, 1, 2, 3, 6)))]
        # Blocks stay in the order in which they were encoded, or the tables would differ.
        sent: list[Frame] = []
        open_: list[list[Frame]] = []
        for call in calls:
            heads = [frame for frame in call if frame.kind in (frames.HEADERS, frames.CONTINUATION)]
            sent += heads
            open_.append(call[len(heads) :])
            while chance.random() < 0.4 and any(open_):
                sent.append(chance.choice([one for one in open_ if one]).pop(0))
        while any(open_):
            sent.append(chance.choice([one for one in open_ if one]).pop(0))
        return sent

    def _call(self, number: int, encoder: hpack.Encoder, chance: random.Random) -> list[Frame]:
        method, message = chance.choice(self._calls)
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        flag = 0
        if chance.random() < 0.3:
            encoding = chance.choice(_ENCODINGS)
            fields.append(("grpc-encoding", encoding))
            if encoding == "gzip":
                flag, message = 1, gzip.compress(message, 1, mtime=0)
        if chance.random() < 0.3:
            fields.append(("grpc-timeout", chance.choice(_TIMEOUTS)))
        if chance.random() < 0.2:
            fields.insert(chance.randrange(len(fields) + 1), chance.choice(_ODD_FIELDS))
        if chance.random() < 0.2:
            encoder.header_table_size = chance.choice((0, 64, 4096))
        block = encoder.encode(fields, huffman=chance.random() < 0.5)
        sent = _headers(number, block, chance)
        content = struct.pack(">BI", flag, len(message)) + message
        places = sorted(chance.randrange(len(content) + 1) for _ in range(chance.choice((0, 0, 1, 3))))
        parts = [content[at:end] for at, end in zip([0, *places], [*places, len(content)], strict=True)]
        for at, part in enumerate(parts):
            flags = frames.END_STREAM if at == len(parts) - 1 else 0
            if chance.random() < 0.2:
                padding = chance.choice((0, 1, 200))
                part, flags = bytes((padding,)) + part + bytes(padding), flags | frames.PADDED
            sent.append(Frame(frames.DATA, flags, number, part))
        if chance.random() < 0.2:
            sent.append(_other(number, chance))
        return sent


def changed(sent: list[Frame], chance: random.Random) -> list[Frame]:
    """The frames with one thing wrong with them."""
    return chance.choice(_OPERATIONS)(sent, chance)


def frames_in(data: bytes) -> list[Frame]:
    """Bytes as frames; the last one may be cut off."""
    found, at = [], 0
    while at + frames.HEADER_BYTES <= len(data):
        word, flags, stream = frames.FRAME_HEADER.unpack_from(data, at)
        at += frames.HEADER_BYTES
        found.append(Frame(word & 0xFF, flags, stream, data[at : at + (word >> 8)]))
        at += word >> 8
    return found


def _headers(number: int, block: bytes, chance: random.Random) -> list[Frame]:
    places = sorted(chance.randrange(len(block) + 1) for _ in range(chance.choice((0, 0, 0, 1, 3))))
    parts = [block[at:end] for at, end in zip([0, *places], [*places, len(block)], strict=True)]
    flags = [0] * (len(parts) - 1) + [frames.END_HEADERS]
    if chance.random() < 0.1:
        flags[0] |= frames.HAS_PRIORITY
        parts[0] = bytes(5) + parts[0]
    first = Frame(frames.HEADERS, flags[0], number, parts[0])
    return [
        first,
        *(
            Frame(frames.CONTINUATION, flag, number, part)
            for flag, part in zip(flags[1:], parts[1:], strict=True)
        ),
    ]


def _other(number: int, chance: random.Random) -> Frame:
    """One that carries nothing of a call."""
    value = struct.pack(">I", chance.choice(_NUMBERS))
    what = chance.randrange(8)
    if what == 0:
        return Frame(frames.PING, chance.choice((0, 0, 1)), 0, chance.randbytes(8))
    if what == 1:
        pairs = [(chance.choice(_SETTINGS), chance.choice(_NUMBERS)) for _ in range(chance.choice((0, 1, 3)))]
        return Frame(frames.SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))
    if what == 2:
        return Frame(frames.WINDOW_UPDATE, 0, chance.choice((0, number)), value)
    if what == 3:
        return Frame(frames.RST_STREAM, 0, number, value)
    if what == 4:
        return Frame(frames.PRIORITY, 0, number, value + b"\x10")
    if what == 5:
        return Frame(frames.GOAWAY, 0, 0, value + value + b"bye")
    if what == 6:
        return Frame(frames.PUSH_PROMISE, frames.END_HEADERS, number, value)
    return Frame(chance.randrange(10, 256), chance.randrange(256), number, chance.randbytes(9))


Change = Callable[[list[Frame], random.Random], list[Frame]]


def _at_one(change: Callable[[Frame, random.Random], Frame]) -> Change:
    def change_one(sent: list[Frame], chance: random.Random) -> list[Frame]:
        if not sent:
            return sent
        at = chance.randrange(len(sent))
        return [*sent[:at], change(sent[at], chance), *sent[at + 1 :]]

    return change_one


def _drop(sent: list[Frame], chance: random.Random) -> list[Frame]:
    at = chance.randrange(len(sent) + 1)
    return sent[:at] + sent[at + 1 :]


def _double(sent: list[Frame], chance: random.Random) -> list[Frame]:
    if not sent:
        return sent
    one = chance.choice(sent)
    at = chance.randrange(len(sent) + 1)
    return sent[:at] + [one] * chance.choice((1, 1, 2, 100)) + sent[at:]


def _swap(sent: list[Frame], chance: random.Random) -> list[Frame]:
    if len(sent) < 2:
        return sent
    at, other = chance.sample(range(len(sent)), 2)
    changed = list(sent)
    changed[at], changed[other] = changed[other], changed[at]
    return changed


def _insert(sent: list[Frame], chance: random.Random) -> list[Frame]:
    number = chance.choice(sent).stream if sent else 1
    at = chance.randrange(len(sent) + 1)
    return [*sent[:at], *[_other(number, chance)] * chance.choice((1, 1, 1, 50)), *sent[at:]]


def _flags(frame: Frame, chance: random.Random) -> Frame:
    return frame._replace(flags=frame.flags ^ chance.choice((1, 4, 8, 32, 255)))


def _stream(frame: Frame, chance: random.Random) -> Frame:
    other = chance.choice((0, 1, 2, 3, 5, frame.stream + 2, 2**31 - 1, frame.stream | 2**31))
    return frame._replace(stream=other)


def _kind(frame: Frame, chance: random.Random) -> Frame:
    return frame._replace(kind=chance.choice((*range(11), 255)))


def _lie(frame: Frame, chance: random.Random) -> Frame:
    return frame._replace(lie=chance.choice((-9, -1, 1, 2, 9, 1000, 2**20, -len(frame.payload))))


def _cut(frame: Frame, chance: random.Random) -> Frame:
    return frame._replace(payload=frame.payload[: chance.randrange(len(frame.payload) + 1)])


def _longer(frame: Frame, chance: random.Random) -> Frame:
    return frame._replace(payload=frame.payload + chance.randbytes(chance.choice((1, 5, 300, 20_000))))


def _spoil(frame: Frame, chance: random.Random) -> Frame:
    if not frame.payload:
        return frame
    payload = bytearray(frame.payload)
    for _ in range(chance.choice((1, 1, 2, 8))):
        # The head of a payload is where its meaning is.
        at = min(chance.randrange(len(payload)), chance.randrange(len(payload)))
        payload[at] ^= 1 << chance.randrange(8)
    return frame._replace(payload=bytes(payload))


def _in_a_block(sent: list[Frame], chance: random.Random) -> list[Frame]:
    """Something of HPACK's own into a header block."""
    places = [at for at, frame in enumerate(sent) if frame.kind in (frames.HEADERS, frames.CONTINUATION)]
    if not places:
        return sent
    at = chance.choice(places)
    payload = sent[at].payload
    place = chance.choice((0, len(payload), chance.randrange(len(payload) + 1)))
    more = b"".join(chance.choices(_HPACK, k=chance.choice((1, 1, 2, 40))))
    return [*sent[:at], sent[at]._replace(payload=payload[:place] + more + payload[place:]), *sent[at + 1 :]]


_OPERATIONS: tuple[Change, ...] = (
    _drop,
    _double,
    _swap,
    _insert,
    _insert,
    _in_a_block,
    *map(_at_one, (_flags, _stream, _kind, _lie, _cut, _longer, _spoil, _spoil)),
)
