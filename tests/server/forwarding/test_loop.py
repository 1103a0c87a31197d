"""The loop's thread: what is put in is done or refused, and nothing is left of it after a stop."""

from __future__ import annotations

import asyncio
import threading

from hotgraph_server.forwarding.loop import LoopThread

PATIENCE_S = 30.0


class Closing:
    def __init__(self) -> None:
        self.closed = 0

    async def __call__(self) -> None:
        self.closed += 1


def test_work_is_done_in_its_thread_until_it_stops() -> None:
    closing = Closing()
    loop = LoopThread("a loop", closing)
    loop.start()
    done, name = threading.Event(), list[str]()

    def work() -> None:
        name.append(threading.current_thread().name)
        done.set()

    assert loop.do(work)
    assert done.wait(PATIENCE_S)
    assert name == ["a loop"]
    assert loop.stop(PATIENCE_S)
    assert closing.closed == 1
    assert not loop.do(done.clear)
    assert "a loop" not in {thread.name for thread in threading.enumerate()}


def test_what_is_under_way_is_cancelled_at_the_end_and_comes_to_its_own() -> None:
    closing, seen = Closing(), list[object]()
    loop = LoopThread("a loop", closing)
    loop.start()
    begun = threading.Event()

    async def wait() -> None:
        try:
            begun.set()
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append(closing.closed)
            raise

    loop.do(lambda: loop.spawn(wait()))
    assert begun.wait(PATIENCE_S)
    assert loop.stop(PATIENCE_S)
    # Before what it uses is closed.
    assert seen == [0]


def test_one_that_was_never_started_ends_without_a_word() -> None:
    closing = Closing()
    loop = LoopThread("a loop", closing)
    assert not loop.do(lambda: None)
    assert loop.stop(PATIENCE_S)
    assert loop.stop(PATIENCE_S)
    assert closing.closed == 0


def test_one_bad_piece_of_work_does_not_end_it() -> None:
    loop = LoopThread("a loop", Closing())
    loop.start()
    done = threading.Event()
    loop.do(lambda: 1 // 0)
    loop.do(done.set)
    assert done.wait(PATIENCE_S)
    assert loop.stop(PATIENCE_S)
