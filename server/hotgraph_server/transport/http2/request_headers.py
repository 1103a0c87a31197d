"""Header blocks as they come: which begin a request, which end one, which cannot be (RFC 9113, sections 6.2,
6.10 and 8). See connection.py."""

from __future__ import annotations

from collections.abc import Callable

from hotgraph_server.transport.http2 import flood_limits, frames
from hotgraph_server.transport.http2.control_frames import ControlFrames
from hotgraph_server.transport.http2.flow_control import STREAM_WINDOW
from hotgraph_server.transport.http2.frames import Code
from hotgraph_server.transport.http2.header_blocks import HARD_HEADER_LIST_BYTES, Head, HeaderReader
from hotgraph_server.transport.http2.hpack_decoder import BadHeaders, TooManyHeaders
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken
from hotgraph_server.transport.http2.stream import Stream


class Requests(ControlFrames):
    """A connection as far as its peer opens streams.

    Args:
        open_stream: makes the Stream for a request; gets its connection, its number and its head.
        max_streams: that a peer may have open at a time.
        on_output, clock: see ControlFrames.
        max_header_bytes: of a request's fields; see HeaderReader.
    """

    def __init__(
        self,
        open_stream: Callable[[Requests, int, Head], Stream],
        max_streams: int,
        on_output: Callable[[], None],
        clock: Callable[[], float],
        max_header_bytes: int,
    ) -> None:
        super().__init__(on_output, clock)
        self._open_stream = open_stream
        self._max_streams = max_streams
        self._reader = HeaderReader(max_header_bytes)
        # Of the header block whose end has not come: stream, fragments, END_STREAM?
        self._block: tuple[int, bytearray, bool] | None = None
        self._control[frames.HEADERS] = self._on_headers
        self._control[frames.CONTINUATION] = self._on_continuation

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
        self._allowance.spend()
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
        numbers = self.numbers
        begins = number > numbers.last
        try:
            # Whatever becomes of the stream: the table must stay in step with the peer's.
            head = self._reader.read(block, trailers=not begins)
        except TooManyHeaders as error:
            raise ConnectionBroken(Code.ENHANCE_YOUR_CALM, str(error)) from error
        except BadHeaders as error:
            raise ConnectionBroken(Code.COMPRESSION_ERROR, f"headers cannot be decoded: {error}") from error
        if self._reader.changed:
            self._allowance.spend()
        if not number or not number & 1:
            raise ConnectionBroken(Code.PROTOCOL_ERROR, f"a caller cannot open stream {number}")
        if begins:
            numbers.opened(number)
            self._on_request(number, head, ends)
        elif number in self.streams:
            self._on_trailers(self.streams[number], head, ends)
        elif numbers.was_passed_over(number):
            raise ConnectionBroken(
                Code.PROTOCOL_ERROR, f"stream {number} is opened after stream {numbers.last}"
            )
        else:
            self._allowance.spend()
            self._over(number, ends, "HEADERS")

    def _on_request(self, number: int, head: Head, ends: bool) -> None:
        refusal = None
        if head.fault:
            refusal = Code.PROTOCOL_ERROR
        elif ends and head.length:
            # The content that it promises will not come.
            refusal = Code.PROTOCOL_ERROR
        elif len(self.streams) >= self._max_streams or self._closes:
            refusal = Code.REFUSED_STREAM
        if refusal is not None:
            if not ends:
                self.numbers.left(number, STREAM_WINDOW)
            self._send(frames.rst_stream(number, refusal))
            self._allowance.spend(flood_limits.RAPID_RESET)
            return
        stream = self._open_stream(self, number, head)
        stream.opened_in = self.received_pieces
        stream.content_to_come = head.length
        self.streams[number] = stream
        stream.on_open()
        if ends:
            self._on_data(number, memoryview(b""), True)

    def _on_trailers(self, stream: Stream, head: Head, ends: bool) -> None:
        """What a caller says at the end; gRPC knows nothing that it could be, so only the end counts."""
        if stream.peer_done:
            self.reset(stream, Code.STREAM_CLOSED)
        elif head.fault or not ends:
            self.reset(stream, Code.PROTOCOL_ERROR)
        else:
            self._on_data(stream.number, memoryview(b""), True)

    def _over(self, number: int, ends: bool, what: str) -> None:
        """Something has come for a stream that is not open any more."""
        if not self.numbers.may_speak(number):
            raise ConnectionBroken(Code.STREAM_CLOSED, f"{what} on stream {number}, which is over")
        # Reset or answered a moment ago; the peer did not know.
        if ends:
            self.numbers.done(number)

    def _on_data(self, number: int, data: memoryview, ends: bool) -> None:
        raise NotImplementedError
