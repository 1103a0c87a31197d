"""gzip as HTTP's content coding (RFC 9110, section 8.4.1.3). Pure."""

from __future__ import annotations

import re
import zlib

from hotgraph_server.errors import InvalidCall

# zlib's way of saying gzip.
_WINDOW = 16 + zlib.MAX_WBITS

# A member's bytes are handed over in pieces that grow, for zlib copies what it was given behind a member's
# end: of many small members each would copy all that is left.
_FIRST_PIECE, _LARGEST_PIECE = 64, 64 * 1024


def takes_gzip(accept: str) -> bool:
    """Does an Accept-Encoding ask for gzip? A client that takes anything has not asked."""
    for offer in accept.lower().split(","):
        coding, _, weight = offer.partition(";")
        if coding.strip() in ("gzip", "x-gzip"):
            return not re.fullmatch(r"q=0(\.0*)?", weight.strip())
    return False


def zipped(data: bytes) -> bytes:
    """In one member."""
    # The fastest level: digits become a half with it, and little less with the slowest.
    packer = zlib.compressobj(1, zlib.DEFLATED, _WINDOW)
    return packer.compress(data) + packer.flush()


def unzipped(data: bytes, most: int) -> bytes | None:
    """What was zipped, in one member or several; None: it is more than `most` bytes.

    Takes time in proportion to what comes in and goes out, however it is cut into members.

    Raises:
        InvalidCall: it is not gzip, or cut off.
    """
    parts: list[bytes] = []
    left = most
    view, at = memoryview(data), 0
    while at < len(view):
        unpacker = zlib.decompressobj(_WINDOW)
        size = _FIRST_PIECE
        while not unpacker.eof:
            piece = view[at : at + size]
            if not piece:
                raise InvalidCall("the request is no gzip: it is cut off")
            try:
                part = unpacker.decompress(piece, left + 1)
            except zlib.error as error:
                raise InvalidCall(f"the request is no gzip: {error}") from error
            left -= len(part)
            if left < 0:
                return None
            if part:
                parts.append(part)
            at += len(piece) - len(unpacker.unused_data)
            size = min(2 * size, _LARGEST_PIECE)
    return b"".join(parts)
