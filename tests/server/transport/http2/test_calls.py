"""Calls on a connection in memory, on a lane that does nothing by itself."""

from __future__ import annotations

import gc
import gzip
import logging
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotgraph_server.errors import CallError, Draining, InvalidCall, QueueFull, Unsupported
from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.http2.calls import Call, HotCall, RefusedCall, StreamingCall
from hotgraph_server.transport.http2.connection import Connection
from hotgraph_server.transport.http2.frames import Code
from hotgraph_server.transport.http2.header_blocks import Head
from hotgraph_server.transport.http2.stream import Stream
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.service import OpenStream, Reply, StreamingMethod

from .peer import REQUEST, Answer, Client, Feeder, prefixed, taken_out

LIMIT = 2**20


class Decoders:
    """The threads that large messages are decoded in, held shut until the test lets them run."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], None]] = deque()

    def submit(self, work: Callable[[], None]) -> None:
        self.waiting.append(work)

    def run(self) -> None:
        while self.waiting:
            self.waiting.popleft()()


class StillLane:
    """A lane in which things happen when the test says so; and the caller's side of its one connection.

    Attributes:
        taken: hot calls inside.
        calls: all that came, by stream.
        seen: messages that the method got, with their replies or streams.
    """

    def __init__(self, kind: str = "hot", **settings: int) -> None:
        self.max_message_bytes = LIMIT
        self.inflight = Inflight(16 * LIMIT)
        self.refusal: CallError | None = None
        self.decoders = Decoders()
        self.full = False
        self.taken = 0
        self.posted: deque[Call] = deque()
        self.expiring: list[Call] = []
        self.arrived_at = time.monotonic()
        self.answers = 0
        self.calls: dict[int, Call] = {}
        self.seen: list[tuple[Any, Any]] = []
        self.error: Exception | None = None
        self.opened: list[OpenStream] = []
        self._kind = kind
        self.connection = Connection(self._open, 100, lambda: None, time.monotonic)
        self.client = Client({frames.INITIAL_WINDOW_SIZE: settings.get("window", 65_535)})
        self._feeder = Feeder(self.connection)
        self.exchange()

    # What calls need of a lane.

    def post(self, call: Call) -> None:
        self.posted.append(call)

    def expire_later(self, call: Call) -> None:
        self.expiring.append(call)

    def take(self, call: HotCall) -> CallError | None:
        self.taken += 1
        return QueueFull("the server", 1, 1) if self.full else None

    def let_go(self, call: HotCall) -> None:
        self.taken -= 1

    def answered(self, call: HotCall) -> None:
        self.answers += 1

    def _open(self, connection: Connection, number: int, head: Head) -> Stream:
        lane: Any = self
        if head.path == "/unknown" or head.http_status != 200:
            call: Call = RefusedCall(connection, number, head, lane, Unsupported("Method not found!"))
        elif self._kind == "hot":
            call = HotCall(connection, number, head, lane, self._method, True)
        else:
            method = StreamingMethod(self._opened, paced=self._kind == "paced")
            call = StreamingCall(connection, number, head, lane, method)
        self.calls[number] = call
        return call

    def _method(self, message: Any, reply: Reply) -> None:
        if self.error is not None:
            raise self.error
        self.seen.append((message, reply))

    def _opened(self, stream: OpenStream) -> Callable[[Any], None]:
        if self.error is not None:
            raise self.error
        self.opened.append(stream)
        return lambda message: self._method(message, stream)  # type: ignore[arg-type]

    # What the test makes happen.

    def request(self, *wire: bytes, end: bool = True, more: tuple[tuple[str, str], ...] = ()) -> int:
        """Open a call and send these pieces. Returns its stream."""
        number = self.client.request(*more)
        for index, piece in enumerate(wire):
            self.client.h2.send_data(number, piece, end_stream=end and index == len(wire) - 1)
        if end and not wire:
            self.client.h2.end_stream(number)
        self.exchange()
        return number

    def exchange(self) -> None:
        while True:
            out = self.client.h2.data_to_send()
            self._feeder.feed(out)
            back = taken_out(self.connection)
            self.client.take(back)
            if not out and not back:
                return

    def deliver(self) -> None:
        while self.posted:
            self.posted.popleft().deliver()
        self.exchange()

    def answer(self, number: int) -> Answer:
        self.deliver()
        return self.client.answers[number]


def finish(reply: Reply, answer: bytes = b"well") -> None:
    reply.finish(lambda: answer)


class TestHotCalls:
    @pytest.mark.parametrize(
        "wire",
        [
            [prefixed(b"hello")],
            [prefixed(b"hello"), b""],
            [prefixed(b"hello")[:3], prefixed(b"hello")[3:]],
            [bytes((byte,)) for byte in prefixed(b"hello")],
        ],
        ids=["at once", "with an end of its own", "in two", "by the byte"],
    )
    def test_message_reaches_the_method_once_it_is_whole(self, wire: list[bytes]) -> None:
        lane = StillLane()
        number = lane.request(*wire)
        ((message, reply),) = lane.seen
        assert bytes(message) == b"hello"
        assert lane.taken == 1
        finish(reply, b"answer")
        answer = lane.answer(number)
        assert (answer.messages, answer.status, lane.taken) == ([b"answer"], 0, 0)

    def test_call_counts_from_its_message_on(self) -> None:
        lane = StillLane()
        number = lane.request(prefixed(b"hello")[:-1], end=False)
        assert (lane.taken, lane.seen) == (0, [])
        lane.client.h2.send_data(number, b"o", end_stream=True)
        lane.exchange()
        assert lane.taken == 1

    @pytest.mark.parametrize(
        ("wire", "status", "text"),
        [
            ([], 12, "exactly one request message"),
            ([prefixed(b"a") + prefixed(b"b")], 12, "exactly one request message"),
            ([prefixed(b"a")[:-1]], 13, "ended in the middle of a message"),
            ([b"\0\0"], 13, "ended in the middle of a message"),
            ([prefixed(b"a", flag=1)], 13, "says that it is compressed"),
            ([prefixed(b"a", flag=9)], 13, "flag is 9"),
            ([b"\0\0\x10\0\1", b"first of too many"], 8, "larger than max %281048577 vs. 1048576%29"),
        ],
    )
    def test_what_is_not_one_message_is_refused(self, wire: list[bytes], status: int, text: str) -> None:
        lane = StillLane()
        number = lane.request(*wire)
        lane.decoders.run()
        answer = lane.answer(number)
        assert answer.trailers_only
        assert answer.status == status
        assert text.replace("%28", "(").replace("%29", ")") in answer.headers["grpc-message"]
        assert (lane.seen, lane.taken) == ([], 0)

    def test_message_that_is_too_large_is_refused_before_it_comes(self) -> None:
        lane = StillLane()
        number = lane.request(b"\0\x7f\xff\xff\xff", end=False)
        assert (lane.answer(number).status, lane.answer(number).reset) == (8, Code.NO_ERROR)

    def test_compressed_message_is_unpacked_elsewhere(self) -> None:
        lane = StillLane()
        number = lane.request(prefixed(gzip.compress(b"hello"), flag=1), more=(("grpc-encoding", "gzip"),))
        assert lane.seen == []
        lane.decoders.run()
        ((message, reply),) = lane.seen
        assert message == b"hello"
        finish(reply)
        assert lane.answer(number).status == 0

    def test_bomb_is_refused(self) -> None:
        lane = StillLane()
        bomb = prefixed(gzip.compress(bytes(LIMIT + 1)), flag=1)
        number = lane.request(bomb, more=(("grpc-encoding", "gzip"),))
        lane.decoders.run()
        assert lane.answer(number).status == 8
        assert lane.taken == 0

    @pytest.mark.parametrize("size", [500, 1_000_000], ids=["small", "large"])
    def test_message_that_finds_no_room_in_the_budget_is_refused(self, size: int) -> None:
        lane = StillLane(window=2**21)
        lane.inflight = Inflight(800)
        neighbour = lane.request(prefixed(b"x" * 200))
        number = lane.request(prefixed(b"x" * size)[:16_000], end=size < 16_000)
        answer = lane.answer(number)
        assert (answer.status, answer.headers["grpc-retry-pushback-ms"]) == (8, "100")
        assert "hold" in answer.headers["grpc-message"]
        finish(lane.seen[0][1])
        assert lane.answer(neighbour).status == 0
        assert lane.inflight.nbytes == 0

    def test_message_is_held_until_its_call_is_over(self) -> None:
        lane = StillLane()
        number = lane.request(prefixed(b"x" * 500))
        assert lane.inflight.nbytes >= 500
        finish(lane.seen[0][1])
        assert lane.answer(number).status == 0
        assert lane.inflight.nbytes == 0

    def test_bomb_is_held_as_far_as_it_is_inflated(self) -> None:
        lane = StillLane()
        lane.inflight = Inflight(2**20)
        number = lane.request(prefixed(gzip.compress(b"hello"), flag=1), more=(("grpc-encoding", "gzip"),))
        lane.decoders.run()
        # A part may have become a mebibyte, which is more than a connection may hold here.
        assert lane.answer(number).status == 8
        assert lane.inflight.nbytes == 0

    def test_large_message_is_decoded_elsewhere(self) -> None:
        lane = StillLane()
        wire = prefixed(bytes(300_000))
        lane.request(
            *(wire[at : at + 16_000] for at in range(0, 64_000, 16_000)), wire[64_000:65_000], end=False
        )
        # h2 sends what the windows have room for; the rest follows.
        number = 1
        rest = wire[65_000:]
        while rest:
            lane.client.h2.send_data(number, rest[:16_000], end_stream=len(rest) <= 16_000)
            rest = rest[16_000:]
            lane.exchange()
        assert (lane.taken, lane.seen) == (1, [])
        lane.decoders.run()
        assert len(lane.seen[0][0]) == 300_000

    def test_callers_that_leave_take_their_large_messages_with_them(self) -> None:
        """However many wait to be decoded."""
        lane = StillLane()
        packed = prefixed(gzip.compress(b"x" * 1000), flag=1)
        for _ in range(10):
            number = lane.request(packed, more=(("grpc-encoding", "gzip"),))
            lane.client.h2.reset_stream(number)
            lane.exchange()
        assert lane.taken == 0
        assert all(call._message is None for call in lane.calls.values() if isinstance(call, HotCall))
        lane.decoders.run()
        assert lane.seen == []

    def test_full_server_refuses_and_says_when_to_come_again(self) -> None:
        lane = StillLane()
        lane.full = True
        answer = lane.answer(lane.request(prefixed(b"")))
        assert answer.status == 8
        assert answer.headers["grpc-retry-pushback-ms"] == str(QueueFull.retry_after_ms)
        assert (lane.taken, lane.seen) == (0, [])

    def test_draining_server_refuses_at_the_door(self) -> None:
        lane = StillLane()
        lane.refusal = Draining("this server")
        answer = lane.answer(lane.request(end=False))
        assert (answer.status, answer.reset) == (14, Code.NO_ERROR)

    @pytest.mark.parametrize("where", ["method", "encoder"])
    def test_errors_become_statuses_and_bugs_have_no_details(
        self, where: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        for error, status, text in (
            (InvalidCall("bad 'x'"), 3, "bad 'x'"),
            (ZeroDivisionError("the secret"), 13, None),
        ):
            lane = StillLane()
            if where == "method":
                lane.error = error
            number = lane.request(prefixed(b""))
            if where == "encoder":
                lane.seen[0][1].finish(lambda error=error: fail(error))
            with caplog.at_level(logging.ERROR):
                answer = lane.answer(number)
            assert answer.status == status
            assert text is None or answer.headers["grpc-message"] == text
            assert "secret" not in str(answer.headers)
            assert lane.taken == 0

    def test_answer_to_a_caller_that_left_is_not_even_encoded(self) -> None:
        lane = StillLane()
        number = lane.request(prefixed(b""))
        lane.client.h2.reset_stream(number)
        lane.exchange()
        lane.seen[0][1].finish(lambda: fail(AssertionError("encoded")))
        lane.deliver()
        assert lane.taken == 0


def fail(error: Exception) -> bytes:
    raise error


class TestLeaving:
    @pytest.mark.parametrize("how", ["reset", "lost", "expired", "cancelled"])
    def test_end_from_outside_is_told_once(self, how: str) -> None:
        lane = StillLane()
        number = lane.request(prefixed(b""))
        told: list[int] = []
        lane.seen[0][1].when_gone(lambda: told.append(1))
        end(lane, number, how)
        assert told == [1]
        assert lane.taken == 0
        end(lane, number, how)
        assert told == [1]
        lane.seen[0][1].when_gone(lambda: told.append(2))
        assert told == [1, 2]

    def test_answered_call_is_told_nothing_more(self) -> None:
        lane = StillLane()
        number = lane.request(prefixed(b""), more=(("grpc-timeout", "1S"),))
        told: list[int] = []
        call = lane.calls[number]
        call.when_gone(lambda: told.append(1))
        finish(lane.seen[0][1])
        lane.deliver()
        call.expire()
        call.cancel()
        lane.connection.lose()
        assert told == []
        assert lane.answer(number).status == 0

    def test_whoever_cannot_be_told_is_logged_and_harms_nobody(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        lane = StillLane()
        first, second = lane.request(prefixed(b"")), lane.request(prefixed(b""))
        told: list[int] = []
        lane.seen[0][1].when_gone(lambda: fail(ZeroDivisionError("broken")) and None)
        lane.seen[1][1].when_gone(lambda: told.append(1))
        with caplog.at_level(logging.ERROR):
            lane.connection.lose()
        assert told == [1]
        assert lane.taken == 0
        assert "could not be told" in caplog.text
        assert first != second

    @pytest.mark.parametrize(("how", "status"), [("expired", 4), ("cancelled", 1)])
    def test_end_by_the_server_is_a_status(self, how: str, status: int) -> None:
        lane = StillLane()
        number = lane.request(prefixed(b""))
        end(lane, number, how)
        assert lane.answer(number).trailers_only
        assert lane.answer(number).status == status

    @pytest.mark.parametrize("how", ["expired", "cancelled"])
    @pytest.mark.parametrize("kind", ["hot", "streaming"])
    def test_end_in_the_middle_of_an_answer_is_a_reset(self, how: str, kind: str) -> None:
        """A status there would be taken for the end of the message, or be no valid block at all."""
        lane = StillLane(kind, window=50)
        number = lane.request(prefixed(b""))
        if kind == "hot":
            finish(lane.seen[0][1], bytes(100))
        else:
            lane.opened[0].send(bytes(100))
        assert len(lane.answer(number).data) == 50
        end(lane, number, how)
        answer = lane.answer(number)
        assert answer.reset == Code.CANCEL
        assert answer.trailers == {}
        assert lane.taken == 0

    def test_deadline_is_told_to_the_lane_and_nearer_ones_again(self) -> None:
        lane = StillLane()
        lane.request(prefixed(b""))
        assert lane.expiring == []
        lane.request(prefixed(b""), more=(("grpc-timeout", "1H"),))
        call = lane.calls[3]
        assert lane.expiring == [call]
        reply = lane.seen[1][1]
        nearer = reply.deadline - 5
        reply.expire_at(reply.deadline + 5)
        assert lane.expiring == [call]
        reply.expire_at(nearer)
        assert lane.expiring == [call, call]
        assert call.deadline == nearer

    @pytest.mark.parametrize("how", ["answered", "reset", "lost", "expired", "cancelled", "failed"])
    def test_ended_call_leaves_no_cycle_behind(self, how: str) -> None:
        """The arrays behind thousands of calls a second must not wait for the garbage collector."""
        lane = StillLane()
        number = lane.request(prefixed(b""))
        reply = lane.seen[0][1]

        class Owner:
            """As the models' calls do, it knows the reply, and the reply knows it."""

            def __init__(self, reply: Reply) -> None:
                self.reply = reply

            def leave(self) -> None:
                finish(self.reply)

        owner = Owner(reply)
        reply.when_gone(owner.leave)
        gc.collect()
        gc.disable()
        try:
            watched = weakref.ref(owner)
            if how == "answered":
                finish(reply)
            elif how == "failed":
                reply.finish(lambda: fail(InvalidCall("no")))
            else:
                end(lane, number, how)
            lane.deliver()
            del owner, reply
            lane.seen.clear()
            lane.calls.clear()
            lane.expiring.clear()
            assert watched() is None
        finally:
            gc.enable()


