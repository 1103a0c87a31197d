"""One connection: what is answered in which order, what ends it, and what it may ask of the server."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import PeerNotAllowed
from hotgraph_server.transport.http import Content, Endpoint
from hotgraph_server.transport.http1.connection import HEAD_S, KEEP_ALIVE_S, MAX_UNSENT_BYTES, MAX_WAITING
from hotgraph_server.transport.http1.incoming import SWALLOWED_BYTES

from .host import LIMIT, SHORT, StillHost, chunked, post

HOLD = SHORT.replace(b"/echo", b"/hold")
CLOSING = SHORT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


@pytest.fixture
def host() -> StillHost:
    return StillHost()


def stalled(host: StillHost, seconds: float) -> bool:
    """Is it given up when so much time has passed?"""
    before = host.now
    host.now += seconds
    result = host.connection.give_up_stalled(6)
    host.now = before
    return result


class TestAnswers:
    def test_request_is_answered_with_what_the_endpoint_says(self, host: StillHost) -> None:
        host.api.endpoint_of["/made"] = Endpoint(
            lambda body, reply: reply.finish(
                lambda: Content([b"a", memoryview(b"bc")], "text/plain", 202, [("x-made", "here")])
            ),
            LIMIT,
        )
        host.api.extra = [("x-always", "so")]
        host.send(post("/made?x", b"{}"), post("/echo", b"body"))
        first, second = host.answers()
        assert first == (
            202,
            {"content-type": "text/plain", "content-length": "3", "x-made": "here", "x-always": "so"},
            b"abc",
        )
        assert second.headers == {
            "content-type": "application/json",
            "content-length": "4",
            "x-always": "so",
        }
        assert second.body == b"body"
        host.assert_nothing_is_left()

    def test_endpoint_gets_what_stood_before_the_body(self, host: StillHost) -> None:
        host.send(post("/echo?a=b", b"x", "X-Y: z"), post("/echo?c", b"", "x-y: w"), SHORT)
        first, second, third = (request for request, _ in host.api.asked)
        assert first[:3] == ("POST", "/echo", "a=b")
        assert first.headers["x-y"] == "z"
        assert first.peer == "1.2.3.4:5"
        assert (second.query, second.headers["x-y"]) == ("c", "w")
        assert (third.method, third.query) == ("GET", "")

    @given(st.lists(st.integers(0, 10_000), max_size=6), st.permutations(range(5)))
    def test_answers_come_in_the_order_of_the_requests(self, cuts: list[int], order: list[int]) -> None:
        """Whenever they are there, and in whatever pieces the requests come."""
        host = StillHost()
        sent = b"".join(post("/hold" if n % 2 else "/echo", b"%d" % n) for n in range(10))
        edges = [0, *sorted(cut % len(sent) for cut in cuts), len(sent)]
        host.send(*(sent[begin:end] for begin, end in itertools.pairwise(edges)))
        # One at a time is worked on.
        for _ in range(5):
            (reply,) = host.api.held
            host.api.held.clear()
            body = host.api.asked[-1][1]
            reply.finish(lambda body=body: body)
            host.deliver()
        assert [answer.body for answer in host.answers()] == [b"%d" % n for n in range(10)]
        host.assert_nothing_is_left()

    def test_nothing_of_the_next_request_is_begun_before_its_turn(self, host: StillHost) -> None:
        host.send(HOLD + SHORT)
        assert [request.path for request, _ in host.api.asked] == ["/hold"]
        assert not host.sent
        host.api.held[0].finish(lambda: b"well")
        host.deliver()
        assert [answer.body for answer in host.answers()] == [b"well", b""]

    def test_head_is_answered_with_the_length_and_no_body(self, host: StillHost) -> None:
        head = SHORT.replace(b"GET /echo", b"HEAD /made")
        host.api.endpoint_of["/made"] = Endpoint(lambda body, reply: reply.finish(lambda: b"12345"), LIMIT)
        host.send(head, head.replace(b"/made", b"/none/such"), SHORT)
        first, second, third = host.answers("HEAD", "HEAD", "GET")
        assert (first.headers["content-length"], first.body) == ("5", b"")
        assert (second.status, second.body) == (404, b"")
        assert int(second.headers["content-length"]) > 0
        assert third.status == 200

    def test_large_answer_goes_out_in_its_own_pieces(self, host: StillHost) -> None:
        large = memoryview(bytes(LIMIT))
        host.api.endpoint_of["/made"] = Endpoint(
            lambda body, reply: reply.finish(lambda: [b"x", large]), LIMIT
        )
        host.connection.receive(memoryview(SHORT.replace(b"/echo", b"/made")))
        host.posted.popleft().deliver()
        assert host.connection.out[-1] is large
        host.deliver()
        assert host.answer().body == b"x" + bytes(large)

    def test_it_says_once_that_it_has_something_to_say(self, host: StillHost) -> None:
        host.send(SHORT * 3)
        assert host.outputs == 1


class TestPipelining:
    def test_requests_are_read_as_far_as_some_wait_and_all_are_answered(self, host: StillHost) -> None:
        count = 5 * 16384 // len(HOLD)
        host.send(HOLD * count)
        assert host.connection.holds
        assert len(host.api.asked) == 1
        for answered in range(count):
            assert host.api.led - answered <= MAX_WAITING + 1
            host.api.held.pop().finish(lambda: b"well")
            host.deliver()
        assert len(host.answers()) == count
        assert not host.connection.holds
        assert not host.connection.unfinished
        host.assert_nothing_is_left()

    def test_what_is_answered_at_once_never_holds(self, host: StillHost) -> None:
        refused = SHORT.replace(b"/echo", b"/none/such")
        host.connection.receive(memoryview(refused * 1000))
        assert not host.connection.holds
        host.deliver()
        assert len(host.answers()) == 1000

    def test_receive_ends_when_its_time_is_up(self, host: StillHost) -> None:
        host.send(SHORT * 3, ends_at=host.now)
        assert len(host.api.asked) == 1
        assert host.connection.unfinished
        host.send(b"")
        assert len(host.answers()) == 3

    def test_body_of_many_pieces_is_left_and_taken_up_again(self, host: StillHost) -> None:
        body = bytes(range(256)) * 600
        sent = chunked("/raw", *(body[at : at + 1000] for at in range(0, len(body), 1000)))
        looks = 0
        host.send(sent, ends_at=host.now)
        while not host.sent:
            assert host.connection.unfinished
            host.send(b"", ends_at=host.now)
            looks += 1
        assert looks > 5
        assert host.answer().body == body


class TestEnd:
    def test_connection_goes_on_and_ends_where_the_caller_says(self, host: StillHost) -> None:
        host.send(SHORT, CLOSING + SHORT)
        answers = host.answers()
        assert [answer.closes for answer in answers] == [False, True]
        assert host.connection.ended
        assert len(host.api.asked) == 2, "what comes behind is not for anybody"
        host.assert_nothing_is_left()

    def test_older_http_is_answered_and_closed(self, host: StillHost) -> None:
        host.send(b"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert host.answer().closes
        assert host.connection.ended

    def test_end_waits_for_the_answer(self, host: StillHost) -> None:
        host.send(CLOSING.replace(b"/echo", b"/hold"))
        assert not host.connection.ended
        host.api.held[0].finish(lambda: b"well")
        host.deliver()
        assert host.answer().body == b"well"
        assert host.connection.ended

    @pytest.mark.parametrize("body", [b"abcd", b""])
    def test_requests_behind_one_that_closes_are_dropped(self, host: StillHost, body: bytes) -> None:
        closing = post("/hold", body, "Connection: close")
        host.send(closing + post("/hold", b"lost") + b"POST /hold HTTP/1.1\r\nHost: h\r\nContent-Le")
        host.api.held[0].finish(lambda: b"well")
        host.deliver()
        assert host.answer().closes
        assert len(host.api.asked) == 1
        host.assert_nothing_is_left()

    def test_what_is_no_request_is_refused_and_nothing_more_heard(self, host: StillHost) -> None:
        host.send(b"nonsense\r\n\r\n", SHORT)
        answer = host.answer()
        assert (answer.status, answer.closes) == (400, True)
        assert host.connection.ended
        assert not host.api.asked
        host.assert_nothing_is_left()

    def test_requests_before_one_that_is_refused_are_answered_first(self, host: StillHost) -> None:
        host.send(HOLD + SHORT + b"nonsense\r\n\r\n" + SHORT)
        assert not host.sent
        assert host.connection.holds
        host.api.held[0].finish(lambda: b"well")
        host.deliver()
        assert [answer.status for answer in host.answers()] == [200, 200, 400]
        assert [answer.closes for answer in host.answers()] == [False, False, True]
        host.send(SHORT)
        assert len(host.api.asked) == 2
        host.assert_nothing_is_left()

    @pytest.mark.parametrize("before", [b"", HOLD])
    def test_body_that_breaks_off_ends_its_request(self, host: StillHost, before: bytes) -> None:
        host.send(before + chunked("/hold", b"a")[: -len(b"0\r\n\r\n")] + b"nonsense\r\n")
        if before:
            host.api.held.pop().finish(lambda: b"well")
            host.deliver()
        answer = host.answers()[-1]
        assert (answer.status, answer.closes) == (400, True)
        assert not host.api.held
        host.assert_nothing_is_left()

    def test_body_that_breaks_off_says_why_it_was_refused_before(self, host: StillHost) -> None:
        host.send(chunked("/none/such", b"a")[: -len(b"0\r\n\r\n")] + b"nonsense\r\n")
        assert host.answer().status == 404

    def test_connect_is_answered_and_closed(self, host: StillHost) -> None:
        connect = b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n"
        for before in (b"", HOLD):
            host = StillHost()
            host.send(before + connect + SHORT)
            if before:
                host.api.held[0].finish(lambda: b"well")
                host.deliver()
            assert host.answers("GET", "POST")[-1].status == 404 if before else host.answer().status == 404
            assert host.connection.ended

    def test_offer_of_another_protocol_is_answered_in_this_one(self, host: StillHost) -> None:
        host.send(post("/echo", b"body", "Upgrade: h2c", "Connection: Upgrade") + SHORT)
        assert [(answer.status, answer.body) for answer in host.answers()] == [(200, b"body"), (200, b"")]
        assert not any(answer.closes for answer in host.answers())


class TestContinue:
    ASKS = post("/echo", b"body", "Expect: 100-Continue")

    @pytest.fixture
    def asks(self) -> bytes:
        return self.ASKS[: -len(b"body")]

    def test_caller_that_asks_is_told_to_go_on(self, host: StillHost, asks: bytes) -> None:
        host.send(asks)
        assert host.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
        host.send(b"body")
        assert host.answer().body == b"body"

    def test_caller_of_chunks_too(self, host: StillHost) -> None:
        host.send(chunked("/echo", b"a", lines=["Expect: 100-continue"])[:-11])
        assert host.sent.startswith(b"HTTP/1.1 100 ")

    def test_caller_without_a_body_is_answered(self, host: StillHost) -> None:
        host.send(post("/echo", b"", "Expect: 100-continue"))
        assert host.sent.startswith(b"HTTP/1.1 200 ")

    @pytest.mark.parametrize(("path", "status"), [("/none/such", 404), ("/none", 413), ("/bug", 503)])
    def test_caller_that_asks_is_refused_before_it_sends(
        self, host: StillHost, path: str, status: int
    ) -> None:
        asks = post(path, b"body", "Expect: 100-continue")[: -len(b"body")]
        host.send(asks)
        answer = host.answer()
        assert (answer.status, answer.closes) == (status, True)
        assert host.connection.ended
        host.assert_nothing_is_left()

    def test_it_is_told_when_its_turn_has_come(self, host: StillHost, asks: bytes) -> None:
        host.send(HOLD + asks)
        assert not host.sent
        host.api.held[0].finish(lambda: b"well")
        host.deliver()
        assert host.sent.endswith(b"well" + b"HTTP/1.1 100 Continue\r\n\r\n")
        host.send(b"body" + SHORT)
        assert [answer.body for answer in host.answers()] == [b"well", b"body", b""]
        assert host.sent.count(b" 100 ") == 1

    def test_who_has_not_waited_is_not_told(self, host: StillHost, asks: bytes) -> None:
        host.send(HOLD + asks + b"bo")
        host.api.held[0].finish(lambda: b"well")
        host.deliver()
        host.send(b"dy" + post("/echo", b"next")[:-4], b"next")
        assert b" 100 " not in host.sent
        assert [answer.body for answer in host.answers()] == [b"well", b"body", b"next"]

    def test_older_http_knows_no_such_thing(self, host: StillHost) -> None:
        host.send(self.ASKS[:-4].replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert not host.sent
        host.send(b"body")
        assert host.answer().body == b"body"


class TestTimes:
    def test_connection_without_a_whole_head_is_closed(self) -> None:
        for sent in (b"", b"G", SHORT[:-1]):
            host = StillHost()
            host.send(sent)
            assert not stalled(host, HEAD_S - 0.001)
            assert stalled(host, HEAD_S)

    def test_head_in_pieces_has_its_time_from_the_first(self, host: StillHost) -> None:
        host.send(SHORT[:5])
        for at in range(5, 15):
            host.now += HEAD_S / 10
            host.send(SHORT[at : at + 1])
        assert stalled(host, 0.0)

    def test_caller_that_was_answered_may_be_silent_for_longer(self, host: StillHost) -> None:
        host.now += 10
        host.send(SHORT)
        assert not stalled(host, KEEP_ALIVE_S - 0.001)
        assert stalled(host, KEEP_ALIVE_S)

    def test_next_head_has_its_time_from_its_first_byte(self, host: StillHost) -> None:
        for sent in (SHORT, SHORT[:7]):
            host.now += 20
            host.send(sent)
        assert not stalled(host, HEAD_S - 0.001)
        assert stalled(host, HEAD_S)
        host.send(SHORT[7:])
        assert not stalled(host, HEAD_S)

    def test_head_that_has_begun_behind_others_has_its_time_from_the_last_answer(
        self, host: StillHost
    ) -> None:
        host.send(HOLD + SHORT[:7])
        host.now += 1000
        assert not stalled(host, 0.0)
        host.api.held[0].finish(lambda: b"well")
        host.deliver()
        assert not stalled(host, HEAD_S - 0.001)
        assert stalled(host, HEAD_S)

    def test_who_waits_for_an_answer_is_not_given_up(self, host: StillHost) -> None:
        host.send(HOLD)
        assert not stalled(host, 1e9)
        host.send(post("/hold", b"abcd")[:-1])
        assert not stalled(host, 1e9)

    def test_blank_lines_buy_no_time(self, host: StillHost) -> None:
        host.send(SHORT)
        for _ in range(4):
            host.now += KEEP_ALIVE_S / 4
            host.send(b"\r\n")
        assert stalled(host, 0.0)

    def test_body_has_its_time(self) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            host = StillHost(monkeypatch, body_s=5.0)
            host.send(post("/echo", b"abcd")[:-1])
            host.pass_s(4.999)
            assert not host.sent
            host.pass_s(0.001)
            answer = host.answer()
            assert (answer.status, answer.closes) == (408, True)
            assert "within 5 s" in answer.error
            assert host.connection.ended
            host.assert_nothing_is_left()

    def test_body_that_has_come_in_time_is_not_late(self) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            host = StillHost(monkeypatch, body_s=5.0)
            host.send(post("/hold", b"abcd")[:-1])
            host.pass_s(4.0)
            host.send(b"d", chunked("/hold", b"a")[:-1])
            host.pass_s(4.999)
            assert not host.sent
            # It waits for the answer before, and for its own end.
            host.pass_s(0.001)
            assert not host.sent
            assert host.connection.holds
            host.api.held[0].finish(lambda: b"well")
            host.deliver()
            assert [answer.status for answer in host.answers()] == [200, 408]
            host.assert_nothing_is_left()


class TestGoingAway:
    def test_connection_between_requests_ends_at_once(self, host: StillHost) -> None:
        host.send(SHORT)
        assert host.connection.go_away()
        assert host.connection.ended
        assert host.outputs == 2
        assert not host.connection.go_away()

    def test_connection_that_has_said_nothing_too(self, host: StillHost) -> None:
        assert host.connection.go_away()
        assert host.connection.ended

    def test_connection_that_a_request_may_be_on_its_way_to_ends_with_its_next_answer(
        self, host: StillHost
    ) -> None:
        """A connection that has its age: to close it at once would cost the request that crosses the end."""
        host.send(SHORT)
        assert host.connection.go_away(at_once=False)
        assert not host.connection.ended
        host.send(SHORT)
        assert [answer.closes for answer in host.answers()] == [False, True]
        assert host.connection.ended
        assert host.connection.calls == 2

    def test_connection_that_was_asked_before_ends_when_that_is_called_for(self, host: StillHost) -> None:
        host.send(SHORT)
        assert host.connection.go_away(at_once=False)
        assert host.connection.quiet
        assert not host.connection.go_away(at_once=True)
        assert host.connection.ended

    @pytest.mark.parametrize("sent", [HOLD, SHORT[:-1]])
    def test_connection_with_a_request_is_not_quiet(self, host: StillHost, sent: bytes) -> None:
        assert host.connection.quiet
        host.send(sent)
        assert not host.connection.quiet
        assert host.connection.go_away()
        assert not host.connection.ended

    @pytest.mark.parametrize("cut", [1, len(SHORT) - 1, len(SHORT)])
    def test_request_that_has_begun_is_answered_and_the_connection_closed(
        self, host: StillHost, cut: int
    ) -> None:
        sent = HOLD + SHORT
        host.send(sent[:cut])
        assert host.connection.go_away()
        assert not host.connection.ended
        host.send(sent[cut:])
        host.api.held[0].finish(lambda: b"well")
        host.deliver()
        answers = host.answers()
        assert answers[0].body == b"well"
        # What is behind the rest of a head, in one piece with it, is read with it.
        assert [answer.closes for answer in answers] == [False] * (len(answers) - 1) + [True]
        assert host.connection.ended
        host.assert_nothing_is_left()

    def test_all_that_was_read_before_is_answered_and_nothing_that_comes_later(self, host: StillHost) -> None:
        host.send(HOLD + SHORT + SHORT)
        host.connection.go_away()
        assert host.connection.holds
        host.send(SHORT)
        host.api.held[0].finish(lambda: b"well")
        host.deliver()
        assert [answer.closes for answer in host.answers()] == [False, False, True]
        assert host.connection.ended
        host.assert_nothing_is_left()

    def test_request_behind_chunks_in_one_piece_has_begun(self, host: StillHost) -> None:
        host.send(chunked("/echo", b"a") + SHORT[:7])
        host.connection.go_away()
        assert not host.connection.ended
        host.send(SHORT[7:])
        assert [answer.closes for answer in host.answers()] == [False, True]


class TestRefusal:
    """Of a connection whose caller may not call, whatever it asks."""

    def test_every_request_is_refused_and_none_led_anywhere(self, host: StillHost) -> None:
        host.connection.refusal = PeerNotAllowed(["evil.example"])
        host.send(SHORT, post("/echo", b"body"), b"GET /none/such HTTP/1.1\r\nHost: h\r\n\r\n")
        answers = host.answers()
        assert ["evil.example" in answer.error for answer in answers] == [True] * 3
        assert (host.api.led, host.api.asked) == (0, [])
        host.assert_nothing_is_left()


class TestSwallowing:
    def test_small_body_that_nobody_wants_is_passed_over(self, host: StillHost) -> None:
        host.send(post("/none/such", bytes(SWALLOWED_BYTES)), chunked("/none/such", bytes(1000)), SHORT)
        assert [answer.status for answer in host.answers()] == [404, 404, 200]
        assert host.inflight.nbytes == 0

    def test_of_a_large_one_nothing_is_waited_for(self, host: StillHost) -> None:
        host.send(post("/none/such", bytes(SWALLOWED_BYTES + 1))[:200])
        assert (host.answer().status, host.answer().closes) == (404, True)

    def test_large_one_in_chunks_is_given_up_on_the_way(self, host: StillHost) -> None:
        head = chunked("/none/such")[:-5]
        host.send(head)
        sent = 0
        while not host.sent:
            host.send(b"8000\r\n" + bytes(0x8000) + b"\r\n")
            sent += 0x8000
        assert SWALLOWED_BYTES < sent <= SWALLOWED_BYTES + 0x8000
        assert (host.answer().status, host.answer().closes) == (404, True)
        # It goes on, and nobody listens.
        host.send(b"8000\r\n" + bytes(0x8000) + b"\r\n0\r\n\r\n" + SHORT)
        host.answer()
        host.assert_nothing_is_left()


class TestLife:
    def test_new_connection_has_nothing_to_say(self, host: StillHost) -> None:
        connection = host.connection
        assert (connection.out, connection.out_bytes, connection.ended, connection.holds) == (
            [],
            0,
            False,
            False,
        )
        assert connection.greeted
        assert connection.patient
        connection.say_goodbye()
        assert connection.out == []

    @pytest.mark.parametrize(
        "sent",
        [
            b"",
            SHORT[:5],
            post("/hold", b"abcd")[:-1],
            chunked("/hold", b"abcd")[:-1],
            HOLD,
            HOLD + post("/hold", b"abcd"),
            HOLD + post("/hold", b"abcd")[:-2],
            HOLD + b"nonsense\r\n\r\n",
            HOLD * 40,
        ],
        ids=[
            "nothing",
            "half a head",
            "half a body",
            "half of chunks",
            "held",
            "two",
            "half",
            "wrong",
            "many",
        ],
    )
    def test_connection_that_is_lost_lets_go_of_everything(self, host: StillHost, sent: bytes) -> None:
        left: list[bool] = []
        host.connection.receive(memoryview(sent))
        for reply in host.api.held:
            reply.when_gone(lambda: left.append(True))
        host.connection.lose()
        assert len(left) == len(host.api.held)
        host.assert_nothing_is_left()
        # An answer that comes all the same is nobody's.
        for reply in host.api.held:
            reply.finish(lambda: b"late")
        host.deliver_posted()
        assert not host.sent

    @pytest.mark.parametrize("going_away", [False, True])
    def test_server_that_waits_no_longer_says_so_to_whom_it_owes_an_answer(
        self, host: StillHost, going_away: bool
    ) -> None:
        left: list[bool] = []
        host.send(HOLD + post("/hold", b"ab"))
        host.api.held[0].when_gone(lambda: left.append(True))
        if going_away:
            host.connection.go_away()
        host.connection.cancel()
        host.deliver()
        assert left == [True]
        assert {answer.status for answer in host.answers()} == {503}
        assert "Draining" in host.answers()[0].error
        assert len(host.answers()) == 2
        host.assert_nothing_is_left()

    def test_server_that_waits_no_longer_waits_for_no_body(self, host: StillHost) -> None:
        host.send(post("/hold", b"abcd")[:-1])
        host.connection.cancel()
        host.deliver()
        assert (host.answer().status, host.answer().closes) == (503, True)
        host.assert_nothing_is_left()


@given(st.lists(st.binary(max_size=30), max_size=8))
def test_whatever_comes_is_answered_in_whole_answers_or_waited_for(pieces: list[bytes]) -> None:
    host = StillHost()
    for piece in (SHORT, *pieces):
        host.send(piece)
    host.answers()
    assert host.connection.ended or not stalled(host, HEAD_S - 1)
    # What is neither closed nor given up when nothing follows waits for an answer, or for the rest of a body.
    waits = host.api.held or not host.connection.between_requests
    assert host.connection.ended or waits or stalled(host, KEEP_ALIVE_S + 1)
    host.connection.lose()
    host.assert_nothing_is_left()


class TestCrowd:
    def test_nothing_is_begun_for_who_does_not_read_his_answers(self, host: StillHost) -> None:
        large = bytes(MAX_UNSENT_BYTES + 1)
        asked: list[str] = []

        def make(body: Any, reply: Any) -> None:
            asked.append("made")
            reply.finish(lambda: large)

        host.api.endpoint_of["/made"] = Endpoint(make, LIMIT)
        connection = host.connection
        connection.receive(memoryview(SHORT.replace(b"/echo", b"/made") * 3))
        for answered in (1, 2, 3):
            host.posted.popleft().deliver()
            assert len(asked) == answered
            # Its socket has taken all of it, and the system nothing.
            connection.unsent_bytes, connection.out, connection.out_bytes = connection.out_bytes, [], 0
            assert connection.crowded
            connection.unsent_bytes = 0
            connection.on_sent()
        assert not host.posted

    @pytest.mark.parametrize("end", ["sent", "lost", "closes"])
    def test_what_is_not_sent_is_held_of_the_budget_of_all_until_it_is(
        self, host: StillHost, end: str
    ) -> None:
        large = bytes(MAX_UNSENT_BYTES + 1)
        host.api.endpoint_of["/made"] = Endpoint(lambda body, reply: reply.finish(lambda: large), LIMIT)
        sent = CLOSING if end == "closes" else SHORT
        host.connection.receive(memoryview(sent.replace(b"/echo", b"/made")))
        host.posted.popleft().deliver()
        connection = host.connection
        assert host.inflight.nbytes == connection.out_bytes > len(large)
        connection.unsent_bytes, connection.out, connection.out_bytes = connection.out_bytes, [], 0
        if end == "lost":
            connection.lose()
        else:
            connection.unsent_bytes = 0
            connection.on_sent()
        assert host.inflight.nbytes == 0
        connection.lose()
        assert (host.inflight.nbytes, connection.held_bytes) == (0, 0)
