"""A connection is closed where the head of a request does not come, and only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from hotgraph_server.rest.header_timeout import MAX_HEAD_BYTES, HeaderTimeoutProtocol

HEAD = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"


class Timer:
    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Task:
    def add_done_callback(self, tell: object) -> None:
        pass


class Loop:
    """An event loop whose time does not pass, and that begins nothing."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []

    def call_later(self, seconds: float, act: Callable[[], None]) -> Timer:
        assert seconds > 1
        self.timers.append(Timer(act))
        return self.timers[-1]

    def create_task(self, coroutine: Any) -> Task:
        coroutine.close()
        return Task()

    def waits(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled]


class Transport:
    def __init__(self) -> None:
        self.aborted = False

        self.sent = b""
        self.ended = False
        self.paused = False
        self.unsent = 0

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.aborted or self.ended

    def write(self, data: bytes) -> None:
        self.sent += data

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str) -> None:
        return None


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("not begun")


def connected() -> tuple[HeaderTimeoutProtocol, Loop, Transport]:
    loop, transport = Loop(), Transport()
    config = uvicorn.Config(app, lifespan="off", log_config=None, ws="none")
    protocol = HeaderTimeoutProtocol(config, ServerState(), {}, _loop=loop)
    protocol.connection_made(transport)  # type: ignore[arg-type]
    return protocol, loop, transport


@pytest.mark.parametrize("sent", [b"", b"P", HEAD[:-1]])
def test_connection_without_a_whole_head_is_closed(sent: bytes) -> None:
    protocol, loop, transport = connected()
    protocol.data_received(sent)
    (timer,) = loop.waits()
    timer.act()
    assert transport.aborted


@given(st.lists(st.integers(1, len(HEAD) - 1), unique=True).map(sorted))
def test_head_that_has_come_is_waited_for_no_longer(cuts: list[int]) -> None:
    protocol, loop, _ = connected()
    for begin, end in zip([0, *cuts], [*cuts, len(HEAD)], strict=True):
        assert len(loop.waits()) == 1, "one timer, however many pieces"
        protocol.data_received(HEAD[begin:end])
    assert not loop.waits()


def test_body_is_not_the_head_of_another_request() -> None:
    protocol, loop, _ = connected()
    protocol.data_received(HEAD + b"ab")
    assert not loop.waits()


def test_next_request_on_the_connection_has_its_time_too() -> None:
    protocol, loop, _ = connected()
    protocol.data_received(HEAD + b"abcd" + HEAD[:10])
    assert len(loop.waits()) == 1


def test_connection_that_has_gone_leaves_no_timer() -> None:
    protocol, loop, _ = connected()
    protocol.connection_lost(None)
    assert not loop.waits()


def refusal(protocol: HeaderTimeoutProtocol, transport: Transport, *sent: bytes) -> bytes:
    """The status line with which what is sent is refused."""
    for data in sent:
        assert not transport.sent, "refused too early"
        protocol.data_received(data)
    assert transport.ended
    assert b"\r\nConnection: close\r\n" in transport.sent
    return transport.sent.partition(b"\r\n")[0]


FIELD = b"X-%d: " + b"a" * 1000 + b"\r\n"
START = b"GET /v1/models/m HTTP/1.1\r\nHost: h\r\n"
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large"


@pytest.mark.parametrize("size", [1, 1000, 16384, 65536, 2**20])
@pytest.mark.parametrize("begin", [START, START + b"X: ", b"GET /", b"G", b"\r\n", b""])
def test_head_without_an_end_is_refused_at_its_limit(begin: bytes, size: int) -> None:
    protocol, _, transport = connected()
    fill = b"\r\n" * (2**16) if begin.strip() == b"" else b"x" * (2**17)
    if begin == START:
        fill = b"".join(FIELD % number for number in range(130))
    whole = (begin + fill)[: MAX_HEAD_BYTES + 1]
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    if begin == b"G":
        # No method goes on like that.
        protocol.data_received(whole)
        assert transport.sent.startswith(b"HTTP/1.1 400 ")
    else:
        assert refusal(protocol, transport, *pieces) == TOO_LARGE


def test_head_just_within_the_limit_is_read() -> None:
    head = START + b"X: "
    head += b"a" * (MAX_HEAD_BYTES - len(head) - 4) + b"\r\n\r\n"
    for pieces in ([head], [head[:40000], head[40000:]]):
        protocol, loop, transport = connected()
        for piece in pieces:
            protocol.data_received(piece)
        assert not transport.sent
        assert not loop.waits()