def end(lane: StillLane, number: int, how: str) -> None:
    """End a call from outside."""
    if how == "reset":
        if number in lane.connection.streams:
            lane.client.h2.reset_stream(number)
            lane.exchange()
    elif how == "lost":
        lane.connection.lose()
    elif how == "expired":
        lane.calls[number].expire()
    else:
        lane.calls[number].cancel()


class Watcher:
    """It knows its stream, and the stream knows it."""

    def __init__(self, stream: OpenStream) -> None:
        self.stream = stream

    def leave(self) -> None:
        self.stream.end()


class TestStreamingCalls:
    def test_messages_come_one_by_one_and_then_the_end(self) -> None:
        lane = StillLane("streaming")
        number = lane.request(prefixed(b"one"), end=False)
        assert [message for message, _ in lane.seen] == [b"one"]
        lane.client.h2.send_data(number, prefixed(b"two") + prefixed(b""), end_stream=True)
        lane.exchange()
        assert [message for message, _ in lane.seen] == [b"one", b"two", b"", None]

    def test_answers_keep_their_order_and_the_end_comes_last(self) -> None:
        lane = StillLane("streaming")
        number = lane.request(end=False)
        stream = lane.opened[0]
        stream.send(b"one")
        assert lane.answer(number).messages == [b"one"]
        stream.send(b"two")
        stream.send(b"three")
        stream.end()
        stream.send(b"too late")
        answer = lane.answer(number)
        assert answer.messages == [b"one", b"two", b"three"]
        assert answer.trailers == {"grpc-status": "0"}

    def test_error_behind_messages_is_the_status_behind_them(self) -> None:
        lane = StillLane("streaming")
        number = lane.request(end=False)
        lane.opened[0].send(b"one")
        lane.opened[0].end(InvalidCall("no more"))
        answer = lane.answer(number)
        assert answer.messages == [b"one"]
        assert answer.trailers == {"grpc-status": "3", "grpc-message": "no more"}

    def test_error_without_messages_is_one_block(self) -> None:
        lane = StillLane("streaming")
        number = lane.request(end=False)
        lane.opened[0].end(InvalidCall("never"))
        assert lane.answer(number).trailers_only

    def test_end_waits_for_what_is_not_sent_yet_and_comes_once(self) -> None:
        lane = StillLane("streaming", window=10)
        number = lane.request(end=False)
        stream = lane.opened[0]
        stream.send(bytes(20))
        stream.end()
        stream.end(InvalidCall("too late"))
        stream.send(b"too late")
        assert lane.answer(number).trailers == {}
        lane.client.h2.increment_flow_control_window(100, number)
        lane.exchange()
        answer = lane.answer(number)
        assert (answer.messages, answer.trailers) == ([bytes(20)], {"grpc-status": "0"})

    @pytest.mark.parametrize("broken", [prefixed(b"x", flag=7), b"\0\x7f\xff\xff\xff"])
    def test_mistake_is_told_behind_the_answers_to_what_came_before(self, broken: bytes) -> None:
        lane = StillLane("streaming")
        number = lane.client.request()
        told: list[int] = []
        lane.exchange()
        lane.opened[0].when_gone(lambda: told.append(1))
        lane.opened[0].send(b"answer")
        lane.client.h2.send_data(number, broken)
        lane.exchange()
        lane.client.h2.send_data(number, prefixed(b"ignored") * 3)
        lane.exchange()
        answer = lane.answer(number)
        assert answer.messages == [b"answer"]
        assert answer.status in (8, 13)
        assert told == [1]
        assert lane.seen == []

    def test_caller_that_asks_on_and_does_not_read_is_refused(self) -> None:
        """Answers may be a thousand times as large as what asks for them."""
        lane = StillLane("streaming", window=10)
        number = lane.request(end=False)
        for _ in range(600):
            lane.client.h2.send_data(number, prefixed(b"?"))
            lane.exchange()
            for _, stream in lane.seen[-1:]:
                stream.send(bytes(1000))
            lane.deliver()
        assert len(lane.seen) < 300
        lane.client.h2.increment_flow_control_window(2**20, number)
        lane.client.h2.increment_flow_control_window(2**20)
        lane.exchange()
        answer = lane.answer(number)
        assert len(answer.messages) >= 128
        assert answer.status == 8

    def test_paced_method_hears_when_its_caller_has_read_everything(self) -> None:
        lane = StillLane("paced", window=10)
        number = lane.request(end=False)
        told: list[int] = []
        for _ in range(600):
            lane.client.h2.send_data(number, prefixed(b"?"))
            lane.exchange()
            lane.opened[0].send(bytes(1000))
            lane.deliver()
        stream: Any = lane.opened[0]
        assert len(lane.seen) == 600
        assert stream.unread >= 600
        stream.when_read(lambda: told.append(stream.unread))
        lane.deliver()
        lane.client.h2.increment_flow_control_window(2**20, number)
        lane.client.h2.increment_flow_control_window(400_000)
        lane.exchange()
        assert told == []
        lane.client.h2.increment_flow_control_window(2**20)
        lane.exchange()
        assert told == [0]
        stream.when_read(lambda: told.append(1))
        lane.deliver()
        assert told == [0, 1]

    def test_method_that_cannot_open_refuses(self) -> None:
        lane = StillLane("streaming")
        lane.error = InvalidCall("not now")
        assert lane.answer(lane.request(end=False)).status == 3

    def test_receiver_that_fails_ends_the_call(self, caplog: pytest.LogCaptureFixture) -> None:
        lane = StillLane("streaming")
        number = lane.request(end=False)
        lane.error = ZeroDivisionError("the secret")
        with caplog.at_level(logging.ERROR):
            lane.client.h2.send_data(number, prefixed(b"x"))
            lane.exchange()
        assert lane.answer(number).status == 13
        assert "secret" not in str(lane.answer(number).headers)

    def test_ended_stream_leaves_no_cycle_behind(self) -> None:
        lane = StillLane("streaming")
        number = lane.request(end=False)
        gc.collect()
        gc.disable()
        try:
            watcher = Watcher(lane.opened[0])
            watched = weakref.ref(watcher)
            lane.opened[0].when_gone(watcher.leave)
            lane.opened.clear()
            lane.calls.clear()
            watcher.stream.end()
            lane.deliver()
            del watcher
            assert watched() is None
            assert lane.answer(number).status == 0
        finally:
            gc.enable()

    @settings(deadline=None)
    @given(st.lists(st.one_of(st.integers(0, 50), st.just("window"), st.just("deliver")), max_size=20))
    def test_answers_come_whole_in_their_order_whatever_waits(self, steps: list[Any]) -> None:
        lane = StillLane("streaming", window=20)
        number = lane.request(end=False)
        sent: list[bytes] = []
        for step in steps:
            if step == "window":
                lane.client.h2.increment_flow_control_window(17, number)
                lane.exchange()
            elif step == "deliver":
                lane.deliver()
            else:
                sent.append(bytes((len(sent),)) * step)
                lane.opened[0].send(sent[-1])
        lane.opened[0].end()
        lane.deliver()
        if lane.calls[number].open:
            lane.client.h2.increment_flow_control_window(2**16, number)
            lane.exchange()
        answer = lane.answer(number)
        assert (answer.messages, answer.status) == (sent, 0)


