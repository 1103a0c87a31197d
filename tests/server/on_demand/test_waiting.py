"""Each call that waits ends once, whoever is first."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import QueueFull
from hotgraph_server.on_demand.waiting import Waiter, Waiting


def waiter(model: str = "m", expires: float = math.inf) -> Waiter:
    return Waiter(model, 0.0, expires, lambda: None, lambda error: None)


def test_those_of_a_model_come_out_in_the_order_in_which_they_came() -> None:
    waiting = Waiting(10)
    ones = [waiter() for _ in range(3)]
    others = [waiter("other")]
    for one in (ones[0], others[0], ones[1], ones[2]):
        waiting.add(one)
    assert waiting.take("m") == ones
    assert waiting.take("m") == []
    assert waiting.models() == ["other"]
    assert len(waiting) == 1


def test_one_too_many_is_refused_and_changes_nothing() -> None:
    waiting = Waiting(2)
    waiting.add(waiter())
    waiting.add(waiter("other"))
    with pytest.raises(QueueFull, match="2 calls wait, the limit is 2"):
        waiting.add(waiter())
    assert len(waiting) == 2
    waiting.take("m")
    waiting.add(waiter())


def test_who_leaves_is_forgotten_at_once() -> None:
    waiting = Waiting(2)
    one = waiter()
    waiting.add(one)
    assert waiting.leave(one)
    assert not waiting.leave(one)
    assert not waiting.has("m")
    assert waiting.take("m") == []


def test_who_has_left_before_does_not_begin_to_wait() -> None:
    waiting = Waiting(2)
    one = waiter()
    assert not waiting.leave(one)
    waiting.add(one)
    assert len(waiting) == 0
    assert waiting.models() == []


def test_time_is_over_at_the_moment_that_was_said() -> None:
    waiting = Waiting(9)
    early, late = waiter(expires=5.0), waiter("other", expires=7.0)
    waiting.add(late)
    waiting.add(early)
    assert waiting.next_expiry() == 5.0
    assert waiting.take_expired(4.9) == []
    assert waiting.take_expired(5.0) == [early]
    assert waiting.next_expiry() == 7.0
    assert waiting.take_expired(100.0) == [late]
    assert waiting.next_expiry() == math.inf


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 5)),
            st.tuples(st.just("leave"), st.integers(0, 5)),
            st.tuples(st.just("take"), st.sampled_from("ab")),
            st.tuples(st.just("expire"), st.integers(0, 6)),
        ),
        max_size=40,
    )
)
def test_each_ends_once_whatever_happens(happenings: list[tuple[str, int | str]]) -> None:
    waiting = Waiting(4)
    waiters = [waiter("ab"[number % 2], float(number)) for number in range(6)]
    inside, ended = set[Waiter](), list[Waiter]()
    for what, which in happenings:
        if what == "add":
            one = waiters[int(which)]
            if one in inside or one in ended:
                continue
            if len(inside) == 4:
                if not one.left:
                    with pytest.raises(QueueFull):
                        waiting.add(one)
            else:
                waiting.add(one)
                inside |= set() if one.left else {one}
        elif what == "leave":
            one = waiters[int(which)]
            assert waiting.leave(one) is (one in inside)
            ended += [one] if one in inside else []
        else:
            out = waiting.take(str(which)) if what == "take" else waiting.take_expired(float(which))
            ended += out
        inside -= set(ended)
        assert len(waiting) == len(inside)
        assert {one.model for one in inside} == set(waiting.models())
    assert len(ended) == len(set(ended))


def test_threads_that_race_for_a_call_get_it_once() -> None:
    waiting = Waiting(10_000)
    ones = [waiter() for _ in range(2000)]
    for one in ones:
        waiting.add(one)
    got: list[Waiter] = []

    def leave() -> None:
        got.extend(one for one in ones if waiting.leave(one))

    def take() -> None:
        got.extend(waiting.take("m"))

    threads = [threading.Thread(target=run) for run in (leave, take, leave)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(ones)
    assert set(got) == set(ones)
