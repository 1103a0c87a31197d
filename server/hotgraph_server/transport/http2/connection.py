"""One HTTP/2 connection without its socket: bytes in, streams and bytes out (RFC 9113).

What it promises

* `receive` takes bytes in pieces of any size, and calls the streams' methods as things happen to them:
  `on_data` (any number of times, the last one says so), and `on_reset` if the peer gives the stream up or
  the connection breaks. What is to be sent gathers in `out`.
* A peer's mistake on a stream costs it that stream, one on the connection costs it the connection:
  `receive` raises ConnectionBroken, after which `out` holds the GOAWAY that says why.
* Nothing is sent that the peer's windows have no room for; it waits in its stream, and streams that wait
  take turns, a frame each.
* What a frame costs does not grow with the number of open streams: what peers open their windows by is
  added up, and streams that wait are looked at once for all that one `receive` takes in.
* What a peer can make us keep is bounded: one header block (64 KiB), `most_streams` streams, for each the
  message that it sends, and the answers that it does not let us send. The last grows with calls only, and
  the shell stops reading from a peer that does not read (link.py).

What it leaves out, on purpose: server push (no gRPC peer wants it), priorities (RFC 9113 deprecates them),
padding on our side, and upgrades from HTTP/1.1.

Windows inwards are wide and given back as bytes come, not as they are used: a call's message must be there
as a whole before anything can be done with it, so to hold bytes back would only hold up its end.

Threads. None here, no lock, no clock: whoever has the lane's turn (lane.py) may call anything.
"""

from __future__ import annotations

from collections.abc import Callable

from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.http2.field_decoder import BadHeaders
from hotgraph_server.transport.http2.frames import FRAME_HEADER, HEADER_BYTES, Code
from hotgraph_server.transport.http2.header_blocks import (
    HARD_HEADER_LIST_BYTES,
    MAX_HEADER_LIST_BYTES,
    Head,
    HeaderReader,
)
from hotgraph_server.transport.http2.sending import Sending
from hotgraph_server.transport.http2.stream import STREAM_WINDOW, Stream

_CONNECTION_WINDOW = 16 * 2**20

# Frames of tensors may be large; the others never are, and must fit into the buffer that they are
# received in.
_FRAME_BYTES = 2**20
_CONTROL_FRAME_BYTES = HARD_HEADER_LIST_BYTES

MOST_UNUSED_BYTES = _CONTROL_FRAME_BYTES + HEADER_BYTES
"""What `receive` may leave for the next time, at most."""


class ConnectionBroken(Exception):
    """The peer broke the protocol; nothing more can be received.

    Attributes:
        code: what the GOAWAY says.
    """

    def __init__(self, code: Code, why: str) -> None:
        self.code = code
        super().__init__(why)


