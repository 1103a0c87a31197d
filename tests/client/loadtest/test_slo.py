"""slo.py: promises as text, and the search, against an M/D/1 queue on paper."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.slo import Figures, Found, Trial, Verdict, broken, conditions, search

from .md1 import sojourn


def figures(**of: float) -> Figures:
    known = {"mean": 5.0, "max": 50.0, "errors": 0.0, "wrong": 0.0, "achieved": 1.0, "goodput": 1.0, **of}
    return Figures(percentile=lambda percent: percent / 10, **known)


@pytest.mark.parametrize(
    ("text", "figure", "limit"),
    [
        ("p99<20ms", "p99", 20.0),
        ("p99.9 <= 1.5s", "p99.9", 1500.0),
        ("p50<250us", "p50", 0.25),
        ("mean<3ms", "mean", 3.0),
        ("max<2s", "max", 2000.0),
        ("errors<0.1%", "errors", 0.001),
        ("wrong<=0%", "wrong", 0.0),
        ("goodput>=99%", "goodput", 0.99),
        ("achieved>98%", "achieved", 0.98),
    ],
)
def test_condition_is_read_with_its_unit(text: str, figure: str, limit: float) -> None:
    (one,) = conditions(text)
    assert one.figure == figure
    assert one.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    "text",
    [
        *("", "p99", "p99<20", "p99<ms", "p99<20%", "p99>20ms", "p49<1ms", "p100<1ms", "mean<1%", "q99<1ms"),
        *(
            "errors<1ms",
            "errors<0.1",
            "errors>1%",
            "goodput<99%",
            "errors<101%",
            "p99<20ms,",
            "p99<20ms;max<1s",
        ),
        *("p99<-1ms", "p99=20ms", "P99<20ms", "p99<20 minutes"),
    ],
)
def test_what_is_no_promise_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
        conditions(text)


@given(st.text() | st.from_regex(r"(p\d+|errors|mean)[<>]=?\d+(ms|s|us|%)(,.*)?"))
def test_any_text_is_a_promise_or_a_value_error(text: str) -> None:
    try:
        found = conditions(text)
    except ValueError:
        return
    # Judged by any load: no condition asks for a figure that there is not.
    assert isinstance(broken(found, figures()), str)


@given(
    st.sampled_from(["p50", "p99", "p99.9", "mean", "max"]),
    st.sampled_from(["us", "ms", "s"]),
    st.integers(1, 10**6),
)
def test_limits_are_what_was_written(figure: str, unit: str, limit: int) -> None:
    (one,) = conditions(f"{figure}<{limit}{unit}")
    assert one.limit == pytest.approx(limit * {"us": 1e-3, "ms": 1, "s": 1e3}[unit])


def test_load_holds_if_every_condition_does() -> None:
    promise = conditions("p99<20ms,errors<0.1%")
    assert broken(promise, figures()) == ""
    assert "errors is 1 %" in broken(promise, figures(errors=0.01))
    assert "p99 is 9.9 ms, not <9.9ms" in broken(conditions("p99<9.9ms"), figures())
    assert broken(conditions("p99<=9.9ms"), figures()) == ""
    assert broken(conditions("goodput>99%"), figures(goodput=0.5))


def test_load_that_was_not_carried_does_not_hold() -> None:
    assert "96 %" in broken(conditions("p99<20ms"), figures(achieved=0.96))
    assert broken(conditions("p99<20ms"), figures(achieved=0.97)) == ""


def test_no_answers_hold_nothing() -> None:
    nothing = Figures(lambda _: None, None, None, 1.0, 0.0, 0.0, 0.0)
    assert "no answers" in broken(conditions("p99<20ms"), nothing)
    assert "no answers" in broken(conditions("mean<20ms"), nothing)


SERVICE_S = 0.004


def p99_ms(rate: float) -> float:
    """Of the time in an M/D/1 queue, service included; without end from its capacity on."""
    return 1e3 * SERVICE_S * sojourn(rate * SERVICE_S, 0.99) if rate * SERVICE_S < 0.95 else math.inf


def edge(limit_ms: float) -> float:
    """The highest rate at which p99 is below that."""
    low, high = 1.0, 1 / SERVICE_S
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (middle, high) if p99_ms(middle) < limit_ms else (low, middle)
    return low


def play(found: Callable[[Trial], Verdict], start: float, **bounds: float) -> tuple[Found, list[Trial]]:
    trials = []
    searching = search(start, **bounds)  # type: ignore[arg-type]
    trial = next(searching)
    while True:
        trials.append(trial)
        try:
            trial = searching.send(found(trial))
        except StopIteration as ended:
            return ended.value, trials


def queue(limit_ms: float, noise: float = 0.0, seed: int = 1) -> Callable[[Trial], Verdict]:
    """A run at the queue: its p99, as wrong as short runs measure it, longer ones half so."""
    draw = random.Random(seed)

    def run(trial: Trial) -> Verdict:
        measured = p99_ms(trial.rate) * draw.gauss(1, noise / 2 if trial.confirming else noise)
        return Verdict(measured < limit_ms, f"p99 is {measured}")

    return run


@pytest.mark.parametrize("limit_ms", [10.0, 20.0, 40.0])
@pytest.mark.parametrize("start", [3.0, 60.0, 1000.0])
def test_search_finds_the_edge_of_a_queue(limit_ms: float, start: float) -> None:
    found, trials = play(queue(limit_ms), start)
    assert found.confirmed
    assert edge(limit_ms) / 1.03 <= found.rate <= edge(limit_ms)
    assert trials[-1].confirming
    assert trials[-1].rate > found.rate


@pytest.mark.parametrize("seed", range(20))
def test_search_finds_the_edge_within_5_percent_though_figures_are_noisy(seed: int) -> None:
    found, _ = play(queue(20.0, noise=0.05, seed=seed), 40.0)
    assert found.rate == pytest.approx(edge(20.0), rel=0.05)


def test_bounds_are_kept_and_the_upper_one_is_an_answer() -> None:
    found, trials = play(lambda _: Verdict(True), 100.0, most=350.0)
    assert found == Found(350.0, True)
    assert [one.rate for one in trials] == [100.0, 200.0, 350.0, 350.0]
    found, trials = play(lambda _: Verdict(False, "slow"), 100.0, least=40.0)
    assert (found.rate, found.confirmed) == (0.0, False)
    assert [one.rate for one in trials] == [100.0, 50.0, 40.0]
    assert "40/s" in found.why


def test_run_that_fails_to_confirm_is_followed_by_steps_below() -> None:
    found, trials = play(lambda trial: Verdict(trial.rate < (95 if trial.confirming else 100)), 50.0)
    assert found.confirmed
    assert found.rate == trials[-1].rate == pytest.approx(trials[-2].rate / 1.03)
    found, trials = play(lambda trial: Verdict(trial.rate < 100 and not trial.confirming), 50.0)
    assert not found.confirmed
    assert [one.confirming for one in trials[-5:]] == [False, True, True, True, True]
    assert "confirm" in found.why


def test_longer_runs_that_hold_go_on_upwards() -> None:
    found, trials = play(lambda trial: Verdict(trial.rate < (105 if trial.confirming else 100)), 50.0)
    assert found.confirmed
    assert found.rate == trials[-2].rate == pytest.approx(trials[-1].rate / 1.03)
    assert 105 / 1.03 <= found.rate < 105


def test_rate_that_is_confirmed_stays_so_where_the_next_is_void() -> None:
    found, _ = play(
        lambda trial: (
            Verdict(None, "lag") if trial.rate > 99 and trial.confirming else Verdict(trial.rate < 100)
        ),
        50.0,
    )
    assert found.confirmed
    assert found.rate < 99
    assert "lag" in found.why


def test_void_run_is_made_again_and_has_no_verdict() -> None:
    verdicts = iter(
        [
            *(Verdict(None, "late"), Verdict(True), Verdict(False)),
            *(Verdict(None, "lag"), Verdict(None, "lag"), Verdict(True)),
        ]
    )
    found, trials = play(lambda _: next(verdicts), 100.0)
    assert [one.rate for one in trials] == [100.0, 100.0, 200.0, 150.0, 150.0, 100.0]
    assert [one.confirming for one in trials] == [False] * 5 + [True]
    assert (found.rate, found.confirmed) == (100.0, True)
    assert "generator is the limit" in found.why
    assert "lag" in found.why


@given(st.lists(st.sampled_from([True, False, None]), min_size=1), st.floats(0.5, 1e5), st.integers(1, 30))
def test_search_ends_whatever_the_verdicts_are(
    verdicts: list[bool | None], start: float, max_runs: int
) -> None:
    asked = 0

    def run(_: Trial) -> Verdict:
        nonlocal asked
        asked += 1
        return Verdict(verdicts[asked % len(verdicts)])

    found, trials = play(run, start, max_runs=max_runs)
    assert len(trials) <= max_runs
    assert found.rate >= 0
    assert all(trial.rate > 0 for trial in trials)


def test_bounds_that_contradict_each_other_are_refused() -> None:
    for bounds in ({"least": 200.0}, {"most": 50.0}, {"least": 0.0}):
        with pytest.raises(ValueError, match="100/s"):
            search(100.0, **bounds)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["p99<0ms", "errors<0%"])
def test_limit_that_nothing_can_keep_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="nothing is below 0"):
        conditions(text)
    assert conditions("errors<=0%")
