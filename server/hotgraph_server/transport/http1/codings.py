"""gzip and deflate as HTTP's content codings (RFC 9110, section 8.4.1). Pure.

Which one an answer gets is what Accept-Encoding gives the highest weight (section 12.5.3), the first of
equals; a caller that takes anything has not asked. Names and weights are read in either case.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from hotgraph_server.errors import InvalidCall

WORTH_BYTES = 1024
"""What is smaller fits into a packet or two as it is."""

_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_OTHER_NAMES = {"x-gzip": "gzip"}

# The fastest level: digits become a half with it, and little less with the slowest.
_LEVEL = 1

# A member's bytes are handed over in pieces that grow, for zlib copies what it was given behind a member's
# end: of many small members each would copy all that is left.
_FIRST_PIECE, _LARGEST_PIECE = 64, 64 * 1024

# DEFLATE makes at most 1032 bytes of one. What has anything to say comes nowhere near.
_MAX_RATIO = 200
FREE_BYTES = 16 * 2**20
"""Up to here a body may be as regular as it likes."""
PART_BYTES = 2**20
"""So much is made of it at a time, and held, before it is known whether there is room for more."""


def known(name: str) -> str:
    """The coding of that name; empty: none at all.

    Raises:
        ValueError: there is no such coding here.
    """
    name = name.strip().lower()
    name = _OTHER_NAMES.get(name, name)
    if name in ("", "identity"):
        return ""
    if name not in _WINDOWS:
        raise ValueError(f"Content-Encoding {name[:100]} is not known; gzip and deflate are")
    return name


def wanted(accept: str) -> str:
    """The coding that an Accept-Encoding wants an answer in; empty: none."""
    best, weight_of_best = "", 0.0
    identity = 0.0
    for offer in accept.lower().split(","):
        name, _, parameter = offer.partition(";")
        name = name.strip()
        name = _OTHER_NAMES.get(name, name)
        weight = _weight(parameter)
        if name == "identity":
            identity = weight
        elif name in _WINDOWS and weight > weight_of_best:
            best, weight_of_best = name, weight
    return best if weight_of_best >= identity else ""


def _weight(parameter: str) -> float:
    text = parameter.strip()
    if not text.startswith("q="):
        return 1.0
    try:
        weight = float(text[2:])
    except ValueError:
        return 0.0
    # NaN is no weight.
    return weight if 0.0 <= weight <= 1.0 else 0.0


def packed(pieces: Iterable[bytes | memoryview], coding: str) -> bytes:
    """A body in a coding."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOWS[coding])
    return b"".join([*map(packer.compress, pieces), packer.flush()])


def unpacked(data: bytes | bytearray, coding: str, most: int, hold: Callable[[int], None]) -> bytes | None:
    """What was packed, of gzip in one member or several; None: it is more than `most` bytes, or more than
    anything that says something could be.

    Takes time in proportion to what comes in and goes out, however it is cut into members.

    Args:
        hold: called before so many bytes more are kept; what it raises goes on.

    Raises:
        InvalidCall: it is not what it says, or cut off.
    """
    if not data:
        raise InvalidCall("nothing to be decompressed")
    most = min(most, max(FREE_BYTES, len(data) * _MAX_RATIO))
    # What is large is gone through once without keeping it: a process gives memory back only in part.
    parts: list[bytes] = []
    size = 0
    for part in _parts(data, coding):
        size += len(part)
        if size > most:
            return None
        if size <= FREE_BYTES:
            hold(len(part))
            parts.append(part)
    if size > FREE_BYTES:
        for part in islice(_parts(data, coding), len(parts), None):
            hold(len(part))
            parts.append(part)
    return b"".join(parts)


def _parts(data: bytes | bytearray, coding: str) -> Iterator[bytes]:
    """What was packed, in parts of PART_BYTES at most. Raises InvalidCall."""
    view, at = memoryview(data), 0
    while at < len(view):
        unpacker = zlib.decompressobj(_WINDOWS[coding])
        size = _FIRST_PIECE
        while not unpacker.eof:
            piece = view[at : at + size]
            if not piece:
                raise InvalidCall(f"the request is no {coding}: it is cut off")
            rest: bytes | memoryview = piece
            part = b""
            # Where the last part is full there may be more to come of what zlib has taken in.
            while rest or (len(part) == PART_BYTES and not unpacker.eof):
                try:
                    part = unpacker.decompress(rest, PART_BYTES)
                except zlib.error as error:
                    raise InvalidCall(f"the request is no {coding}: {error}") from error
                rest = unpacker.unconsumed_tail
                if part:
                    yield part
            at += len(piece) - len(unpacker.unused_data)
            size = min(2 * size, _LARGEST_PIECE)
        if coding != "gzip" and at < len(view):
            raise InvalidCall(f"the request is no {coding}: something follows it")
