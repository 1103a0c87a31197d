"""gRPC's messages in the bytes of a stream: a flag, a length, and as many bytes. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import grpc

from hotgraph_server.errors import CallError, Unsupported
from hotgraph_server.transport.message_fields import Message

PREFIX = struct.Struct(">BI")
PREFIX_BYTES = 5

WBITS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""How zlib is told of the compressions that are known, by their names in headers."""

_PART_BYTES = 2**20
# DEFLATE makes at most 1032 bytes of one. Tensors that have anything to say come nowhere near.
_MAX_RATIO = 200
_FREE_BYTES = 16 * 2**20


class MessageTooLarge(CallError):
    """More bytes than the server takes."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(self, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(f"Received message larger than max ({size} vs. {limit})")


class BrokenMessage(CallError):
    """What came is no message."""


def prefix(length: int) -> bytes:
    """What comes before a message that is not compressed."""
    return PREFIX.pack(0, length)


# Up to here the memory that a message announces is taken (and cleared) at once. Growing would copy what has
# come once more, at least; but a caller that only announces shall not make us clear much.
_TAKEN_AT_ONCE = 2**20


class MessageReader:
    """Puts the messages of one stream together from pieces as they come.

    Memory for a small message is taken as a whole; a larger one grows as it comes, so that a length that lies
    costs little.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._head = bytearray()
        self._message: bytearray | None = None
        self._whole = False  # the message has its full length already, and is being filled
        self._missing = 0

    @property
    def between_messages(self) -> bool:
        """May the stream end here?"""
        return self._message is None and not self._head

    @property
    def unfilled(self) -> memoryview | None:
        """The memory of the message that is being filled, from the first byte on that has not come; None: its
        memory grows as it comes, or none is under way."""
        if self._message is None or not self._whole:
            return None
        return memoryview(self._message)[len(self._message) - self._missing :]

    def filled(self, left: int) -> int:
        """Another has put bytes into `unfilled`, so that `left` of its bytes are left, one at least. Returns
        how many that were since the last time."""
        assert 0 < left <= self._missing
        nbytes = self._missing - left
        self._missing = left
        return nbytes

    @property
    def received(self) -> int:
        """Bytes of the message whose end has not come."""
        if self._message is None:
            return len(self._head)
        return PREFIX_BYTES + len(self._message) - (self._missing if self._whole else 0)

    def feed(self, data: memoryview) -> list[tuple[int, Message]]:
        """The messages that these bytes complete, each with its flag, for `unpacked`.

        Raises:
            MessageTooLarge: a message is.
        """
        complete: list[tuple[int, Message]] = []
        at, end = 0, len(data)
        while at < end:
            if self._message is None:
                take = min(PREFIX_BYTES - len(self._head), end - at)
                self._head += data[at : at + take]
                at += take
                if len(self._head) < PREFIX_BYTES:
                    break
                _, self._missing = PREFIX.unpack(self._head)
                if self._missing > self._max_bytes:
                    raise MessageTooLarge(self._missing, self._max_bytes)
                self._whole = self._missing <= _TAKEN_AT_ONCE
                self._message = bytearray(self._missing if self._whole else 0)
            take = min(self._missing, end - at)
            if self._whole:
                start = len(self._message) - self._missing
                memoryview(self._message)[start : start + take] = data[at : at + take]
            else:
                self._message += data[at : at + take]
            self._missing -= take
            at += take
            if not self._missing:
                complete.append((self._head[0], self._message))
                self._head.clear()
                self._message = None
        return complete


def unpacked(
    flag: int,
    message: Message,
    encoding: str,
    max_bytes: int,
    take: Callable[[int], None] = lambda _: None,
) -> Message:
    """A message as it was before its caller compressed it. To decompress takes time: `max_bytes` at 0.5 GB/s.

    Args:
        flag, message: as they came.
        encoding: what the call says of its messages.
        max_bytes: of the whole.
        take: is told of each part before it is inflated, bytes; what it raises, this raises.

    Raises:
        MessageTooLarge: decompressed it is.
        BrokenMessage: it is compressed in a way that was not announced, or does not decompress.
        Unsupported: it is compressed in a way that we do not know.
    """
    if flag == 0:
        return message
    if flag != 1:
        raise BrokenMessage(f"a message's flag is {flag}, which must be 0 or 1")
    if encoding == "identity":
        raise BrokenMessage("a message says that it is compressed, and the call that none is")
    if encoding not in WBITS:
        raise Unsupported(f"cannot decompress {encoding!r}; this server knows identity, deflate and gzip")
    inflate = zlib.decompressobj(WBITS[encoding])
    plain, rest = bytearray(), bytes(message)
    # A small message can hold gigabytes of zeros; it is told of with each part that it becomes too large.
    limit = min(max_bytes, max(_FREE_BYTES, _MAX_RATIO * len(message)))
    while not inflate.eof:
        take(_PART_BYTES)
        try:
            part = inflate.decompress(rest, _PART_BYTES)
        except zlib.error as error:
            raise BrokenMessage(f"a message does not decompress: {error}") from error
        plain += part
        if len(plain) > max_bytes:
            raise MessageTooLarge(len(plain), max_bytes)
        if len(plain) > limit:
            raise BrokenMessage(
                f"a message of {len(message)} bytes inflates to more than {limit}: send it uncompressed"
            )
        rest = inflate.unconsumed_tail
        if not part and not rest and not inflate.eof:
            raise BrokenMessage("a message ends in the middle of its compressed bytes")
    if inflate.unused_data:
        raise BrokenMessage("something follows a message's compressed bytes")
    return plain
