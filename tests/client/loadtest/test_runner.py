"""runner.py, steps.py and finding.py: loads put on by a generator that computes what becomes of calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hotgraph_client.loadtest import steps
from hotgraph_client.loadtest.counters import Counters
from hotgraph_client.loadtest.document import Step
from hotgraph_client.loadtest.finding import find
from hotgraph_client.loadtest.histograms import Histogram
from hotgraph_client.loadtest.load import Answer, Assignment, Destination, Ended, Interval, Payload
from hotgraph_client.loadtest.plan import Closed, Open, Sweep
from hotgraph_client.loadtest.runner import Calls, Runner, Timing
from hotgraph_client.loadtest.server_figures import Sampler
from hotgraph_client.loadtest.slo import conditions
from hotgraph_client.loadtest.steps import Checked, Run

from .fake_generator import FakeGenerator, Fate, Silent, split_in

HERE = Destination("127.0.0.1", 1, "127.0.0.1:1")
THERE = Destination("127.0.0.1", 2, "127.0.0.1:2")
PAYLOAD = Payload("/p", (), b"body")


def good(_: Sequence[Answer]) -> Checked:
    return Checked()


def runner_of(
    fate: Callable[[Assignment], Fate],
    *,
    check: Callable[[Sequence[Answer]], Checked] = good,
    seconds: float = 5.0,
    warm_up_s: float = 2.0,
    destinations: tuple[Destination, ...] = (HERE,),
    processes: int = 1,
    calls: Calls | None = None,
    sampler: Sampler | None = None,
) -> tuple[Runner, FakeGenerator, Silent]:
    generator = FakeGenerator(fate)
    watcher = Silent()
    timing = Timing(seconds, warm_up_s, "poisson", processes, 4, None, 1)
    calls = calls or Calls(destinations, (PAYLOAD,), check)
    runner = Runner(
        generator, split_in(processes), calls, timing, watcher, sampler=sampler, clock=generator.clock
    )
    return runner, generator, watcher


def one_step(fate: Fate, rate: float = 100.0) -> Step:
    runner, _, _ = runner_of(lambda _: fate)
    (step,) = runner.steps([Open(rate)])
    return step


def test_step_has_the_design_cards_figures() -> None:
    step = one_step(Fate(latency_ms=lambda call: call + 1.0, errors={"UNAVAILABLE": 10}))
    assert step["label"] == "100/s"
    assert step["kind"] == "open"
    assert step["offered_per_s"] == 100.0
    assert step["achieved_per_s"] == 90.0
    assert step["calls"] == 500
    assert step["errors"] == {"UNAVAILABLE": 50}
    assert step["latency_ms"].keys() == {"mean", "p50", "p90", "p99", "p99.9", "max"}
    assert step["latency_ms"]["p50"] == pytest.approx(45, rel=0.01)
    assert step["lag_ms"].keys() >= {"p50", "p99"}
    assert step["void"] is False
    assert step["wrong"] == 0
    assert step["server"] == {}
    assert json.loads(json.dumps(step))["calls"] == 500


def test_every_field_of_the_documents_step_is_made() -> None:
    runner, _, _ = runner_of(lambda _: Fate())
    (step,) = runner.steps([Open(100.0)], repeats=2)
    assert step.keys() == Step.__annotations__.keys()


def test_warm_up_is_not_counted() -> None:
    step = one_step(Fate())
    assert step["calls"] == 500
    assert [moment["at_s"] for moment in step["over_time"]] == [0, 1, 2, 3, 4]
    assert Histogram.decode(step["histogram"].encode()).count == 500


def test_repeats_go_round_and_their_histograms_are_one() -> None:
    def taking(ms: float) -> Fate:
        return Fate(latency_ms=lambda _: ms)

    fates = map(taking, (5.0, 50.0, 7.0, 70.0, 6.0, 60.0))
    runner, generator, watcher = runner_of(lambda _: next(fates))
    fast, slow = runner.steps([Open(100.0), Open(200.0)], repeats=3)
    assert [whole[0].arrivals.rate for whole in generator.runs] == [100, 200] * 3
    assert [told for told in watcher.told if "/" in told][:2] == ["100/s 1/6", "200/s 2/6"]
    assert fast["repeats"] == 3
    assert fast["calls"] == 1500
    assert fast["offered_per_s"] == 100
    assert fast["latency_ms"]["max"] == pytest.approx(7, rel=0.01)
    assert dict(fast["spread"]["p50_ms"]) == pytest.approx({"median": 6, "least": 5, "greatest": 7}, rel=0.01)
    assert slow["spread"].keys() == {"p50_ms", "p99_ms", "achieved_per_s"}
    assert [moment["at_s"] for moment in fast["over_time"]] == list(range(15))


def test_repeats_do_not_draw_the_same_moments() -> None:
    runner, generator, _ = runner_of(lambda _: Fate())
    runner.steps([Open(100.0)], repeats=3)
    assert len({whole[0].seed for whole in generator.runs}) == 3


def test_lag_that_could_have_changed_a_figure_voids_the_step() -> None:
    step = one_step(Fate(latency_ms=lambda _: 20.0, lag_ms=2.5))
    assert step["void"] is True
    assert "--processes" in step["void_why"]
    assert "2.5 ms" in step["void_why"]


@pytest.mark.parametrize(("latency_ms", "lag_ms"), [(2.0, 0.9), (100.0, 9.0), (20.0, 1.9)])
def test_lag_that_is_small_or_short_voids_nothing(latency_ms: float, lag_ms: float) -> None:
    assert one_step(Fate(latency_ms=lambda _: latency_ms, lag_ms=lag_ms))["void"] is False


def test_sender_without_room_voids_the_step() -> None:
    step = one_step(Fate(cpu_share=0.95))
    assert step["void"] is True
    assert "0.95 of 1" in step["void_why"]
    assert step["generator_cores"] == pytest.approx(0.95)
    assert one_step(Fate(cpu_share=0.85))["void"] is False


def test_process_that_could_not_go_on_voids_the_step() -> None:
    assert "no memory" in one_step(Fate(fault="no memory"))["void_why"]


def test_void_repeats_are_left_out_of_a_step() -> None:
    lags = iter([0.1, 9.0, 0.1])
    runner, _, _ = runner_of(lambda _: Fate(lag_ms=next(lags)))
    (step,) = runner.steps([Open(100.0)], repeats=3)
    assert step["void"] is False
    assert step["repeats"] == 2
    assert step["calls"] == 1000
    assert step["void_why"].startswith("1 of 3 repeats")


def test_errors_alone_are_no_reason_for_void() -> None:
    step = one_step(Fate(errors={"UNREACHABLE": 100}, lag_ms=5.0, error_texts={"UNREACHABLE": "refused"}))
    assert step["void"] is False
    assert step["latency_ms"] == {}
    assert step["achieved_per_s"] == 0
    assert step["error_texts"] == {"UNREACHABLE": "refused"}


def test_answers_are_checked_after_the_load() -> None:
    answers = [Answer(0, (), b"x", 500)]
    seen: list[Sequence[Answer]] = []

    def check(found: Sequence[Answer]) -> Checked:
        seen.append(found)
        return Checked(7, "y is 2, not 1", 3)

    runner, _, _ = runner_of(lambda _: Fate(answers=answers), check=check)
    (step,) = runner.steps([Open(100.0)])
    assert seen == [answers]
    assert (step["wrong"], step["wrong_why"], step["unchecked"]) == (7, "y is 2, not 1", 3)


def test_closed_loop_is_a_step_of_callers() -> None:
    runner, generator, _ = runner_of(lambda _: Fate())
    (step,) = runner.steps([Closed(8)])
    assert (step["kind"], step["concurrency"], step["label"]) == ("closed", 8, "8 callers")
    assert generator.runs[0][0].arrivals.callers == 8


def test_replay_sends_what_the_log_says_when_it_says() -> None:
    moments, order = np.array([0.0, 0.5, 3.2]), np.array([0, 0, 0])
    calls = Calls((HERE,), (PAYLOAD,), good, weights=(1.0,), moments=moments, order=order)
    runner, generator, _ = runner_of(lambda _: Fate(), calls=calls)
    runner.steps([Open(0.0, replay=True)])
    (whole,) = generator.runs[0]
    assert whole.arrivals.kind == "trace"
    assert whole.arrivals.moments is moments
    assert whole.order is order
    assert whole.weights is None
    assert whole.warm_up_s == 0
    assert whole.seconds == pytest.approx(3.2 + 1.6)


def test_trace_says_when_and_the_mix_says_what() -> None:
    moments = np.array([0.0, 0.5, 3.2])
    calls = Calls((HERE,), (PAYLOAD, PAYLOAD), good, weights=(3.0, 1.0), moments=moments)
    runner, generator, _ = runner_of(lambda _: Fate(), calls=calls)
    runner.steps([Open(0.0, trace=True)])
    (whole,) = generator.runs[0]
    assert whole.arrivals.moments is moments
    assert whole.order is None
    assert whole.weights == (3.0, 1.0)
    assert whole.warm_up_s == 0


def test_destinations_take_turns_process_by_process() -> None:
    runner, generator, _ = runner_of(lambda _: Fate(), destinations=(HERE, THERE), processes=4)
    runner.steps([Open(100.0)])
    assert [one.destination for one in generator.runs[0]] == [HERE, THERE, HERE, THERE]


def test_stop_ends_the_run_and_begins_no_other() -> None:
    runner, generator, _ = runner_of(lambda _: Fate(), seconds=60.0)
    generator.on_second = lambda second: runner.stop() if second == 9 else None
    (step,) = runner.steps([Open(100.0), Open(200.0)])
    assert step["seconds"] == 10
    assert step["calls"] == 1000
    assert step["offered_per_s"] == 100
    assert len(generator.runs) == 1


def test_run_that_was_stopped_in_its_warm_up_is_no_step() -> None:
    runner, generator, _ = runner_of(lambda _: Fate())
    generator.on_second = lambda _: runner.stop()
    assert runner.steps([Open(100.0)]) == []


def test_servers_figures_are_of_the_measured_part() -> None:
    class Growing:
        name = "fake"
        calls = 0.0

        def read(self) -> Counters:
            self.calls += 1
            return Counters(calls=self.calls, runs=self.calls, rows=4 * self.calls)

    ticks = iter(range(10**6))
    sampler = Sampler(Growing(), clock=lambda: float(next(ticks)) + 1e4)
    runner, _, _ = runner_of(lambda _: Fate(), sampler=sampler)
    (step,) = runner.steps([Open(100.0)])
    # As many samples as the thread came to; its own tests are test_server_figures.
    assert step["server"] == {} or step["server"]["rows_per_run"] == 4


def late(latency_s: float) -> Callable[[int, int], Interval]:
    """Calls of a second that all take so long."""

    def interval(second: int, due: int) -> Interval:
        return Interval(second, due, due, due, latency=Histogram.of([round(1e6 * latency_s)] * due).encode())

    return interval


@pytest.mark.parametrize("latency_s", [0.001, 0.3, 1.0, 1.7])
def test_as_many_answers_come_as_calls_in_the_steady_state(latency_s: float) -> None:
    intervals = [late(latency_s)(second, 80) for second in range(-2, 5)]
    run = Run(Open(80.0), Ended(intervals, seconds=5.0), 2.0, 1)
    assert steps.answered_within(run) == pytest.approx(400, abs=1)


def test_queue_that_grows_is_seen_in_what_was_achieved() -> None:
    """Offered 100/s where 80/s are served, from nothing: a call due at t is answered at 1.25 t."""
    intervals = []
    for second in range(10):
        due_s = second + (np.arange(100) + 0.5) / 100
        intervals.append(
            Interval(second, 100, 100, 100, latency=Histogram.of((0.25e6 * due_s).astype(int)).encode())
        )
    run = Run(Open(100.0), Ended(intervals, seconds=10.0), 0.0, 1)
    assert steps.answered_within(run) == pytest.approx(800, rel=0.01)
    step = steps.step_of(Open(100.0), [run])
    assert step["achieved_per_s"] == pytest.approx(80, rel=0.01)
    assert steps.figures_of(step).achieved == pytest.approx(0.8, rel=0.01)


def test_search_finds_the_rate_and_keeps_every_run_as_a_step() -> None:
    runner, generator, _ = runner_of(
        lambda whole: Fate(latency_ms=lambda _: 5.0 if whole.arrivals.rate < 777 else 50.0)
    )
    found, slo = find(runner, conditions("p99<20ms"), "p99<20ms", 100.0, need=700.0)
    assert slo["confirmed"] is True
    assert 777 / 1.03 <= slo["rate_per_s"] < 777
    assert slo["need_per_s"] == 700
    assert len(found) == len(slo["tried"]) == len(generator.runs)
    assert all(one["held"] == (one["rate_per_s"] < 777) for one in slo["tried"])
    assert "p99 is 50" in next(one["why"] for one in slo["tried"] if not one["held"])
    # the last ones are longer
    assert generator.runs[-1][0].seconds == 2 * generator.runs[0][0].seconds


def test_search_keeps_to_the_range_and_gives_up_on_a_generator_that_cannot() -> None:
    runner, _, _ = runner_of(lambda _: Fate())
    _, slo = find(runner, conditions("p99<20ms"), "p99<20ms", 100.0, within=Sweep(50.0, 300.0))
    assert (slo["rate_per_s"], slo["confirmed"]) == (300.0, True)
    runner, _, _ = runner_of(
        lambda whole: Fate(latency_ms=lambda _: 30.0, lag_ms=9.0) if whole.arrivals.rate > 300 else Fate()
    )
    found, slo = find(runner, conditions("p99<20ms"), "p99<20ms", 100.0)
    assert (slo["rate_per_s"], slo["confirmed"]) == (200.0, True)
    assert "generator is the limit" in slo["why"]
    assert [step["void"] for step in found] == [False, False, True, True, False]


def test_promise_that_is_kept_in_spite_of_a_late_sender_is_kept() -> None:
    runner, _, _ = runner_of(lambda _: Fate(lag_ms=9.0))
    found, slo = find(runner, conditions("p99<20ms"), "p99<20ms", 100.0, within=Sweep(50.0, 200.0))
    assert all(step["void"] for step in found)
    assert (slo["rate_per_s"], slo["confirmed"]) == (200.0, True)
    runner, _, _ = runner_of(lambda _: Fate(fault="it fell over"))
    _, slo = find(runner, conditions("p99<20ms"), "p99<20ms", 100.0)
    assert (slo["rate_per_s"], slo["confirmed"]) == (0.0, False)
    assert "it fell over" in slo["why"]


def test_search_that_is_stopped_says_what_held_so_far() -> None:
    runner, generator, _ = runner_of(lambda _: Fate())
    generator.on_second = lambda second: runner.stop() if len(generator.runs) == 3 and second == 1 else None
    found, slo = find(runner, conditions("p99<20ms"), "p99<20ms", 100.0)
    assert (slo["rate_per_s"], slo["confirmed"]) == (200.0, False)
    assert "stopped" in slo["why"]
    assert len(found) == 2


def test_wrong_answers_break_a_promise_about_them() -> None:
    runner, _, _ = runner_of(lambda _: Fate(), check=lambda _: Checked(50, "other"))
    (step,) = runner.steps([Open(100.0)])
    figures = steps.figures_of(step)
    assert figures.wrong == 0.1
    assert figures.goodput == 0.9


@pytest.mark.parametrize(
    ("moments", "seconds"), [([0.0], 1.0), ([0.0, 0.0], 1.0), ([0.0, 1.0, 2.0], 3.0), ([4.0], 8.0)]
)
def test_trace_lasts_as_long_as_its_last_call_needs_a_neighbour(moments: list[float], seconds: float) -> None:
    calls = Calls((HERE,), (PAYLOAD,), good, moments=np.array(moments))
    runner, generator, _ = runner_of(lambda _: Fate(), calls=calls)
    runner.steps([Open(0.0, trace=True)])
    assert generator.runs[0][0].seconds == pytest.approx(seconds)
