from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from hotgraph_server.tuning.confirmation import Measured, Step, Turn, better, confirm, ratios
from hotgraph_server.tuning.costs import TODAY
from hotgraph_server.tuning.prediction import Candidate
from hotgraph_server.tuning.slo import slo_of

DEFAULT = Candidate(TODAY)
OTHER = DEFAULT.with_batch(max_batch_rows=8)
SLO = slo_of("p99<20ms")


def step(p99_ms: float = 10.0, **more: Any) -> Step:
    return {
        "latency_ms": {"p50": p99_ms / 2, "p99": p99_ms, "max": None},
        "distribution": [[0.5, p99_ms / 2], [1.0, p99_ms * 1.2]],
        "errors": {},
        "seconds": 10.0,
        "offered_per_s": 100.0,
        "achieved_per_s": 100.0,
        **more,
    }


class FakeServer:
    def __init__(self, address: str) -> None:
        self.address = address
        self.used_s = 0.0

    def cpu_s(self) -> float:
        self.used_s += 3.0
        return self.used_s


class FakeLoad:
    """Tells of steps in turn, and which server they were asked of."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.asked: list[str] = []
        self.seeds: list[int] = []

    def run(
        self, address: str, model: str, rate: float, seconds: float, rows: Mapping[int, float], seed: int
    ) -> Step:
        assert (model, rate, seconds, dict(rows)) == ("m", 100.0, 10.0, {1: 1.0})
        self.asked.append(address)
        self.seeds.append(seed)
        return self.steps[(len(self.asked) - 1) % len(self.steps)]


def confirmed(load: FakeLoad, turns: int = 3) -> dict[Candidate, Measured]:
    up: list[str] = []

    @contextlib.contextmanager
    def serve(candidate: Candidate) -> Iterator[FakeServer]:
        up.append(candidate.label)
        yield FakeServer(candidate.label)
        up.remove(candidate.label)

    found = confirm([DEFAULT, OTHER], serve, load, "m", 100.0, {1: 1.0}, seconds=10.0, turns=turns)
    assert not up
    return found


def test_settings_take_turns_and_the_order_is_turned_round() -> None:
    load = FakeLoad(step())
    confirmed(load)
    assert load.asked == [DEFAULT.label, OTHER.label, OTHER.label, DEFAULT.label, DEFAULT.label, OTHER.label]


def test_settings_get_the_same_calls_in_a_turn_and_others_in_the_next() -> None:
    load = FakeLoad(step())
    confirmed(load)
    assert load.seeds == [1, 1, 2, 2, 3, 3]


def test_turns_in_place_of_void_ones_come_until_enough_count_or_two_did() -> None:
    void = step(void=True)
    once = FakeLoad(void, void, void, void, *[step()] * 20)
    found = confirmed(once)
    assert [turn is None for turn in found[DEFAULT].turns] == [True, True, False, False]
    assert len(once.asked) == 8
    never = FakeLoad(void)
    assert not confirmed(never)[OTHER].counted
    assert len(never.asked) == 10
    plenty = FakeLoad(void, *[step()] * 20)
    confirmed(plenty)
    assert len(plenty.asked) == 6


def test_a_single_turn_of_several_compares_nothing() -> None:
    one, other = measured(9), measured(30)
    assert better(one, other, SLO)
    for of in (one, other):
        of.turns += [None, None]
    assert not better(one, other, SLO)
    one.turns += [one.turns[0]]
    other.turns += [other.turns[0]]
    assert better(one, other, SLO)


def test_a_turn_has_what_the_load_saw_and_what_the_server_took() -> None:
    found = confirmed(FakeLoad(step(errors={"UNAVAILABLE": 30}, wrong=20, warm_up_s=2.0)), turns=1)
    (turn,) = found[DEFAULT].counted
    assert turn == Turn({"p50": 0.005, "p99": 0.010}, 100.0, 0.05, 0.25, [(0.5, 0.005), (1.0, 0.012)])
    assert "5.0%" in found[DEFAULT].broken(SLO)


def test_a_void_turn_does_not_count_and_neither_does_its_pair() -> None:
    void = step(1.0, void=True, void_why="the sender was 50 ms late")
    found = confirmed(FakeLoad(step(10.0), void, step(8.0), step(10.0), step(10.0), step(8.0)))
    assert found[OTHER].turns[0] is None
    assert found[OTHER].void == ["the sender was 50 ms late"]
    assert found[OTHER].latency("p99") == 0.008
    assert better(found[OTHER], found[DEFAULT], SLO)


def measured(*p99_ms: float, cores: float = math.nan, errors: float = 0.0) -> Measured:
    return Measured([Turn({"p99": ms / 1e3}, 100.0, errors, cores) for ms in p99_ms])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (measured(18, 18, 18), measured(22, 22, 22)),
        (measured(18, 18, 18, cores=0.8), measured(9, 9, 9, cores=1.0)),
        (measured(9, 9, 9, cores=0.97), measured(11, 10, 12, cores=1.0)),
        (measured(30, 30), measured(40, 40)),
        (measured(9), measured(9, errors=0.1)),
    ],
    ids=["objective", "processors", "tail", "tail of what fails", "errors"],
)
def test_better_is_what_the_search_calls_better(one: Measured, other: Measured) -> None:
    assert better(one, other, SLO)
    assert not better(other, one, SLO)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (measured(9, 11, 9), measured(10, 10, 10)),
        (measured(9.8, 9.8, 9.8), measured(10, 10, 10)),
        (measured(19.8, 19.8, 19.8), measured(20.2, 20.2, 20.2)),
        (measured(10, 10, 10, cores=0.95), measured(10, 10, 10, cores=1.0)),
        (measured(), measured(10)),
        (measured(9), Measured()),
    ],
    ids=["turns disagree", "little", "at the bound", "processors", "nothing", "nothing to compare with"],
)
def test_noise_is_not_better(one: Measured, other: Measured) -> None:
    one.turns += [None] * (len(other.turns) - len(one.turns))
    other.turns += [None] * (len(one.turns) - len(other.turns))
    assert not better(one, other, SLO)


def test_where_nothing_keeps_the_objective_calls_in_time_count_and_not_the_tail_of_the_few() -> None:
    shares = [(0.5, 0.010), (0.9, 0.020), (1.0, 0.040)]
    turn = Turn({"p99": 0.040}, 200.0, 0.0, 1.0, shares)
    assert [turn.in_time_per_s(bound) for bound in (0.005, 0.015, 0.020, 1.0)] == [0.0, 100.0, 180.0, 200.0]
    assert math.isnan(Turn({}, 200.0, 0.0, 1.0).in_time_per_s(1.0))
    refusing = Measured([Turn({"p99": 0.015}, 20.0, 0.9, 1.0, [(1.0, 0.015)])] * 3)
    slow = Measured([turn] * 3)
    assert better(slow, refusing, SLO)
    assert not better(refusing, slow, SLO)


def test_ratios_are_of_what_was_predicted() -> None:
    assert ratios(measured(10, 30), 0.020) == pytest.approx([0.5, 1.5])
    assert ratios(measured(10), math.inf) == []
    assert ratios(Measured([Turn({}, 0.0, 1.0, 0.0)]), 0.020) == []
