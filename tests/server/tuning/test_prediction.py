from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from hotgraph_server.settings import BatchSettings
from hotgraph_server.tuning.costs import TODAY, Costs, Variant, variant_of
from hotgraph_server.tuning.prediction import Candidate, Place, Predicted, predict, through_front
from hotgraph_server.tuning.slo import slo_of
from hotgraph_server.tuning.traffic import Trace, logged_traffic, poisson_traffic

from .curves import FREE, curve

ALONE = BatchSettings(max_batch_rows=1, max_queued_calls=10**6)
D_S = 0.004


def predicted(
    rate: float,
    costs: Costs | None = None,
    candidate: Candidate | None = None,
    base: BatchSettings = ALONE,
    place: Place = FREE,
    slo: str = "p99<1s",
    calls: int = 20_000,
    share: float = 1.0,
) -> Predicted:
    costs = costs or curve(lambda _: D_S)
    candidate = candidate or Candidate(costs.variant)
    return predict(
        candidate,
        costs,
        base,
        poisson_traffic(rate),
        place,
        slo_of(slo),
        calls=calls,
        seeds=(1, 2),
        share=share,
    )


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.8])
def test_mean_latency_and_duty_are_those_of_md1(rho: float) -> None:
    """Pollaczek and Khinchine, for a constant service time."""
    found = predicted(rho / D_S, slo="mean<1s", calls=60_000)
    assert found.latency_s["mean"] == pytest.approx(D_S * (1 + rho / (2 * (1 - rho))), rel=0.05)
    assert found.duty == pytest.approx(rho, rel=0.03)
    assert found.cores == pytest.approx(rho, rel=0.03)
    assert found.goodput_per_s == pytest.approx(rho / D_S)


def test_each_process_has_its_part_of_the_processors_and_no_more() -> None:
    """Runs that keep two processors busy take twice as long on the one that each of two processes has."""
    wide = curve(lambda _: D_S, cpu=2.0, threads=2)
    place = dataclasses.replace(FREE, cores=2)
    one = predicted(1.0, wide, place=place)
    two = predicted(1.0, wide, Candidate(TODAY, processes=2), place=place)
    assert one.latency_s["p50"] == pytest.approx(D_S)
    assert two.latency_s["p50"] == pytest.approx(2 * D_S)


def test_calls_that_find_the_front_asleep_cost_it_more_than_those_of_a_crowd() -> None:
    place = Place(4, front_s=0.0001, waking_s=0.0001, path_s=0.0)
    free = curve(lambda _: 1e-7, cpu=0.0)
    assert predicted(1.0, free, place=place).cores == pytest.approx(0.0002, rel=0.05)
    # Of M/D/1 half find nobody at half of capacity.
    assert predicted(5000.0, free, place=place).cores == pytest.approx(0.5 + 0.25, rel=0.05)


def test_what_comes_while_the_queue_is_still_empty_is_left_out() -> None:
    moments = np.concatenate([np.zeros(5), np.arange(1, 96)])
    traffic = logged_traffic(Trace(moments, np.ones(100, np.int64)))
    costs, slo = curve(lambda _: D_S), slo_of("max<1s")
    found = predict(Candidate(TODAY), costs, ALONE, traffic, FREE, slo, calls=100, seeds=(1,))
    assert found.latency_s["max"] == pytest.approx(D_S)


def test_one_of_four_servers_answers_a_quarter_of_the_calls() -> None:
    assert predicted(80.0, share=0.25).goodput_per_s == pytest.approx(20.0)


def test_two_processes_share_the_load_and_each_has_half_of_the_processors() -> None:
    one = predicted(100.0)
    two = predicted(200.0, candidate=Candidate(TODAY, processes=2))
    assert two.latency_s == one.latency_s
    assert two.cores == pytest.approx(2 * one.cores)
    assert predicted(200.0, share=0.5).latency_s == one.latency_s


def test_calls_pass_the_front_one_after_the_other() -> None:
    came = np.array([0.0, 0.1, 0.5, 2.0])
    assert through_front(came, 1.0) == pytest.approx([1.0, 2.0, 3.0, 4.0])
    assert through_front(came, 0.05) == pytest.approx(came + 0.05)


def test_the_front_costs_time_and_processors_and_is_a_limit_of_its_own() -> None:
    place = dataclasses.replace(FREE, front_s=0.002, path_s=0.001)
    free, with_front = predicted(100.0), predicted(100.0, place=place)
    assert with_front.latency_s["p50"] > free.latency_s["p50"] + 0.0029
    assert with_front.cores == pytest.approx(free.cores + 0.2, rel=0.05)
    assert "what one process can read" in predicted(600.0, curve(lambda _: 0.0001), place=place).broken


def test_a_load_that_no_queue_keeps_up_with_is_broken_however_short_the_trace() -> None:
    found = predicted(1.2 / D_S, calls=10)
    assert found.broken == "the load is 1.20 times what its runs can do"
    alone = curve(lambda _: D_S, alone_because="it counts")
    assert predicted(1.2 / D_S, alone, base=BatchSettings(), calls=10).broken
    assert not predicted(1.2 / D_S, base=BatchSettings(), calls=1000).broken


def test_what_is_refused_is_an_error_and_no_latency() -> None:
    found = predicted(2 / D_S, base=BatchSettings(max_batch_rows=1, max_queued_calls=5))
    assert found.errors == pytest.approx(0.5, abs=0.02)
    assert found.latency_s["p99"] <= 6 * D_S + 1e-9
    assert found.goodput_per_s == pytest.approx(1 / D_S, rel=0.03)


def test_deadlines_of_the_settings_are_the_calls() -> None:
    candidate = Candidate(TODAY).with_batch(default_timeout_ms=12)
    found = predicted(2 / D_S, candidate=candidate, calls=3000)
    assert found.latency_s["p99"] <= 0.012
    assert found.errors > 0.4


def test_a_candidate_is_told_by_what_it_changes() -> None:
    candidate = Candidate(variant_of({"intra_op_threads": 1}), processes=2).with_batch(split=False)
    assert candidate.label == "split=false, intra_op_threads=1, processes=2"
    assert candidate.with_batch(split=None).label == "intra_op_threads=1, processes=2"
    assert Candidate(Variant()).label == "defaults"
    assert Candidate(Variant()).is_default


def test_what_depends_on_the_row_limit_goes_with_it() -> None:
    base = BatchSettings(
        max_batch_rows=16, row_buckets=(4, 16), preferred_batch_rows=(8, 12), max_queued_rows=20
    )
    smaller = Candidate(TODAY).with_batch(max_batch_rows=8)
    assert smaller.values(base) == {
        "max_batch_rows": 8,
        "row_buckets": (4, 8),
        "preferred_batch_rows": (8,),
    }
    larger = Candidate(TODAY).with_batch(max_batch_rows=32).values(base)
    assert larger == {"max_batch_rows": 32, "row_buckets": (4, 16, 32), "max_queued_rows": 32}
    xla = Candidate(variant_of({"xla": True, "row_buckets": "powers of two"}))
    assert xla.values(BatchSettings(max_batch_rows=4)) == {"xla": True, "row_buckets": (1, 2, 4)}


def test_nothing_answered_is_no_latency() -> None:
    found = predicted(100.0, candidate=Candidate(TODAY).with_batch(default_timeout_ms=1), calls=50)
    assert math.isnan(found.latency_s["p99"])
    assert found.p99_s == math.inf
    assert not found.holds
