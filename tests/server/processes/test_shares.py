"""Who gets what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.processes import shares


@pytest.mark.parametrize(
    ("wanted", "usable", "count"), [(1, 64, 1), (3, 2, 3), (0, 1, 1), (0, 2, 1), (0, 4, 2), (0, 65, 32)]
)
def test_auto_is_a_process_for_every_two_processors(wanted: int, usable: int, count: int) -> None:
    assert shares.count(wanted, usable) == count


@given(st.sets(st.integers(0, 300), min_size=1, max_size=70), st.integers(1, 70))
def test_every_processor_is_one_process_s_alone_and_parts_are_alike(found: set[int], of: int) -> None:
    parts = [shares.processors(sorted(found), index, of) for index in range(of)]
    if of > len(found):
        assert parts == [sorted(found)] * of
        return
    assert [one for part in parts for one in part] == sorted(found)
    sizes = {len(part) for part in parts}
    assert max(sizes) - min(sizes) <= 1


def test_log_says_how_many_each_has() -> None:
    assert shares.told(range(8), 4) == "each on 2 of 8 processors"
    assert shares.told(range(7), 3) == "each on 2 to 3 of 7 processors"
    assert shares.told(range(2), 3) == "each on all of 2 processors"


def test_pauses_double_up_to_an_edge_and_begin_again_after_a_long_life() -> None:
    pauses = [0.0]
    for _ in range(10):
        pauses.append(shares.next_pause_s(pauses[-1], 1.0))
    assert pauses[1:] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]
    assert shares.next_pause_s(30.0, shares.LONG_LIFE_S) == 0.5


@pytest.mark.parametrize(
    ("counts", "surplus"),
    [
        ([], []),
        ([4], [0]),
        ([2, 0], [1, 0]),
        ([3, 2], [0, 0]),
        ([9, 0, 0], [6, 0, 0]),
        ([1, 1, 0], [0, 0, 0]),
    ],
)
def test_surplus_is_what_is_above_the_mean(counts: list[int], surplus: list[int]) -> None:
    assert shares.too_many(counts) == surplus
