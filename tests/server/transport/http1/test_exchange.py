"""An answer on its way: who encodes it, in which coding it goes, and what happens when nobody waits."""

from __future__ import annotations

import gc
import gzip
import math
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from hotgraph_server.errors import NOT_RUN, DeadlineExceeded, QueueFull
from hotgraph_server.transport.http import Content, Endpoint
from hotgraph_server.transport.http1.codings import WORTH_BYTES
from hotgraph_server.transport.http1.exchange import Exchange
from hotgraph_server.transport.http1.incoming import LARGE_JSON_BYTES

from .host import LIMIT, SHORT, StillHost, post

HOLD = SHORT.replace(b"/echo", b"/hold")
VERY_LARGE = 256 * 1024
TEXT = b"0.5, " * WORTH_BYTES


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> StillHost:
    return StillHost(monkeypatch, answer_s=10.0)


def held(host: StillHost, *lines: str) -> Any:
    """A request that is held; its reply."""
    host.send(post("/hold", b"body", *lines))
    return host.api.held[-1]


def finish(reply: Any, answer: Any = b"well", json_bytes: int = 0) -> None:
    reply.json_bytes_out = json_bytes
    reply.finish(lambda: answer)


def raising(error: Exception) -> Any:
    def encode() -> Any:
        raise error

    return encode


class TestEncoding:
    @pytest.mark.parametrize(
        ("nbytes", "where"),
        [
            (0, "here"),
            (LARGE_JSON_BYTES, "here"),
            (LARGE_JSON_BYTES + 1, "aside"),
            (VERY_LARGE, "aside"),
            (VERY_LARGE + 1, "apart"),
        ],
    )
    def test_where_an_answer_is_encoded_goes_by_its_json(
        self, host: StillHost, nbytes: int, where: str
    ) -> None:
        finish(held(host), b"well", nbytes)
        host.deliver()
        waits = (len(host.threads.waiting), len(host.api.apart_place.jobs))
        assert waits == {"here": (0, 0), "aside": (1, 0), "apart": (0, 1)}[where]
        host.settle()
        assert host.answer().body == b"well"
        assert host.admission.answered == 1
        host.assert_nothing_is_left()

    @pytest.mark.parametrize("nbytes", [0, LARGE_JSON_BYTES + 1, VERY_LARGE + 1])
    @pytest.mark.parametrize("error", [QueueFull("it", 1, 1), ZeroDivisionError("the secret")])
    def test_error_while_encoding_is_the_answer(self, host: StillHost, nbytes: int, error: Exception) -> None:
        reply = held(host)
        reply.json_bytes_out = nbytes
        reply.finish(raising(error))
        host.settle()
        assert host.answer().status == 503
        assert "secret" not in host.answer().error
        assert host.admission.answered == 0
        status = "RESOURCE_EXHAUSTED" if isinstance(error, QueueFull) else "INTERNAL"
        assert host.admission.errors == {("http", status): 1}
        assert host.admission.faults == (status == "INTERNAL")
        host.assert_nothing_is_left()

    @pytest.mark.parametrize("is_worked_on", [False, True])
    def test_who_is_told_of_failures_hears_of_each_once(self, host: StillHost, is_worked_on: bool) -> None:
        reply = held(host)
        if is_worked_on:
            reply.when_gone(lambda: None)
        reply.finish(raising(QueueFull("it", 1, 1)))
        host.settle()
        assert host.answer().status == 503
        assert host.told == [("POST /hold", "RESOURCE_EXHAUSTED", is_worked_on)]

    def test_where_there_is_too_much_to_encode_the_call_is_refused(self, host: StillHost) -> None:
        host.api.apart_place.full = QueueFull("JSON", 3, 3)
        finish(held(host), b"well", VERY_LARGE + 1)
        host.settle()
        assert "QueueFull" in host.answer().error
        host.assert_nothing_is_left()

    def test_where_that_fails_the_call_is_told(self, host: StillHost) -> None:
        finish(held(host), b"well", VERY_LARGE + 1)
        host.deliver()
        host.api.apart_place.fail(QueueFull("JSON", 3, 3))
        # It is asked anew, and it is no place for so much any more.
        host.settle()
        assert "QueueFull" in host.answer().error
        host.assert_nothing_is_left()

    def test_where_there_is_no_place_apart_a_thread_encodes(self, host: StillHost) -> None:
        host.api.apart_place.there = False
        finish(held(host), b"well", VERY_LARGE + 1)
        host.deliver()
        assert len(host.threads.waiting) == 1
        host.settle()
        assert host.answer().body == b"well"

    @pytest.mark.parametrize("answer", [b"ab", bytearray(b"ab"), [memoryview(b"a"), b"b"], Content([b"ab"])])
    def test_answer_may_be_bytes_or_pieces(self, host: StillHost, answer: Any) -> None:
        finish(held(host), answer)
        host.settle()
        assert host.answer().body == b"ab"

    def test_header_that_would_begin_another_is_none(self, host: StillHost) -> None:
        finish(held(host), Content([b""], headers=[("x", "a\r\nset-cookie: b")]))
        host.settle()
        assert host.answer().headers["x"] == "aset-cookie: b"


