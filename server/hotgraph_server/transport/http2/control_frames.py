"""Frames that are about the connection, or about a stream but neither its headers nor its data.

RFC 9113, sections 6.3 to 6.9. See connection.py.
"""

from __future__ import annotations

from collections.abc import Callable

from hotgraph_server.transport.http2 import flood_limits, frames
from hotgraph_server.transport.http2.frames import Code
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken
from hotgraph_server.transport.http2.send_side import LAST_CALL, SendSide

# Of this many open streams each is a look worth a frame, when a setting concerns them all.
_STREAMS_A_FRAME = 64
_SETTINGS_A_FRAME = 8


class ControlFrames(SendSide):
    """A connection as far as it is controlled by its peer.

    Args:
        on_output, clock: see SendSide.

    Attributes:
        received_pieces: how many pieces of bytes have been received.
    """

    def __init__(self, on_output: Callable[[], None], clock: Callable[[], float]) -> None:
        super().__init__(on_output, clock)
        self.received_pieces = 0
        self._heard_settings = False
        self._control = {
            frames.PRIORITY: self._on_priority,
            frames.RST_STREAM: self._on_rst_stream,
            frames.SETTINGS: self._on_settings,
            frames.PUSH_PROMISE: self._on_push_promise,
            frames.PING: self._on_ping,
            frames.GOAWAY: self._on_go_away,
            frames.WINDOW_UPDATE: self._on_window_update,
        }

    def _on_priority(self, flags: int, number: int, payload: memoryview) -> None:
        self._allowance.spend()
        if not number:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "PRIORITY on no stream")
        if len(payload) != 5:
            stream = self.streams.get(number)
            if stream is None:
                self._send(frames.rst_stream(number, Code.FRAME_SIZE_ERROR))
            else:
                self.reset(stream, Code.FRAME_SIZE_ERROR)

    def _on_rst_stream(self, flags: int, number: int, payload: memoryview) -> None:
        if len(payload) != 4:
            raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "a RST_STREAM is not four bytes")
        if self.numbers.is_idle(number):
            raise ConnectionBroken(Code.PROTOCOL_ERROR, f"RST_STREAM on stream {number}, which is not open")
        stream = self.streams.get(number)
        if stream is None:
            self.numbers.done(number)
            self._allowance.spend()
            return
        is_rapid = stream.in_a_message or stream.opened_in == self.received_pieces
        stream.peer_done = True
        self._close(stream, gone=True)
        self._allowance.spend(flood_limits.RAPID_RESET if is_rapid else 1)

    def _on_settings(self, flags: int, number: int, payload: memoryview) -> None:
        if number:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "SETTINGS on a stream")
        if len(payload) % 6 or (flags & frames.ACK and payload):
            raise ConnectionBroken(Code.FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes")
        self._allowance.spend(1 + len(payload) // (6 * _SETTINGS_A_FRAME))
        if flags & frames.ACK:
            return
        self._heard_settings = True
        for identifier, value in frames.read_settings(bytes(payload)):
            if identifier == frames.INITIAL_WINDOW_SIZE:
                self._set_initial_window(value)
            elif identifier == frames.MAX_FRAME_SIZE:
                if not frames.MIN_FRAME_BYTES <= value <= frames.MAX_FRAME_BYTES:
                    raise ConnectionBroken(Code.PROTOCOL_ERROR, f"MAX_FRAME_SIZE of {value}")
                self.flow.max_frame_bytes = value
            elif identifier == frames.HEADER_TABLE_SIZE:
                self.headers.peer_table(value)
            elif identifier == frames.ENABLE_PUSH and value > 1:
                raise ConnectionBroken(Code.PROTOCOL_ERROR, f"ENABLE_PUSH of {value}")
        self._send(frames.frame(frames.SETTINGS, frames.ACK, 0))

    def _set_initial_window(self, value: int) -> None:
        if value > frames.MAX_WINDOW:
            raise ConnectionBroken(Code.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE of {value}")
        if value > self.flow.initial_window:
            # For the look at each of them.
            self._allowance.spend(len(self.streams) // _STREAMS_A_FRAME)
        self.flow.initial_set(value, self.streams.values())

    def _on_push_promise(self, flags: int, number: int, payload: memoryview) -> None:
        raise ConnectionBroken(Code.PROTOCOL_ERROR, "a caller cannot push")

    def _on_ping(self, flags: int, number: int, payload: memoryview) -> None:
        if number:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "a PING is not eight bytes")
        self._allowance.spend()
        if not flags & frames.ACK:
            self._send(frames.frame(frames.PING, frames.ACK, 0, bytes(payload)))
        elif payload == LAST_CALL:
            self._on_last_call()

    def _on_go_away(self, flags: int, number: int, payload: memoryview) -> None:
        """The peer opens no more streams; those open go on."""
        self._allowance.spend()
        if number:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "a GOAWAY is cut off")

    def _on_window_update(self, flags: int, number: int, payload: memoryview) -> None:
        if len(payload) != 4:
            raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "a WINDOW_UPDATE is not four bytes")
        self._allowance.spend()
        increment = int.from_bytes(payload, "big") & frames.STREAM_MASK
        if not number:
            if not increment:
                raise ConnectionBroken(Code.PROTOCOL_ERROR, "a WINDOW_UPDATE of nothing")
            self.flow.opened(increment)
            return
        stream = self.streams.get(number)
        if stream is None:
            if self.numbers.is_idle(number):
                raise ConnectionBroken(Code.PROTOCOL_ERROR, f"WINDOW_UPDATE on stream {number}, never opened")
        elif not increment:
            self.reset(stream, Code.PROTOCOL_ERROR)
        elif not self.flow.stream_opened(stream, increment):
            self.reset(stream, Code.FLOW_CONTROL_ERROR)
        elif stream.waiting:
            self.flow.grew = True
