"""Medians over rounds, and ratios within them."""

from __future__ import annotations

import pytest

from bench.figures import Run, Spread, failures, of, ratio, spread
from bench.workload import Cell

CELL = Cell("softmax", 1, 8)


def run(rival: str, round_number: int, calls_per_s: float, *, cell: Cell = CELL, failure: str = "") -> Run:
    return Run(rival, cell, round_number, calls_per_s=calls_per_s, failure=failure)


def calls(run: Run) -> float:
    return run.calls_per_s


def test_spread_of_nothing_is_none() -> None:
    assert spread([]) is None
    assert spread([None, None]) is None


def test_figure_is_the_median_over_the_rounds_that_succeeded() -> None:
    runs = [run("a", 0, 1.0), run("a", 1, 9.0), run("a", 2, 2.0), run("a", 3, 99.0, failure="broken")]
    assert of(runs, "a", CELL, calls) == Spread(2.0, 1.0, 9.0, 3)


def test_ratio_is_taken_within_each_round() -> None:
    # The machine is ten times as fast in the second round: ratios do not see it, medians would.
    runs = [run("a", 0, 2.0), run("b", 0, 1.0), run("a", 1, 30.0), run("b", 1, 10.0)]
    assert ratio(runs, calls, ("a", CELL), ("b", CELL)) == Spread(2.5, 2.0, 3.0, 2)


def test_round_that_one_of_the_two_missed_has_no_ratio() -> None:
    runs = [run("a", 0, 2.0), run("a", 1, 3.0), run("b", 1, 1.0), run("b", 0, 0.0, failure="broken")]
    assert ratio(runs, calls, ("a", CELL), ("b", CELL)) == Spread(3.0, 3.0, 3.0, 1)
    assert ratio(runs, calls, ("a", CELL), ("c", CELL)) is None


def test_failed_run_is_never_asked_for_its_figure() -> None:
    runs = [run("a", 0, 0.0, failure="broken"), run("b", 0, 1.0)]
    assert ratio(runs, lambda run: 1 / run.calls_per_s, ("a", CELL), ("b", CELL)) is None


def test_same_failure_is_told_once_with_its_number() -> None:
    other = Cell("mlp", 1, 8)
    runs = [run("a", 0, 0, failure="x"), run("a", 1, 0, failure="x"), run("a", 0, 0, cell=other, failure="x")]
    assert failures(runs) == [
        "a: softmax, 1 row a call, 8 in flight: x (2 runs)",
        "a: mlp, 1 row a call, 8 in flight: x (1 runs)",
    ]


def test_rows_are_counted_by_call() -> None:
    assert run("a", 0, 10.0, cell=Cell("softmax", 8, 1)).rows_per_s == pytest.approx(80.0)
