"""The sending half of a connection: answers, and what waits for the peer's windows. See connection.py."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from hotgraph_server.transport.http2 import flood_limits, frames
from hotgraph_server.transport.http2.frames import FRAME_HEADER, Code
from hotgraph_server.transport.http2.header_blocks import HeaderWriter
from hotgraph_server.transport.http2.stream import Stream
from hotgraph_server.transport.http2.stream_ids import StreamNumbers

# Smaller pieces at a message's beginning are copied together.
_WORTH_A_FRAME = 1024

_LAST_HEADERS = frames.END_HEADERS | frames.END_STREAM


class Sending:
    """What a connection sends, and the streams that it sends it on.

    Args:
        on_output: called when `out` is no longer empty.
        clock: monotonic seconds.

    Attributes:
        out: bytes to send, in order; whoever sends takes them away.
        out_bytes: how many they are.
        streams: those that are open, by number.
        numbers: which of those that are over may still say something.
        headers: writes the blocks of answers.
        initial_window: of a new stream, for sending.
    """

    def __init__(self, on_output: Callable[[], None], clock: Callable[[], float]) -> None:
        self.out: list[bytes | memoryview] = []
        self.out_bytes = 0
        self.streams: dict[int, Stream] = {}
        self.numbers = StreamNumbers()
        self.headers = HeaderWriter()
        self.initial_window = frames.DEFAULT_WINDOW
        self._on_output = on_output
        self._allowance = flood_limits.Allowance(clock)
        self._credit = frames.DEFAULT_WINDOW  # bytes that we may still send, on all streams
        self._room_grew = False  # since those that are blocked were looked at
        self._peer_frame_bytes = frames.MIN_FRAME_BYTES
        self._blocked: dict[int, Stream] = {}  # in the order of their turns

    def answer(self, stream: Stream, message: bytes | bytearray | Sequence[memoryview]) -> None:
        """The one message of a stream, and that all went well; the stream is over then."""
        if not isinstance(message, bytes | bytearray):
            self.begin(stream)
            self.send(stream, *message)
            self.end(stream, self.headers.end)
            return
        number, length = stream.number, len(message) + 5
        headers = self.headers
        room = min(self._credit, self.initial_window + stream._credit, self._peer_frame_bytes)
        if length > room or headers.due:
            self.begin(stream)
            self.send(stream, message)
            self.end(stream, headers.end)
            return
        self._credit -= length
        begin, end = headers.begin, headers.end
        headers.begun()
        pack = FRAME_HEADER.pack
        self._send(
            b"".join(
                (
                    pack(len(begin) << 8 | frames.HEADERS, frames.END_HEADERS, number),
                    begin,
                    pack(length << 8 | frames.DATA, 0, number),
                    b"\x00",
                    (length - 5).to_bytes(4, "big"),
                    message,
                    pack(len(end) << 8 | frames.HEADERS, _LAST_HEADERS, number),
                    end,
                )
            )
        )
        self._close(stream, gone=False)

    def begin(self, stream: Stream) -> None:
        """The headers of an answer with any number of messages."""
        block = self.headers.take_due() + self.headers.begin
        self.headers.begun()
        self._send(frames.frame(frames.HEADERS, frames.END_HEADERS, stream.number, block))

    def send(self, stream: Stream, *pieces: bytes | bytearray | memoryview) -> None:
        """One message more, from its pieces, which are not copied; what there is no room for waits."""
        waited = bool(stream._waiting)
        if stream._waiting is None:
            stream._waiting = deque()
        prefix = b"\x00" + sum(map(len, pieces)).to_bytes(4, "big")
        # Together with what is little of the message, as a rule all but one tensor: each piece is a frame.
        first = 0
        while first < len(pieces) and len(pieces[first]) < _WORTH_A_FRAME:
            prefix += pieces[first]
            first += 1
        stream._waiting.append((memoryview(prefix), True))
        stream._waiting.extend((memoryview(piece), True) for piece in pieces[first:] if piece)
        if not waited:
            self._push(stream)

    def end(self, stream: Stream, block: bytes) -> None:
        """The trailers, behind whatever waits; the stream is over then."""
        if stream._waiting:
            stream._waiting.append((memoryview(block), False))
        else:
            self._end(stream, block)

    def fail(self, stream: Stream, block: bytes) -> None:
        """An answer of one header block only, in place of any other (trailers only)."""
        self._end(stream, block)

    def reset(self, stream: Stream, code: Code) -> None:
        """Give a stream up."""
        self._send(frames.rst_stream(stream.number, code))
        # Even one that had ended may have frames on their way, if that is its mistake.
        self.numbers.left(stream.number, stream._in_room)
        self._close(stream, gone=True)

    def lose(self) -> None:
        """The peer has gone: every open stream is told."""
        for stream in list(self.streams.values()):
            self._close(stream, gone=True)

    @property
    def blocked(self) -> bool:
        """Does something wait for the peer to open its windows?"""
        return bool(self._blocked)

    def _send(self, data: bytes | memoryview) -> None:
        if not self.out:
            self._on_output()
        self.out.append(data)
        self.out_bytes += len(data)

    def _push(self, stream: Stream) -> None:
        """Send what windows have room for, of one stream alone. That is fair: while the connection's window
        has room, the others that wait do so for their own."""
        while stream._waiting and self._send_some(stream):
            pass
        if stream._waiting:
            self._blocked[stream.number] = stream

    def _unblock(self) -> None:
        """Send what windows have room for, a frame a stream in turn."""
        blocked = self._blocked
        stuck = 0
        while self._credit > 0 and stuck < len(blocked):
            number = next(iter(blocked))
            stream = blocked.pop(number)
            stuck = 0 if self._send_some(stream) else stuck + 1
            if stream._waiting:
                blocked[number] = stream
            else:
                stream.on_room()

    def _send_some(self, stream: Stream) -> bool:
        """The next frame of a stream, and its end if that comes then. Returns whether there was room."""
        waiting = stream._waiting
        assert waiting
        room = min(self._credit, self.initial_window + stream._credit, self._peer_frame_bytes)
        if room <= 0:
            return False
        payload, _ = waiting[0]
        piece = payload[:room]
        stream._credit -= len(piece)
        stream._looks = 0
        self._credit -= len(piece)
        self._send(FRAME_HEADER.pack(len(piece) << 8 | frames.DATA, 0, stream.number))
        self._send(piece)
        if len(piece) < len(payload):
            waiting[0] = (payload[room:], True)
            # A peer that opens its windows byte by byte gets nothing for it.
            if len(piece) >= flood_limits.WORTH_BYTES:
                self._allowance.earn(flood_limits.DATA)
            return True
        self._allowance.earn(flood_limits.DATA)
        waiting.popleft()
        if waiting and not waiting[0][1]:
            # The end needs no room.
            self._end(stream, bytes(waiting[0][0]))
        return True

    def _end(self, stream: Stream, block: bytes) -> None:
        block = self.headers.take_due() + block
        self._send(frames.frame(frames.HEADERS, _LAST_HEADERS, stream.number, block))
        if not stream._peer_done:
            # So that it does not go on sending what nobody will read (RFC 9113, section 8.1).
            self._send(frames.rst_stream(stream.number, Code.NO_ERROR))
        self._close(stream, gone=False)

    def _close(self, stream: Stream, gone: bool) -> None:
        stream.open = False
        stream._waiting = None
        if not stream._peer_done:
            self.numbers.left(stream.number, stream._in_room)
        self._blocked.pop(stream.number, None)
        del self.streams[stream.number]
        if gone:
            stream.on_reset()
        stream.on_sent()
