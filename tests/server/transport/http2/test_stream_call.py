"""Calls of streaming methods, on a connection in memory."""

from __future__ import annotations

import gc
import gzip
import logging
import random
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotgraph_server.errors import InvalidCall
from hotgraph_server.transport.http2.deflating import Deflater
from hotgraph_server.transport.http2.messages import MessageReader, unpacked
from hotgraph_server.transport.service import OpenStream

from .host import LIMIT, Decoders, StillHost, end
from .peer import prefixed


class Watcher:
    """It knows its stream, and the stream knows it."""

    def __init__(self, stream: OpenStream) -> None:
        self.stream = stream

    def leave(self) -> None:
        self.stream.end()


class TestStreamCalls:
    def test_messages_come_one_by_one_and_then_the_end(self) -> None:
        host = StillHost("streaming")
        number = host.request(prefixed(b"one"), end=False)
        assert [message for message, _ in host.seen] == [b"one"]
        host.client.h2.send_data(number, prefixed(b"two") + prefixed(b""), end_stream=True)
        host.exchange()
        assert [message for message, _ in host.seen] == [b"one", b"two", b"", None]

    def test_answers_keep_their_order_and_the_end_comes_last(self) -> None:
        host = StillHost("streaming")
        number = host.request(end=False)
        stream = host.opened[0]
        stream.send(b"one")
        assert host.answer(number).messages == [b"one"]
        stream.send(b"two")
        stream.send(b"three")
        stream.end()
        stream.send(b"too late")
        answer = host.answer(number)
        assert answer.messages == [b"one", b"two", b"three"]
        assert answer.trailers == {"grpc-status": "0"}

    def test_error_behind_messages_is_the_status_behind_them(self) -> None:
        host = StillHost("streaming")
        number = host.request(end=False)
        host.opened[0].send(b"one")
        host.opened[0].end(InvalidCall("no more"))
        answer = host.answer(number)
        assert answer.messages == [b"one"]
        assert answer.trailers == {"grpc-status": "3", "grpc-message": "no more"}

    def test_error_without_messages_is_one_block(self) -> None:
        host = StillHost("streaming")
        number = host.request(end=False)
        host.opened[0].end(InvalidCall("never"))
        assert host.answer(number).trailers_only

    def test_end_waits_for_what_is_not_sent_yet_and_comes_once(self) -> None:
        host = StillHost("streaming", window=10)
        number = host.request(end=False)
        stream = host.opened[0]
        stream.send(bytes(20))
        stream.end()
        stream.end(InvalidCall("too late"))
        stream.send(b"too late")
        assert host.answer(number).trailers == {}
        host.client.h2.increment_flow_control_window(100, number)
        host.exchange()
        answer = host.answer(number)
        assert (answer.messages, answer.trailers) == ([bytes(20)], {"grpc-status": "0"})

    @pytest.mark.parametrize("broken", [prefixed(b"x", flag=7), b"\0\x7f\xff\xff\xff"])
    def test_mistake_is_told_behind_the_answers_to_what_came_before(self, broken: bytes) -> None:
        host = StillHost("streaming")
        number = host.client.request()
        told: list[int] = []
        host.exchange()
        host.opened[0].when_gone(lambda: told.append(1))
        host.opened[0].send(b"answer")
        host.client.h2.send_data(number, broken)
        host.exchange()
        host.client.h2.send_data(number, prefixed(b"ignored") * 3)
        host.exchange()
        answer = host.answer(number)
        assert answer.messages == [b"answer"]
        assert answer.status in (8, 13)
        assert told == [1]
        assert host.seen == []

    def test_caller_that_asks_on_and_does_not_read_is_refused(self) -> None:
        """Answers may be a thousand times as large as what asks for them."""
        host = StillHost("streaming", window=10)
        number = host.request(end=False)
        for _ in range(600):
            host.client.h2.send_data(number, prefixed(b"?"))
            host.exchange()
            for _, stream in host.seen[-1:]:
                stream.send(bytes(1000))
            host.deliver()
        assert len(host.seen) < 300
        host.client.h2.increment_flow_control_window(2**20, number)
        host.client.h2.increment_flow_control_window(2**20)
        host.exchange()
        answer = host.answer(number)
        assert len(answer.messages) >= 128
        assert answer.status == 8

    def test_paced_method_hears_when_its_caller_has_read_everything(self) -> None:
        host = StillHost("paced", window=10)
        number = host.request(end=False)
        told: list[int] = []
        for _ in range(600):
            host.client.h2.send_data(number, prefixed(b"?"))
            host.exchange()
            host.opened[0].send(bytes(1000))
            host.deliver()
        stream: Any = host.opened[0]
        assert len(host.seen) == 600
        assert stream.unread >= 600
        stream.when_read(lambda: told.append(stream.unread))
        host.deliver()
        host.client.h2.increment_flow_control_window(2**20, number)
        host.client.h2.increment_flow_control_window(400_000)
        host.exchange()
        assert told == []
        host.client.h2.increment_flow_control_window(2**20)
        host.exchange()
        assert told == [0]
        stream.when_read(lambda: told.append(1))
        host.deliver()
        assert told == [0, 1]

    def test_method_that_cannot_open_refuses(self) -> None:
        host = StillHost("streaming")
        host.error = InvalidCall("not now")
        assert host.answer(host.request(end=False)).status == 3

    def test_receiver_that_fails_ends_the_call(self, caplog: pytest.LogCaptureFixture) -> None:
        host = StillHost("streaming")
        number = host.request(end=False)
        host.error = ZeroDivisionError("the secret")
        with caplog.at_level(logging.ERROR):
            host.client.h2.send_data(number, prefixed(b"x"))
            host.exchange()
        assert host.answer(number).status == 13
        assert "secret" not in str(host.answer(number).headers)

    def test_ended_stream_leaves_no_cycle_behind(self) -> None:
        host = StillHost("streaming")
        number = host.request(end=False)
        gc.collect()
        gc.disable()
        try:
            watcher = Watcher(host.opened[0])
            watched = weakref.ref(watcher)
            host.opened[0].when_gone(watcher.leave)
            host.opened.clear()
            host.calls.clear()
            watcher.stream.end()
            host.deliver()
            del watcher
            assert watched() is None
            assert host.answer(number).status == 0
        finally:
            gc.enable()

    @settings(deadline=None)
    @given(st.lists(st.one_of(st.integers(0, 50), st.just("window"), st.just("deliver")), max_size=20))
    def test_answers_come_whole_in_their_order_whatever_waits(self, steps: list[Any]) -> None:
        host = StillHost("streaming", window=20)
        number = host.request(end=False)
        sent: list[bytes] = []
        for step in steps:
            if step == "window":
                host.client.h2.increment_flow_control_window(17, number)
                host.exchange()
            elif step == "deliver":
                host.deliver()
            else:
                sent.append(bytes((len(sent),)) * step)
                host.opened[0].send(sent[-1])
        host.opened[0].end()
        host.deliver()
        if host.calls[number].open:
            host.client.h2.increment_flow_control_window(2**16, number)
            host.exchange()
        answer = host.answer(number)
        assert (answer.messages, answer.status) == (sent, 0)