class TestAside:
    def test_what_is_made_aside_is_the_answer(self, host: StillHost) -> None:
        held(host).aside(lambda: Content([b"page"], "text/plain"))
        assert not host.sent
        host.settle()
        assert (host.answer().headers["content-type"], host.answer().body) == ("text/plain", b"page")
        host.assert_nothing_is_left()

    @pytest.mark.parametrize("error", [QueueFull("it", 1, 1), ZeroDivisionError("the secret")])
    def test_what_is_raised_there_is_the_answer(self, host: StillHost, error: Exception) -> None:
        held(host).aside(raising(error))
        host.settle()
        assert host.answer().status == 503
        assert "secret" not in host.answer().error
        host.assert_nothing_is_left()


UNPACKED: dict[str | None, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    None: bytes,
}


class TestCompressed:
    @pytest.mark.parametrize(
        ("accept", "coding"),
        [
            ("gzip", "gzip"),
            ("gzip, deflate", "gzip"),
            ("deflate;q=0.5, gzip;q=0.4", "deflate"),
            ("br, x-gzip", "gzip"),
            ("identity", None),
            ("*", None),
            ("gzip;q=0", None),
            ("gzip;q=0.5, identity", None),
        ],
    )
    @pytest.mark.parametrize("json_bytes", [0, LARGE_JSON_BYTES + 1, VERY_LARGE + 1])
    def test_answer_goes_in_the_coding_that_is_asked_for(
        self, host: StillHost, accept: str, coding: str | None, json_bytes: int
    ) -> None:
        finish(held(host, f"Accept-Encoding: {accept}"), TEXT, json_bytes)
        host.settle()
        answer = host.answer()
        assert answer.headers.get("content-encoding") == coding
        assert answer.headers.get("vary") == ("Accept-Encoding" if coding else None)
        assert UNPACKED[coding](answer.body) == TEXT
        assert (len(answer.body) < len(TEXT)) is (coding is not None)
        host.assert_nothing_is_left()

    def test_large_answer_is_compressed_where_it_keeps_no_call_waiting(self, host: StillHost) -> None:
        large = b"0.25, " * LARGE_JSON_BYTES
        finish(held(host, "Accept-Encoding: gzip"), Content([large], "text/x", 201, [("x", "y")]))
        host.deliver()
        assert not host.sent
        assert len(host.threads.waiting) == 1
        host.settle()
        answer = host.answer()
        assert (answer.status, answer.headers["content-type"], answer.headers["x"]) == (201, "text/x", "y")
        assert gzip.decompress(answer.body) == large

    def test_small_answer_is_not_compressed(self, host: StillHost) -> None:
        finish(held(host, "Accept-Encoding: gzip"), b"a" * WORTH_BYTES)
        host.settle()
        assert "content-encoding" not in host.answer().headers

    def test_what_is_compressed_already_is_not_compressed_again(self, host: StillHost) -> None:
        packed = zlib.compress(bytes(range(256)) * 40, 0)
        made = Content([packed], headers=[("content-encoding", "deflate")])
        finish(held(host, "Accept-Encoding: gzip"), made)
        host.settle()
        assert host.answer().headers["content-encoding"] == "deflate"
        assert host.answer().body == packed

    def test_to_head_the_length_is_that_of_the_compressed_body(self, host: StillHost) -> None:
        host.api.endpoint_of["/made"] = Endpoint(lambda body, reply: reply.finish(lambda: TEXT), LIMIT)
        lines = b"Host: h\r\nAccept-Encoding: gzip\r\n\r\n"
        host.send(b"HEAD /made HTTP/1.1\r\n" + lines, b"GET /made HTTP/1.1\r\n" + lines)
        head, get = host.answers("HEAD", "GET")
        assert head.headers == get.headers
        assert head.body == b""


