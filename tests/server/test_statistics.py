from __future__ import annotations

import threading
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.statistics import DURATION_BOUNDS_S, ROWS_BOUNDS, Event, Figures, Statistics, Total

from .fakes import HANG_S, switching_often

NS = 1_000_000_000


def bucket_of(seconds: float) -> int:
    return bisect_left(DURATION_BOUNDS_S, seconds)


def filled(**buckets: int) -> list[int]:
    """A histogram of durations: ``filled(b3=2)`` has two in bucket 3."""
    counts = [0] * (len(DURATION_BOUNDS_S) + 1)
    for name, count in buckets.items():
        counts[int(name[1:])] = count
    return counts


class TestSnapshot:
    def test_each_member_of_a_batch_adds_its_own_wait_and_the_whole_run(self) -> None:
        statistics = Statistics()
        statistics.add_run("s", [1.0, 2.0], rows=5, started=3.0, ended=3.5)
        figures = statistics.snapshot()
        assert (figures.rows, figures.runs) == (5, 1)
        assert (figures.queue.count, figures.queue.ns) == (2, 3 * NS)
        assert (figures.run.count, figures.run.ns) == (2, NS)
        assert (figures.success.count, figures.success.ns) == (2, 4 * NS)
        assert figures.fail.count == 0
        by_rows = {rows: (total.count, total.ns) for rows, total in figures.by_rows.items()}
        assert by_rows == {5: (1, NS // 2)}
        assert figures.last_run_ms > 0

    def test_run_that_failed_counts_as_a_run_and_answers_no_rows(self) -> None:
        statistics = Statistics()
        statistics.add_run("s", [1.0], rows=5, started=2.0, ended=2.5, failed=True)
        figures = statistics.snapshot()
        assert (figures.rows, figures.runs) == (0, 1)
        assert (figures.success.count, figures.fail.count, figures.fail.ns) == (0, 1, 3 * NS // 2)

    @pytest.mark.parametrize("failed", [False, True])
    def test_run_with_which_no_call_ends_counts_for_none(self, failed: bool) -> None:
        """A piece of a large call, or a batch that failed and is run again."""
        statistics = Statistics()
        statistics.add_run("s", [], rows=5, started=2.0, ended=2.5, failed=failed)
        figures, one = statistics.snapshot(), statistics.by_signature()["s"]
        assert (figures.runs, figures.rows) == (1, 0 if failed else 5)
        assert figures.success == figures.fail == figures.queue == figures.run == Total()
        assert (one.failed_runs, one.ran_s, one.run_durations) == (failed, 0.5, filled(b14=1))
        assert one.wait_durations == one.call_durations == filled()

    def test_it_has_all_signatures_together(self) -> None:
        statistics = Statistics()
        statistics.add_run("one", [1.0], rows=2, started=2.0, ended=2.5)
        statistics.add_run("two", [1.0, 1.0], rows=2, started=3.0, ended=4.0)
        figures = statistics.snapshot()
        assert (figures.rows, figures.runs, figures.success.count) == (4, 2, 3)
        assert (figures.queue.ns, figures.run.ns) == (5 * NS, 5 * NS // 2)
        assert figures.by_rows[2].count == 2

    def test_it_is_of_one_moment(self) -> None:
        statistics = Statistics()
        statistics.add_run("s", [0.0], rows=1, started=0.0, ended=1.0)
        before = statistics.snapshot()
        statistics.add_run("s", [0.0], rows=1, started=0.0, ended=1.0)
        assert (before.runs, before.success.count, before.run.count, before.by_rows[1].count) == (1, 1, 1, 1)

    def test_callers_cannot_grow_the_sizes_without_end(self) -> None:
        statistics = Statistics()
        for rows in range(1, 3001):
            statistics.add_run("s", [0.0], rows=rows, started=0.0, ended=1.0)
        statistics.add_run("s", [0.0], rows=1, started=0.0, ended=1.0)
        figures = statistics.snapshot()
        assert len(figures.by_rows) == 1024
        assert figures.by_rows[1].count == 2
        assert figures.runs == 3001

    def test_sums_keep_their_digits_after_years_of_uptime(self) -> None:
        statistics = Statistics()
        boot = 1e8  # three years in seconds, of which a float still tells 15 ns
        statistics.add_run("s", [boot + 1e-3] * 64, rows=64, started=boot + 2e-3, ended=boot + 3e-3)
        assert statistics.snapshot().queue.ns == pytest.approx(64e6, rel=1e-4)


class TestBySignature:
    def test_each_has_its_own(self) -> None:
        statistics = Statistics()
        statistics.add_run("one", [1.0], rows=2, started=2.0, ended=2.5)
        statistics.add_run("two", [1.0], rows=3, started=2.0, ended=2.5, failed=True)
        one, two = statistics.by_signature()["one"], statistics.by_signature()["two"]
        assert (one.runs, one.failed_runs, one.rows_run, one.rows_answered) == (1, 0, 2, 2)
        assert (two.runs, two.failed_runs, two.rows_run, two.rows_answered) == (1, 1, 3, 0)
        assert (one.answered, one.answered_s, one.failed, one.failed_s) == (1, 1.5, 0, 0.0)
        assert (two.answered, two.answered_s, two.failed, two.failed_s) == (0, 0.0, 1, 1.5)

    def test_nothing_is_there_before_the_first_call(self) -> None:
        assert Statistics().by_signature() == {}

    def test_it_is_a_copy(self) -> None:
        statistics = Statistics()
        statistics.count("s", Event.EXPIRED)
        before = statistics.by_signature()["s"]
        statistics.add_run("s", [0.0], rows=1, started=0.0, ended=1.0)
        statistics.count("s", Event.EXPIRED)
        assert before == Figures(events={**dict.fromkeys(Event, 0), Event.EXPIRED: 1})

    @pytest.mark.parametrize("event", Event)
    def test_every_event_is_counted_by_itself(self, event: Event) -> None:
        statistics = Statistics()
        statistics.count("s", event)
        statistics.count("s", event, 3)
        events = statistics.by_signature()["s"].events
        assert events.pop(event) == 4
        assert set(events.values()) == {0}
        assert statistics.snapshot().success.count == 0


class TestHistograms:
    def test_value_on_a_bound_is_in_the_bucket_below_it(self) -> None:
        statistics = Statistics()
        for rows in (1, 2, 3, 1024, 1025):
            statistics.add_run("s", [0.0], rows=rows, started=0.0, ended=0.25)
        figures = statistics.by_signature()["s"]
        assert figures.rows_per_run == [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]
        assert figures.run_durations[bucket_of(0.25)] == 5
        assert DURATION_BOUNDS_S[bucket_of(0.25)] == 0.25

    def test_waits_of_a_batch_are_spread_over_their_buckets(self) -> None:
        statistics = Statistics()
        arrivals = [99.0, 100.0 - 0.03, 100.0 - 0.02, 100.0, 80.0]
        statistics.add_run("s", arrivals, rows=5, started=100.0, ended=104.0)
        figures = statistics.by_signature()["s"]
        assert figures.wait_durations == filled(b0=1, b10=1, b11=1, b15=1, b19=1)
        assert figures.call_durations == filled(b17=4, b19=1)

    @given(
        waits=st.lists(st.integers(0, 20_000_000_000), min_size=1, max_size=70),
        ran=st.integers(0, 20_000_000_000),
    )
    def test_they_hold_what_counting_one_by_one_would(self, waits: list[int], ran: int) -> None:
        """Nanoseconds, shifted off the bounds: there a float's last digit decides."""
        statistics = Statistics()
        started = 50.0
        arrivals = [started - (wait + 0.5) / NS for wait in waits]
        ended = started + (ran + 0.25) / NS
        statistics.add_run("s", arrivals, rows=len(waits), started=started, ended=ended)
        figures = statistics.by_signature()["s"]
        expected_waits, expected_calls = filled(), filled()
        for arrived in arrivals:
            expected_waits[bucket_of(started - arrived)] += 1
            expected_calls[bucket_of(ended - arrived)] += 1
        assert figures.wait_durations == expected_waits
        assert figures.call_durations == expected_calls
        assert figures.waited_s == pytest.approx(sum(waits) / NS, abs=1e-6)
        assert figures.answered_s == pytest.approx(figures.waited_s + figures.calls_ran_s)

    def test_bounds_ascend(self) -> None:
        assert list(DURATION_BOUNDS_S) == sorted(set(DURATION_BOUNDS_S))
        assert list(ROWS_BOUNDS) == sorted(set(ROWS_BOUNDS))


def test_readers_see_whole_runs_only() -> None:
    statistics = Statistics()
    done = threading.Event()

    def write() -> None:
        for _ in range(2000):
            statistics.add_run("s", [0.0] * 3, rows=3, started=0.0, ended=1.0)
        done.set()

    writer = threading.Thread(target=write)
    with switching_often():
        writer.start()
        while not done.is_set():
            figures = statistics.snapshot()
            assert figures.rows == figures.success.count == figures.queue.count == 3 * figures.runs
            for one in statistics.by_signature().values():
                assert sum(one.wait_durations) == one.answered == 3 * one.runs
        writer.join(HANG_S)
    assert statistics.snapshot().runs == 2000


def test_hits_are_counted_with_their_time_and_not_as_runs() -> None:
    statistics = Statistics()
    statistics.add_run("s", [1.0], 3, 2.0, 3.0)
    statistics.add_cache_hit("s", 0.25)
    statistics.add_cache_hit("s", 0.25)
    statistics.add_cache_miss("s", 0.5)
    statistics.add_cache_insertion("s", 0.125)
    found = statistics.snapshot()
    assert (found.cache_hit.count, found.cache_hit.ns) == (2, 500_000_000)
    assert (found.cache_miss.count, found.cache_miss.ns) == (1, 625_000_000)
    assert (found.success.count, found.success.ns) == (3, 2_500_000_000)
    assert (found.rows, found.runs, found.queue.count, found.run.count) == (3, 1, 1, 1)
