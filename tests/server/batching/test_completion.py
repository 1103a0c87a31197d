from __future__ import annotations

import itertools
import logging
import sys
import threading
from types import FrameType
from typing import Any

import pytest

from hotgraph_server.batching.completion import Completion, Outcome
from hotgraph_server.errors import Cancelled, DeadlineExceeded

from ..fakes import HANG_S, Caller, rows, switching_often


def test_first_finisher_takes_the_slot_and_later_ones_do_nothing() -> None:
    caller = Caller()
    assert not caller.completion.taken
    first = Cancelled()
    assert caller.completion.finish(first)
    assert caller.completion.taken
    assert not caller.completion.finish(DeadlineExceeded())
    assert not caller.completion.finish([rows(1)])
    assert caller.outcomes == [first]


def test_exactly_one_of_many_racing_finishers_wins_and_delivers_in_its_own_thread() -> None:
    finishers = 4
    callers = [Caller() for _ in range(2000)]
    together = threading.Barrier(finishers)
    errors = [Cancelled() for _ in range(finishers)]
    threads = [0] * finishers
    won: list[list[Caller]] = [[] for _ in range(finishers)]

    def race(number: int) -> None:
        threads[number] = threading.get_ident()
        together.wait(HANG_S)
        won[number].extend(caller for caller in callers if caller.completion.finish(errors[number]))

    racers = [threading.Thread(target=race, args=(number,)) for number in range(finishers)]
    with switching_often():
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join(HANG_S)
    assert sum(map(len, won)) == len(callers)
    for number, winners in enumerate(won):
        for caller in winners:
            assert caller.outcome() is errors[number]
            assert caller.thread == threads[number]


def finish_with_another_in_between(caller: Caller, step: int) -> list[bool]:
    """Finish a slot while another finisher comes at one of the interpreter's steps; who of them won.

    If there are fewer steps the other one does not come.
    """
    steps, won = itertools.count(), []

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code is not Completion.finish.__code__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and next(steps) == step:
            won.append(caller.completion.finish(Cancelled()))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        won.append(caller.completion.finish(DeadlineExceeded()))
    finally:
        sys.settrace(before)
    return won


def test_finisher_that_comes_between_any_two_steps_of_another_leaves_one_winner() -> None:
    for step in itertools.count():
        caller = Caller()
        won = finish_with_another_in_between(caller, step)
        assert won.count(True) == len(caller.outcomes) == 1
        if len(won) == 1:
            break
    assert step > 5


def test_delivery_that_raises_is_logged_and_counts_as_delivered(caplog: pytest.LogCaptureFixture) -> None:
    delivered: list[Outcome] = []

    def broken(outcome: Outcome) -> None:
        delivered.append(outcome)
        raise RuntimeError("the wire has gone")

    completion = Completion(broken)
    with caplog.at_level(logging.ERROR):
        assert completion.finish([rows(1)])
    assert not completion.finish(Cancelled())
    assert len(delivered) == 1
    assert "the wire has gone" in caplog.text


def test_slot_is_seen_as_taken_by_its_own_delivery() -> None:
    seen: list[bool] = []
    completion = Completion(lambda _: seen.append(completion.taken))
    completion.finish(Cancelled())
    assert seen == [True]


def test_delivery_may_finish_the_slot_again_without_waiting_for_itself() -> None:
    again: list[bool] = []
    completion = Completion(lambda _: again.append(completion.finish(Cancelled())))
    assert completion.finish(Cancelled())
    assert again == [False]


def test_slot_that_is_kept_for_a_run_cannot_be_left_and_is_finished_once() -> None:
    delivered: list[Any] = []
    completion = Completion(delivered.append)
    assert completion.begin()
    assert completion.begin(), "for the same run"
    assert not completion.leave(Cancelled())
    assert not completion.taken
    assert completion.finish([])
    assert not completion.finish(Cancelled())
    assert not completion.begin()
    assert delivered == [[]]


def test_slot_that_was_left_is_not_kept() -> None:
    completion = Completion(lambda _: None)
    assert completion.leave(Cancelled())
    assert not completion.begin()
