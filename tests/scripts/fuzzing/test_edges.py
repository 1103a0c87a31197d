from __future__ import annotations

import hpack
import pytest

from fuzzing.edges import is_response, judge_http2, judge_rest
from fuzzing.exchange import Said
from fuzzing.http2_cases import PING
from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.http2.frames import Code, frame, go_away, rst_stream, settings

PONG = frame(frames.PING, frames.ACK, 0, PING)
BUG = "internal error; the server's log has the details"


def answer(status: int, text: str = "") -> bytes:
    block = hpack.Encoder().encode([(":status", "200"), ("grpc-status", str(status)), ("grpc-message", text)])
    return frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, block)


class TestHttp2:
    @pytest.mark.parametrize(
        ("data", "how", "statuses"),
        [
            (settings({}) + PONG, "answered", []),
            (settings({}) + answer(3, "a%20field") + PONG, "answered", ["INVALID_ARGUMENT"]),
            (settings({}) + rst_stream(1, Code.CANCEL) + PONG, "answered", ["RST_STREAM CANCEL"]),
            (go_away(1, Code.PROTOCOL_ERROR, "why"), "GOAWAY PROTOCOL_ERROR", []),
            (b"", "closed", []),
        ],
    )
    def test_how_a_connection_ended_where_nothing_is_wrong(
        self, data: bytes, how: str, statuses: list[str]
    ) -> None:
        outcome, wrong, found = judge_http2(Said(data, True, 0.0))
        assert (outcome.code, wrong, found) == (how, None, statuses)

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (answer(13, BUG), BUG),
            (answer(2, "eh"), "UNKNOWN"),
            (go_away(1, Code.INTERNAL_ERROR, "oh"), "INTERNAL_ERROR: oh"),
            (rst_stream(1, Code.INTERNAL_ERROR), "INTERNAL_ERROR"),
            (frame(0x42, 0, 0), "no HTTP/2"),
            (frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff\xff"), "no HTTP/2"),
            (frame(frames.DATA, 0, 1, bytes(20_000)), "no HTTP/2"),
        ],
    )
    def test_what_no_server_says_of_a_caller(self, data: bytes, text: str) -> None:
        _, wrong, _ = judge_http2(Said(data + PONG, True, 0.0))
        assert wrong is not None
        assert text in wrong

    def test_a_connection_that_stays_is_a_fault(self) -> None:
        _, wrong, _ = judge_http2(Said(PONG, False, 0.0))
        assert wrong is not None
        assert "still there" in wrong


def response(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\nx: y\r\n\r\n%s" % (status, len(body), body)


class TestRest:
    def test_a_response_is_whole_with_its_body_and_not_before(self) -> None:
        data = b"HTTP/1.1 100 Continue\r\n\r\n" + response(200, b"{}")
        assert is_response(data)
        assert not any(is_response(data[:end]) for end in range(len(data)))

    @pytest.mark.parametrize(
        ("data", "how"),
        [
            (response(200, b"{}"), "200"),
            (response(404, b'{"error": "no such path"}'), "404"),
            (response(500, b'{"error": "the graph refuses"}'), "500"),
        ],
    )
    def test_answers_in_which_nothing_is_wrong(self, data: bytes, how: str) -> None:
        outcome, wrong = judge_rest(Said(data, True, 0.0), must_answer=True)
        assert (outcome.code, wrong) == (how, None)

    @pytest.mark.parametrize(
        "data",
        [
            response(500, b"Internal Server Error"),
            response(400, b"Invalid HTTP request received."),
            response(500, b'{"error": "%s"}' % BUG.encode()),
            b"",
            b"x",
        ],
    )
    def test_a_bug_or_no_answer_is_a_fault(self, data: bytes) -> None:
        assert judge_rest(Said(data, True, 0.0), must_answer=True)[1]

    def test_to_head_no_body_is_sent_and_what_follows_is_none(self) -> None:
        data = b"HTTP/1.1 404 X\r\ncontent-length: 5\r\n\r\nHTTP/1.1 200 OK\r\n"
        assert judge_rest(Said(data, True, 0.0), must_answer=False)[1]
        assert judge_rest(Said(data, True, 0.0), must_answer=False, to_head=True)[1] is None

    def test_to_a_head_that_is_none_no_answer_is_none(self) -> None:
        outcome, wrong = judge_rest(Said(b"", True, 0.0), must_answer=False)
        assert (outcome.code, wrong) == ("closed", None)
