"""loadtest/sending/http1.py, whose requests are read by h11."""

from __future__ import annotations

import itertools

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.sending.calls import Call, Ended, Reply, WireError
from hotgraph_client.loadtest.sending.http1 import HttpConversation, HttpRequest

REQUEST = HttpRequest("[::1]:80", "/v2/models/m/infer", [("content-type", "application/json")], b'{"a": 1}')
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 3\r\n\r\nabc"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
GOOD = Reply("", b"abc", (("content-type", "application/json"), ("content-length", "3")))


def asking() -> tuple[HttpConversation, Call, Ended]:
    conversation, call = HttpConversation(), Call(0, 0.0)
    conversation.start(call, REQUEST, None)
    assert conversation.to_send() == REQUEST.data
    assert conversation.to_send() == b""
    return conversation, call, []


def test_request_is_what_another_reads() -> None:
    server = h11.Connection(h11.SERVER)
    server.receive_data(REQUEST.data)
    head, body, end = server.next_event(), server.next_event(), server.next_event()
    assert isinstance(head, h11.Request)
    assert (head.method, head.target) == (b"POST", b"/v2/models/m/infer")
    assert dict(head.headers) == {
        b"host": b"[::1]:80",
        b"content-type": b"application/json",
        b"content-length": b"8",
    }
    assert isinstance(body, h11.Data)
    assert body.data == b'{"a": 1}'
    assert isinstance(end, h11.EndOfMessage)


def test_one_call_after_the_other_on_one_connection() -> None:
    conversation, call, ended = asking()
    assert not conversation.takes_more
    with pytest.raises(WireError):
        conversation.start(Call(1, 0.0), REQUEST, None)
    conversation.receive(ANSWER, ended)
    assert ended == [(call, GOOD)]
    assert conversation.takes_more
    assert not conversation.is_over
    second = Call(1, 0.0)
    conversation.start(second, REQUEST, None)
    conversation.receive(CHUNKED, ended)
    assert ended[1:] == [(second, Reply("", b"abc", (("transfer-encoding", "chunked"),)))]


@pytest.mark.parametrize("data", [ANSWER, CHUNKED])
def test_answer_may_come_in_any_pieces(data: bytes) -> None:
    for cut in range(len(data) + 1):
        conversation, call, ended = asking()
        conversation.receive(data[:cut], ended)
        assert not ended or cut == len(data)
        if cut < len(data):
            conversation.receive(data[cut:], ended)
        assert [(one, reply.body) for one, reply in ended] == [(call, b"abc")]


@given(st.lists(st.integers(0, 90), max_size=5))
def test_answer_may_come_in_many_pieces(cuts: list[int]) -> None:
    conversation, _, ended = asking()
    places = [0, *sorted(min(cut, len(ANSWER)) for cut in cuts), len(ANSWER)]
    for start, end in itertools.pairwise(places):
        if start < end:
            conversation.receive(ANSWER[start:end], ended)
    assert [reply for _, reply in ended] == [GOOD]


def test_error_has_its_status_and_what_it_says() -> None:
    conversation, _, ended = asking()
    conversation.receive(b'HTTP/1.1 503 Busy\r\ncontent-length: 17\r\n\r\n{"error": "busy"}', ended)
    ((_, reply),) = ended
    assert (reply.status, reply.body) == ("HTTP 503", b"busy")
    assert conversation.takes_more


@pytest.mark.parametrize("status", [201, 204, 302])
def test_nothing_but_200_is_an_answer(status: int) -> None:
    conversation, _, ended = asking()
    conversation.receive(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % status, ended)
    assert [reply.status for _, reply in ended] == [f"HTTP {status}"]


def test_answer_that_is_still_to_come_is_waited_for() -> None:
    conversation, call, ended = asking()
    conversation.receive(b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n", ended)
    assert ended == []
    conversation.receive(ANSWER, ended)
    assert ended == [(call, GOOD)]


def test_connection_that_is_not_kept_takes_no_more() -> None:
    conversation, _, ended = asking()
    conversation.receive(ANSWER.replace(b"OK\r\n", b"OK\r\nconnection: close\r\n"), ended)
    assert len(ended) == 1
    assert conversation.is_over
    assert conversation.is_leaving
    assert not conversation.takes_more


def test_answer_without_a_length_ends_with_the_connection() -> None:
    conversation, call, ended = asking()
    conversation.receive(b"HTTP/1.0 200 OK\r\n\r\nab", ended)
    conversation.receive(b"c", ended)
    assert ended == []
    conversation.receive_end(ended)
    assert ended == [(call, Reply("", b"abc"))]


@pytest.mark.parametrize("cut", [10, 30, len(ANSWER) - 1])
def test_answer_that_was_cut_is_none(cut: int) -> None:
    conversation, call, ended = asking()
    conversation.receive(ANSWER[:cut], ended)
    conversation.receive_end(ended)
    assert ended == []
    assert conversation.calls == [call]


def test_call_that_is_given_up_takes_its_connection_with_it() -> None:
    conversation, call, ended = asking()
    conversation.cancel(call)
    assert conversation.is_over
    with pytest.raises(WireError):
        conversation.receive(ANSWER, ended)
    assert ended == []


@pytest.mark.parametrize(
    "data",
    [b"PRI * HTTP/2.0\r\n\r\n", b"\x00\x00\x12\x04\x00", b"HTTP/1.1 abc\r\n\r\n", ANSWER + ANSWER],
)
def test_what_is_no_answer_raises_one_error(data: bytes) -> None:
    conversation, _, ended = asking()
    with pytest.raises(WireError):
        conversation.receive(data, ended)


def test_answer_that_nobody_asked_for_is_an_error() -> None:
    with pytest.raises(WireError):
        HttpConversation().receive(ANSWER, [])


@given(st.binary(max_size=120) | st.binary(max_size=60).map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest))
def test_garbage_raises_one_error_or_is_waited_out(garbage: bytes) -> None:
    conversation, call, ended = asking()
    try:
        conversation.receive(garbage, ended)
        conversation.receive_end(ended)
    except WireError:
        return
    assert [call] == [*conversation.calls, *(one for one, _ in ended)]


def test_headers_without_an_end_are_refused() -> None:
    conversation, _, ended = asking()
    conversation.receive(b"HTTP/1.1 200 OK\r\nx: ", ended)
    for _ in range(20):
        conversation.receive(b"a" * 100_000, ended)
    with pytest.raises(WireError, match="headers"):
        conversation.receive(b"a" * 100_000, ended)
