"""Answers compressed for callers who say that they can read them so: which, how, and in which threads.

To compress takes long: a megabyte of floats some 20 to 60 ms, of integers 8 at the lowest level and 1,000
at the highest. So it is done in threads of its own, never in one that serves, runs a graph or ends calls.
What waits for them is bounded; an answer that there is no room for is sent as it is, which is the quicker
then. So is one that does not become smaller.
"""

from __future__ import annotations

import functools
import logging
import threading
import zlib
from collections.abc import Callable, Mapping

from hotgraph_server.transport.http2.messages import WBITS
from hotgraph_server.transport.http2.stream import Stream
from hotgraph_server.transport.service import Answered

_LOG = logging.getLogger(__name__)

LEVELS = {"low": 1, "medium": 6, "high": 9}
"""zlib's, by what the setting calls them."""

MAX_WAITING_BYTES = 16 * 2**20
"""Of answers that wait or are being compressed; one that is alone may be larger. A quarter of a second's work
for two threads at the lowest level."""

# Between two parts it is seen that a caller has gone; some milliseconds each.
_PART_BYTES = 256 * 1024

# Clients say "identity, deflate, gzip". What is longer is nobody's who wants an answer.
_MAX_ACCEPTS_CHARS = 256

Deflated = tuple[Answered, str]
"""An answer and how it is compressed; empty: not at all."""


def encoding_for(accepts: str) -> str:
    """How answers are compressed for a caller who sends this as grpc-accept-encoding; empty: not at all."""
    return first_known(accepts) if len(accepts) <= _MAX_ACCEPTS_CHARS else ""


@functools.lru_cache(maxsize=64)
def first_known(accepts: str) -> str:
    """The same of a header that is not too long."""
    names = {name.strip() for name in accepts.split(",")}
    return next((encoding for encoding in ("gzip", "deflate") if encoding in names), "")


def size_of(answer: Answered) -> int:
    """The bytes that an answer has."""
    return len(answer) if isinstance(answer, bytes | bytearray) else sum(map(len, answer))


def deflated(answer: Answered, encoding: str, level: int, is_wanted: Callable[[], bool]) -> bytes | None:
    """An answer, compressed; None: it does not become smaller, or is not wanted any more."""
    size, made, parts = size_of(answer), 0, []
    packer = zlib.compressobj(level, zlib.DEFLATED, WBITS[encoding])
    for piece in [memoryview(answer)] if isinstance(answer, bytes | bytearray) else answer:
        for at in range(0, len(piece), _PART_BYTES):
            if not is_wanted() or made >= size:
                return None
            parts.append(packer.compress(piece[at : at + _PART_BYTES]))
            made += len(parts[-1])
    parts.append(packer.flush())
    made += len(parts[-1])
    return b"".join(parts) if made < size else None


class Deflater:
    """Compresses answers elsewhere.

    Args:
        level: zlib's.
        least_bytes: of an answer that is compressed.
        submit: has work done in threads that are there for it.

    `defer` is called with the server's connections_lock held (server.py), or in tests by one thread.
    """

    def __init__(self, level: int, least_bytes: int, submit: Callable[[Callable[[], None]], object]) -> None:
        self._level = level
        self._least_bytes = least_bytes
        self._submit = submit
        self._lock = threading.Lock()  # the sum is read and written back, by those who add and by the threads
        self._waiting_bytes = 0

    @staticmethod
    def encoding(fields: Mapping[str, str]) -> str:
        """How answers to a call with these headers are compressed; empty: not at all."""
        return encoding_for(fields.get("grpc-accept-encoding", ""))

    def defer(self, stream: Stream, answer: Answered, done: Callable[[Deflated], None]) -> bool:
        """Compress an answer elsewhere. Returns False if it is to be sent as it is.

        Args:
            stream: that it goes to; when that is over, nothing is done for it any more.
            done: gets what is to be sent, in another thread, once; also if the stream is over.
        """
        nbytes = size_of(answer)
        if nbytes < self._least_bytes:
            return False
        encoding = self.encoding(stream.head.fields)
        if not encoding:
            return False
        with self._lock:
            if self._waiting_bytes and self._waiting_bytes + nbytes > MAX_WAITING_BYTES:
                return False
            self._waiting_bytes += nbytes
        self._submit(functools.partial(self._work, stream, answer, nbytes, encoding, done))
        return True

    def _work(
        self, stream: Stream, answer: Answered, nbytes: int, encoding: str, done: Callable[[Deflated], None]
    ) -> None:
        made: bytes | None = None
        try:
            made = deflated(answer, encoding, self._level, lambda: stream.open)
        except Exception:
            # Its caller gets the answer all the same.
            _LOG.exception("an answer could not be compressed")
        finally:
            with self._lock:
                self._waiting_bytes -= nbytes
        done((answer, "") if made is None else (made, encoding))