class Connection(Sending):
    """The peer's side of one connection.

    Args:
        open_stream: makes the Stream for a request.
        most_streams: that a peer may have open at a time.
        on_output: called when `out` is no longer empty.

    Attributes:
        greeted: the peer has begun to speak HTTP/2.
        peer: tells it from all other connections; whoever has the socket sets it.
    """

    def __init__(
        self,
        open_stream: Callable[[Connection, int, Head], Stream],
        most_streams: int,
        on_output: Callable[[], None],
    ) -> None:
        super().__init__(on_output)
        self.greeted = False
        self.peer = ""
        self._open_stream = open_stream
        self._most_streams = most_streams
        self._reader = HeaderReader()
        self._last_stream = 0
        self._going_away = False
        # Of the DATA frame whose payload is coming in: stream, bytes of payload and padding to come, last?
        self._data: tuple[int, int, int, bool] | None = None
        # Of the header block whose end has not come: stream, fragments, END_STREAM?
        self._block: tuple[int, bytearray, bool] | None = None
        self._in_room = frames.DEFAULT_WINDOW  # bytes that the peer may still send, on all streams
        self._control = {
            frames.HEADERS: self._on_headers,
            frames.PRIORITY: self._on_priority,
            frames.RST_STREAM: self._on_rst_stream,
            frames.SETTINGS: self._on_settings,
            frames.PUSH_PROMISE: self._on_push_promise,
            frames.PING: self._on_ping,
            frames.GOAWAY: self._on_go_away,
            frames.WINDOW_UPDATE: self._on_window_update,
            frames.CONTINUATION: self._on_continuation,
        }

    # Receiving

    def receive(self, data: memoryview) -> int:
        """Take in bytes. Returns how many were used; the rest, MOST_UNUSED_BYTES or less, is to be
        given again with what comes next.

        Raises:
            ConnectionBroken: the peer broke the protocol.
        """
        try:
            used = self._receive(data)
        except ConnectionBroken as broken:
            self._send(frames.go_away(self._last_stream, broken.code, str(broken)))
            raise
        if self._room_grew:
            self._room_grew = False
            self._unblock()
        return used

    def _receive(self, data: memoryview) -> int:
        at, end = 0, len(data)
        if not self.greeted:
            if data[: len(frames.PREFACE)] != frames.PREFACE[:end]:
                raise ConnectionBroken(Code.PROTOCOL_ERROR, "this port speaks gRPC, which is HTTP/2")
            if end < len(frames.PREFACE):
                return 0
            at = len(frames.PREFACE)
            self._greet()
        while True:
            if self._data is not None:
                at = self._go_on_with_data(data, at)
                if self._data is not None:
                    return at
            if end - at < HEADER_BYTES:
                return at
            word, flags, number = FRAME_HEADER.unpack_from(data, at)
            length, kind = word >> 8, word & 0xFF
            number &= frames.STREAM_MASK
            payload = at + HEADER_BYTES
            if self._block is not None and kind != frames.CONTINUATION:
                raise ConnectionBroken(Code.PROTOCOL_ERROR, "a header block was interrupted")
            if kind == frames.DATA:
                if length > _FRAME_BYTES:
                    raise ConnectionBroken(Code.FRAME_SIZE_ERROR, f"a frame has {length} bytes")
                padding = 0
                if flags & frames.PADDED:
                    if not length:
                        raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "a padded frame has no padding")
                    if payload == end:
                        return at
                    padding = data[payload]
                    payload += 1
                self._take_room(number, length)
                if flags & frames.PADDED:
                    length -= 1
                    if padding > length:
                        raise ConnectionBroken(Code.PROTOCOL_ERROR, "padding is longer than its frame")
                if payload + length <= end and not padding:
                    at = payload + length
                    self._on_data(number, data[payload:at], bool(flags & frames.END_STREAM))
                else:
                    at = payload
                    self._data = (number, length - padding, padding, bool(flags & frames.END_STREAM))
                continue
            if length > _CONTROL_FRAME_BYTES:
                raise ConnectionBroken(Code.FRAME_SIZE_ERROR, f"a frame of type {kind} has {length} bytes")
            at = payload + length
            if at > end:
                return payload - HEADER_BYTES
            handle = self._control.get(kind)
            # What is of an unknown type is passed over, so that the protocol can grow.
            if handle is not None:
                handle(flags, number, data[payload:at])

    def _greet(self) -> None:
        self.greeted = True
        self._send(
            frames.settings(
                {
                    frames.MAX_CONCURRENT_STREAMS: self._most_streams,
                    frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                    frames.MAX_FRAME_SIZE: _FRAME_BYTES,
                    frames.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST_BYTES,
                }
            )
        )
        self._give_room()

    def _take_room(self, number: int, length: int) -> None:
        """Count bytes of a DATA frame, padding and all."""
        if not number or not number & 1 or number > self._last_stream:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, f"DATA on stream {number}, which was never opened")
        # Never below zero: no frame is longer than what is left of either window before room is given.
        self._in_room -= length
        if self._in_room < _CONNECTION_WINDOW // 2:
            self._give_room()
        stream = self.streams.get(number)
        if stream is None:
            # Reset or answered a moment ago; the peer did not know.
            return
        stream._in_room -= length
        self.let_in(stream)

    def let_in(self, stream: Stream) -> None:
        """Give the peer room to send in, if it is short of it and the stream is not held."""
        if stream._in_room < STREAM_WINDOW // 2 and stream.open and not stream.held:
            self._send(frames.window_update(stream.number, STREAM_WINDOW - stream._in_room))
            stream._in_room = STREAM_WINDOW

    def _give_room(self) -> None:
        self._send(frames.window_update(0, _CONNECTION_WINDOW - self._in_room))
        self._in_room = _CONNECTION_WINDOW

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
            return
        if stream._peer_done:
            self.reset(stream, Code.STREAM_CLOSED)
            return
        stream._peer_done = ends
        stream.on_data(data, ends)

    def _on_headers(self, flags: int, number: int, payload: memoryview) -> None:
        if flags & frames.PADDED:
            if not payload or payload[0] >= len(payload):
                raise ConnectionBroken(Code.PROTOCOL_ERROR, "padding is longer than its frame")
            payload = payload[1 : len(payload) - payload[0]]
        if flags & frames.HAS_PRIORITY:
            if len(payload) < 5:
                raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "a priority is cut off")
            payload = payload[5:]
        ends = bool(flags & frames.END_STREAM)
        if not flags & frames.END_HEADERS:
            self._block = (number, bytearray(payload), ends)
            return
        self._on_block(number, bytes(payload), ends)

    def _on_continuation(self, flags: int, number: int, payload: memoryview) -> None:
        if self._block is None or self._block[0] != number:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "a CONTINUATION continues nothing")
        _, fragments, ends = self._block
        fragments += payload
        # Compressed headers are not longer than plain ones by much, so this is long enough; empty
        # fragments would go on for ever.
        if len(fragments) > HARD_HEADER_LIST_BYTES or (not payload and not flags & frames.END_HEADERS):
            raise ConnectionBroken(Code.ENHANCE_YOUR_CALM, "a header block does not end")
        if flags & frames.END_HEADERS:
            self._block = None
            self._on_block(number, bytes(fragments), ends)

    def _on_block(self, number: int, block: bytes, ends: bool) -> None:
        try:
            head = self._reader.read(block)
        except BadHeaders as error:
            raise ConnectionBroken(Code.COMPRESSION_ERROR, f"headers cannot be decoded: {error}") from error
        if number > self._last_stream:
            if not number & 1:
                raise ConnectionBroken(Code.PROTOCOL_ERROR, f"a caller cannot open stream {number}")
            self._last_stream = number
            self._on_request(number, head, ends)
        elif not number or not number & 1:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, f"HEADERS on stream {number}")
        elif ends:
            # A caller's trailers; gRPC knows none, so only the end counts.
            self._on_data(number, memoryview(b""), True)
        elif number in self.streams:
            self.reset(self.streams[number], Code.PROTOCOL_ERROR)

    def _on_request(self, number: int, head: Head, ends: bool) -> None:
        if len(self.streams) >= self._most_streams:
            self._send(frames.rst_stream(number, Code.REFUSED_STREAM))
            return
        stream = self._open_stream(self, number, head)
        self.streams[number] = stream
        stream.on_open()
        if ends:
            self._on_data(number, memoryview(b""), True)

    def _on_priority(self, flags: int, number: int, payload: memoryview) -> None:
        if not number:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "PRIORITY on no stream")
        if len(payload) != 5:
            raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "a PRIORITY is not five bytes")

    def _on_rst_stream(self, flags: int, number: int, payload: memoryview) -> None:
        if len(payload) != 4:
            raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "a RST_STREAM is not four bytes")
        if not number or number > self._last_stream:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, f"RST_STREAM on stream {number}, which is not open")
        # However often a peer opens streams and resets them: nothing is done for one before its message is
        # there, and what is done then costs no more than a call.
        stream = self.streams.get(number)
        if stream is not None:
            self._close(stream, gone=True)

    def _on_settings(self, flags: int, number: int, payload: memoryview) -> None:
        if number:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "SETTINGS on a stream")
        if len(payload) % 6 or (flags & frames.ACK and payload):
            raise ConnectionBroken(Code.FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes")
        if flags & frames.ACK:
            return
        for identifier, value in frames.read_settings(bytes(payload)):
            if identifier == frames.INITIAL_WINDOW_SIZE:
                self._set_initial_window(value)
            elif identifier == frames.MAX_FRAME_SIZE:
                if not frames.LEAST_FRAME_SIZE <= value <= frames.MOST_FRAME_SIZE:
                    raise ConnectionBroken(Code.PROTOCOL_ERROR, f"MAX_FRAME_SIZE of {value}")
                self._peer_frame_bytes = value
            elif identifier == frames.HEADER_TABLE_SIZE:
                self.headers.peer_table(value)
            elif identifier == frames.ENABLE_PUSH and value > 1:
                raise ConnectionBroken(Code.PROTOCOL_ERROR, f"ENABLE_PUSH of {value}")
        self._send(frames.frame(frames.SETTINGS, frames.ACK, 0))

    def _set_initial_window(self, value: int) -> None:
        if value > frames.MAX_WINDOW:
            raise ConnectionBroken(Code.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE of {value}")
        # It counts for open streams too, whose room can so become negative (section 6.9.2).
        self._room_grew |= value > self.initial_window
        self.initial_window = value

    def _on_push_promise(self, flags: int, number: int, payload: memoryview) -> None:
        raise ConnectionBroken(Code.PROTOCOL_ERROR, "a caller cannot push")

    def _on_ping(self, flags: int, number: int, payload: memoryview) -> None:
        if number:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "a PING is not eight bytes")
        if not flags & frames.ACK:
            self._send(frames.frame(frames.PING, frames.ACK, 0, bytes(payload)))

    def _on_go_away(self, flags: int, number: int, payload: memoryview) -> None:
        """The peer opens no more streams; those open go on."""
        if number:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "a GOAWAY is cut off")

    def _on_window_update(self, flags: int, number: int, payload: memoryview) -> None:
        if len(payload) != 4:
            raise ConnectionBroken(Code.FRAME_SIZE_ERROR, "a WINDOW_UPDATE is not four bytes")
        increment = frames.read_number(payload) & frames.STREAM_MASK
        if not number:
            if not increment:
                raise ConnectionBroken(Code.PROTOCOL_ERROR, "a WINDOW_UPDATE of nothing")
            self._credit += increment
            if self._credit > frames.MAX_WINDOW:
                raise ConnectionBroken(
                    Code.FLOW_CONTROL_ERROR, f"the connection's window grew by {increment}"
                )
            self._room_grew = True
            return
        if number > self._last_stream:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, f"WINDOW_UPDATE on stream {number}, never opened")
        stream = self.streams.get(number)
        if stream is None:
            return
        stream._credit += increment
        if not increment:
            self.reset(stream, Code.PROTOCOL_ERROR)
        elif self.initial_window + stream._credit > frames.MAX_WINDOW:
            self.reset(stream, Code.FLOW_CONTROL_ERROR)
        elif stream._waiting:
            self._room_grew = True

    # Leaving

    def go_away(self) -> None:
        """Ask the peer to open its next streams elsewhere; those open, and those on their way, go on."""
        if self.greeted and not self._going_away:
            self._going_away = True
            self._send(frames.go_away(frames.ALL_STREAMS, Code.NO_ERROR))

    def say_goodbye(self) -> None:
        """The last words before the connection is closed."""
        if self.greeted:
            self._send(frames.go_away(self._last_stream, Code.NO_ERROR))
