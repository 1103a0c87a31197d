"""A stream that a peer opened, as its connection sees it; and the connection, as its streams see it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from hotgraph_server.errors import CallError
from hotgraph_server.transport.http2.flow_control import STREAM_WINDOW, StreamFlow
from hotgraph_server.transport.http2.frames import Code
from hotgraph_server.transport.http2.header_blocks import Head, HeaderWriter


class Outgoing(Protocol):
    """What a stream sends by: its connection (send_side.py).

    Attributes:
        headers: writes the blocks of answers.
        peer: tells the connection from all others.
        held_bytes: of its calls; see inflight.Inflight.
    """

    headers: HeaderWriter
    peer: str
    held_bytes: int

    def answer(
        self,
        stream: Stream,
        message: bytes | bytearray | Sequence[memoryview],
        encoding: str = "",
        trailers: bytes = b"",
    ) -> None:
        """Send the one message of a stream, and that all went well; the stream is over then. `encoding`: how
        it is compressed; empty: not at all. `trailers`: what the block that ends it says besides."""

    def begin(self, stream: Stream, encoding: str = "") -> None:
        """Send the headers of an answer with any number of messages. `encoding`: how they may be
        compressed."""

    def send(self, stream: Stream, *pieces: bytes | bytearray | memoryview, flag: int = 0) -> None:
        """Send one message more, from its pieces, which are not copied; what there is no room for waits.
        `flag`: 1: it is compressed."""

    def end(self, stream: Stream, block: bytes) -> None:
        """Send the trailers, behind whatever waits; the stream is over then."""

    def fail(self, stream: Stream, block: bytes) -> None:
        """Send an answer of one header block only, in place of any other (trailers only)."""

    def reset(self, stream: Stream, code: Code) -> None:
        """Give the stream up."""

    def let_in(self, stream: Stream) -> None:
        """Give the peer room to send in, if it is short of it and the stream is not held."""


class Stream(StreamFlow):
    """A stream that the peer opened. What is done with it is a subclass's matter (call.py).

    Attributes:
        head: what its headers said.
        open: bytes can still be sent on it.
        held: the peer gets no more room to send in than it has.
        filling: the memory that the next bytes of data belong into, where that is known: its connection puts
            bytes there and cuts off what it has filled, but never fills it to the end, and tells of them with
            the next `on_data`, or by `on_filled` after each piece received. None: all goes to `on_data`.
        peer_done: END_STREAM has come.
        waiting: for a window: payloads of DATA (True), and behind them the header block that ends the stream
            (False); None or empty: nothing waits.

    Of its connection alone:
        opened_in: the piece received (`ControlFrames.received_pieces`) that opened it.
        content_to_come: bytes of content that it has promised; None: it has not.
        stalled_looks: how often nothing had moved; see Connection.give_up_stalled.
    """

    __slots__ = (
        "connection",
        "content_to_come",
        "filling",
        "head",
        "held",
        "number",
        "open",
        "opened_in",
        "peer_done",
        "stalled_looks",
        "waiting",
    )

    def __init__(self, connection: Outgoing, number: int, head: Head) -> None:
        # What StreamFlow's constructor does is done here: there is a stream for each call.
        self.receive_window = STREAM_WINDOW
        self.send_credit = 0
        self.connection = connection
        self.number = number
        self.head = head
        self.open = True
        self.held = False
        self.filling: memoryview | None = None
        self.peer_done = False
        self.opened_in = 0
        self.stalled_looks = 0
        self.content_to_come: int | None = None
        self.waiting: deque[tuple[memoryview, bool]] | None = None

    @property
    def unsent(self) -> int:
        """How many pieces of what was to be sent wait for a window."""
        return len(self.waiting) if self.waiting else 0

    @property
    def unsent_bytes(self) -> int:
        """How many bytes they have."""
        return sum(len(piece) for piece, _ in self.waiting) if self.waiting else 0

    @property
    def in_a_message(self) -> bool:
        """Must more come before anything can be done with what has come?"""
        return False

    def on_open(self) -> None:
        """The headers have come."""

    def on_data(self, data: memoryview, ends: bool) -> None:
        """Bytes have come; `data` is only valid during the call. `ends`: they are the last."""
        raise NotImplementedError

    def on_filled(self) -> None:
        """Bytes may have been put into `filling`."""

    def on_reset(self) -> None:
        """The peer has gone: nothing more will come, and nothing can be sent."""
        raise NotImplementedError

    def cancel(self, error: CallError | None = None) -> None:
        """The server waits no longer for what comes of it."""

    def on_room(self) -> None:
        """Nothing that was to be sent waits for a window any more."""

    def on_sent(self) -> None:
        """All was handed to the connection's `out`, or the stream is over otherwise; comes once, last."""
