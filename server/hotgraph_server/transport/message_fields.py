"""Large byte fields of protobuf messages, without copying them. Pure.

protobuf's parser copies a tensor's bytes into its own memory, and again when they are asked for; its
serialiser does the same on the way out. For tensors of many kilobytes that is most of what a call costs.
So the large fields are cut out of a message first, as views of it, and only the small rest is parsed; on
the way out the large ones are put behind a serialised rest. Both rely on what the encoding guarantees:
fields of a message may come in any order, and messages may be concatenated.

    Bytes in:   from the buffer that was received into to the message (1; transport/http2/messages.py),
                from there into the batch's memory (2; batching/joining.py), which TensorFlow shares.
                A call that runs alone needs no (2)
    Bytes out:  the system takes them from TensorFlow's memory

Small messages whose form is known are not parsed at all (template.py): their arrays are views as well.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

Message = bytes | bytearray | memoryview
"""The bytes of a message; a memoryview is of bytes, in one dimension. Who hands one in leaves it as it
is from then on: arrays are views of it."""

LENGTH_DELIMITED = 2

# What the other wire types take, in bytes; a varint (0) is as long as it is.
_FIXED = {1: 8, 5: 4}
_VARINT = 0

WORTH_CUTTING = 16 * 1024
"""Below this many bytes protobuf's two copies are quicker than a walk through the fields in Python."""


class MalformedMessage(ValueError):
    """The bytes are no message; protobuf's own parser would say so too."""


class Span(NamedTuple):
    """Where a value lies in a message: its first byte, and how many there are."""

    at: int
    length: int

    @property
    def end(self) -> int:
        """The byte behind it."""
        return self.at + self.length


def values_of(message: memoryview, field: int, within: Span | None = None) -> list[Span]:
    """Where the values of a length-delimited field lie, in their order.

    Args:
        within: the nested message to look into; the whole one if not given. Places are counted from the
            start of `message` either way.

    Raises:
        MalformedMessage: fields do not fit into it.
    """
    start, end = (within.at, within.end) if within else (0, len(message))
    return [
        Span(start + value_start, value_end - value_start)
        for number, wire_type, _, value_start, value_end in fields(message[start:end])
        if number == field and wire_type == LENGTH_DELIMITED
    ]


def cut_out(message: Message, field: int) -> tuple[bytes, list[memoryview]]:
    """A message without one of its length-delimited fields, and the values of that field, as views.

    Raises:
        MalformedMessage: fields do not fit into the message.
    """
    view = memoryview(message)
    rest: list[memoryview] = []
    values: list[memoryview] = []
    kept_from = 0
    for number, wire_type, start, value_start, end in fields(view):
        if number == field and wire_type == LENGTH_DELIMITED:
            rest.append(view[kept_from:start])
            values.append(view[value_start:end])
            kept_from = end
    rest.append(view[kept_from:])
    return b"".join(rest), values


def fields(view: memoryview) -> Iterator[tuple[int, int, int, int, int]]:
    """The fields of a message in their order: number, wire type, and where the field, its value (behind
    the length, if it has one) and its end lie.

    Raises:
        MalformedMessage: a field does not fit into the message, or is none.
    """
    at, end = 0, len(view)
    while at < end:
        start = at
        key, at = read_varint(view, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == LENGTH_DELIMITED:
            length, value = read_varint(view, at)
            at = value + length
        elif wire_type == _VARINT:
            value = at
            _, at = read_varint(view, at)
        elif wire_type in _FIXED:
            value = at
            at += _FIXED[wire_type]
        else:
            # Groups have been gone from the language for a decade; no client of these protocols sends them.
            raise MalformedMessage(f"field {number} has wire type {wire_type}")
        if at > end or not number:
            raise MalformedMessage(f"field {number} at byte {start} does not fit into {end} bytes")
        yield number, wire_type, start, value, at


def whole_or_pieces(parts: Sequence[Any]) -> bytes | list[memoryview]:
    """An answer from its parts, bytes and arrays: joined if that is little, and else as it lies in memory,
    for the transport to write piece by piece. What is given must not change any more."""
    if sum([len(part) if isinstance(part, bytes) else part.nbytes for part in parts]) < WORTH_CUTTING:
        return b"".join(parts)
    return [_bytes_of(part) for part in parts]


def _bytes_of(part: Any) -> memoryview:
    # Not every dtype has a format that a memoryview would know.
    return memoryview(part if isinstance(part, bytes | memoryview) else part.reshape(-1).view("u1"))


# Asked for every tensor of every answer, and few lengths are in use at a time.
@functools.lru_cache(maxsize=1024)
def header(field: int, length: int) -> bytes:
    """What comes before the bytes of a length-delimited field."""
    return varint(field << 3 | LENGTH_DELIMITED) + varint(length)


def varint(value: int) -> bytes:
    """A number that is not negative, as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(view: memoryview, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it.

    Raises:
        MalformedMessage: there is none, or it is too long for one.
    """
    value = shift = 0
    while True:
        if at >= len(view) or shift > 63:
            raise MalformedMessage(f"a number at byte {at} does not end")
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
