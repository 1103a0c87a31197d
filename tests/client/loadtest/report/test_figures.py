from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.report import figures


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, figures.NONE),
        (math.nan, figures.NONE),
        (math.inf, figures.NONE),
        (0, "0"),
        (0.0004321, "0.000432"),
        (0.0482, "0.0482"),
        (0.5, "0.500"),
        (2.131, "2.13"),
        (9.996, "10.0"),
        (18.44, "18.4"),
        (99.96, "100"),
        (482.4, "482"),
        (1240.4, "1,240"),
        (1234567.0, "1,234,567"),
        (-18.44, "-18.4"),
    ],
)
def test_three_digits_count(value: float | None, written: str) -> None:
    assert figures.number(value) == written


@given(st.floats(min_value=1e-5, max_value=1e12))
def test_what_is_written_is_what_was_measured(value: float) -> None:
    assert float(figures.number(value).replace(",", "")) == pytest.approx(value, rel=0.00501)


@pytest.mark.parametrize(
    ("share", "written"),
    [(0, "0 %"), (0.00000001, "< 0.01 %"), (0.001, "0.1 %"), (0.12345, "12.3 %"), (1, "100 %")],
)
def test_what_is_more_than_nothing_is_not_written_as_nothing(share: float, written: str) -> None:
    assert figures.percent(share) == written


def test_errors_are_told_most_frequent_first() -> None:
    assert figures.counts({"LATE": 3, "ABORTED": 1200, "UNAVAILABLE": 3}) == (
        "1,200 ABORTED, 3 LATE, 3 UNAVAILABLE"
    )
    assert figures.counts({}) == "0"


def test_one_is_no_plural() -> None:
    assert figures.plural(1, "reply", "replies") == "1 reply"
    assert figures.plural(1200, "reply", "replies") == "1,200 replies"
    assert figures.plural(0, "step") == "0 steps"
