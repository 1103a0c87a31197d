"""The bytes of all calls that are inside: one budget for all of them, so that no number of callers can ask
for
more memory than the owner gives."""

from __future__ import annotations

import threading
from typing import Protocol

import grpc

from hotgraph_server.errors import CallError

_MIB = 1 << 20

# No connection may have more of it than this part: the others shall find room whatever one of them does.
_A_CONNECTION = 0.5
_TRY_AGAIN_MS = 100

_OVER = -1


class TooMuchInside(CallError):
    """The messages of calls that are inside have as many bytes as may be held."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(self, limit: int, whose: str) -> None:
        super().__init__(
            f"calls of {whose} that are inside hold {limit / _MIB:.4g} MiB of messages, and may hold no more"
        )
        self.retry_after_ms = _TRY_AGAIN_MS


class Holder(Protocol):
    """A call, or a connection; `held_bytes` is the budget's to change."""

    held_bytes: int


class Inflight:
    """The budget. Thread-safe: bytes are counted by whoever receives them, and by those that inflate.

    Args:
        limit: bytes; one connection may hold half of it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._share = int(limit * _A_CONNECTION)
        self._lock = threading.Lock()  # the sums are read and written back, and must agree
        self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """That are inside now."""
        return self._nbytes

    def take(self, call: Holder, connection: Holder, nbytes: int) -> None:
        """A call of a connection is to hold so many bytes more. One that is over holds nothing, whoever is
        still at work for it.

        Raises:
            TooMuchInside: there is no room for them.
        """
        with self._lock:
            if call.held_bytes == _OVER:
                return
            if self._nbytes + nbytes > self._limit:
                raise TooMuchInside(self._limit, "this server")
            if connection.held_bytes + nbytes > self._share:
                raise TooMuchInside(self._share, "one connection")
            self._nbytes += nbytes
            call.held_bytes += nbytes
            connection.held_bytes += nbytes

    def give_back(self, call: Holder, connection: Holder) -> None:
        """A call holds nothing of what it held."""
        with self._lock:
            if call.held_bytes != _OVER:
                self._nbytes -= call.held_bytes
                connection.held_bytes -= call.held_bytes
                call.held_bytes = 0

    def end(self, call: Holder, connection: Holder) -> None:
        """The same, and it is over."""
        with self._lock:
            if call.held_bytes != _OVER:
                self._nbytes -= call.held_bytes
                connection.held_bytes -= call.held_bytes
                call.held_bytes = _OVER
