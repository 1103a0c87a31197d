"""flags.py, options.py and plan.py: what flags mean, and in which order loads come."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest import flags, plan
from hotgraph_client.loadtest.options import Options, read_options
from hotgraph_client.loadtest.plan import Closed, Open, Sweep


def parse(words: str) -> Options:
    parser = argparse.ArgumentParser(prog="hotgraph loadtest")
    flags.add_arguments(parser)
    return read_options(parser.parse_args(["127.0.0.1:8500", "digits", *shlex.split(words)]))


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ("", "loads", ()),
        ("--rate 500", "loads", (Open(500),)),
        ("--rate 100,200.5", "loads", (Open(100), Open(200.5))),
        ("--rate 100..600", "loads", tuple(Open(rate) for rate in (100, 200, 300, 400, 500, 600))),
        ("--rate 100..300 --steps 3", "loads", (Open(100), Open(200), Open(300))),
        ("--rate 100..300 --steps 3", "sweep", Sweep(100, 300)),
        ("--concurrency 1,8", "loads", (Closed(1), Closed(8))),
        ("--replay log --speed 2", "loads", (Open(0.0, replay=True),)),
        ("--replay log --speed 2", "speed", 2.0),
        ("--replay log", "speed", 1.0),
        ("--trace moments --speed 3", "loads", (Open(0.0, trace=True),)),
        ("--trace moments --speed 3", "speed", 3.0),
        ("--slo p99<20ms --need 100", "need", 100.0),
        ("--slo p99<20ms --rate 100..300", "sweep", Sweep(100, 300)),
        ("--rate 1", "seconds", None),
        ("--rate 1 --duration 2.5", "seconds", 2.5),
        ("--rate 1", "warm_up_s", 2.0),
        ("--rate 1 --warm-up 0", "warm_up_s", 0.0),
        ("--rate 1 --deadline-ms 50", "deadline_s", 0.05),
        ("--rate 1 --processes auto", "processes", None),
        ("--rate 1 --processes 3", "processes", 3),
        ("--rate 1 --arrivals uniform", "arrivals", "uniform"),
        ("--rate 1", "arrivals", "poisson"),
        ("--rate 1", "live_port", None),
        ("--rate 1 --live", "live_port", 0),
        ("--live 8600", "live_port", 8600),
        ("--rate 1 --repeat 5", "repeats", 5),
    ],
)
def test_flags_become_options(words: str, field: str, value: Any) -> None:
    assert getattr(parse(words), field) == value


@pytest.mark.parametrize(
    "words",
    [
        *("--rate 0", "--rate -1", "--rate x", "--rate 1,", "--rate 2..1", "--rate 1..", "--rate nan"),
        *(
            "--rate inf",
            "--rate 1e3",
            "--rate 1000001",
            "--concurrency 0",
            "--concurrency 1.5",
            "--concurrency 1,x",
        ),
        *("--rate 1 --concurrency 1", "--rate 1 --replay x", "--rate 1 --trace x", "--replay x --trace x"),
        *("--steps 1", "--duration 0", "--warm-up -1"),
        *("--repeat 0", "--processes 0", "--processes some", "--deadline-ms 0", "--live 65536", "--speed 0"),
        *("--arrivals bursts", "--protocol rest", "--need x"),
    ],
)
def test_what_a_flag_cannot_mean_is_wrong_usage(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == 2
    assert words.split()[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--rate 5 --steps 3", "--rate LOW..HIGH"),
        ("--rate 5 --speed 2", "--replay"),
        ("--rate 5 --need 2", "--slo"),
        ("--slo p99<1ms --concurrency 2", "closed loop"),
        ("--slo p99<1ms --replay log", "replay"),
        ("--slo p99<1ms --trace moments", "trace"),
        ("--slo p99<1ms --repeat 2", "--repeat"),
        ("--slo p99<1ms --rate 1,2", "one --rate"),
        ("--slo p99<1ms --rate 1..2 --steps 4", "--steps"),
        ("--slo p99<1ms --live", "--slo"),
        ("--slo nothing", "condition"),
        ("--metrics somewhere", "expected a URL"),
        ("--live --rate 1..2", "range"),
        ("--live --rate 1,2", "one --rate"),
        ("--live --repeat 2", "--repeat"),
        ("--live --concurrency 2", "closed loop"),
        ("--replay log --rows 2", "--rows"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(words: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(words.replace("<", "\\<"))


@given(st.text(alphabet="0123456789.,ex-") | st.text())
def test_rates_are_positive_or_refused(text: str) -> None:
    try:
        found = flags.rates(text)
    except argparse.ArgumentTypeError:
        return
    given_rates = (found.low, found.high) if isinstance(found, Sweep) else found
    assert given_rates
    assert all(0 < rate <= flags.MAX_RATE for rate in given_rates)


def test_repeats_go_round_all_steps() -> None:
    a, b = Open(1), Open(2)
    assert list(plan.in_turn([a, b], 2)) == [(0, a), (1, b), (0, a), (1, b)]


@given(st.floats(0.1, 1e6), st.floats(1.001, 100), st.integers(2, 50))
def test_range_is_walked_from_end_to_end(low: float, factor: float, steps: int) -> None:
    found = plan.sweep(Sweep(low, low * factor), steps)
    assert len(found) == steps
    assert found[0] == pytest.approx(low, rel=1e-5)
    assert found[-1] == pytest.approx(low * factor, rel=1e-5)
    assert list(found) == sorted(found)


def test_processes_follow_the_load_and_leave_cores_to_the_server() -> None:
    assert plan.processes_for([Open(500)], cores=16) == 1
    assert plan.processes_for([Open(500), Open(9000)], cores=16) == 5
    assert plan.processes_for([Open(9000)], cores=2) == 1
    assert plan.processes_for([Closed(64)], cores=16) == 4
    assert plan.processes_for([], cores=16) == plan.MAX_PROCESSES
    assert plan.processes_for([Open(500)], cores=16, destinations=2) == 2


def test_loads_by_themselves_go_up_to_what_the_server_can_do() -> None:
    rates = [load.rate for load in plan.probed(1000.0) if isinstance(load, Open)]
    assert rates == [200.0, 400.0, 600.0, 800.0, 950.0]


def test_help_shows_every_flag_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse("--help")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert "'p99<20ms,errors<0.1%' --need 800" in text
    assert "%%" not in text
    assert "exit status:" in text