class TestDeadline:
    def test_call_without_an_answer_in_time_ends(self, host: StillHost) -> None:
        left: list[bool] = []
        held(host).when_gone(lambda: left.append(True))
        host.pass_s(9.999)
        assert not left
        host.pass_s(0.001)
        assert left == [True]
        assert "DeadlineExceeded" in host.answer().error
        assert not host.answer().closes
        host.assert_nothing_is_left()

    def test_without_a_limit_nothing_is_noted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        host = StillHost(monkeypatch)
        assert held(host).deadline == math.inf
        assert not host.expiring
        assert not host.in_order

    def test_the_earlier_deadline_counts(self, host: StillHost) -> None:
        reply = held(host)
        reply.expire_at(host.now + 20)
        assert not host.expiring
        reply.expire_at(host.now + 2)
        host.pass_s(2.0)
        assert "DeadlineExceeded" in host.answer().error
        # That it was noted twice does not matter.
        host.pass_s(20.0)
        host.answer()
        host.assert_nothing_is_left()

    def test_time_begins_with_the_turn(self, host: StillHost) -> None:
        first = held(host)
        host.send(HOLD)
        host.pass_s(6.0)
        finish(first)
        host.deliver()
        host.pass_s(9.0)
        assert len(host.answers()) == 1
        host.pass_s(1.0)
        assert "DeadlineExceeded" in host.answers()[1].error

    def test_what_the_call_has_ended_with_is_told(self, host: StillHost) -> None:
        held(host).when_gone(lambda: DeadlineExceeded(NOT_RUN))
        host.pass_s(10.0)
        assert "it was not run" in host.answer().error

    def test_outcome_that_is_still_to_come_is_waited_for(self, host: StillHost) -> None:
        left: list[bool] = []
        reply = held(host)

        def leave() -> bool:
            left.append(True)
            return True

        reply.when_gone(leave)
        host.pass_s(10.0)
        host.pass_s(10.0)
        assert left == [True]
        assert not host.sent
        finish(reply, b"it has happened")
        host.deliver()
        assert host.answer().body == b"it has happened"
        host.assert_nothing_is_left()

    def test_such_an_outcome_is_written_whenever_that_can_be_done(self, host: StillHost) -> None:
        reply = held(host)
        reply.when_gone(lambda: True)
        host.pass_s(10.0)
        finish(reply, b"it has happened", VERY_LARGE + 1)
        host.deliver()
        assert host.api.apart_place.given[0][2] == math.inf
        host.settle()
        assert host.answer().body == b"it has happened"

    @pytest.mark.parametrize("leave", [None, lambda: None, lambda: True])
    def test_call_expires_while_its_answer_waits_to_be_encoded(self, host: StillHost, leave: Any) -> None:
        reply = held(host)
        if leave is not None:
            reply.when_gone(leave)
        finish(reply, b"well", VERY_LARGE + 1)
        host.deliver()
        host.pass_s(10.0)
        assert "DeadlineExceeded" in host.answer().error
        assert host.api.apart_place.taken_back == 1
        host.settle()
        host.answer()
        host.assert_nothing_is_left()

    @pytest.mark.parametrize("nbytes", [LARGE_JSON_BYTES + 1, VERY_LARGE + 1])
    def test_call_expires_while_its_body_waits_to_be_read(self, host: StillHost, nbytes: int) -> None:
        host.send(post("/hold", bytes(nbytes)), SHORT)
        host.pass_s(10.0)
        assert "DeadlineExceeded" in host.answers()[0].error
        host.settle()
        assert not host.api.held
        assert [answer.status for answer in host.answers()] == [503, 200]
        host.assert_nothing_is_left()

    def test_answer_that_comes_late_is_not_sent_though_nobody_has_looked(self, host: StillHost) -> None:
        reply = held(host)
        reply.when_gone(lambda: None)
        host.now += 10.0
        finish(reply)
        host.deliver()
        assert "DeadlineExceeded" in host.answer().error
        host.assert_nothing_is_left()

    def test_call_that_was_answered_does_not_expire(self, host: StillHost) -> None:
        finish(held(host))
        host.deliver()
        host.pass_s(10.0)
        assert host.answer().status == 200


