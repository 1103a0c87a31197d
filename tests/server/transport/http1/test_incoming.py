"""What becomes of a request before it is a call: its body, its limits, and where it is read."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from hotgraph_server.errors import QueueFull
from hotgraph_server.transport.http import Endpoint
from hotgraph_server.transport.http1 import codings
from hotgraph_server.transport.http1.incoming import LARGE_JSON_BYTES
from hotgraph_server.transport.service import LARGE_MESSAGE

from .host import LIMIT, SHORT, StillHost, chunked, post

VERY_LARGE = 256 * 1024


@pytest.fixture
def host() -> StillHost:
    return StillHost()


class TestBody:
    @pytest.mark.parametrize("nbytes", [0, 1, 1000, 16_000])
    def test_body_reaches_the_endpoint_whole_however_it_is_framed(self, host: StillHost, nbytes: int) -> None:
        body = bytes(n % 251 for n in range(nbytes))
        parts = [body[at : at + 777] for at in range(0, nbytes, 777)]
        host.send(post("/echo", body), chunked("/echo", *parts))
        wire = post("/echo", body) + chunked("/echo", *parts)
        host.send(*(wire[at : at + 101] for at in range(0, len(wire), 101)))
        assert [answer.body for answer in host.answers()] == [body] * 4
        host.assert_nothing_is_left()

    def test_many_chunks_of_one_byte_cost_as_many_bytes(self, host: StillHost) -> None:
        """What is kept of them is the body, and each is looked at once."""
        many = b"1\r\na\r\n" * 60_000
        host.send(chunked("/raw")[:-5])
        for _ in range(10):
            host.send(many)
        assert host.inflight.nbytes == 600_000
        host.send(b"0\r\n\r\n")
        host.settle()
        assert host.answer().body == b"a" * 600_000
        host.assert_nothing_is_left()

    def test_body_belongs_to_the_endpoint(self, host: StillHost) -> None:
        """It is no view of memory that is another's."""
        kept: list[Any] = []

        def keep(body: Any, reply: Any) -> None:
            kept.append(body)
            reply.finish(lambda: b"")

        host.api.endpoint_of["/keep"] = Endpoint(keep, LIMIT)
        wire = post("/keep", b"whole") + post("/keep", b"cut") + chunked("/keep", b"a", b"b")
        host.send(wire[:100], wire[100:])
        assert [bytes(body) for body in kept] == [b"whole", b"cut", b"ab"]
        assert all(isinstance(body, bytes | bytearray) for body in kept)


class TestTooLarge:
    def test_length_that_is_too_large_is_refused_before_the_body(self, host: StillHost) -> None:
        host.send(post("/echo", bytes(LIMIT + 1))[:100])
        answer = host.answer()
        assert (answer.status, answer.closes) == (413, True)
        assert "larger than 1 MiB" in answer.error
        host.assert_nothing_is_left()

    def test_largest_that_is_allowed_is_taken(self, host: StillHost) -> None:
        host.send(post("/raw", bytes(LIMIT)))
        host.settle()
        assert len(host.answer().body) == LIMIT

    def test_chunks_that_are_too_many_are_refused_on_the_way(self, host: StillHost) -> None:
        host.send(chunked("/echo", bytes(LIMIT))[:-5])
        assert not host.sent
        host.send(b"1\r\na\r\n")
        assert (host.answer().status, host.answer().closes) == (413, True)
        host.send(b"1\r\na\r\n0\r\n\r\n")
        host.assert_nothing_is_left()

    def test_it_is_refused_behind_what_came_before(self, host: StillHost) -> None:
        host.send(SHORT.replace(b"/echo", b"/hold") + post("/echo", bytes(LIMIT + 1))[:100])
        assert not host.sent
        host.api.held[0].finish(lambda: b"well")
        host.deliver()
        assert [answer.status for answer in host.answers()] == [200, 413]

    def test_no_more_is_taken_in_than_all_calls_may_hold(self) -> None:
        host = StillHost(inflight=1000)
        host.send(post("/echo", bytes(600)), SHORT)
        first, second = host.answers()
        assert (first.status, second.status) == (503, 200)
        assert "TooMuchInside" in first.error
        host.assert_nothing_is_left()


