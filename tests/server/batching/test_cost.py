from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.batching.cost import (
    EDGES,
    MAX_MARGIN,
    MIN_MARGIN,
    CostCurve,
    Costs,
    cost_key,
    elements_of_a_row,
)
from hotgraph_server.tensors import Array

ROWS = st.integers(1, EDGES[-1])
SECONDS = st.floats(0.0, 1e3)
RUNS = st.lists(st.tuples(ROWS, SECONDS), max_size=60)


def curve_of(*runs: tuple[int, float], times: int = 3) -> CostCurve:
    curve = CostCurve()
    for rows, seconds in runs:
        for _ in range(times):
            curve.observe(rows, seconds)
    return curve


def test_empty_curve_predicts_nothing_and_holds_nobody_back() -> None:
    curve = CostCurve()
    assert not curve.known
    assert (curve.predict(1), curve.predict(64), curve.longest_s) == (0.0, 0.0, 0.0)
    assert curve.rows_within(0.0) == EDGES[-1]


def test_what_was_measured_is_predicted_and_a_line_between() -> None:
    curve = curve_of((1, 1.0), (2, 1.5), (8, 3.0))
    assert [curve.predict(rows) for rows in (1, 2, 8)] == [1.0, 1.5, 3.0]
    assert curve.predict(5) == pytest.approx(2.25)
    assert curve.longest_s == 3.0


def test_outside_of_what_was_measured_the_guess_is_low() -> None:
    curve = curve_of((4, 2.0), (8, 3.0))
    assert [curve.predict(rows) for rows in (1, 9, 10**9)] == [2.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("seconds", "rows"), [(0.99, 0), (1.0, 1), (1.49, 1), (1.5, 2), (2.0, 4), (3.0, EDGES[-1])]
)
def test_rows_within_a_time_are_those_of_the_curve(seconds: float, rows: int) -> None:
    assert curve_of((1, 1.0), (2, 1.5), (8, 3.0)).rows_within(seconds) == rows


@pytest.mark.parametrize(("rows", "edge"), [(9, 10), (10, 10), (11, 12), (17, 20), (33, 40), (64, 64)])
def test_run_counts_for_the_next_size_that_is_not_below_its_own(rows: int, edge: int) -> None:
    curve = curve_of((1, 1.0), (rows, 9.0), times=5)
    assert curve.predict(edge) == 9.0
    assert edge <= 1.25 * rows


def test_size_beyond_all_points_is_ignored() -> None:
    curve = CostCurve()
    curve.observe(EDGES[-1] + 1, 1.0)
    assert not curve.known


def test_outliers_are_not_believed_while_they_are_fewer_than_half() -> None:
    curve = curve_of((8, 0.016), times=15)
    for _ in range(7):
        curve.observe(8, 2.0)
    assert curve.predict(8) == 0.016


def test_change_is_believed_within_two_fits_of_half_a_window() -> None:
    curve = curve_of((8, 0.016), times=15)
    for _ in range(16):
        curve.observe(8, 0.032)
    assert curve.predict(8) == 0.032


def test_two_slow_runs_of_many_rows_are_not_believed_to_take_longer_than_many_runs_of_few() -> None:
    curve = curve_of((8, 0.010), times=5)
    curve.observe(64, 2.0)
    curve.observe(64, 2.0)
    assert curve.predict(64) == pytest.approx(0.080)
    curve.observe(64, 2.0)
    assert curve.predict(64) == 2.0


def test_what_was_seen_long_ago_is_not_believed_against_its_neighbours() -> None:
    """Otherwise a slow minute at 64 rows could keep batches below 64 for ever."""
    curve = curve_of((8, 0.010), (64, 2.0), times=5)
    assert curve.predict(64) == 2.0
    for _ in range(300):
        curve.observe(8, 0.010)
    assert curve.predict(64) == pytest.approx(0.080)


def test_one_outlier_at_one_size_leaves_the_sizes_above_it_alone() -> None:
    curve = curve_of((1, 0.010), (64, 0.020), times=15)
    for _ in range(3):
        curve.observe(4, 2.0)
    assert curve.predict(64) == 0.020
    assert curve.predict(4) <= 0.020


