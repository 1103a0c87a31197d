"""Flow control: how many bytes either end may still send, on a stream and on its whole connection. Pure.

The rule (RFC 9113, sections 5.2 and 6.9)

* Only DATA counts, its padding included, and each frame counts twice: against the window of its stream and
  against that of its connection. It may be sent if both have room for it.
* WINDOW_UPDATE opens one window by what it says. A window of more than 2**31 - 1 is a mistake
  (FLOW_CONTROL_ERROR): of a stream's it costs the stream, of the connection's the connection. So does more
  DATA than a window has room for.
* SETTINGS_INITIAL_WINDOW_SIZE is the size that streams begin with, and counts for those that are open as
  well: their windows change by the difference, and can so become negative (section 6.9.2). It leaves the
  connection's window as it is.

So a stream's window for sending is kept as the difference from the initial one, and a new setting changes all
of them at once, without a look at each stream.

The windows that we give are opened again, to their full size, once less than half of them is left.
"""

from __future__ import annotations

from collections.abc import Iterable

from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.http2.frames import Code
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken

STREAM_WINDOW = 4 * 2**20
"""Bytes that a peer may send on a stream before it is given room for more."""

CONNECTION_WINDOW = 16 * 2**20
"""The same of all streams together."""


class StreamFlow:
    """The windows of one stream. A base class and no part of a stream, because there is one for each call.

    Attributes:
        receive_window: bytes that the peer may still send.
        send_credit: bytes that may still be sent beyond the connection's `initial_window`.
    """

    __slots__ = ("receive_window", "send_credit")

    def __init__(self) -> None:
        self.receive_window = STREAM_WINDOW
        self.send_credit = 0

    def reopened(self) -> int:
        """Open the peer's window if it is short of room. Returns by how many bytes; 0: it is not."""
        if self.receive_window >= STREAM_WINDOW // 2:
            return 0
        increment = STREAM_WINDOW - self.receive_window
        self.receive_window = STREAM_WINDOW
        return increment


class ConnectionFlow:
    """The windows of a connection, and what its peer has set for those of its streams.

    Attributes:
        receive_window: bytes that the peer may still send, on all streams.
        send_window: bytes that may still be sent, on all streams.
        initial_window: of each stream, for sending; the peer's setting.
        max_frame_bytes: that a frame of ours may have; the peer's setting.
        grew: a window for sending has grown; its owner sets this back.
    """

    __slots__ = ("grew", "initial_window", "max_frame_bytes", "receive_window", "send_window")

    def __init__(self) -> None:
        self.receive_window = frames.DEFAULT_WINDOW
        self.send_window = frames.DEFAULT_WINDOW
        self.initial_window = frames.DEFAULT_WINDOW
        self.max_frame_bytes = frames.MIN_FRAME_BYTES
        self.grew = False

    def window(self, stream: StreamFlow) -> int:
        """How many bytes of DATA may be sent on a stream, in however many frames; none if this is not above
        zero."""
        return min(self.send_window, self.initial_window + stream.send_credit)

    def room(self, stream: StreamFlow) -> int:
        """How many bytes the next frame of DATA on a stream may have; none if this is not above zero."""
        return min(self.window(stream), self.max_frame_bytes)

    def sent(self, stream: StreamFlow, nbytes: int) -> None:
        """Bytes of DATA have been sent, for which there was room."""
        self.send_window -= nbytes
        stream.send_credit -= nbytes

    def received(self, nbytes: int) -> None:
        """A frame of DATA has come, on whatever stream.

        Raises:
            ConnectionBroken: there was no room for it.
        """
        self.receive_window -= nbytes
        if self.receive_window < 0:
            raise ConnectionBroken(Code.FLOW_CONTROL_ERROR, "more came than the connection's window allows")

    def reopened(self) -> int:
        """See StreamFlow."""
        if self.receive_window >= CONNECTION_WINDOW // 2:
            return 0
        increment = CONNECTION_WINDOW - self.receive_window
        self.receive_window = CONNECTION_WINDOW
        return increment

    def opened(self, increment: int) -> None:
        """The peer has opened the connection's window for sending.

        Raises:
            ConnectionBroken: too far.
        """
        self.send_window += increment
        if self.send_window > frames.MAX_WINDOW:
            raise ConnectionBroken(Code.FLOW_CONTROL_ERROR, f"the connection's window grew by {increment}")
        self.grew = True

    def stream_opened(self, stream: StreamFlow, increment: int) -> bool:
        """The peer has opened a stream's window for sending. Returns whether it may be so large."""
        stream.send_credit += increment
        return self.initial_window + stream.send_credit <= frames.MAX_WINDOW

    def initial_set(self, value: int, streams: Iterable[StreamFlow]) -> None:
        """The peer's setting of the initial window has come.

        Args:
            streams: those that are open.

        Raises:
            ConnectionBroken: it opens one of theirs too far.
        """
        if value > self.initial_window:
            if any(value + stream.send_credit > frames.MAX_WINDOW for stream in streams):
                raise ConnectionBroken(
                    Code.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE of {value} opens a stream's window too far"
                )
            self.grew = True
        self.initial_window = value
