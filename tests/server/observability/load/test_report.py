"""What a load report says, from what was counted at two moments."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.observability.load.report import (
    LEAST_UTILIZATION,
    LoadReport,
    OfModel,
    Sample,
    Totals,
    report_of,
    totals_of,
    utilization,
)
from hotgraph_server.statistics import Event, Figures


def sample(at: float, **models: Totals) -> Sample:
    versions = {(name, 1): OfModel(name, totals) for name, totals in models.items()}
    return Sample(at, versions, cpu_s=at / 2, processors=2.0, rss_bytes=3 << 20, memory_bytes=12 << 20)


def report(seconds: float = 10.0, **models: Totals) -> LoadReport:
    """Of so many seconds in which just that was done."""
    return report_of(sample(0.0), sample(seconds, **models))


class TestUtilization:
    def test_duty_is_the_utilization_of_a_server_that_keeps_up(self) -> None:
        done = Totals(ended=100, ran=100, waited_s=100 * 0.01, runs=100, busy_s=5.0)
        assert report(a=done).utilization == pytest.approx(0.5)

    def test_whatever_calls_wait_says_nothing_while_the_executor_has_time(self) -> None:
        """They come in crowds, and each crowd waits for itself."""
        done = Totals(ended=100, ran=100, waited_s=100 * 5.0, runs=100, busy_s=5.0)
        assert report(a=done).utilization == pytest.approx(0.5)

    def test_wait_of_one_run_is_how_batches_form(self) -> None:
        done = Totals(ended=100, ran=100, waited_s=100 * 0.1, runs=100, busy_s=10.0)
        assert report(a=done).utilization == pytest.approx(1.0)

    def test_each_doubling_of_the_wait_counts_like_another_servers_load(self) -> None:
        for runs, expected in ((2, 2.0), (4, 3.0), (8, 4.0)):
            done = Totals(ended=100, ran=100, waited_s=100 * 0.1 * runs, runs=100, busy_s=10.0)
            assert report(a=done).utilization == pytest.approx(expected)

    def test_what_the_executor_holds_calls_for_is_no_pressure(self) -> None:
        done = Totals(ended=100, ran=100, waited_s=100 * 0.3, runs=100, busy_s=10.0)
        now = sample(10.0)._replace(versions={("a", 1): OfModel("a", done, may_hold_s=0.2)})
        assert report_of(sample(0.0), now).utilization == pytest.approx(1.0)

    def test_run_that_has_not_ended_counts_and_so_do_those_who_wait_for_it(self) -> None:
        before = Totals(ended=64, ran=64, runs=8, busy_s=1.0)
        now = before._replace(busy_s=11.0, waiting=32)
        found = report_of(sample(0.0, a=before), sample(10.0, a=now))
        # Eight calls shared a run, so four runs are waited for.
        assert found.utilization == pytest.approx(1.0 + 2.0)

    def test_server_is_as_full_as_its_fullest_executor(self) -> None:
        assert report(a=Totals(busy_s=3.0), b=Totals(busy_s=6.0)).utilization == pytest.approx(0.6)

    def test_idle_server_says_a_little_because_nothing_would_mean_unknown(self) -> None:
        assert report(a=Totals()).utilization == LEAST_UTILIZATION > 0

    @given(st.floats(0.0, 1.0), st.floats(0.0, 1e9), st.floats(0.0, 1e9))
    def test_more_to_do_is_never_less_utilization(self, duty: float, runs: float, more: float) -> None:
        assert utilization(duty, runs) <= utilization(duty, runs + more)
        assert utilization(duty, runs) <= utilization(1.0, runs)
        assert utilization(duty, runs) >= duty


class TestRates:
    def test_calls_and_errors_a_second_are_of_all_models(self) -> None:
        found = report(a=Totals(ended=30, not_answered=5), b=Totals(ended=20))
        assert (found.calls_per_s, found.errors_per_s) == (5.0, 0.5)

    def test_only_the_time_between_counts(self) -> None:
        before, now = sample(0.0, a=Totals(ended=1000)), sample(10.0, a=Totals(ended=1010))
        assert report_of(before, now).calls_per_s == 1.0

    def test_every_way_to_end_counts_but_a_callers_own(self) -> None:
        figures = Figures(answered=1, failed=2, cache_hits=4)
        figures.events |= {Event.REFUSED_FULL: 8, Event.EXPIRED: 16, Event.TIMED_OUT: 32, Event.CANCELLED: 64}
        totals = totals_of([figures, Figures(answered=128)], in_run_for_s=0.0, waiting=0)
        assert totals.ended == 1 + 2 + 4 + 8 + 16 + 32 + 128
        assert totals.not_answered == 2 + 8 + 16 + 32

    def test_present_run_belongs_to_what_was_done(self) -> None:
        totals = totals_of([Figures(ran_s=1.0), Figures(ran_s=2.0)], in_run_for_s=4.0, waiting=7)
        assert (totals.busy_s, totals.waiting) == (7.0, 7)


class TestResources:
    def test_processors_are_those_that_it_may_use(self) -> None:
        assert report(seconds=10.0).cpu == pytest.approx(0.25)

    def test_memory_is_of_what_it_may_have(self) -> None:
        assert report().memory == 0.25

    def test_memory_is_left_out_where_nothing_is_known(self) -> None:
        unknown = sample(10.0)._replace(rss_bytes=0, memory_bytes=0)
        found = report_of(sample(0.0), unknown)
        assert found.memory == 0.0
        assert "rss_bytes" not in found.named


class TestNamed:
    def test_wait_and_rows_are_means_of_the_time(self) -> None:
        found = report(a=Totals(ran=10, waited_s=0.05, runs=4, rows=12, waiting=3))
        assert found.named["queue_wait_ms"] == pytest.approx(5.0)
        assert found.named["rows_per_batch"] == pytest.approx(3.0)
        assert found.named["queue_calls"] == 3.0
        assert found.named["rss_bytes"] == 3 << 20

    def test_what_has_no_mean_is_not_there(self) -> None:
        assert set(report(a=Totals()).named) == {"queue_calls", "rss_bytes"}


class TestModels:
    def test_each_has_its_duty_where_there_are_several(self) -> None:
        found = report(a=Totals(busy_s=3.0), b=Totals(busy_s=60.0))
        assert found.models == {"a": pytest.approx(0.3), "b": 1.0}

    def test_one_alone_is_not_told_twice(self) -> None:
        assert report(a=Totals(busy_s=3.0)).models == {}

    def test_model_has_the_duty_of_its_busiest_version(self) -> None:
        two = {("a", 1): OfModel("a", Totals(busy_s=1.0)), ("a", 2): OfModel("a", Totals(busy_s=4.0))}
        now = sample(10.0, b=Totals())
        found = report_of(sample(0.0), now._replace(versions={**now.versions, **two}))
        assert found.models["a"] == pytest.approx(0.4)

    def test_report_that_goes_with_every_answer_has_an_end(self) -> None:
        many = {f"m{index:04}": Totals(busy_s=index / 100) for index in range(500)}
        now = sample(10.0, **many, **{"x" * 1000: Totals(busy_s=9.0)})
        found = report_of(sample(0.0), now)
        assert len(found.models) == 16
        assert max(map(len, found.models)) <= 64
        assert min(found.models.values()) > 0.4


TOTALS = st.builds(
    Totals,
    ended=st.integers(0, 10**9),
    not_answered=st.integers(0, 10**9),
    ran=st.integers(0, 10**9),
    waited_s=st.floats(0, 1e9),
    runs=st.integers(0, 10**9),
    rows=st.integers(0, 10**9),
    busy_s=st.floats(0, 1e9),
    waiting=st.integers(0, 10**9),
)


@given(TOTALS, TOTALS, st.floats(0.0, 1e6))
def test_every_figure_is_a_number_that_balancers_take(before: Totals, now: Totals, passed_s: float) -> None:
    """Whatever was counted: figures are read at slightly different moments, and a clock may stand still."""
    found = report_of(sample(5.0, a=before, b=now), sample(5.0 + passed_s, a=now, b=before, c=now))
    assert found.utilization >= LEAST_UTILIZATION
    plain = [value for value in dataclasses.astuple(found) if isinstance(value, float)]
    for value in (*plain, *found.models.values(), *found.named.values()):
        assert math.isfinite(value)
        assert value >= 0.0
    assert found.memory <= 1.0
    assert all(duty <= 1.0 for duty in found.models.values())
