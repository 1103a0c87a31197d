"""DATA frames: whose they are, whether they may come, and where their bytes go (RFC 9113, section 6.1).

See connection.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hotgraph_server.transport.http2 import flood_limits, frames
from hotgraph_server.transport.http2.frames import HEADER_BYTES, Code
from hotgraph_server.transport.http2.header_blocks import Head
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken
from hotgraph_server.transport.http2.request_headers import Requests
from hotgraph_server.transport.http2.stream import Stream

FRAME_BYTES = 2**20
"""That a frame of a peer's may have: those of tensors may be large."""


class DataFrames(Requests):
    """A connection as far as it takes in data.

    Args:
        open_stream, max_streams, on_output, clock, max_header_bytes: see Connection.
    """

    def __init__(
        self,
        open_stream: Callable[[Any, int, Head], Stream],
        max_streams: int,
        on_output: Callable[[], None],
        clock: Callable[[], float],
        max_header_bytes: int,
    ) -> None:
        super().__init__(open_stream, max_streams, on_output, clock, max_header_bytes)
        self._worked = False  # a call has come since the clock was looked at
        # Of the frame whose payload is coming in: stream, bytes of payload and padding to come, last?
        self._data: tuple[int, int, int, bool] | None = None
        self._filled: set[Stream] = set()  # since they were told last

    def _begin_data(self, data: memoryview, at: int, length: int, flags: int, number: int) -> int:
        """A DATA frame. Returns the place behind what of it was used; below zero: more of it must come."""
        if not self._heard_settings:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "the first frame is no SETTINGS")
        if length > FRAME_BYTES:
            raise ConnectionBroken(Code.FRAME_SIZE_ERROR, f"a frame has {length} bytes")
        payload, padding, ends = at + HEADER_BYTES, 0, bool(flags & frames.END_STREAM)
        if flags & frames.PADDED:
            if not length:
                raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "a padded frame has no padding")
            if payload == len(data):
                return -1
            padding = data[payload]
            payload += 1
        self._take_room(number, length)
        if flags & frames.PADDED:
            length -= 1
            if padding > length:
                raise ConnectionBroken(Code.PROTOCOL_ERROR, "padding is longer than its frame")
        if length == padding and not ends:
            self._allowance.spend()
        if payload + length <= len(data) and not padding:
            self._on_data(number, data[payload : payload + length], ends)
            return payload + length
        self._data = (number, length - padding, padding, ends)
        return payload

    def _take_room(self, number: int, length: int) -> None:
        """Count bytes of a DATA frame, padding and all."""
        if self.numbers.is_idle(number):
            raise ConnectionBroken(Code.PROTOCOL_ERROR, f"DATA on stream {number}, which was never opened")
        self.flow.received(length)
        self._give_room()
        stream = self.streams.get(number)
        if stream is None:
            # A caller that is refused in the middle of a large message has more of it on its way.
            if length < flood_limits.WORTH_BYTES:
                self._allowance.spend()
            if not self.numbers.sent(number, length):
                raise ConnectionBroken(
                    Code.FLOW_CONTROL_ERROR,
                    f"more came on stream {number}, which is over, than its window allows",
                )
            return
        stream.receive_window -= length
        if stream.receive_window < 0:
            self.reset(stream, Code.FLOW_CONTROL_ERROR)
            return
        self.let_in(stream)

    def let_in(self, stream: Stream) -> None:
        """Give the peer room to send in, if it is short of it and the stream is not held."""
        if stream.open and not stream.held and (increment := stream.reopened()):
            self._send(frames.window_update(stream.number, increment))

    def _give_room(self) -> None:
        if increment := self.flow.reopened():
            self._send(frames.window_update(0, increment))

    def _go_on_with_data(self, data: memoryview, at: int) -> int:
        """Bytes of a DATA frame that has begun. Returns the place behind them."""
        assert self._data is not None
        number, length, padding, ends = self._data
        take = min(length, len(data) - at)
        length -= take
        whole = at + take
        if take or (not length and ends):
            self._on_data(number, data[at:whole], ends and not length)
            # An end that was told must not be told again when the padding's rest comes.
            ends = ends and bool(length)
        skip = min(padding, len(data) - whole) if not length else 0
        padding -= skip
        self._data = (number, length, padding, ends) if length or padding else None
        return whole + skip

    def _on_data(self, number: int, data: memoryview, ends: bool) -> None:
        stream = self.streams.get(number)
        if stream is None:
            self._over(number, ends, "DATA")
            return
        if stream.peer_done:
            self.reset(stream, Code.STREAM_CLOSED)
            return
        if stream.content_to_come is not None:
            # What content-length promises (section 8.1.1).
            stream.content_to_come -= len(data)
            if stream.content_to_come < 0 or (ends and stream.content_to_come):
                stream.peer_done = ends
                self.reset(stream, Code.PROTOCOL_ERROR)
                return
        self._data_of(stream, data, ends)

    def _data_of(self, stream: Stream, data: memoryview, ends: bool) -> None:
        """Data that may come."""
        stream.stalled_looks = 0
        allowance = self._allowance
        filling = stream.filling
        if filling is not None and len(data) < len(filling) and not ends:
            # Most frames of a large message.
            filling[: len(data)] = data
            stream.filling = filling[len(data) :]
            self._filled.add(stream)
            if allowance.left < flood_limits.MAX and len(data) >= flood_limits.WORTH_BYTES:
                allowance.earn(flood_limits.DATA)
            return
        stream.peer_done = ends
        if ends:
            self._worked = True
            if allowance.left < flood_limits.MAX:
                allowance.earn(flood_limits.CALL)
        elif allowance.left < flood_limits.MAX and len(data) >= flood_limits.WORTH_BYTES:
            allowance.earn(flood_limits.DATA)
        stream.on_data(data, ends)

    def _tell_filled(self) -> None:
        """Tell streams of bytes that were put where they belong; behind each piece received, so that what
        budgets miss is no more than one."""
        for stream in self._filled:
            stream.on_filled()
        self._filled.clear()
