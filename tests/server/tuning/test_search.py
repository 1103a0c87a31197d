from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.settings import BatchSettings
from hotgraph_server.tuning.costs import TODAY
from hotgraph_server.tuning.prediction import Candidate, Predicted
from hotgraph_server.tuning.search import (
    Found,
    Tried,
    better,
    chosen,
    clearly_less,
    pareto,
    search,
    with_company,
)
from hotgraph_server.tuning.traffic import poisson_traffic

from .curves import curve, problem


def flat(rows: int) -> float:
    return 0.010


def linear(rows: int) -> float:
    return 0.001 * rows


def affine(rows: int) -> float:
    return 0.004 + 0.0005 * rows


def steep(rows: int) -> float:
    """Cheap up to eight rows, and beyond the caches three times as dear a row."""
    return 0.001 + 0.0005 * min(rows, 8) + 0.006 * max(rows - 8, 0)


def labels(found: Found) -> list[str]:
    return [one.candidate.label for one in found.front]


def test_defaults_are_the_best_where_nothing_is_to_be_gained_and_are_always_among_what_was_tried() -> None:
    found = search(problem(curve(flat), rate=50.0))
    assert found.best is found.default
    assert found.best.candidate.is_default
    assert found.default in found.tried
    assert found.best.predicted.holds


def test_a_lower_row_limit_is_found_where_large_runs_are_dear() -> None:
    found = search(problem(curve(steep), rate=1500.0, slo="p99<20ms"))
    assert not found.default.predicted.holds
    assert found.best.predicted.holds
    assert 6 <= found.best.candidate.settings["max_batch_rows"] <= 16


def test_a_higher_row_limit_is_found_where_the_load_needs_larger_runs() -> None:
    found = search(problem(curve(lambda rows: 0.020 + 0.00002 * rows), rate=4000.0, slo="p99<60ms"))
    assert found.best.candidate.settings["max_batch_rows"] > 64
    assert found.best.predicted.holds


def test_calls_are_kept_apart_where_a_batch_gains_nothing() -> None:
    """Twice the rows take twice the time, so whoever comes first waits for the others for nothing."""
    found = search(problem(curve(linear), rate=600.0))
    assert found.best.candidate.settings == {"max_batch_rows": 1}
    assert found.best.predicted.latency_s["p50"] < found.default.predicted.latency_s["p50"]


def test_waiting_is_on_the_front_where_it_spares_runs() -> None:
    """Of flat runs at four times what they could do one by one, waiting for company spares a tenth."""
    found = search(problem(curve(flat), rate=400.0))
    waiting = [one for one in found.front if one.candidate.settings.get("max_wait_us")]
    assert waiting
    assert min(one.predicted.cores for one in waiting) < 0.97 * found.default.predicted.cores


def test_fewer_processors_win_where_the_objective_holds_with_them() -> None:
    with_all = curve(affine, cpu=3.6, threads=4)
    with_one = curve(lambda rows: 1.4 * affine(rows), {"intra_op_threads": 1}, cpu=1.0)
    found = search(problem(with_all, with_one, rate=100.0))
    assert found.best.candidate.settings == {"intra_op_threads": 1}
    assert {"defaults", "intra_op_threads=1"} <= set(labels(found))


def test_more_processors_win_where_it_does_not() -> None:
    with_all = curve(affine, cpu=3.6, threads=4)
    with_one = curve(lambda rows: 3 * affine(rows), {"intra_op_threads": 1}, cpu=1.0)
    found = search(problem(with_all, with_one, rate=300.0, slo="p99<20ms"))
    assert found.best is found.default


def test_refusing_who_would_be_late_is_found_where_nothing_keeps_the_objective() -> None:
    found = search(problem(curve(lambda rows: 0.001 + 0.001 * rows), rate=2500.0, slo="p99<30ms"))
    assert not found.best.predicted.holds
    assert found.best.candidate.settings["default_timeout_ms"] == 30
    assert found.best.predicted.goodput_per_s > 2 * found.default.predicted.goodput_per_s


def test_large_calls_are_tried_whole() -> None:
    traffic = dataclasses.replace(problem(curve(flat), rate=20.0).traffic, rows={1: 0.8, 100: 0.2})
    found = search(problem(curve(flat), rate=20.0, traffic=traffic))
    assert any(
        "split" in one.candidate.settings or "max_batch_rows" in one.candidate.settings for one in found.tried
    )


