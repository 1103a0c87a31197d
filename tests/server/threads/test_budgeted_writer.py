"""budgeted_writer.py: what is written, when the thread is idle, and how it ends."""

from __future__ import annotations

import threading

import pytest

from hotgraph_server.threads.budgeted_writer import BudgetedWriter

from ..fakes import HANG_S


class Writer(BudgetedWriter[int]):
    """Notes what happens to it; writes only while `free` is set."""

    def __init__(self, credits: int = 10) -> None:
        super().__init__("notes", "the notes are", credits)
        self.seen: list[object] = []
        self.rested = threading.Event()
        self.free = threading.Event()
        self.free.set()

    def offer(self, item: int, credits: int = 1) -> bool:
        return self._offer(item, credits)

    def write(self, item: int) -> None:
        assert self.free.wait(HANG_S)
        self.seen.append(item)

    def idle(self) -> None:
        self.seen.append(("idle", self._count_refused()))
        self.rested.set()

    def close(self) -> None:
        self.seen.append("closed")


def test_items_are_written_in_order_and_the_writer_closes_after_the_last() -> None:
    writer = Writer()
    assert all(writer.offer(item) for item in (1, 2, 3))
    writer.start()
    writer.stop(HANG_S)
    assert [one for one in writer.seen if one != ("idle", 0)] == [1, 2, 3, "closed"]
    assert writer.seen[-2:] == [("idle", 0), "closed"]


def test_what_holds_more_than_is_left_is_refused_and_counted_as_lost() -> None:
    writer = Writer(credits=3)
    assert writer.offer(1, credits=2)
    assert not writer.offer(2, credits=2)
    assert writer.offer(3)
    writer.start()
    writer.stop(HANG_S)
    assert [one for one in writer.seen if isinstance(one, int)] == [1, 3]
    assert ("idle", 1) in writer.seen
    assert writer.lost == 1


def test_credits_are_free_again_once_an_item_is_written() -> None:
    writer = Writer(credits=1)
    assert writer.offer(1)
    writer.start()
    assert writer.rested.wait(HANG_S)
    assert writer.offer(2)
    writer.stop(HANG_S)
    assert [one for one in writer.seen if isinstance(one, int)] == [1, 2]


def test_writer_that_does_not_end_in_time_is_named(caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer()
    writer.free.clear()
    writer.offer(1)
    writer.start()
    writer.stop(0.0)
    assert caplog.messages == ["the notes are not all written after 0 s; the rest is lost"]
    writer.free.set()
    writer.stop(HANG_S)
    assert writer.seen[-1] == "closed"


def test_writer_that_never_started_stops() -> None:
    writer = Writer()
    writer.stop(HANG_S)
    assert writer.seen == []
