"""The swap bench's section: every mark is told with its verdict, and what was not measured is left out."""

from __future__ import annotations

from typing import Any

import pytest

from bench import swap_report

STARTED = "2026-11-22 20:00"
SWAPS: dict[str, Any] = {
    "callers": 32,
    "answered": 1000,
    "failed": 0,
    "errors": [],
    "mixed": 0,
    "versions": 3,
    "resident_bytes": [2**29, 2**29, 2**29],
    "growth": 1.0,
}
LOADING: dict[str, Any] = {
    "calls": [2000, 1000],
    "p50_ms": [2.0, 3.0],
    "p99_ms": [4.0, 8.0],
    "loads": 3,
    "load_s": 10.0,
    "ratio": 2.0,
}


def verdicts(swaps: dict[str, Any] | None, loading: dict[str, Any] | None) -> list[str]:
    made = swap_report.section({"started": STARTED, "swaps": swaps, "while_loading": loading})
    return [line.split("|")[-2].strip() for line in made.splitlines() if line.startswith("|")][2:]


def test_marks_that_are_met() -> None:
    assert verdicts(SWAPS, LOADING) == ["yes"] * 4


@pytest.mark.parametrize(("change", "missed"), [({"failed": 1}, 0), ({"mixed": 1}, 1), ({"growth": 1.06}, 2)])
def test_every_missed_mark_of_the_swaps_says_so(change: dict[str, Any], missed: int) -> None:
    expected = ["yes"] * 3
    expected[missed] = "**no**"
    assert verdicts({**SWAPS, **change}, None) == expected


def test_ratio_of_three_is_missed_for_it_shall_be_below() -> None:
    assert verdicts(None, {**LOADING, "ratio": 3.0}) == ["**no**"]


def test_nothing_measured_makes_no_section() -> None:
    assert swap_report.section({}) == ""


def test_day_and_times_are_told() -> None:
    made = swap_report.section({"started": STARTED, "while_loading": LOADING})
    assert "2026-11-22:" in made
    assert "2.00 (8.00 ms / 4.00 ms)" in made or "2.00 (8 ms / 4 ms)" in made
