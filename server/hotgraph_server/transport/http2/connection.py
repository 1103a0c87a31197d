"""One HTTP/2 connection without its socket: bytes in, streams and bytes out (RFC 9113).

What it promises

* `receive` takes bytes in pieces of any size, and calls the streams' methods as things happen to them:
  `on_data` (any number of times, the last one says so), and `on_reset` if the peer gives the stream up or
  the connection breaks. What is to be sent gathers in `out`.
* A peer's mistake on a stream costs it that stream, one on the connection costs it the connection:
  `receive` raises ConnectionBroken, after which `out` holds the GOAWAY that says why. A malformed request is
  reset, and no call comes of it (field_rules.py).
* Nothing is sent that the peer's windows have no room for; it waits in its stream, and streams that wait
  take turns, a frame each. Nothing is taken that our windows have no room for.
* What a frame costs does not grow with the number of open streams: what peers open their windows by is
  added up, and streams that wait are looked at once for all that one `receive` takes in.
* `receive` ends when its time is up, wherever it is (`unfinished`), so that other connections are served.
* Frames that carry no call are limited (flood_limits.py).
* What a peer can make us keep is bounded: one header block (64 KiB), `max_streams` streams, for each the
  message that it sends, and the answers that it does not let us send. The last grows with calls only, and the
  shell stops reading from a peer that does not read (socket_io.py). A stream on which nothing moves is given
  up (`give_up_stalled`).

What it leaves out, on purpose: server push (no gRPC peer wants it), priorities (RFC 9113 deprecates them),
padding on our side, and upgrades from HTTP/1.1.

Why it is our own and not a library's: nghttp2, by its binding ngh2 0.3, was tried with the same work side by
side. A unary call costs 1.0 to 1.7 times as much (6 to 10 us here, 8 to 14 there, alone and 32 or 128 at a
time), because each event and each header becomes a Python object; and an answer is copied on its way, so that
one of 600 kB takes 670 us instead of 18 and one of 38 MB takes 52 ms instead of 0.03. What of RFC 9113 and
RFC 7541 is kept is shown rule by rule in tests/server/transport/http2/test_rfc9113.py.

Windows inwards are wide and given back as bytes come, not as they are used: a call's message must be there
as a whole before anything can be done with it, so to hold bytes back would only hold up its end.

Threads. None here, no lock of its own: everything requires the server's connections_lock (server.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.http2.data_frames import FRAME_BYTES, DataFrames
from hotgraph_server.transport.http2.flow_control import CONNECTION_WINDOW, STREAM_WINDOW
from hotgraph_server.transport.http2.frames import FRAME_HEADER, HEADER_BYTES, Code
from hotgraph_server.transport.http2.header_blocks import HARD_HEADER_LIST_BYTES, MAX_HEADER_LIST_BYTES, Head
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken
from hotgraph_server.transport.http2.stream import Stream

# What is no data must fit into the buffer that it is received in, but for what nothing is read of.
_CONTROL_FRAME_BYTES = HARD_HEADER_LIST_BYTES
_GO_AWAY_BYTES = 8  # of it is read; what follows is for people

MAX_UNUSED_BYTES = _CONTROL_FRAME_BYTES + HEADER_BYTES
"""What `receive` may leave for the next time, at most, unless it is unfinished."""

# The clock is looked at after a call, and after so many frames.
_FRAMES_A_LOOK = 16


class Connection(DataFrames):
    """The peer's side of one connection.

    Args:
        open_stream: makes the Stream for a request; gets its connection, its number and its head.
        max_streams: that a peer may have open at a time.
        on_output: called when `out` is no longer empty.
        clock: monotonic seconds.
        max_header_bytes: of a request's fields: names, values and 32 for each; at most
        HARD_HEADER_LIST_BYTES.

    Attributes:
        unfinished: the last `receive` left frames that it could have used.
    """

    def __init__(
        self,
        open_stream: Callable[[Any, int, Head], Stream],
        max_streams: int,
        on_output: Callable[[], None],
        clock: Callable[[], float],
        max_header_bytes: int = MAX_HEADER_LIST_BYTES,
    ) -> None:
        super().__init__(open_stream, max_streams, on_output, clock, max_header_bytes)
        self.unfinished = False
        self._clock = clock
        self._max_header_bytes = max_header_bytes
        self._to_skip = 0  # bytes of a frame of which nothing more is read

    # Receiving

    def receive(self, data: memoryview, ends_at: float = math.inf) -> int:
        """Take in bytes. Returns how many were used; the rest is to be given again, with what comes next or,
        if `unfinished`, at once.

        Args:
            data: valid during the call only.
            ends_at: when to leave the rest for later, monotonic seconds; one frame is taken in all the same.

        Raises:
            ConnectionBroken: the peer broke the protocol.
        """
        self.received_pieces += 1
        self.unfinished = False
        try:
            used = self._receive(data, ends_at)
        except ConnectionBroken as broken:
            self._filled.clear()
            self._send(frames.go_away(self.numbers.last, broken.code, str(broken)))
            raise
        if self._filled:
            self._tell_filled()
        if self.flow.grew:
            self.flow.grew = False
            if self._blocked:
                self._unblock()
        return used

    def _receive(self, data: memoryview, ends_at: float) -> int:
        at, end = 0, len(data)
        if not self.greeted:
            if data[: len(frames.PREFACE)] != frames.PREFACE[:end]:
                raise ConnectionBroken(Code.PROTOCOL_ERROR, "this port speaks gRPC, which is HTTP/2")
            if end < len(frames.PREFACE):
                return 0
            at = len(frames.PREFACE)
            self._greet()
        count, flow = 0, self.flow
        while True:
            if self._data is not None:
                at = self._go_on_with_data(data, at)
                if self._data is not None:
                    return at
            if self._to_skip:
                skipped = min(self._to_skip, end - at)
                self._to_skip -= skipped
                at += skipped
            if end - at < HEADER_BYTES:
                return at
            if self._worked or count == _FRAMES_A_LOOK:
                self._worked, count = False, 0
                if self._clock() >= ends_at:
                    self.unfinished = True
                    return at
            count += 1
            word, flags, number = FRAME_HEADER.unpack_from(data, at)
            length, kind = word >> 8, word & 0xFF
            number &= frames.STREAM_MASK
            if self._block is not None and kind != frames.CONTINUATION:
                raise ConnectionBroken(Code.PROTOCOL_ERROR, "a header block was interrupted")
            if kind == frames.DATA:
                stream = self.streams.get(number)
                if (
                    stream is not None
                    and not flags & frames.PADDED
                    and at + HEADER_BYTES + length <= end
                    and 0 < length <= FRAME_BYTES
                    and length <= flow.receive_window
                    and length <= stream.receive_window
                    and stream.content_to_come is None
                    and not stream.peer_done
                ):
                    # What almost all of them are, in as few steps as can be; the others are looked at below.
                    payload = at + HEADER_BYTES
                    at = payload + length
                    flow.receive_window -= length
                    stream.receive_window -= length
                    if flow.receive_window < CONNECTION_WINDOW // 2:
                        self._give_room()
                    if stream.receive_window < STREAM_WINDOW // 2:
                        self.let_in(stream)
                    self._data_of(stream, data[payload:at], bool(flags & frames.END_STREAM))
                    continue
                begun = self._begin_data(data, at, length, flags, number)
                if begun < 0:
                    return at
                at = begun
                continue
            if not self._heard_settings and kind != frames.SETTINGS:
                raise ConnectionBroken(Code.PROTOCOL_ERROR, "the first frame is no SETTINGS")
            handle = self._control.get(kind)
            payload = at + HEADER_BYTES
            if handle is None or kind == frames.GOAWAY:
                if length > FRAME_BYTES:
                    raise ConnectionBroken(Code.FRAME_SIZE_ERROR, f"a frame has {length} bytes")
                wanted = min(length, _GO_AWAY_BYTES)
                if payload + wanted > end:
                    return at
                self._to_skip = length - wanted
                length = wanted
            elif length > _CONTROL_FRAME_BYTES:
                raise self._too_long(kind, length)
            if payload + length > end:
                return at
            at = payload + length
            if handle is None:
                # What is of an unknown type is passed over, so that the protocol can grow (section 5.5).
                self._allowance.spend()
            else:
                handle(flags, number, data[payload:at])

    def _greet(self) -> None:
        self.greeted = True
        self._send(
            frames.settings(
                {
                    frames.MAX_CONCURRENT_STREAMS: self._max_streams,
                    frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                    frames.MAX_FRAME_SIZE: FRAME_BYTES,
                    frames.MAX_HEADER_LIST_SIZE: self._max_header_bytes,
                }
            )
        )
        self._give_room()

    def _too_long(self, kind: int, length: int) -> ConnectionBroken:
        if kind in (frames.HEADERS, frames.CONTINUATION, frames.SETTINGS) and length <= FRAME_BYTES:
            # Not too long for a frame, but for what it holds.
            return ConnectionBroken(
                Code.ENHANCE_YOUR_CALM, f"{length} bytes of headers or settings in a frame"
            )
        return ConnectionBroken(Code.FRAME_SIZE_ERROR, f"a frame of type {kind} has {length} bytes")

    def give_up_stalled(self, looks: int) -> bool:
        """Reset the streams on which, at `looks` calls of this in a row, nothing had moved that should: bytes
        of a message that has begun to come, or of an answer that the peer's windows hold back.

        Returns whether there were such and no others, so that nothing moves on the whole connection.
        """
        given_up = False
        for stream in list(self.streams.values()):
            if not (stream.waiting or stream.in_a_message):
                stream.stalled_looks = 0
                continue
            stream.stalled_looks += 1
            if stream.stalled_looks > looks:
                self.reset(stream, Code.CANCEL)
                given_up = True
        return given_up and not self.streams
