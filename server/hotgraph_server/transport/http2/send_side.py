"""The sending half of a connection: answers, and what waits for the peer's windows (flow_control.py). See
connection.py."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from hotgraph_server.errors import CallError
from hotgraph_server.transport.http2 import flood_limits, frames
from hotgraph_server.transport.http2.flow_control import ConnectionFlow
from hotgraph_server.transport.http2.frames import FRAME_HEADER, Code
from hotgraph_server.transport.http2.header_blocks import ENCODED, HeaderWriter
from hotgraph_server.transport.http2.messages import PREFIX
from hotgraph_server.transport.http2.stream import Stream
from hotgraph_server.transport.http2.stream_ids import StreamNumbers

# Smaller pieces at a message's beginning are copied together.
_WORTH_A_FRAME = 1024

# Frames that one stream may send in one go.
_MANY = 2**16

_LAST_HEADERS = frames.END_HEADERS | frames.END_STREAM

LAST_CALL = b"lastcall"
"""What a peer that is asked to go is pinged with: once that comes back, it has read that it is to go."""


class SendSide:
    """What a connection sends, and the streams that it sends it on.

    Args:
        on_output: called when `out` is no longer empty.
        clock: monotonic seconds.

    Attributes:
        out: bytes to send, in order; its socket takes them away.
        out_bytes: how many they are.
        streams: those that are open, by number.
        numbers: which of those that are over may still say something.
        headers: writes the blocks of answers.
        flow: its windows.
        greeted: the peer has begun to speak HTTP/2.
        peer: tells it from all other connections; its socket sets it.
        held_bytes: of its calls; see inflight.Inflight.
        refusal: what all its calls are refused with; None: they are taken.
        ended: all is said; see Spoken (sockets/spoken.py).
    """

    # See Spoken (sockets/spoken.py): windows are what holds a peer, and ConnectionBroken ends it.
    holds = patient = crowded = False
    unsent_bytes = 0

    def __init__(self, on_output: Callable[[], None], clock: Callable[[], float]) -> None:
        self.out: list[bytes | memoryview] = []
        self.out_bytes = 0
        self.streams: dict[int, Stream] = {}
        self.numbers = StreamNumbers()
        self.headers = HeaderWriter()
        self.flow = ConnectionFlow()
        self.greeted = False
        self.peer = ""
        self.held_bytes = 0
        self.refusal: CallError | None = None
        self.ended = False
        self._on_output = on_output
        self._allowance = flood_limits.Allowance(clock)
        self._going_away = False
        self._closes = False  # the last stream that is answered has been named
        self._blocked: dict[int, Stream] = {}  # in the order of their turns

    def answer(
        self,
        stream: Stream,
        message: bytes | bytearray | Sequence[memoryview],
        encoding: str = "",
        trailers: bytes = b"",
    ) -> None:
        """The one message of a stream, and that all went well; the stream is over then."""
        if encoding or not isinstance(message, bytes | bytearray):
            pieces = (message,) if isinstance(message, bytes | bytearray) else message
            self.begin(stream, encoding)
            self.send(stream, *pieces, flag=int(bool(encoding)))
            self.end(stream, self.headers.end + trailers)
            return
        number, length = stream.number, len(message) + 5
        headers = self.headers
        if length > self.flow.room(stream) or headers.due:
            self.begin(stream)
            self.send(stream, message)
            self.end(stream, headers.end + trailers)
            return
        self.flow.send_window -= length
        begin, end = headers.begin, headers.end + trailers
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

    def begin(self, stream: Stream, encoding: str = "") -> None:
        """The headers of an answer with any number of messages."""
        block = self.headers.take_due() + self.headers.begin + ENCODED[encoding]
        self.headers.begun()
        self._send(frames.frame(frames.HEADERS, frames.END_HEADERS, stream.number, block))

    def send(self, stream: Stream, *pieces: bytes | bytearray | memoryview, flag: int = 0) -> None:
        """One message more, from its pieces, which are not copied; what there is no room for waits."""
        waited = bool(stream.waiting)
        if stream.waiting is None:
            stream.waiting = deque()
        prefix = PREFIX.pack(flag, sum(map(len, pieces)))
        # Together with what is little of the message, as a rule all but one tensor: each piece is a frame.
        first = 0
        while first < len(pieces) and len(pieces[first]) < _WORTH_A_FRAME:
            prefix += pieces[first]
            first += 1
        stream.waiting.append((memoryview(prefix), True))
        stream.waiting.extend((memoryview(piece), True) for piece in pieces[first:] if piece)
        if not waited:
            self._push(stream)

    def end(self, stream: Stream, block: bytes) -> None:
        """The trailers, behind whatever waits; the stream is over then."""
        if stream.waiting:
            stream.waiting.append((memoryview(block), False))
        else:
            self._end(stream, block)

    def fail(self, stream: Stream, block: bytes) -> None:
        """An answer of one header block only, in place of any other (trailers only)."""
        self._end(stream, block)

    def reset(self, stream: Stream, code: Code) -> None:
        """Give a stream up."""
        self._send(frames.rst_stream(stream.number, code))
        # Even one that had ended may have frames on their way, if that is its mistake.
        self.numbers.left(stream.number, stream.receive_window)
        self._close(stream, gone=True)

    def go_away(self, *, at_once: bool = True) -> bool:
        """Ask the peer to open its next streams elsewhere; those open, and those on their way, go on. Returns
        whether it is asked now, and was not before.

        When it has heard that, it is told which stream is the last (RFC 9113, section 6.8), and the
        connection is closed behind the answers. One that does not answer pings stays, until who has asked it
        thinks better of it.
        """
        if not self.greeted or self._going_away:
            return False
        self._going_away = True
        ping = frames.frame(frames.PING, 0, 0, LAST_CALL)
        self._send(frames.go_away(frames.ALL_STREAMS, Code.NO_ERROR) + ping)
        return True

    def _on_last_call(self) -> None:
        """The peer has heard that it is to go, and all that it said before has come."""
        if not self._going_away or self._closes:
            return
        self._closes = True
        self._send(frames.go_away(self.numbers.last, Code.NO_ERROR))
        self.ended = not self.streams

    def say_goodbye(self) -> None:
        """The last words before the connection is closed."""
        if self.greeted:
            self._send(frames.go_away(self.numbers.last, Code.NO_ERROR))

    def on_sent(self) -> None:
        """Nothing waits for that: streams have windows."""

    def cancel(self, error: CallError | None = None) -> None:
        """The server waits for no call any longer; see Spoken."""
        for stream in list(self.streams.values()):
            stream.cancel(error)

    def lose(self) -> None:
        """The peer has gone: every open stream is told."""
        for stream in list(self.streams.values()):
            self._close(stream, gone=True)

    @property
    def calls(self) -> int:
        """See Spoken."""
        return self.numbers.last

    @property
    def quiet(self) -> bool:
        """See Spoken."""
        return not self.streams

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
        while stream.waiting and self._send_some(stream, _MANY):
            pass
        if stream.waiting:
            self._blocked[stream.number] = stream

    def _unblock(self) -> None:
        """Send what windows have room for, a frame a stream in turn."""
        blocked = self._blocked
        stuck = 0
        while self.flow.send_window > 0 and stuck < len(blocked):
            number = next(iter(blocked))
            stream = blocked.pop(number)
            stuck = 0 if self._send_some(stream, 1) else stuck + 1
            if stream.waiting:
                blocked[number] = stream
            else:
                stream.on_room()

    def _send_some(self, stream: Stream, most: int) -> bool:
        """The next frames of a stream, of one payload and at most so many, and its end if that comes then.
        Returns whether there was room."""
        waiting = stream.waiting
        assert waiting
        flow = self.flow
        room, frame_bytes = flow.window(stream), flow.max_frame_bytes
        if room <= 0:
            return False
        payload, _ = waiting[0]
        room = min(room, len(payload), most * frame_bytes)
        flow.sent(stream, room)
        stream.stalled_looks = 0
        count, rest = divmod(room, frame_bytes)
        header = FRAME_HEADER.pack(frame_bytes << 8 | frames.DATA, 0, stream.number)
        for at in range(0, count * frame_bytes, frame_bytes):
            self._send(header)
            self._send(payload[at : at + frame_bytes])
        if rest:
            self._send(FRAME_HEADER.pack(rest << 8 | frames.DATA, 0, stream.number))
            self._send(payload[room - rest : room])
        if room < len(payload):
            waiting[0] = (payload[room:], True)
            # A peer that opens its windows byte by byte gets nothing for it.
            if rest >= flood_limits.WORTH_BYTES:
                count += 1
            if count:
                self._allowance.earn(flood_limits.DATA * count)
            return True
        self._allowance.earn(flood_limits.DATA * (count + bool(rest)))
        waiting.popleft()
        if waiting and not waiting[0][1]:
            # The end needs no room.
            self._end(stream, bytes(waiting[0][0]))
        return True

    def _end(self, stream: Stream, block: bytes) -> None:
        block = self.headers.take_due() + block
        self._send(frames.frame(frames.HEADERS, _LAST_HEADERS, stream.number, block))
        if not stream.peer_done:
            # So that it does not go on sending what no method will read (RFC 9113, section 8.1).
            self._send(frames.rst_stream(stream.number, Code.NO_ERROR))
        self._close(stream, gone=False)

    def _close(self, stream: Stream, gone: bool) -> None:
        stream.open = False
        stream.waiting = None
        if not stream.peer_done:
            self.numbers.left(stream.number, stream.receive_window)
        self._blocked.pop(stream.number, None)
        del self.streams[stream.number]
        if self._closes and not self.streams:
            self.ended = True
        if gone:
            stream.on_reset()
        stream.on_sent()
