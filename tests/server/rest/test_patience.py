"""A connection is closed where the head of a request does not come, and only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from hotgraph_server.rest.patience import HEAD_S, PatientProtocol

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
        assert seconds == HEAD_S
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

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        pass

    def get_extra_info(self, name: str) -> None:
        return None


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("not begun")


def connected() -> tuple[PatientProtocol, Loop, Transport]:
    loop, transport = Loop(), Transport()
    config = uvicorn.Config(app, lifespan="off", log_config=None, ws="none")
    protocol = PatientProtocol(config, ServerState(), {}, _loop=loop)  # type: ignore[arg-type]
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