class TestCompressedStreams:
    """Inflated by other threads, one at a time, and taken in their order."""

    GZIP = (("grpc-encoding", "gzip"),)

    def test_messages_keep_their_order_and_the_end_comes_last(self) -> None:
        host = StillHost("streaming")
        packed = [prefixed(gzip.compress(bytes((65 + index,))), flag=1) for index in range(3)]
        host.request(packed[0] + prefixed(b"plain") + packed[1], packed[2], more=self.GZIP)
        assert host.seen == []
        for _ in range(6):
            host.decoders.run()
            host.deliver()
        assert [message for message, _ in host.seen] == [b"A", b"plain", b"B", b"C", None]
        assert host.inflight.nbytes == 0

    def test_who_sends_something_hands_no_message_of_others_over(self) -> None:
        """Health tells watchers of a change while it holds the lock that a new watcher's message takes; who
        sends delivers what others have as well."""
        host = StillHost("streaming")
        host.request(prefixed(gzip.compress(b"A"), flag=1), end=False, more=self.GZIP)
        host.decoders.run()
        (stream,) = host.opened
        stream.send(b"news")
        while host.posted:
            host.posted.popleft().deliver()
        assert host.seen == []
        host.deliver()
        assert [message for message, _ in host.seen] == [b"A"]

    def test_plain_stream_is_never_handed_to_other_threads(self) -> None:
        host = StillHost("streaming")
        host.request(prefixed(b"a"), prefixed(b"b"), more=self.GZIP)
        assert [message for message, _ in host.seen] == [b"a", b"b", None]

    def test_what_does_not_inflate_ends_the_stream_behind_what_came_before(self) -> None:
        host = StillHost("streaming")
        number = host.request(
            prefixed(gzip.compress(b"A"), flag=1),
            prefixed(b"no gzip", flag=1),
            prefixed(b"more"),
            more=self.GZIP,
        )
        for _ in range(4):
            host.decoders.run()
            host.deliver()
        assert [message for message, _ in host.seen] == [b"A"]
        assert host.answer(number).status == 13
        assert host.inflight.nbytes == 0

    def test_stream_that_is_left_takes_what_waits_with_it(self) -> None:
        host = StillHost("streaming")
        number = host.request(*[prefixed(gzip.compress(b"A"), flag=1)] * 2, end=False, more=self.GZIP)
        host.client.h2.reset_stream(number)
        host.exchange()
        host.decoders.run()
        host.deliver()
        assert host.seen == []
        assert host.inflight.nbytes == 0


