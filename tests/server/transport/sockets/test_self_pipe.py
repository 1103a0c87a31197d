"""How a thread that waits for sockets is woken."""

from __future__ import annotations

import selectors
from collections.abc import Iterator

import pytest

from hotgraph_server.transport.sockets.self_pipe import SelfPipe

from ..conftest import PATIENCE_S


@pytest.fixture
def pipe() -> Iterator[SelfPipe]:
    pipe = SelfPipe()
    yield pipe
    pipe.close()


def is_woken(pipe: SelfPipe, timeout_s: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.select(timeout_s))


def test_wake_is_heard_until_it_is_drained(pipe: SelfPipe) -> None:
    assert not is_woken(pipe, 0)
    pipe.wake()
    pipe.wake()
    assert is_woken(pipe, PATIENCE_S)
    assert is_woken(pipe, PATIENCE_S)
    pipe.drain()
    assert not is_woken(pipe, 0)
    pipe.drain()


def test_wakes_that_are_not_drained_never_wait(pipe: SelfPipe) -> None:
    for _ in range(10_000):
        pipe.wake()
    assert is_woken(pipe, PATIENCE_S)


def test_closed_pipe_can_be_woken_in_vain(pipe: SelfPipe) -> None:
    pipe.close()
    pipe.wake()
    assert pipe.fileno() == -1
