from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from hotgraph_server.errors import NOT_RUN, Cancelled, DeadlineExceeded, Draining
from hotgraph_server.rest.open_call import OpenCall
from hotgraph_server.transport.service import Answered


class Waiting:
    """A call that is waited for, and who might end it; inside of a loop."""

    def __init__(self, deadline: float = math.inf) -> None:
        loop = asyncio.get_running_loop()
        self.call = OpenCall(deadline)
        self.gone: asyncio.Future[None] = loop.create_future()
        self.ending: asyncio.Future[None] = loop.create_future()
        self.left = 0
        self.call.when_gone(self._leave)

    def _leave(self) -> None:
        self.left += 1

    async def answer(self) -> Answered:
        encode = await self.call.answer(self.gone, self.ending)
        return encode()


def in_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


@in_a_loop
async def test_answer_comes_from_another_thread() -> None:
    waiting = Waiting()
    threading.Thread(target=waiting.call.finish, args=(lambda: b"answer",)).start()
    assert await waiting.answer() == b"answer"
    assert waiting.left == 0


@in_a_loop
async def test_answer_that_is_there_already_wins() -> None:
    waiting = Waiting(time.monotonic() - 1)
    waiting.call.finish(lambda: b"answer")
    waiting.gone.set_result(None)
    waiting.ending.set_result(None)
    await asyncio.sleep(0)
    assert await waiting.answer() == b"answer"


@in_a_loop
async def test_what_comes_first_ends_the_call_and_it_leaves_once() -> None:
    for error in (Cancelled, Draining, DeadlineExceeded):
        waiting = Waiting()
        if error is Cancelled:
            waiting.gone.set_result(None)
        elif error is Draining:
            waiting.ending.set_result(None)
        else:
            waiting.call.expire_at(time.monotonic())
        with pytest.raises(error):
            await waiting.answer()
        assert waiting.left == 1
        # What the slot says of it then is nobody's any more.
        waiting.call.finish(lambda: b"late")
        await asyncio.sleep(0)


@in_a_loop
async def test_the_earlier_deadline_counts() -> None:
    call = OpenCall(5.0)
    call.expire_at(7.0)
    assert call.deadline == 5.0
    call.expire_at(3.0)
    assert call.deadline == 3.0


def test_answer_after_the_loop_has_ended_is_dropped() -> None:
    async def make() -> OpenCall:
        return OpenCall(math.inf)

    asyncio.run(make()).finish(lambda: b"answer")


@in_a_loop
async def test_outcome_that_is_still_to_come_is_waited_for() -> None:
    waiting = Waiting()
    left = asyncio.Event()

    def leave() -> bool:
        left.set()
        return True

    waiting.call.when_gone(leave)
    waiting.call.expire_at(time.monotonic())
    answer = asyncio.ensure_future(waiting.answer())
    await left.wait()
    waiting.call.finish(lambda: b"it has happened")
    assert await answer == b"it has happened"


@in_a_loop
async def test_what_the_call_has_ended_with_is_told() -> None:
    waiting = Waiting()
    waiting.call.when_gone(lambda: DeadlineExceeded(NOT_RUN))
    waiting.call.expire_at(time.monotonic())
    with pytest.raises(DeadlineExceeded, match="it was not run"):
        await waiting.answer()
