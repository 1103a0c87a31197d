"""The looks, over a version of threads that the test holds, and over a clock that it moves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hotgraph_protos import health as pb
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.engine import Engine
from hotgraph_server.models.opening import assemble
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.version import title_of
from hotgraph_server.observability.load.meter import LoadMeter
from hotgraph_server.observability.vitals import Vitals, VitalSigns
from hotgraph_server.settings import BatchSettings, HealthSettings, ModelSettings
from hotgraph_server.threads.leadership import Leadership
from hotgraph_server.transport.health import LIVENESS, Health

from ..fakes import HANG_S, FakeClock, FakeGraph, call, until

WITHIN_S = 30.0


class Looked:
    """A live version, whose vital signs are looked at when the test says so."""

    def __init__(self, liveness_s: float = WITHIN_S, max_wait_us: int = 0, **health: Any) -> None:
        self.clock = FakeClock()
        self.graph = FakeGraph()
        self.leadership = Leadership()
        settings = ModelSettings("m", Path("unused"), BatchSettings(max_wait_us=max_wait_us))
        engine = Engine(
            title_of("m", 1), settings, 1, self.graph.open, self.clock, leadership=self.leadership
        )
        self.version = assemble(settings, 1, engine, engine.start(), Contract(None))
        self.queue = engine.queue
        models = Registry()
        models.publish([self.version])
        self.health = Health()
        signs = VitalSigns(models, self.leadership, LoadMeter(models, self.clock))
        self.vitals = Vitals(
            HealthSettings(liveness_s=liveness_s, **health), "127.0.0.1", self.health, signs, clock=self.clock
        )

    def is_live(self, after_s: float = 0.0) -> bool:
        """What is said so much later; looks were taken all the time, or for long enough."""
        for _ in range(min(int(after_s), 60)):
            self.clock.now += 1.0
            self.vitals.look()
        self.clock.now += max(0.0, after_s - 60)
        assert self.vitals.look() > self.clock.now
        answer = self.health.service.plain["Check"].answer(pb.HealthCheckRequest(service=LIVENESS))
        return bool(answer.status == pb.HealthCheckResponse.SERVING)


@pytest.fixture
def looked() -> Iterator[Looked]:
    looked = Looked()
    yield looked
    looked.graph.let_all_go()
    looked.version.stop(HANG_S)


def test_idle_server_is_live_for_ever(looked: Looked) -> None:
    assert all(looked.is_live(after_s) for after_s in (0.0, WITHIN_S + 1, 1e6))


def test_server_with_a_long_queue_behind_a_long_run_is_live(looked: Looked) -> None:
    """Whoever restarts it for that has all the calls to answer again."""
    looked.graph.shut()
    for _ in range(100):
        looked.queue.put(call())
    looked.graph.wait_until_held()
    assert all(looked.is_live(after_s) for after_s in (0.0, WITHIN_S + 1, 1e6))


def test_time_that_a_call_may_wait_for_company_is_known_to_the_looks() -> None:
    """They give it beside the time in which something has to be done (threads/progress.py)."""
    looked = Looked(max_wait_us=10_000_000)
    assert [sign.may_hold_s for sign in looked.version.signs()] == [10.0]
    looked.version.stop(HANG_S)


def test_run_may_have_an_end(caplog: pytest.LogCaptureFixture) -> None:
    looked = Looked(liveness_run_s=60.0)
    looked.graph.shut()
    looked.queue.put(call())
    looked.graph.wait_until_held()
    assert looked.is_live(after_s=60.0)
    with caplog.at_level(logging.ERROR):
        assert not looked.is_live(after_s=1.0)
    assert "liveness ends: thread \"executor model 'm' version 1\" is in one run for 61 s" in caplog.text
    looked.graph.let_all_go()
    until(lambda: looked.version.in_run_for_s == 0)
    assert looked.is_live()
    looked.version.stop(HANG_S)


@pytest.mark.parametrize("health", [{"liveness_s": 1.0}, {"liveness_run_s": 1.0}, {"liveness_run_s": 60.0}])
def test_server_that_was_stopped_for_a_while_is_live_when_it_goes_on(health: dict[str, Any]) -> None:
    """As by SIGSTOP, or with its whole machine, in the middle of a run."""
    looked = Looked(**health)
    looked.graph.shut()
    looked.queue.put(call())
    looked.graph.wait_until_held()
    turns = _Turns(looked.leadership)
    assert looked.is_live()
    turns.until_it_waits()
    turns.hang()
    assert looked.is_live()
    looked.clock.now += 3600.0
    looked.vitals.look()
    assert looked.is_live()
    turns.end()
    looked.graph.let_all_go()
    looked.version.stop(HANG_S)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_executor_that_has_died_ends_liveness(looked: Looked, monkeypatch: pytest.MonkeyPatch) -> None:
    def die() -> None:
        raise RuntimeError("nobody expected this")

    monkeypatch.setattr(looked.queue, "take", die)
    looked.queue.put(call())
    until(lambda: not looked.version.signs()[0].alive)
    assert not looked.is_live()


def test_executor_that_hangs_outside_of_its_graph_ends_liveness(
    looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, held = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> None:
        entered.set()
        held.wait(HANG_S)

    monkeypatch.setattr(looked.version.statistics, "add_run", hang)
    looked.queue.put(call())
    assert entered.wait(HANG_S)
    assert looked.is_live()
    assert looked.is_live(after_s=WITHIN_S)
    assert not looked.is_live(after_s=1.0)
    held.set()


def test_version_that_leaves_is_not_missed(looked: Looked) -> None:
    assert looked.version.stop(HANG_S)
    assert looked.is_live()


def test_whoever_leads_is_asked_for_a_turn_and_is_live_while_turns_come(looked: Looked) -> None:
    turns = _Turns(looked.leadership)
    assert looked.is_live()
    for _ in range(int(WITHIN_S) + 5):
        turns.until_it_waits()
        assert looked.is_live(after_s=1.0)
    turns.hang()
    looked.is_live(after_s=1.0)
    assert not looked.is_live(after_s=WITHIN_S + 1)
    turns.end()


class _Turns:
    """A serving thread whose turns wait for nothing but to be woken, or for the test."""

    def __init__(self, leadership: Leadership) -> None:
        self._woken, self._waiting, self._held = threading.Event(), threading.Event(), threading.Event()
        self._held.set()
        self._ends = False
        self._thread = threading.Thread(target=leadership.serve, args=(self._turn, self._woken.set))
        self._thread.start()
        self.until_it_waits()

    def _turn(self, timeout_s: float) -> bool:
        self._waiting.set()
        assert self._woken.wait(HANG_S)
        self._woken.clear()
        self._held.wait(HANG_S)
        return self._ends

    def until_it_waits(self) -> None:
        assert self._waiting.wait(HANG_S)
        self._waiting.clear()

    def hang(self) -> None:
        self._held.clear()

    def end(self) -> None:
        self._ends = True
        self._held.set()
        self._woken.set()
        self._thread.join(HANG_S)