STEPS = {
    "body aside": (post("/hold", bytes(LARGE_JSON_BYTES + 1)), None),
    "body apart": (post("/hold", bytes(VERY_LARGE + 1)), None),
    "body packed": (post("/hold", gzip.compress(b"a"), "Content-Encoding: gzip"), None),
    "held": (HOLD, None),
    "answer noted": (HOLD, 0),
    "answer aside": (HOLD, LARGE_JSON_BYTES + 1),
    "answer apart": (HOLD, VERY_LARGE + 1),
    "answer packed": (post("/hold", b"", "Accept-Encoding: gzip"), -1),
}


@pytest.mark.parametrize("step", STEPS)
class TestLeaving:
    """At every step; what was to be done for the call is left undone, and nothing is kept of it."""

    def arrange(self, host: StillHost, step: str) -> None:
        wire, json_bytes = STEPS[step]
        host.send(wire)
        if json_bytes is None:
            return
        reply = host.api.held.pop()
        finish(reply, b"0.25, " * LARGE_JSON_BYTES if json_bytes < 0 else b"well", max(json_bytes, 0))
        if json_bytes:
            host.deliver()

    def after(self, host: StillHost) -> None:
        host.settle()
        for reply in host.api.held:
            finish(reply)
        host.settle()
        host.assert_nothing_is_left()

    def test_caller_leaves(self, host: StillHost, step: str) -> None:
        self.arrange(host, step)
        host.connection.lose()
        host.assert_nothing_is_left()
        begun = len(host.api.asked)
        self.after(host)
        assert not host.sent
        assert len(host.api.asked) == begun

    def test_server_waits_no_longer(self, host: StillHost, step: str) -> None:
        self.arrange(host, step)
        if step == "answer noted":
            # What was said before counts more.
            host.deliver()
        host.connection.cancel()
        host.deliver_posted()
        answer = host.answer()
        assert answer.status == (200 if step == "answer noted" else 503)
        self.after(host)
        host.answer()

    def test_time_is_up(self, host: StillHost, step: str) -> None:
        self.arrange(host, step)
        host.pass_s(10.0)
        self.after(host)
        assert "DeadlineExceeded" in host.answer().error

    def test_it_goes_on(self, host: StillHost, step: str) -> None:
        self.arrange(host, step)
        self.after(host)
        assert host.answer().status == 200

    @pytest.mark.parametrize("leaves", [True, False])
    def test_nothing_refers_to_it_in_a_circle(self, host: StillHost, step: str, leaves: bool) -> None:
        self.arrange(host, step)
        gc.collect()
        gc.disable()
        try:
            if leaves:
                host.connection.lose()
                host.settle()
                host.api.held.clear()
            else:
                self.after(host)
                host.api.held.clear()
                assert host.answer().status == 200
            host.expiring.clear()
            host.in_order.clear()
            assert not [one for one in gc.get_objects() if isinstance(one, Exchange)]
        finally:
            gc.enable()


def test_caller_that_leaves_is_told_to_whom_it_asked_once(host: StillHost) -> None:
    left: list[bool] = []
    reply = held(host)
    reply.when_gone(lambda: left.append(True))
    host.connection.lose()
    host.connection.lose()
    assert left == [True]
    # Who asks later is told at once.
    reply.when_gone(lambda: left.append(False))
    assert left == [True, False]


def test_who_cannot_be_told_costs_nobody_else(host: StillHost, caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        raise ZeroDivisionError

    held(host).when_gone(fails)
    host.send(HOLD)
    host.connection.lose()
    assert "could not be told" in caplog.text
    host.assert_nothing_is_left()


@pytest.mark.parametrize("what", ["headers", "error"])
@pytest.mark.parametrize("how", ["answered", "expired", "cancelled", "refused"])
def test_call_that_cannot_be_told_its_error_costs_its_connection(
    host: StillHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str, how: str
) -> None:
    def bug(*_: Any) -> Any:
        raise ZeroDivisionError

    host.send(HOLD * 2)
    monkeypatch.setattr(host.api, what, bug)
    if how == "answered":
        host.api.held[0].finish(raising(QueueFull("it", 1, 1)))
        host.deliver()
    elif how == "expired":
        host.pass_s(10.0)
    elif how == "cancelled":
        host.connection.cancel()
    else:
        host.connection.lose()
        host.send(SHORT.replace(b"/echo", b"/none/such"))
    assert host.connection.ended
    assert not host.sent
    assert "could not be told" in caplog.text
    host.assert_nothing_is_left()
