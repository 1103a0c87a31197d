"""The order of answers: held until their turn, and nobody held up by those who have left."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.batching.completion import Completion, Outcome
from hotgraph_server.batching.ordering import Order, Turn
from hotgraph_server.errors import Cancelled, DeadlineExceeded, InternalError

from ..fakes import HANG_S, switching_often


class Ended:
    """What was delivered, in its order: the number of the call and what it got."""

    def __init__(self, calls: int, *, writes: bool = False) -> None:
        self.order = Order()
        self.outcomes: list[tuple[int, Outcome]] = []
        self.turns = [self._enter(number, writes) for number in range(calls)]

    def _enter(self, number: int, writes: bool) -> Turn:
        completion = Completion(lambda outcome: self.outcomes.append((number, outcome)))
        return self.order.enter(completion, writes=writes)

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.outcomes]


def test_answer_is_held_until_those_before_it_have_ended() -> None:
    ended = Ended(3)
    assert ended.turns[2].finish([])
    assert ended.turns[1].finish([])
    assert ended.numbers == []
    assert ended.turns[0].finish([])
    assert ended.numbers == [0, 1, 2]
    assert len(ended.order) == 0


def test_error_of_a_run_waits_its_turn_like_an_answer() -> None:
    ended = Ended(2)
    error = InternalError()
    ended.turns[1].finish(error)
    assert ended.outcomes == []
    ended.turns[0].finish([])
    assert ended.outcomes == [(0, []), (1, error)]


def test_caller_who_leaves_ends_at_once_and_holds_up_nobody() -> None:
    ended = Ended(3)
    ended.turns[1].finish([])
    assert ended.turns[2].leave(Cancelled())
    assert ended.numbers == [2]
    assert ended.turns[0].leave(Cancelled())
    assert ended.numbers == [2, 0, 1]
    assert len(ended.order) == 0


def test_deadline_that_passes_while_the_answer_is_held_ends_the_call_at_once() -> None:
    ended = Ended(2)
    ended.turns[1].begin()
    ended.turns[1].finish([])
    late = DeadlineExceeded()
    assert not ended.turns[1].leave(late), "it was counted when its run ended"
    assert ended.outcomes == [(1, late)]
    assert ended.turns[1].taken
    ended.turns[0].finish([])
    assert ended.outcomes == [(1, late), (0, [])]


def test_call_that_has_changed_state_hears_of_it_however_late() -> None:
    ended = Ended(2, writes=True)
    ended.turns[1].begin()
    ended.turns[1].finish([])
    assert not ended.turns[1].leave(DeadlineExceeded())
    assert ended.outcomes == []
    ended.turns[0].finish([])
    assert ended.outcomes == [(0, []), (1, [])]


def test_call_whose_run_has_begun_cannot_be_left() -> None:
    ended = Ended(1)
    assert ended.turns[0].begin()
    assert not ended.turns[0].leave(Cancelled())
    assert ended.turns[0].finish([])
    assert ended.outcomes == [(0, [])]


@pytest.mark.parametrize("begins", [True, False])
def test_second_end_changes_nothing(begins: bool) -> None:
    ended = Ended(2)
    if begins:
        ended.turns[1].begin()
    assert ended.turns[1].finish([])
    assert not ended.turns[1].finish(InternalError())
    ended.turns[0].finish([])
    assert not ended.turns[1].finish(InternalError())
    assert not ended.turns[1].leave(Cancelled())
    assert ended.outcomes == [(0, []), (1, [])]


ACTIONS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["begin", "finish", "leave"])), max_size=40)


@given(ACTIONS, st.booleans())
def test_any_interleaving_ends_each_call_once_and_answers_in_order(
    actions: Sequence[tuple[int, str]], writes: bool
) -> None:
    ended = Ended(6, writes=writes)
    for number, action in [*actions, *((number, "finish") for number in range(6))]:
        turn = ended.turns[number]
        if action == "begin":
            turn.begin()
        elif action == "finish":
            turn.finish([])
        else:
            turn.leave(Cancelled())
        answered = [number for number, outcome in ended.outcomes if outcome == []]
        assert answered == sorted(answered)
        # Whatever comes out has nobody before it who is still to come.
        assert all(ended.turns[other].taken for one in answered for other in range(one))
    assert sorted(ended.numbers) == list(range(6))
    assert len(ended.order) == 0


def test_threads_that_finish_at_once_do_not_overtake_each_other() -> None:
    ended = Ended(400)
    together = threading.Barrier(4)

    def finish(which: int) -> None:
        together.wait(HANG_S)
        for turn in ended.turns[which::4]:
            turn.begin()
            turn.finish([])

    threads = [threading.Thread(target=finish, args=(which,)) for which in range(4)]
    with switching_often():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG_S)
    assert ended.numbers == list(range(400))