@given(RUNS, st.lists(ROWS, min_size=2, max_size=8))
def test_more_rows_are_never_predicted_to_take_less_time(
    runs: list[tuple[int, float]], at: list[int]
) -> None:
    curve = curve_of(*runs, times=1)
    predicted = [curve.predict(rows) for rows in sorted(at)]
    assert all(one <= other * (1 + 1e-9) for one, other in itertools.pairwise(predicted))
    assert all(0.0 <= seconds <= curve.longest_s for seconds in predicted)


@given(RUNS)
def test_no_prediction_is_outside_of_what_was_seen(runs: list[tuple[int, float]]) -> None:
    curve = curve_of(*runs, times=1)
    seen = [seconds for _, seconds in runs] or [0.0]
    # The cap of a point that is not trusted may lie below all points, never above.
    assert curve.longest_s <= max(seen)
    assert curve.predict(1) >= 0.0


@given(RUNS, SECONDS)
def test_rows_within_a_time_are_predicted_to_take_no_longer(
    runs: list[tuple[int, float]], seconds: float
) -> None:
    curve = curve_of(*runs, times=1)
    rows = curve.rows_within(seconds)
    if rows:
        assert curve.predict(rows) <= seconds * (1 + 1e-9)
    else:
        assert curve.predict(1) > seconds


@given(st.lists(SECONDS, min_size=16, max_size=40))
def test_steady_size_is_the_median_of_its_last_fifteen_runs(seconds: list[float]) -> None:
    seconds = seconds[: len(seconds) // 8 * 8]
    curve = curve_of(*((1, one) for one in seconds), times=1)
    assert curve.predict(1) == statistics.median(seconds[-15:])


def test_curves_are_told_apart_by_signature_and_magnitude_of_a_row() -> None:
    inputs: list[Array] = [np.zeros((3, 40), np.float32), np.zeros((3,), np.int64)]
    assert elements_of_a_row(inputs) == 41
    assert elements_of_a_row([np.zeros(()), np.zeros((0, 2, 3))]) == 7
    assert cost_key("a", 40) == cost_key("a", 50) != cost_key("a", 4000)
    assert cost_key("a", 40) != cost_key("b", 40)


def test_costs_keep_a_curve_for_each_key_and_the_longest_of_all_predictions() -> None:
    costs = Costs()
    one, other = costs.curve(("a", 1)), costs.curve(("b", 1))
    assert costs.curve(("a", 1)) is one is not other
    costs.observe(one, 1, 3.0)
    costs.observe(other, 1, 5.0)
    assert costs.longest_s == 5.0
    for _ in range(40):
        costs.observe(other, 1, 1.0)
    assert costs.longest_s == 3.0


def test_margin_is_what_nine_of_ten_runs_keep() -> None:
    curve = curve_of((1, 1.0), times=20)
    assert curve.margin == MIN_MARGIN
    for turn in range(64):
        curve.observe(1, 1.3 if turn % 5 == 0 else 1.0)
    assert curve.margin == pytest.approx(1.3)
    for _ in range(64):
        curve.observe(1, 1.0)
    assert curve.margin == MIN_MARGIN


def test_one_outlier_moves_no_margin() -> None:
    curve = curve_of((1, 1.0), times=31)
    curve.observe(1, 50.0)
    assert curve.margin == MIN_MARGIN


@given(st.lists(SECONDS, min_size=1, max_size=60))
def test_margin_stays_in_its_bounds(seconds: list[float]) -> None:
    curve = curve_of(*((1, one) for one in seconds), times=1)
    assert MIN_MARGIN <= curve.margin <= MAX_MARGIN


def test_edges_are_every_size_to_eight_and_then_four_to_an_octave() -> None:
    assert EDGES[:12] == (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16)
    assert list(EDGES) == sorted(set(EDGES))
    assert math.log2(EDGES[-1]) == 17