CHUNKED = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "endless",
    [
        b"0\r\n" + b"".join(FIELD % number for number in range(200)),
        b"0\r\nX: " + b"a" * 200_000,
        b"1;" + b"a" * 200_000,
    ],
    ids=["trailers", "one trailer", "chunk extension"],
)
def test_what_is_neither_head_nor_body_has_the_same_limit(endless: bytes) -> None:
    protocol, _, transport = connected()
    protocol.data_received(CHUNKED + b"1\r\na\r\n")
    before = len(protocol.headers)
    assert refusal(protocol, transport, endless) == TOO_LARGE
    assert len(protocol.headers) == before, "nobody asks for trailers"


def test_body_may_be_as_large_as_it_likes() -> None:
    protocol, _, transport = connected()
    protocol.data_received(HEAD.replace(b" 4\r\n", b" 400000\r\n"))
    for _ in range(4):
        protocol.data_received(b" " * 100_000)
    assert not transport.sent
    assert not protocol.cycle.more_body


@pytest.mark.parametrize(
    "fields",
    [b"", b"Host: a\r\nHost: a\r\n", b"host: a\r\nX: y\r\nHOST: b\r\n", b"Hosts: a\r\n"],
)
def test_request_without_one_host_is_refused(fields: bytes) -> None:
    protocol, _, transport = connected()
    status = refusal(protocol, transport, b"GET / HTTP/1.1\r\n" + fields + b"\r\n" + HEAD)
    assert status == b"HTTP/1.1 400 Bad Request"
    assert b"it must name one" in transport.sent
    assert not protocol.cycle


def test_older_http_needs_no_host() -> None:
    protocol, _, transport = connected()
    protocol.data_received(b"GET / HTTP/1.0\r\n\r\n")
    assert not transport.sent


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 1\r\nTransfer-Encoding: chunked",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: 1\r\nContent-Length: 1",
        b"Content-Length: 1, 1",
        b"Content-Length: +1",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999999",
        b"Content-Length : 1",
        b"Transfer-Encoding: chunked, gzip",
        b"Transfer-Encoding: xchunked",
        b"X: y\r\n continued",
        b"X: \0",
        b"X\0: y",
    ],
)
def test_request_that_two_readers_could_read_differently_is_refused(fields: bytes) -> None:
    protocol, _, transport = connected()
    status = refusal(protocol, transport, b"POST / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n\r\n")
    assert status == b"HTTP/1.1 400 Bad Request"


def test_body_that_breaks_off_ends_its_request() -> None:
    protocol, _, transport = connected()
    protocol.data_received(CHUNKED + b"1\r\na\r\n")
    assert refusal(protocol, transport, b"nonsense\r\n") == b"HTTP/1.1 400 Bad Request"
    assert protocol.cycle.disconnected


def test_requests_before_one_that_is_refused_are_answered_first() -> None:
    protocol, _, transport = connected()
    protocol.data_received(HEAD + b"abcd" + b"nonsense\r\n\r\n")
    assert not transport.sent
    assert not protocol.cycle.keep_alive
    protocol.data_received(b"more")
    assert not transport.aborted


def test_who_is_refused_and_sends_on_is_cut_off() -> None:
    protocol, loop, transport = connected()
    protocol.data_received(b"nonsense\r\n\r\n")
    megabyte = bytes(2**20)
    for _ in range(513):
        assert not transport.aborted
        protocol.data_received(megabyte)
    assert transport.aborted
    protocol, loop, transport = connected()
    protocol.data_received(b"nonsense\r\n\r\n")
    (timer,) = loop.waits()
    timer.act()
    assert transport.aborted


def test_requests_behind_one_another_are_read_as_far_as_some_wait_and_all_are_answered() -> None:
    protocol, _, transport = connected()
    short = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    count = 5 * 16384 // len(short)
    protocol.data_received(short * count)
    assert transport.paused
    most = 16384 // len(short) + 20
    answered = 0
    while protocol.pipeline:
        assert len(protocol.pipeline) <= most
        protocol.cycle.response_complete = not protocol.pipeline
        protocol.on_response_complete()
        answered += 1
    assert answered == count - 1
    assert not transport.paused


def test_answer_that_is_not_taken_is_given_up_and_one_that_flows_is_not() -> None:
    protocol, loop, transport = connected()
    protocol.data_received(HEAD)
    transport.unsent = 1000
    protocol.pause_writing()
    for left in (999, 500):
        transport.unsent = left
        loop.waits()[-1].act()
        assert not transport.aborted
    protocol.resume_writing()
    assert not loop.waits()
    protocol.pause_writing()
    loop.waits()[-1].act()
    assert transport.aborted
