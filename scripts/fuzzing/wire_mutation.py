"""Bytes that are nearly a protobuf message: what a broken or a hostile client's encoder would send. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable

from hotgraph_server.transport.message_fields import LENGTH_DELIMITED, MalformedMessage, fields, varint

# Lengths that lie: a little, by a power of two, past 31, 32 and 63 bits.
_LENGTHS = (0, 1, 127, 128, 16384, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**64 - 1)
# Keys of fields that nobody declared, of number 0, of wire types that are gone (groups) or never were.
_KEYS = (b"\xfa\x7f", b"\x00", b"\x02", b"\x0b", b"\x0c", b"\x0e", b"\xff\xff\xff\xff\x0f", b"\x80" * 11)


def mutate(message: bytes, chance: random.Random) -> bytes:
    """The message with one thing wrong with its bytes."""
    return chance.choice(_OPERATIONS)(message, chance)


def _cut(message: bytes, chance: random.Random) -> bytes:
    return message[: chance.randrange(len(message) + 1)]


def _flip(message: bytes, chance: random.Random) -> bytes:
    changed = bytearray(message)
    for _ in range(chance.choice((1, 1, 2, 8))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _insert(message: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(message) + 1)
    return message[:at] + chance.randbytes(chance.choice((1, 2, 5, 40))) + message[at:]


def _leave_out(message: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(message) + 1)
    return message[:at] + message[at + chance.choice((1, 2, 5, 40)) :]


def _lie_about_a_length(message: bytes, chance: random.Random) -> bytes:
    """Of any field that has one, at any depth that happens to be reached."""
    start, end = 0, len(message)
    for _ in range(chance.randrange(1, 5)):
        found = [one for one in _fields(message[start:end]) if one[1] == LENGTH_DELIMITED]
        if not found:
            break
        number, _, at, value, last = chance.choice(found)
        where = start + at, start + value, start + last
        if chance.random() < 0.5:
            true = where[2] - where[1]
            length = chance.choice((*_LENGTHS, true + 1, max(true - 1, 0), true * 2))
            lie = varint(number << 3 | LENGTH_DELIMITED) + varint(length)
            return message[: where[0]] + lie + message[where[1] :]
        start, end = where[1], where[2]
    return message + varint(7 << 3 | LENGTH_DELIMITED) + varint(chance.choice(_LENGTHS))


def _rearrange(message: bytes, chance: random.Random) -> bytes:
    """Outer fields in another order, or some of them twice or not at all: all of it legal."""
    pieces = [message[start:end] for _, _, start, _, end in _fields(message)]
    chance.shuffle(pieces)
    kept = pieces[chance.randrange(len(pieces) + 1) :] if chance.random() < 0.3 else pieces
    again = chance.choices(pieces, k=chance.choice((0, 1, 30))) if pieces else []
    return b"".join(kept + again)


def _unknown(message: bytes, chance: random.Random) -> bytes:
    at = chance.choice((0, len(message)))
    return message[:at] + chance.choice(_KEYS) + chance.randbytes(chance.randrange(4)) + message[at:]


def _twice(message: bytes, _: random.Random) -> bytes:
    """protobuf takes two messages behind each other for one."""
    return message * 2


def _garbage(_: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice((0, 1, 16, 300, 20_000)))


_OPERATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _cut,
    _flip,
    _flip,
    _insert,
    _leave_out,
    _lie_about_a_length,
    _lie_about_a_length,
    _rearrange,
    _unknown,
    _twice,
    _garbage,
)


def _fields(message: bytes) -> list[tuple[int, int, int, int, int]]:
    """As far as they can be told apart."""
    found = []
    try:
        for one in fields(memoryview(message)):
            found.append(one)
    except MalformedMessage:
        pass
    return found
