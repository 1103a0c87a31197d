"""signatures.py: what a scrape shows of each signature."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotgraph_server.models.opening import open_version
from hotgraph_server.settings import ModelSettings
from hotgraph_server.statistics import DURATION_BOUNDS_S, ROWS_BOUNDS, Event
from hotgraph_server.warmup.plan import Form, Plan, Threads

from ...fakes import HANG_S, FakeGraph, signature
from .scraped import Scraped


def test_every_series_of_a_signature_is_there_before_its_first_call(scraped: Scraped) -> None:
    before = scraped.scrape()
    scraped.version.statistics.add_run("s", [1.0], rows=1, started=2.0, ended=3.0)
    for event in Event:
        scraped.version.statistics.count("s", event)
    assert set(scraped.scrape()) == set(before)


def test_calls_are_counted_once_by_how_they_ended(scraped: Scraped) -> None:
    statistics = scraped.version.statistics
    statistics.add_run("s", [1.0, 1.0, 1.0], rows=3, started=2.0, ended=3.0)
    statistics.add_run("s", [1.0, 1.0], rows=2, started=2.0, ended=3.0, failed=True)
    refusals = (
        *(Event.REFUSED_FULL, Event.REFUSED_LATE, Event.REFUSED_DRAINING),
        *(Event.REFUSED_BY_SIZE, Event.TIMED_OUT),
    )
    for n, event in enumerate(refusals, 1):
        statistics.count("s", event, n)
    statistics.count("s", Event.EXPIRED, 7)
    statistics.count("s", Event.CANCELLED, 8)
    outcomes = ("answered", "failed", "refused", "expired", "cancelled")
    calls = {outcome: scraped.value("hotgraph_calls_total", outcome=outcome) for outcome in outcomes}
    assert calls == {"answered": 3, "failed": 2, "refused": 15, "expired": 7, "cancelled": 8}
    reasons = ("queue_full", "too_late", "draining", "queue_size", "queue_timeout")
    refused = [scraped.value("hotgraph_refused_calls_total", reason=reason) for reason in reasons]
    assert refused == [1, 2, 3, 4, 5]
    assert scraped.value("hotgraph_runs_total", outcome="answered") == 1
    assert scraped.value("hotgraph_runs_total", outcome="failed") == 1


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (Event.POISON, "hotgraph_poison_calls_total"),
        (Event.APART, "hotgraph_apart_calls_total"),
        (Event.RERUN, "hotgraph_rerun_batches_total"),
        (Event.OUT_OF_MEMORY, "hotgraph_out_of_memory_total"),
        (Event.CHECKED, "hotgraph_checked_calls_total"),
        (Event.DIFFERED, "hotgraph_differing_calls_total"),
        (Event.SPLIT, "hotgraph_split_calls_total"),
        (Event.DELAYED, "hotgraph_delayed_calls_total"),
    ],
)
def test_event_that_ends_no_call_has_a_counter_of_its_own(scraped: Scraped, event: Event, name: str) -> None:
    scraped.version.statistics.count("s", event, 5)
    assert scraped.value(name) == 5
    assert not any(value for (name, _), value in scraped.scrape().items() if name == "hotgraph_calls_total")


def test_trust_is_shown_where_joined_calls_are_checked(scraped: Scraped) -> None:
    assert scraped.value("hotgraph_trusted_calls") == 0
    scraped.version.trust["s"].take(12, 0.0)
    assert scraped.value("hotgraph_trusted_calls") == 12


def test_histograms_are_cumulative_and_end_with_all(scraped: Scraped) -> None:
    for rows in (1, 3, 3, 2000):
        scraped.version.statistics.add_run("s", [1.0, 2.0], rows=rows, started=2.5, ended=3.0)
    edges = [*(f"{float(bound):.1f}" for bound in ROWS_BOUNDS), "+Inf"]
    buckets = [scraped.value("hotgraph_batch_rows_bucket", le=edge) for edge in edges]
    assert buckets == [1, 1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4]
    assert scraped.value("hotgraph_batch_rows_sum") == 2007
    assert scraped.value("hotgraph_batch_rows_count") == 4
    for name, per_run, total in (
        ("run_duration", 1, 2.0),
        ("queue_wait", 2, 8.0),
        ("call_duration", 2, 12.0),
    ):
        assert scraped.value(f"hotgraph_{name}_seconds_bucket", le="+Inf") == 4 * per_run
        assert scraped.value(f"hotgraph_{name}_seconds_count") == 4 * per_run
        assert scraped.value(f"hotgraph_{name}_seconds_sum") == pytest.approx(total)
    assert scraped.value("hotgraph_queue_wait_seconds_bucket", le="0.25") == 0
    assert scraped.value("hotgraph_queue_wait_seconds_bucket", le="0.5") == 4
    assert len(DURATION_BOUNDS_S) + 1 == sum(
        name == "hotgraph_run_duration_seconds_bucket" for name, _ in scraped.scrape()
    )


def test_signature_that_batches_is_told_from_one_that_does_not(scraped: Scraped) -> None:
    assert scraped.value("hotgraph_signature_batches", reason="") == 1
    scraped.version.unbatched_reasons = {"s": "it has no inputs"}
    assert scraped.value("hotgraph_signature_batches", reason="it has no inputs") == 0


def test_plan_is_shown_with_what_it_gains(scraped: Scraped) -> None:
    plan = Plan(
        Form.FROZEN, Threads.POOL, xla_rows=(1, 8), reason="0.5 ms a run", gain=1.5, xla_gains=(1.25, 2.0)
    )
    scraped.version.plans = {"s": plan}
    about = {"form": "frozen", "threads": "on the pool", "xla_rows": "1,8", "reason": "0.5 ms a run"}
    assert scraped.value("hotgraph_plan_info", **about) == 1
    assert scraped.value("hotgraph_plan_gain_ratio") == 1.5
    assert scraped.value("hotgraph_plan_xla_gain_ratio", rows="1") == 1.25
    assert scraped.value("hotgraph_plan_xla_gain_ratio", rows="8") == 2.0


def test_several_versions_and_signatures_are_told_apart() -> None:
    scraped = Scraped("s", "other")
    second = open_version(ModelSettings("m", Path("unused")), 4, FakeGraph(signature("s")).open)
    scraped.models.publish([second])
    scraped.version.statistics.count("other", Event.EXPIRED, 1)
    second.statistics.count("s", Event.EXPIRED, 2)
    try:
        assert scraped.value("hotgraph_calls_total", outcome="expired") == 0
        assert scraped.value("hotgraph_calls_total", outcome="expired", signature="other") == 1
        assert scraped.value("hotgraph_calls_total", outcome="expired", version="4") == 2
    finally:
        assert scraped.version.stop(HANG_S)
        assert second.stop(HANG_S)
