from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.warmup.row_groups import row_groups

NUMBERS = st.integers(0, 30)


@given(st.integers(2, 5), NUMBERS, st.integers(0, 6), st.integers(2, 64))
def test_every_row_has_company_and_no_company_is_too_large(
    ordinary: int, odd: int, failing: int, most: int
) -> None:
    rows = [("ordinary", index) for index in range(ordinary)]
    odds = [("odd", index) for index in range(odd)]
    refused = [("failing", index) for index in range(failing)]
    found = list(row_groups(rows, odds, refused, most))
    assert all(1 <= len(group) <= most for group in found)
    met = {row for group in found if len(group) > 1 for row in group}
    assert met >= {*odds, *refused}
    # One that fails alone is in no group from which anything else is to be learnt.
    with_failing = [group for group in found if any(row[0] == "failing" for row in group)]
    assert found[len(found) - len(with_failing) :] == with_failing


def test_odd_rows_are_first_and_last_and_between_and_beside_ordinary_ones() -> None:
    odds = [f"odd {index}" for index in range(12)]
    found = list(row_groups(["one", "two", "three"], odds, [], 16))
    assert {len(group) for group in found} >= {1, 2, 3, 7, 16}
    for odd in odds:
        places = {
            "first" if group[0] == odd else "last" if group[-1] == odd else "between"
            for group in found
            if odd in group
        }
        assert {"between"} < places
        assert any((odd in group and "one" in group) or "two" in group for group in found)


def test_what_costs_little_and_shows_much_comes_first() -> None:
    odds = [f"odd {index}" for index in range(10)]
    found = list(row_groups(["one", "two"], odds, [], 64))
    assert {row for group in found[:4] for row in group} == {"one", "two", *odds}
