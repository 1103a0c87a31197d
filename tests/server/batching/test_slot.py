from __future__ import annotations

import logging
import threading

import pytest

from hotgraph_server.batching.slot import Outcome, Slot
from hotgraph_server.errors import Cancelled, DeadlineExceeded

from ..fakes import HANG_S, Caller, rows


def test_first_finisher_takes_the_slot_and_later_ones_do_nothing() -> None:
    caller = Caller()
    assert not caller.slot.taken
    first = Cancelled()
    assert caller.slot.finish(first)
    assert caller.slot.taken
    assert not caller.slot.finish(DeadlineExceeded())
    assert not caller.slot.finish([rows(1)])
    assert caller.outcomes == [first]


@pytest.mark.parametrize("_", range(20))
def test_exactly_one_of_many_racing_finishers_wins_and_delivers_in_its_own_thread(_: int) -> None:
    finishers = 16
    caller = Caller()
    together = threading.Barrier(finishers)
    errors = [Cancelled() for _ in range(finishers)]
    won: dict[int, int] = {}

    def race(number: int) -> None:
        together.wait(HANG_S)
        if caller.slot.finish(errors[number]):
            won[number] = threading.get_ident()

    threads = [threading.Thread(target=race, args=(number,)) for number in range(finishers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    ((number, winner),) = won.items()
    assert caller.outcome() is errors[number]
    assert caller.thread == winner


def test_delivery_that_raises_is_logged_and_counts_as_delivered(caplog: pytest.LogCaptureFixture) -> None:
    delivered: list[Outcome] = []

    def broken(outcome: Outcome) -> None:
        delivered.append(outcome)
        raise RuntimeError("the wire has gone")

    slot = Slot(broken)
    with caplog.at_level(logging.ERROR):
        assert slot.finish([rows(1)])
    assert not slot.finish(Cancelled())
    assert len(delivered) == 1
    assert "the wire has gone" in caplog.text


def test_slot_is_seen_as_taken_by_its_own_delivery() -> None:
    seen: list[bool] = []
    slot = Slot(lambda _: seen.append(slot.taken))
    slot.finish(Cancelled())
    assert seen == [True]


def test_delivery_may_finish_the_slot_again_without_waiting_for_itself() -> None:
    again: list[bool] = []
    slot = Slot(lambda _: again.append(slot.finish(Cancelled())))
    assert slot.finish(Cancelled())
    assert again == [False]
