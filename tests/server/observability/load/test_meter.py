"""A meter over a version whose runs the test makes, and over a clock that it moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotgraph_server.models.contract import Contract
from hotgraph_server.models.engine import Engine
from hotgraph_server.models.opening import assemble, open_version
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.version import title_of
from hotgraph_server.observability.load.meter import FRESH_S, WINDOW_S, LoadMeter
from hotgraph_server.observability.load.resources import Limits
from hotgraph_server.settings import ModelSettings

from ...fakes import HANG_S, FakeClock, FakeGraph, call, signature


class Metered:
    def __init__(self) -> None:
        self.graph = FakeGraph(signature("s"))
        self.clock = FakeClock()
        settings = ModelSettings("m", Path("unused"))
        engine = Engine(title_of("m", 3), settings, 3, self.graph.open, self.clock)
        self.version = assemble(settings, 3, engine, engine.start(), Contract(None))
        self.queue = engine.queue
        self.models = Registry()
        self.models.publish([self.version])
        self.meter = LoadMeter(self.models, self.clock, lambda: Limits(2.0, 1 << 40))

    def run(self, began: float, ended: float) -> None:
        self.version.statistics.add_run("s", [began], rows=1, started=began, ended=ended)


@pytest.fixture
def metered() -> Metered:
    return Metered()


def test_report_is_on_the_time_since_the_last_look_before_the_window(metered: Metered) -> None:
    for _ in range(10):
        now = metered.clock.now
        metered.run(now, now + 0.5)
        metered.clock.now += 1.0
        metered.meter.look()
    assert metered.meter.report().utilization == pytest.approx(0.5)
    assert metered.meter.report().calls_per_s == pytest.approx(1.0)
    # What is older is forgotten.
    metered.clock.now += WINDOW_S
    metered.meter.look()
    assert metered.meter.report().calls_per_s == 0.0


def test_report_is_the_same_while_it_is_fresh_and_another_afterwards(metered: Metered) -> None:
    metered.clock.now += 1.0
    first = metered.meter.report()
    metered.run(metered.clock.now, metered.clock.now + 1.0)
    metered.clock.now += FRESH_S / 2
    assert metered.meter.report() is first
    metered.clock.now += FRESH_S
    assert metered.meter.report().calls_per_s > 0.0


def test_run_that_is_under_way_counts_before_it_has_ended(metered: Metered) -> None:
    metered.graph.shut()
    metered.queue.put(call(of=signature("s")))
    metered.graph.wait_until_held()
    metered.clock.now += 2.0
    assert metered.meter.report().utilization == pytest.approx(1.0)
    metered.graph.let_all_go()
    assert metered.version.stop(HANG_S)


def test_version_that_comes_later_is_counted_from_its_beginning(metered: Metered) -> None:
    metered.meter.look()
    later = open_version(ModelSettings("n", Path("unused")), 1, FakeGraph(signature("s")).open, metered.clock)
    metered.models.publish([later])
    later.statistics.add_run("s", [metered.clock.now], 1, metered.clock.now, metered.clock.now + 0.5)
    metered.clock.now += 1.0
    assert metered.meter.report().models == {"m": 0.0, "n": pytest.approx(0.5)}


def test_server_without_models_has_a_report() -> None:
    clock = FakeClock()
    meter = LoadMeter(Registry(), clock)
    clock.now += 1.0
    assert meter.report().calls_per_s == 0.0
    assert meter.report().named["rss_bytes"] > 0
