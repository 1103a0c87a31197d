from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.warmup.row_groups import companies

NUMBERS = st.integers(0, 30)


@given(st.integers(2, 5), NUMBERS, st.integers(0, 6), st.integers(2, 64))
def test_every_row_has_company_and_no_company_is_too_large(
    ordinary: int, odd: int, failing: int, most: int
) -> None:
    rows = [("ordinary", index) for index in range(ordinary)]
    odds = [("odd", index) for index in range(odd)]
    refused = [("failing", index) for index in range(failing)]
    found = list(companies(rows, odds, refused, most))
    assert all(1 <= len(company) <= most for company in found)
    met = {row for company in found if len(company) > 1 for row in company}
    assert met >= {*odds, *refused}
    # One that fails alone is in no company from which anything else is to be learnt.
    with_failing = [company for company in found if any(row[0] == "failing" for row in company)]
    assert found[len(found) - len(with_failing) :] == with_failing


def test_odd_rows_are_first_and_last_and_between_and_beside_ordinary_ones() -> None:
    odds = [f"odd {index}" for index in range(12)]
    found = list(companies(["one", "two", "three"], odds, [], 16))
    assert {len(company) for company in found} >= {1, 2, 3, 7, 16}
    for odd in odds:
        places = {
            "first" if company[0] == odd else "last" if company[-1] == odd else "between"
            for company in found
            if odd in company
        }
        assert {"between"} < places
        assert any((odd in company and "one" in company) or "two" in company for company in found)


def test_what_costs_little_and_shows_much_comes_first() -> None:
    odds = [f"odd {index}" for index in range(10)]
    found = list(companies(["one", "two"], odds, [], 64))
    assert {row for company in found[:4] for row in company} == {"one", "two", *odds}
