"""Credits: what may wait."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.threads.write_budget import WriteBudget


def test_all_or_none_are_taken_and_a_refusal_is_told_once() -> None:
    credits = WriteBudget(3)
    assert credits.take(2)
    assert not credits.take(2)
    assert credits.take(1)
    assert credits.refused() == 1
    assert credits.refused() == 0


@given(st.lists(st.integers(0, 6), max_size=30))
def test_never_more_are_out_than_there_are(wanted: list[int]) -> None:
    credits, out = WriteBudget(5), 0
    for number in wanted:
        assert credits.take(number) is (out + number <= 5)
        out += number if out + number <= 5 else 0
    credits.give_back(out)
    assert credits.take(5)


def test_threads_that_take_and_give_back_lose_none() -> None:
    credits = WriteBudget(4)

    def work() -> None:
        for _ in range(2000):
            if credits.take(2):
                credits.give_back(2)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert credits.take(4)
    assert not credits.take(1)
