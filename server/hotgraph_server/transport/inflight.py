"""The bytes of all calls that are inside: one budget for all of them, so that no number of callers can ask
for more memory than the owner gives.

What a connection may hold is never more than what is free then: one alone gets half, two that grow side by
side a third each. At worst each takes half of what is left at one go, and then half as much is left for the
next: so a connection that comes finds room, whatever the others do, and none of them has to be told to give
something back. (Switches share their buffers among ports
by the same rule, as "dynamic thresholds".)
"""

from __future__ import annotations

import threading
from typing import Protocol

import grpc

from hotgraph_server.errors import CallError

_MIB = 1 << 20

_TRY_AGAIN_MS = 100

_OVER = -1


class TooMuchInside(CallError):
    """The messages of calls that are inside have as many bytes as may be held."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.retry_after_ms = _TRY_AGAIN_MS


class Holder(Protocol):
    """A call, a message of one, or a connection; `held_bytes` is the budget's to change."""

    held_bytes: int


class Held:
    """A message that its call does not hold any more: the method that works on it does."""

    __slots__ = ("held_bytes",)

    def __init__(self) -> None:
        self.held_bytes = 0


class Inflight:
    """The budget. Thread-safe: bytes are counted by the thread that receives them, and by those that inflate.

    Attributes:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()  # the sums are read and written back, and must agree
        self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """That are inside now."""
        return self._nbytes

    def take(self, call: Holder, connection: Holder, nbytes: int) -> None:
        """A call of a connection is to hold so many bytes more. One that is over holds nothing, though a
        thread may still be at work for it.

        Raises:
            TooMuchInside: there is no room for them.
        """
        with self._lock:
            if call.held_bytes == _OVER or not nbytes:
                return
            free, held = self.limit - self._nbytes - nbytes, connection.held_bytes + nbytes
            if free < 0:
                raise TooMuchInside(
                    f"the messages of all calls may hold {self.limit / _MIB:.4g} MiB, and too little is free"
                )
            if held > free:
                raise TooMuchInside(
                    f"the calls of this connection would hold {held / _MIB:.4g} MiB of messages, and leave"
                    f" {free / _MIB:.4g} MiB to others"
                )
            self._nbytes += nbytes
            call.held_bytes += nbytes
            connection.held_bytes += nbytes

    def settle(self, call: Holder, connection: Holder, nbytes: int) -> None:
        """A call holds just so many bytes now, which were taken before, or are its answers': those are not
        refused, but while they lie here its connection takes in less."""
        with self._lock:
            if call.held_bytes != _OVER:
                more = nbytes - call.held_bytes
                self._nbytes += more
                connection.held_bytes += more
                call.held_bytes = nbytes

    def end(self, call: Holder, connection: Holder) -> None:
        """The same, and it is over."""
        with self._lock:
            if call.held_bytes != _OVER:
                self._nbytes -= call.held_bytes
                connection.held_bytes -= call.held_bytes
                call.held_bytes = _OVER


class InflightOfEach(Inflight):
    """The same for a port of few connections: each may hold so much, whatever the others do. So nobody is
    refused for what somebody else has sent, or does not read."""

    def take(self, call: Holder, connection: Holder, nbytes: int) -> None:
        """See Inflight."""
        with self._lock:
            if call.held_bytes == _OVER or not nbytes:
                return
            held = connection.held_bytes + nbytes
            if held > self.limit:
                raise TooMuchInside(
                    f"the calls of this connection would hold {held} bytes of messages, and may {self.limit}"
                )
            self._nbytes += nbytes
            call.held_bytes += nbytes
            connection.held_bytes += nbytes
