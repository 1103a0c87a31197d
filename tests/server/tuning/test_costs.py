from __future__ import annotations

import json
import math

import pytest

from hotgraph_server.tuning.costs import (
    TODAY,
    Costs,
    Point,
    affine,
    as_json,
    from_json,
    read_costs,
    sizes_to_measure,
    uneven,
    variant_of,
)
from hotgraph_server.tuning.traffic import Senseless

POINTS = (Point(1, (0.002, 0.001, 0.003), 0.003), Point(4, (0.004,), 0.004), Point(8, (0.010,), 0.020))


def test_a_run_takes_the_median_of_its_size_and_lines_lie_between() -> None:
    run_s = Costs(TODAY, "as saved", POINTS, threads=2).run_s()
    assert [run_s(rows) for rows in (1, 4, 6, 8, 12)] == pytest.approx([0.002, 0.004, 0.007, 0.010, 0.016])


def test_a_run_has_the_time_of_the_bucket_that_it_is_filled_up_to() -> None:
    costs = Costs(TODAY, "as saved", POINTS, buckets=(1, 4, 8), threads=2)
    assert [costs.run_s()(rows) for rows in (1, 2, 5, 8)] == pytest.approx([0.002, 0.004, 0.010, 0.010])
    assert costs.cpu_s()(5) == pytest.approx(0.020)


def test_runs_vary_as_the_measured_ones_of_a_near_size_did() -> None:
    run_s = Costs(TODAY, "as saved", POINTS).jittered(seed=1)
    assert {round(run_s(1), 6) for _ in range(100)} == {0.001, 0.002, 0.003}
    assert {round(run_s(4), 6) for _ in range(100)} == {0.004}
    first, again = (Costs(TODAY, "as saved", POINTS).jittered(seed=2) for _ in range(2))
    assert [first(1) for _ in range(20)] == [again(1) for _ in range(20)]


def test_a_run_that_wants_more_processors_than_there_are_takes_longer() -> None:
    costs = Costs(TODAY, "as saved", POINTS, threads=2)
    assert costs.run_s(cores=2.0)(8) == pytest.approx(0.010)
    assert costs.run_s(cores=1.0)(8) == pytest.approx(0.020)
    assert costs.run_s(cores=2.0, front=0.5)(8) == pytest.approx(0.0125)
    assert costs.run_s(cores=2.0, front=0.5)(4) == pytest.approx(0.004)


def test_no_run_uses_more_processor_time_than_its_threads_have() -> None:
    """What it takes to ask for a tiny run is measured with it."""
    assert Costs(TODAY, "as saved", POINTS, threads=1).cpu_s()(1) == pytest.approx(0.002)


def test_costs_go_from_process_to_process_as_they_are() -> None:
    costs = Costs(variant_of({"xla": True, "row_buckets": [1, 8]}), "frozen", POINTS, "a reason", (1, 8), 2)
    assert from_json(json.loads(json.dumps(as_json(costs)))) == costs
    assert str(costs.variant) == "row_buckets=(1, 8), xla=true"
    assert str(TODAY) == "as today"


@pytest.mark.parametrize(
    ("most", "sizes"), [(1, [1]), (2, [1, 2]), (8, [1, 2, 4, 8]), (12, [1, 2, 4, 8, 12])]
)
def test_sizes_double_up_to_the_limit(most: int, sizes: list[int]) -> None:
    assert sizes_to_measure(most) == sizes


def test_cost_of_a_run_is_a_base_and_so_much_for_each_row() -> None:
    assert affine(2.0, 0.5)(8) == pytest.approx(0.006)


@pytest.mark.parametrize(
    ("rows", "ms"), [(1, 2.0), (2, 2.0), (4, 3.0), (6, 4.0), (8, 5.0), (16, 13.0), (32, 29.0)]
)
def test_measured_costs_have_lines_between_and_go_on_at_the_end(rows: int, ms: float) -> None:
    run_s = read_costs(json.dumps({"2": 2.0, "10": 7.0, "6": 4.0, "8": 5.0}))
    assert run_s(rows) == pytest.approx(ms / 1e3)


def test_noise_at_the_end_of_measured_costs_makes_no_run_free() -> None:
    assert read_costs('{"1": 2.0, "2": 1.5}')(100) == pytest.approx(0.002)
    assert read_costs('{"4": 2.0}')(100) == pytest.approx(0.002)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"a": 1}', '{"0": 1}', '{"1": 0}', '{"1": null}', "7"])
def test_costs_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(Senseless, match="the costs"):
        read_costs(text)


def test_one_run_in_seven_is_longer() -> None:
    run_s = uneven(affine(10.0, 0.0), 0.3, seed=1)
    runs = [run_s(1) for _ in range(7000)]
    assert {round(seconds, 6) for seconds in runs} == {0.010, 0.013}
    assert sum(seconds > 0.011 for seconds in runs) == pytest.approx(1000, rel=0.1)
    assert math.isclose(uneven(affine(10.0, 0.0), 0.0, seed=1)(1), 0.010)
