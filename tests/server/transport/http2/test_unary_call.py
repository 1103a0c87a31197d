"""Calls of hot methods, on a connection in memory."""

from __future__ import annotations

import gzip
import logging
import random
import tracemalloc

import pytest

from hotgraph_server.errors import InvalidCall, QueueFull
from hotgraph_server.transport.http2.deflating import Deflater
from hotgraph_server.transport.http2.frames import Code
from hotgraph_server.transport.http2.messages import unpacked
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.service import LARGE_MESSAGE

from .host import LIMIT, Decoders, StillHost, end, fail, finish
from .peer import every, prefixed


class TestUnaryCalls:
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
        host = StillHost()
        number = host.request(*wire)
        ((message, reply),) = host.seen
        assert bytes(message) == b"hello"
        assert (host.taken, host.admission.answered) == (1, 0)
        finish(reply, b"answer")
        answer = host.answer(number)
        assert (answer.messages, answer.status, host.taken) == ([b"answer"], 0, 0)
        assert host.admission.answered == 1

    def test_call_counts_from_its_message_on(self) -> None:
        host = StillHost()
        number = host.request(prefixed(b"hello")[:-1], end=False)
        assert (host.taken, host.seen) == (0, [])
        host.client.h2.send_data(number, b"o", end_stream=True)
        host.exchange()
        assert host.taken == 1

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
        host = StillHost()
        number = host.request(*wire)
        host.decoders.run()
        answer = host.answer(number)
        assert answer.trailers_only
        assert answer.status == status
        assert text.replace("%28", "(").replace("%29", ")") in answer.headers["grpc-message"]
        assert (host.seen, host.taken) == ([], 0)

    def test_message_that_is_too_large_is_refused_before_it_comes(self) -> None:
        host = StillHost()
        number = host.request(b"\0\x7f\xff\xff\xff", end=False)
        assert (host.answer(number).status, host.answer(number).reset) == (8, Code.NO_ERROR)

    def test_large_message_is_read_elsewhere(self) -> None:
        host = StillHost()
        host.request(*every(16_384, prefixed(bytes(LARGE_MESSAGE + 1))))
        assert host.seen == []
        host.decoders.run()
        assert [len(message) for message, _ in host.seen] == [LARGE_MESSAGE + 1]

    def test_compressed_message_is_unpacked_elsewhere(self) -> None:
        host = StillHost()
        number = host.request(prefixed(gzip.compress(b"hello"), flag=1), more=(("grpc-encoding", "gzip"),))
        assert host.seen == []
        host.decoders.run()
        ((message, reply),) = host.seen
        assert message == b"hello"
        finish(reply)
        assert host.answer(number).status == 0

    def test_bomb_is_refused(self) -> None:
        host = StillHost()
        bomb = prefixed(gzip.compress(bytes(LIMIT + 1)), flag=1)
        number = host.request(bomb, more=(("grpc-encoding", "gzip"),))
        host.decoders.run()
        assert host.answer(number).status == 8
        assert host.taken == 0

    @pytest.mark.parametrize("size", [500, 1_000_000], ids=["small", "large"])
    def test_message_that_finds_no_room_in_the_budget_is_refused(self, size: int) -> None:
        host = StillHost(window=2**21)
        host.inflight = Inflight(800)
        neighbour = host.request(prefixed(b"x" * 200))
        number = host.request(prefixed(b"x" * size)[:16_000], end=size < 16_000)
        answer = host.answer(number)
        assert (answer.status, answer.headers["grpc-retry-pushback-ms"]) == (8, "100")
        assert "hold" in answer.headers["grpc-message"]
        finish(host.seen[0][1])
        assert host.answer(neighbour).status == 0
        assert host.inflight.nbytes == 0

    def test_message_is_held_until_its_call_is_over(self) -> None:
        host = StillHost()
        number = host.request(prefixed(b"x" * 500))
        assert host.inflight.nbytes >= 500
        finish(host.seen[0][1])
        assert host.answer(number).status == 0
        assert host.inflight.nbytes == 0

    def test_bomb_is_held_as_far_as_it_is_inflated(self) -> None:
        host = StillHost()
        host.inflight = Inflight(2**20)
        number = host.request(prefixed(gzip.compress(b"hello"), flag=1), more=(("grpc-encoding", "gzip"),))
        host.decoders.run()
        # A part may have become a mebibyte, which is more than a connection may hold here.
        assert host.answer(number).status == 8
        assert host.inflight.nbytes == 0

    def test_large_message_is_decoded_elsewhere(self) -> None:
        host = StillHost()
        wire = prefixed(bytes(300_000))
        host.request(
            *(wire[at : at + 16_000] for at in range(0, 64_000, 16_000)), wire[64_000:65_000], end=False
        )
        # h2 sends what the windows have room for; the rest follows.
        number = 1
        rest = wire[65_000:]
        while rest:
            host.client.h2.send_data(number, rest[:16_000], end_stream=len(rest) <= 16_000)
            rest = rest[16_000:]
            host.exchange()
        assert (host.taken, host.seen) == (1, [])
        host.decoders.run()
        assert len(host.seen[0][0]) == 300_000

    def test_callers_that_leave_take_their_large_messages_with_them(self) -> None:
        """However many wait to be decoded."""
        host = StillHost()
        packed = prefixed(random.Random(1).randbytes(60_000), flag=1)
        tracemalloc.start()
        try:
            for _ in range(20):
                number = host.request(packed, more=(("grpc-encoding", "gzip"),))
                host.client.h2.reset_stream(number)
                host.exchange()
            assert tracemalloc.get_traced_memory()[0] < 10 * len(packed)
        finally:
            tracemalloc.stop()
        assert host.taken == 0
        assert len(host.decoders.waiting) == 20
        host.decoders.run()
        assert host.seen == []

    def test_full_server_refuses_and_says_when_to_come_again(self) -> None:
        host = StillHost(max_calls=0)
        answer = host.answer(host.request(prefixed(b"")))
        assert answer.status == 8
        assert answer.headers["grpc-retry-pushback-ms"] == str(QueueFull.retry_after_ms)
        assert (host.taken, host.seen) == (0, [])

    @pytest.mark.parametrize("where", ["method", "encoder"])
    def test_errors_become_statuses_and_bugs_have_no_details(
        self, where: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        for error, status, text in (
            (InvalidCall("bad 'x'"), 3, "bad 'x'"),
            (ZeroDivisionError("the secret"), 13, None),
        ):
            host = StillHost()
            if where == "method":
                host.error = error
            number = host.request(prefixed(b""))
            if where == "encoder":
                host.seen[0][1].finish(lambda error=error: fail(error))
            with caplog.at_level(logging.ERROR):
                answer = host.answer(number)
            assert answer.status == status
            assert text is None or answer.headers["grpc-message"] == text
            assert "secret" not in str(answer.headers)
            assert host.taken == 0

    def test_answer_to_a_caller_that_left_is_not_even_encoded(self) -> None:
        host = StillHost()
        number = host.request(prefixed(b""))
        host.client.h2.reset_stream(number)
        host.exchange()
        host.seen[0][1].finish(lambda: fail(AssertionError("encoded")))
        host.deliver()
        assert host.taken == 0

    @pytest.mark.parametrize("spare_s", [0.001, 0.0])
    def test_answer_brought_before_the_deadline_and_sent_after_it_is_none(self, spare_s: float) -> None:
        """What tells calls that their time is up is the serving thread, and another may send before it."""
        host = StillHost()
        number = host.request(prefixed(b""), more=(("grpc-timeout", "1S"),))
        reply, told = host.seen[0][1], []
        reply.when_gone(lambda: told.append(1))
        finish(reply)
        host.sends_at = reply.deadline - spare_s
        assert host.answer(number).status == (0 if spare_s else 4)
        assert host.client.answers[number].messages == ([b"well"] if spare_s else [])
        assert told == ([] if spare_s else [1])
        assert (host.taken, host.admission.answered) == (0, 1 if spare_s else 0)

    def test_outcome_that_the_caller_must_hear_is_sent_after_the_deadline(self) -> None:
        host = StillHost()
        number = host.request(prefixed(b""), more=(("grpc-timeout", "1S"),))
        reply = host.seen[0][1]
        reply.when_gone(lambda: True)
        finish(reply)
        host.sends_at = reply.deadline
        assert host.answer(number).messages == [b"well"]


class TestCompressedAnswers:
    """The answer goes by another thread, which is the test's."""

    ACCEPTS = (("grpc-accept-encoding", "identity, deflate, gzip"),)

    @pytest.fixture
    def deflaters(self) -> Decoders:
        return Decoders()

    @pytest.fixture
    def host(self, deflaters: Decoders) -> StillHost:
        host = StillHost()
        host.deflater = Deflater(1, 100, deflaters.submit)
        return host

    @pytest.mark.parametrize("accepts", ["gzip", "deflate"])
    def test_answer_is_compressed_elsewhere_and_says_how(
        self, host: StillHost, deflaters: Decoders, accepts: str
    ) -> None:
        number = host.request(prefixed(b""), more=(("grpc-accept-encoding", accepts),))
        finish(host.seen[0][1], bytes(5000))
        host.deliver()
        assert host.client.answers[number].headers == {}, "the thread that ends calls does not wait"
        assert (host.taken, host.inflight.nbytes) == (1, 5000)
        deflaters.run()
        answer = host.answer(number)
        assert answer.headers["grpc-encoding"] == accepts
        assert answer.headers["grpc-accept-encoding"] == "identity,deflate,gzip"
        flag, length, packed = answer.data[0], int.from_bytes(answer.data[1:5], "big"), answer.data[5:]
        assert (flag, length) == (1, len(packed))
        assert unpacked(flag, bytes(packed), accepts, LIMIT) == bytes(5000)
        assert (answer.status, host.taken, host.inflight.nbytes) == (0, 0, 0)
        assert host.admission.answered == 1

    @pytest.mark.parametrize(
        ("accepts", "answer"),
        [
            ((), bytes(5000)),
            ((("grpc-accept-encoding", "identity"),), bytes(5000)),
            ((("grpc-accept-encoding", "br, zstd"),), bytes(5000)),
            (ACCEPTS, bytes(99)),
            (ACCEPTS, random.Random(7).randbytes(5000)),
        ],
        ids=["nothing said", "identity", "unknown ones", "small", "noise"],
    )
    def test_others_are_sent_as_they_are(
        self, host: StillHost, deflaters: Decoders, accepts: tuple[tuple[str, str], ...], answer: bytes
    ) -> None:
        number = host.request(prefixed(b""), more=accepts)
        finish(host.seen[0][1], answer)
        host.deliver()
        deflaters.run()
        assert host.answer(number).messages == [answer]
        assert "grpc-encoding" not in host.answer(number).headers

    @pytest.mark.parametrize("how", ["reset", "lost", "expired", "cancelled"])
    def test_nothing_is_sent_or_held_for_a_caller_who_goes_meanwhile(
        self, host: StillHost, deflaters: Decoders, how: str
    ) -> None:
        number = host.request(prefixed(b""), more=self.ACCEPTS)
        finish(host.seen[0][1], bytes(5000))
        host.deliver()
        end(host, number, how)
        assert (host.taken, host.inflight.nbytes) == (0, 0)
        deflaters.run()
        host.deliver()
        assert host.answer(number).messages == []
        assert (host.taken, host.inflight.nbytes, host.admission.answered) == (0, 0, 0)

    def test_error_is_sent_at_once(self, host: StillHost) -> None:
        number = host.request(prefixed(b""), more=self.ACCEPTS)
        host.seen[0][1].finish(lambda: fail(InvalidCall("no " * 1000)))
        assert host.answer(number).status == 3
        assert host.answer(number).trailers_only

    def test_answer_waits_for_the_callers_windows_as_any_other(self, deflaters: Decoders) -> None:
        host = StillHost(window=50)
        host.deflater = Deflater(1, 100, deflaters.submit)
        number = host.request(prefixed(b""), more=self.ACCEPTS)
        whole = bytes(range(256)) * 20
        finish(host.seen[0][1], whole)
        host.deliver()
        deflaters.run()
        host.deliver()
        assert 0 < host.inflight.nbytes < len(whole)
        host.client.h2.increment_flow_control_window(10_000, number)
        host.exchange()
        data = host.answer(number).data
        assert unpacked(data[0], bytes(data[5:]), "gzip", LIMIT) == whole
        assert host.inflight.nbytes == 0
