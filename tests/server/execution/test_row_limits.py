"""How many rows a run may have."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.execution.row_limits import TRY_MORE_AFTER, RowLimits, within_rows

from ..fakes import call, rows


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 10))
def test_groups_within_a_limit_keep_the_order_and_only_a_larger_call_exceeds_it(
    counts: list[int], limit: int
) -> None:
    calls = [call(rows(*range(count))) for count in counts]
    groups = within_rows(calls, limit)
    assert [one for group in groups for one in group] == calls
    assert all(len(group) == 1 or sum(one.rows for one in group) <= limit for group in groups)


def test_limit_is_the_set_one_until_memory_says_less_and_for_that_signature_alone() -> None:
    limits = RowLimits(64)
    assert limits.of("s") == 64
    assert limits.learn("s", 40) == 20
    assert (limits.of("s"), limits.of("other")) == (20, 64)
    assert limits.learn("s", 20) == 10
    # A call larger than the limit tells nothing new about runs within it.
    assert limits.learn("s", 500) == 5
    assert limits.learn("s", 1) == 1


def test_limit_rises_again_after_many_runs_that_filled_it() -> None:
    limits = RowLimits(64)
    limits.learn("s", 40)
    assert not limits.ran("other", 20)
    for _ in range(TRY_MORE_AFTER):
        limits.ran("s", 10)
    assert limits.of("s") == 20
    risen = [limits.ran("s", 20) for _ in range(TRY_MORE_AFTER)]
    assert (risen.index(True), limits.of("s")) == (TRY_MORE_AFTER - 1, 40)
    for _ in range(TRY_MORE_AFTER):
        limits.ran("s", 40)
    assert limits.of("s") == 64


def test_limit_that_rises_is_doubled_and_is_not_the_set_one_before_it_is_as_large() -> None:
    limits = RowLimits(64)
    limits.learn("s", 48)
    for _ in range(TRY_MORE_AFTER):
        limits.ran("s", 24)
    assert limits.of("s") == 48
