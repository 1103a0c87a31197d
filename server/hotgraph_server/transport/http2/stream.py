"""A stream that a peer opened, as its connection sees it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hotgraph_server.transport.http2.header_blocks import Head

if TYPE_CHECKING:
    from hotgraph_server.transport.http2.connection import Connection

STREAM_WINDOW = 4 * 2**20
"""Bytes that a peer may send on a stream before it is given room for more."""


class Stream:
    """A stream that the peer opened. What is done with it is a subclass's matter (calls.py).

    Attributes:
        head: what its headers said.
        open: bytes can still be sent on it.
        held: the peer gets no more room to send in than it has.
    """

    __slots__ = (
        "_born",
        "_credit",
        "_in_room",
        "_looks",
        "_peer_done",
        "_to_come",
        "_waiting",
        "connection",
        "head",
        "held",
        "number",
        "open",
    )

    def __init__(self, connection: Connection, number: int, head: Head) -> None:
        self.connection = connection
        self.number = number
        self.head = head
        self.open = True
        self.held = False
        self._peer_done = False  # END_STREAM has come
        self._born = 0  # the connection's turn in which it was opened
        self._looks = 0  # how often nothing had moved; see Connection.give_up_stalled
        self._to_come: int | None = None  # bytes of content that it has promised; None: it has not
        self._in_room = STREAM_WINDOW  # bytes that the peer may still send
        # Bytes that we may still send beyond the connection's `initial_window`, which so can change without a
        # look at each stream.
        self._credit = 0
        # What waits for a window: payloads of DATA, and behind them the header block that ends the stream.
        self._waiting: deque[tuple[memoryview, bool]] | None = None

    @property
    def unsent(self) -> int:
        """How many pieces of what was to be sent wait for a window."""
        return len(self._waiting) if self._waiting else 0

    @property
    def unsent_bytes(self) -> int:
        """How many bytes they have."""
        return sum(len(piece) for piece, _ in self._waiting) if self._waiting else 0

    @property
    def in_a_message(self) -> bool:
        """Must more come before anything can be done with what has come?"""
        return False

    def on_open(self) -> None:
        """The headers have come."""

    def on_data(self, data: memoryview, ends: bool) -> None:
        """Bytes have come; `data` is only valid during the call. `ends`: they are the last."""
        raise NotImplementedError

    def on_reset(self) -> None:
        """The peer has gone: nothing more will come, and nothing can be sent."""
        raise NotImplementedError

    def on_room(self) -> None:
        """Nothing that was to be sent waits for a window any more."""

    def on_sent(self) -> None:
        """All was handed to the connection's `out`, or the stream is over otherwise; comes once, last."""