class TestCompressedMessages:
    """Messages go by another thread, which is the test's, and keep their order."""

    @pytest.fixture
    def deflaters(self) -> Decoders:
        return Decoders()

    @pytest.fixture
    def host(self, deflaters: Decoders) -> StillHost:
        host = StillHost("streaming")
        host.deflater = Deflater(1, 100, deflaters.submit)
        return host

    @staticmethod
    def sent(host: StillHost, number: int) -> list[tuple[int, bytes]]:
        """What came, with its flags."""
        reader = MessageReader(LIMIT)
        return [
            (flag, bytes(unpacked(flag, message, "gzip", LIMIT)))
            for flag, message in reader.feed(memoryview(host.answer(number).data))
        ]

    def test_messages_keep_their_order_and_each_says_whether_it_is_compressed(
        self, host: StillHost, deflaters: Decoders
    ) -> None:
        number = host.request(end=False, more=(("grpc-accept-encoding", "gzip"),))
        stream = host.opened[0]
        noise = random.Random(7).randbytes(500)
        messages = [b"small", bytes(1000), b"behind it", noise, bytes(2000)]
        for message in messages:
            stream.send(message)
        stream.end()
        assert self.sent(host, number) == [(0, b"small")]
        assert stream.unread == len(messages) + 1 - 1  # type: ignore[attr-defined]
        assert host.inflight.nbytes == sum(map(len, messages[1:]))
        while deflaters.waiting:
            assert len(deflaters.waiting) == 1
            deflaters.run()
            host.deliver()
        flags = [0, 1, 0, 0, 1]
        assert self.sent(host, number) == list(zip(flags, messages, strict=True))
        assert host.answer(number).headers["grpc-encoding"] == "gzip"
        assert host.answer(number).status == 0
        assert host.inflight.nbytes == 0

    def test_caller_who_reads_nothing_compressed_is_sent_nothing_else(self, host: StillHost) -> None:
        number = host.request(end=False, more=(("grpc-accept-encoding", "identity"),))
        host.opened[0].send(bytes(1000))
        assert self.sent(host, number) == [(0, bytes(1000))]
        assert "grpc-encoding" not in host.answer(number).headers

    @pytest.mark.parametrize("how", ["reset", "lost", "expired", "cancelled"])
    def test_stream_that_ends_meanwhile_sends_nothing_more(
        self, host: StillHost, deflaters: Decoders, how: str
    ) -> None:
        number = host.request(end=False, more=(("grpc-accept-encoding", "gzip"),))
        host.opened[0].send(bytes(1000))
        host.opened[0].send(b"behind it")
        host.deliver()
        end(host, number, how)
        deflaters.run()
        host.deliver()
        assert host.answer(number).messages == []
        assert host.inflight.nbytes == 0
        assert deflaters.waiting == type(deflaters.waiting)()

    def test_error_comes_behind_what_was_sent_before_it(self, host: StillHost, deflaters: Decoders) -> None:
        number = host.request(end=False, more=(("grpc-accept-encoding", "gzip"),))
        host.opened[0].send(bytes(1000))
        host.opened[0].end(InvalidCall("no more"))
        host.deliver()
        deflaters.run()
        assert self.sent(host, number) == [(1, bytes(1000))]
        assert host.answer(number).status == 3