def test_calls_that_run_alone_are_not_tried_in_company() -> None:
    alone = curve(flat, alone_because="dimension 0 is not free")
    other = curve(lambda rows: 0.008, {"xla": True}, alone_because="dimension 0 is not free")
    found = search(problem(alone, other, rate=50.0, processes=[2]))
    assert all("max_batch_rows" not in one.candidate.settings for one in found.tried)
    assert found.best.candidate.settings == {"xla": True}


def test_settings_of_today_that_differ_from_ours_are_the_default() -> None:
    base = BatchSettings(max_batch_rows=4, max_wait_us=1000, row_buckets=(1, 2, 4))
    found = search(problem(curve(flat), rate=50.0, base=base))
    assert found.default.candidate.in_queue(base) == base
    assert found.default.predicted.most_rows <= 4
    for one in found.tried:
        one.candidate.in_queue(base)


def test_waiting_that_was_set_is_tried_without() -> None:
    base = BatchSettings(max_wait_us=3000)
    tried = Tried(Candidate(TODAY), predicted())
    waits = {
        dict(one.batch)["max_wait_us"]
        for one in with_company(problem(curve(flat), rate=50.0, base=base), tried)
    }
    assert 0 in waits
    assert 3000 not in waits


def test_nobody_waits_longer_than_half_of_the_objective() -> None:
    tried = Tried(Candidate(TODAY), predicted())
    asked = problem(curve(flat), rate=50.0, slo="p99<5ms")
    waits = {dict(one.batch)["max_wait_us"] for one in with_company(asked, tried)}
    assert waits == {250, 500, 1000, 2000}


def test_large_calls_are_tried_whole_where_they_are_larger_than_runs() -> None:
    def splits(limit: int) -> set[bool]:
        asked = problem(curve(flat), rate=50.0, traffic=poisson_traffic(50.0, {16: 1.0}))
        tried = Tried(Candidate(TODAY).with_batch(max_batch_rows=limit), predicted())
        return {dict(one.batch)["split"] for one in with_company(asked, tried) if "split" in dict(one.batch)}

    assert splits(8) == {not BatchSettings().split}
    assert splits(16) == set()


def predicted(p99: float = 0.010, cores: float = 1.0, goodput: float = 100.0, broken: str = "") -> Predicted:
    return Predicted(
        {"p50": p99 / 2, "p99": p99},
        (p99, p99 * 1.01, p99 * 0.99),
        goodput,
        0.0,
        0.5,
        cores,
        1.0,
        4,
        "",
        broken,
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (predicted(), predicted(broken="it does not")),
        (predicted(cores=0.8, p99=0.02), predicted(cores=1.0)),
        (predicted(p99=0.009), predicted(p99=0.010)),
        (predicted(broken="no", goodput=80), predicted(broken="no", goodput=70)),
        (predicted(broken="no", p99=1.0), predicted(broken="no", p99=2.0)),
    ],
    ids=["objective", "processors", "tail", "in time", "tail of what fails"],
)
def test_better_is_the_objective_then_processors_then_the_tail(one: Predicted, other: Predicted) -> None:
    assert better(one, other)
    assert not better(other, one)


@pytest.mark.parametrize(
    "other", [predicted(), predicted(cores=0.95), predicted(p99=0.0098)], ids=["same", "processors", "tail"]
)
def test_what_differs_by_less_than_the_noise_is_not_better(other: Predicted) -> None:
    assert not better(predicted(), other)
    assert not better(other, predicted())
    default = Tried(Candidate(curve(flat).variant), predicted())
    tried = Tried(Candidate(curve(flat).variant, (("max_batch_rows", 8),)), other)
    assert chosen([default, tried]).best is default


def test_pairs_that_disagree_are_noise() -> None:
    assert clearly_less([0.8, 0.82, 0.79], [1.0, 1.0, 1.0])
    assert not clearly_less([0.5, 1.4, 0.6], [1.0, 1.0, 1.0])
    assert not clearly_less([float("nan")], [1.0])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))))
def test_nobody_on_the_front_is_dominated_and_everybody_else_is(ones: list[tuple[int, int, int]]) -> None:
    def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
        return one != other and all(a <= b for a, b in zip(one, other, strict=True))

    front = pareto(ones, lambda one: one)
    assert len(set(front)) == len(front)
    for one in ones:
        assert (one in front) == (not any(dominates(other, one) for other in ones))