class TestCompressedStreams:
    """Inflated by other threads, one at a time, and taken in their order."""

    GZIP = (("grpc-encoding", "gzip"),)

    def test_messages_keep_their_order_and_the_end_comes_last(self) -> None:
        lane = StillLane("streaming")
        packed = [prefixed(gzip.compress(bytes((65 + index,))), flag=1) for index in range(3)]
        lane.request(packed[0] + prefixed(b"plain") + packed[1], packed[2], more=self.GZIP)
        assert lane.seen == []
        for _ in range(6):
            lane.decoders.run()
            lane.deliver()
        assert [message for message, _ in lane.seen] == [b"A", b"plain", b"B", b"C", None]
        assert lane.inflight.nbytes == 0

    def test_plain_stream_is_never_handed_to_other_threads(self) -> None:
        lane = StillLane("streaming")
        lane.request(prefixed(b"a"), prefixed(b"b"), more=self.GZIP)
        assert [message for message, _ in lane.seen] == [b"a", b"b", None]

    def test_what_does_not_inflate_ends_the_stream_behind_what_came_before(self) -> None:
        lane = StillLane("streaming")
        number = lane.request(
            prefixed(gzip.compress(b"A"), flag=1),
            prefixed(b"no gzip", flag=1),
            prefixed(b"more"),
            more=self.GZIP,
        )
        for _ in range(4):
            lane.decoders.run()
            lane.deliver()
        assert [message for message, _ in lane.seen] == [b"A"]
        assert lane.answer(number).status == 13
        assert lane.inflight.nbytes == 0

    def test_stream_that_is_left_takes_what_waits_with_it(self) -> None:
        lane = StillLane("streaming")
        number = lane.request(*[prefixed(gzip.compress(b"A"), flag=1)] * 2, end=False, more=self.GZIP)
        lane.client.h2.reset_stream(number)
        lane.exchange()
        lane.decoders.run()
        lane.deliver()
        assert lane.seen == []
        assert lane.inflight.nbytes == 0


class TestRefusedCalls:
    def test_unknown_method_is_unimplemented(self) -> None:
        lane = StillLane()
        headers = [(name, "/unknown" if name == ":path" else value) for name, value in REQUEST]
        number = lane.client.request(headers=headers)
        lane.exchange()
        assert lane.answer(number).status == 12

    @pytest.mark.parametrize(
        ("name", "value", "status"),
        [("content-type", "application/json", 415), (":method", "GET", 405), ("grpc-timeout", "soon", 400)],
    )
    def test_what_is_no_grpc_gets_a_status_of_http(self, name: str, value: str, status: int) -> None:
        lane = StillLane()
        fields = {**dict(REQUEST), name: value}
        number = lane.client.request(headers=list(fields.items()))
        lane.client.h2.send_data(number, b"{}", end_stream=True)
        lane.exchange()
        assert lane.answer(number).headers == {":status": str(status)}
        assert lane.answer(number).trailers_only