class TestRefused:
    @pytest.mark.parametrize("path", ["/none/such", "/bug"])
    @pytest.mark.parametrize("framed", [post, chunked])
    def test_connection_goes_on_behind_a_refusal(self, host: StillHost, path: str, framed: Any) -> None:
        host.send(framed(path, b"body") + SHORT)
        first, second = host.answers()
        assert first.status in (404, 503)
        assert "secret" not in first.error
        assert second.status == 200
        assert not first.closes
        host.assert_nothing_is_left()

    @pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "x" * 1000, "gzip;q=1"])
    def test_unknown_encoding_says_what_is_known(self, host: StillHost, encoding: str) -> None:
        host.send(post("/echo", b"body", f"Content-Encoding: {encoding}"), SHORT)
        first, second = host.answers()
        assert (first.status, second.status) == (415, 200)
        assert first.headers["accept-encoding"] == "gzip, deflate"
        assert len(first.error) < 300
        assert len(host.api.asked) == 1

    def test_call_over_the_limit_is_refused_and_others_are_not(self) -> None:
        host = StillHost(max_calls=0)
        host.send(post("/hold", b"body"), SHORT)
        first, second = host.answers()
        assert "QueueFull" in first.error
        assert second.status == 200
        assert not host.api.held
        host.assert_nothing_is_left()

    @pytest.mark.parametrize("path", ["/fail", "/bug"])
    def test_bug_is_told_without_its_details(self, host: StillHost, path: str) -> None:
        host.send(post(path, b"body"))
        assert "InternalError" in host.answer().error
        assert "secret" not in host.answer().error
        host.assert_nothing_is_left()

    def test_refusal_of_the_endpoint_is_told_at_once(self, host: StillHost) -> None:
        host.api.error_to_raise = QueueFull("the model", 3, 3)
        host.connection.receive(memoryview(post("/fail", b"body")))
        assert not host.posted
        host.deliver()
        assert "QueueFull" in host.answer().error
        host.assert_nothing_is_left()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
    "": bytes,
}


class TestCompressed:
    @pytest.mark.parametrize("encoding", PACKED)
    def test_body_in_any_coding_is_the_body(self, host: StillHost, encoding: str) -> None:
        host.send(post("/echo", PACKED[encoding](b"body" * 1000), f"Content-Encoding: {encoding}"))
        host.settle()
        assert host.answer().body == b"body" * 1000
        host.assert_nothing_is_left()

    def test_it_is_unpacked_where_it_keeps_no_call_waiting_and_counted(self, host: StillHost) -> None:
        packed = gzip.compress(b"a" * 10_000)
        host.send(post("/hold", packed, "Content-Encoding: gzip"))
        assert not host.api.held
        assert host.inflight.nbytes == len(packed)
        host.threads.run()
        assert host.inflight.nbytes == len(packed) + 10_000
        host.api.held[0].finish(lambda: b"")
        host.deliver()
        host.assert_nothing_is_left()

    def test_nothing_is_begun_for_one_who_leaves_while_it_is_unpacked(
        self, host: StillHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unpacked(*_: object) -> bytes:
            host.connection.lose()
            return b"a" * 10_000

        monkeypatch.setattr(codings, "unpacked", unpacked)
        host.send(post("/hold", b"packed", "Content-Encoding: gzip"))
        host.threads.run()
        assert not host.api.held
        host.assert_nothing_is_left()

    @pytest.mark.parametrize(
        ("packed", "status", "why"),
        [
            (gzip.compress(b"a" * 1000, mtime=0)[:-1], 503, "cut off"),
            (b"nonsense", 503, "no gzip"),
            (b"", 503, "nothing to be decompressed"),
            (gzip.compress(bytes(LIMIT + 1), mtime=0), 413, "larger than 1 MiB"),
        ],
    )
    def test_what_cannot_be_unpacked_is_refused(
        self, host: StillHost, packed: bytes, status: int, why: str
    ) -> None:
        host.send(post("/echo", packed, "Content-Encoding: gzip"), SHORT)
        host.settle()
        first, second = host.answers()
        assert (first.status, second.status) == (status, 200)
        assert why in first.error
        host.assert_nothing_is_left()

    def test_it_may_hold_no_more_than_all_calls_may(self) -> None:
        host = StillHost(inflight=100_000)
        host.send(post("/echo", gzip.compress(bytes(80_000)), "Content-Encoding: gzip"))
        host.settle()
        assert "TooMuchInside" in host.answer().error
        host.assert_nothing_is_left()

    def test_nothing_is_unpacked_for_one_who_has_gone(self, host: StillHost) -> None:
        host.send(post("/echo", gzip.compress(b"a"), "Content-Encoding: gzip"))
        host.connection.lose()
        host.threads.run()
        assert not host.api.asked
        assert not host.posted
        host.assert_nothing_is_left()

    def test_bug_in_a_thread_is_told(self, host: StillHost) -> None:
        host.send(post("/fail", gzip.compress(b"a"), "Content-Encoding: gzip"))
        host.settle()
        assert "InternalError" in host.answer().error
        host.assert_nothing_is_left()


class TestWhere:
    """A body is read on the spot, in a thread, or apart."""

    @pytest.mark.parametrize(
        ("path", "nbytes", "where"),
        [
            ("/hold", LARGE_JSON_BYTES, "here"),
            ("/hold", LARGE_JSON_BYTES + 1, "aside"),
            ("/hold", VERY_LARGE, "aside"),
            ("/hold", VERY_LARGE + 1, "apart"),
            ("/raw", LARGE_MESSAGE, "here"),
            ("/raw", LARGE_MESSAGE + 1, "aside"),
        ],
    )
    def test_where_a_body_is_read_goes_by_its_json(
        self, host: StillHost, path: str, nbytes: int, where: str
    ) -> None:
        host.send(post(path, bytes(nbytes)))
        waits = (len(host.threads.waiting), len(host.api.apart_place.jobs))
        assert waits == {"here": (0, 0), "aside": (1, 0), "apart": (0, 1)}[where]
        host.threads.run()
        host.api.apart_place.run()
        assert len(host.api.asked) == 1

    def test_what_is_unpacked_stays_in_its_thread_unless_it_is_very_much(self, host: StillHost) -> None:
        for nbytes, apart in ((VERY_LARGE, 0), (VERY_LARGE + 1, 1)):
            host.send(post("/echo", gzip.compress(bytes(nbytes)), "Content-Encoding: gzip"))
            host.threads.run()
            assert len(host.api.apart_place.jobs) == apart
            host.settle()
        assert [len(answer.body) for answer in host.answers()] == [VERY_LARGE, VERY_LARGE + 1]

    def test_apart_is_told_whose_it_is_and_until_when(self) -> None:
        host = StillHost(answer_s=3.0)
        host.send(post("/hold", bytes(VERY_LARGE + 1)))
        assert host.api.apart_place.given == [(VERY_LARGE + 1, "1.2.3.4", host.now + 3.0)]
        host = StillHost()
        host.send(post("/hold", bytes(VERY_LARGE + 1)))
        assert host.api.apart_place.given[0][2] == math.inf

    def test_where_there_is_no_place_apart_a_thread_does_it(self, host: StillHost) -> None:
        host.api.apart_place.there = False
        host.send(post("/echo", bytes(VERY_LARGE + 1)))
        assert len(host.threads.waiting) == 1
        host.settle()
        assert host.answer().status == 200
        host.assert_nothing_is_left()

    @pytest.mark.parametrize("coded", [False, True])
    def test_where_it_is_full_the_call_is_refused(self, host: StillHost, coded: bool) -> None:
        host.api.apart_place.full = QueueFull("JSON", 3, 3)
        body = bytes(VERY_LARGE + 1)
        wire = post("/echo", gzip.compress(body), "Content-Encoding: gzip") if coded else post("/echo", body)
        host.send(wire, SHORT)
        host.settle()
        first, second = host.answers()
        assert "QueueFull" in first.error
        assert second.status == 200
        host.assert_nothing_is_left()

    def test_where_it_fails_the_call_is_told(self, host: StillHost) -> None:
        host.send(post("/echo", bytes(VERY_LARGE + 1)), SHORT)
        host.api.apart_place.fail(QueueFull("JSON", 3, 3))
        host.deliver()
        assert [answer.status for answer in host.answers()] == [503, 200]
        host.assert_nothing_is_left()

    @pytest.mark.parametrize("nbytes", [LARGE_JSON_BYTES + 1, VERY_LARGE + 1])
    def test_error_of_the_endpoint_elsewhere_is_told(self, host: StillHost, nbytes: int) -> None:
        host.send(post("/fail", bytes(nbytes)), SHORT)
        host.settle()
        assert [answer.status for answer in host.answers()] == [503, 200]
        assert "InternalError" in host.answers()[0].error
        host.assert_nothing_is_left()

    @pytest.mark.parametrize("nbytes", [LARGE_JSON_BYTES + 1, VERY_LARGE + 1])
    def test_nothing_is_begun_for_one_who_has_gone(self, host: StillHost, nbytes: int) -> None:
        host.send(post("/hold", bytes(nbytes)))
        host.connection.lose()
        assert host.api.apart_place.taken_back == (nbytes > VERY_LARGE)
        host.threads.run()
        host.api.apart_place.run()
        assert not host.api.asked
        host.assert_nothing_is_left()
