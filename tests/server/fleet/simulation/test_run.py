"""A fleet's day on the virtual clock: it ends as it should, and what is counted is what happened."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from hotgraph_server.fleet.estimating import needs_on_paper
from hotgraph_server.fleet.paper import nodes_in
from hotgraph_server.fleet.simulation.driver import SimulatedDriver
from hotgraph_server.fleet.simulation.report import document, text
from hotgraph_server.fleet.simulation.run import Result, Simulation
from hotgraph_server.fleet.simulation.scenario import Rates, Scenario, moments, synthetic
from hotgraph_server.fleet.spec import FleetSpec, ReplicaSpec

QUIET = Scenario(hours=2.0, node_losses=0, crashes=0, updates=0, wave=0, load=0.5)


def fleet(count: int = 6, least: int = 6, most: int = 6, models: int = 20) -> FleetSpec:
    replicas = ReplicaSpec(count, least, most, cpus=4, memory_mb=8192)
    return synthetic(FleetSpec("test", Path("models"), Path("state"), replicas=replicas), models, 1)


def played(spec: FleetSpec, scenario: Scenario, nodes: str = "8x4cpu8gb") -> tuple[Simulation, Result]:
    simulation = Simulation(spec, nodes_in(nodes), dict(needs_on_paper(spec)), scenario)
    return simulation, simulation.run()


def is_as_planned(simulation: Simulation) -> None:
    """Every replica has what is planned for it, and callers are told so."""
    packing = simulation.driver.planner.packing
    assert packing.places().keys() == simulation.world.replicas.keys()
    for name, place in packing.places().items():
        assert simulation.world.replicas[name].models.keys() == packing.on[place].keys()
        endpoint = simulation.driver.endpoint(name)
        assert endpoint is not None
        assert endpoint.models == packing.on[place].keys()


def test_all_is_placed_and_then_nothing_happens() -> None:
    simulation, result = played(fleet(), QUIET)
    assert result.placed_s is not None
    assert result.loads_at_first == sum(len(one) for one in simulation.driver.planner.packing.on)
    assert result.loads == 0
    meter = result.meter
    assert (meter.missed, meter.retried, meter.short_s) == pytest.approx((0, 0, 0), abs=1e-3)
    assert result.meter.calls == pytest.approx(simulation.rates.mean.sum() * 2 * 3600, rel=1e-6)
    is_as_planned(simulation)


def test_lost_nodes_cost_no_call_where_copies_lie_on_different_nodes() -> None:
    _, result = played(fleet(), replace(QUIET, node_losses=6, hours=12))
    assert result.losses["node"] >= 10
    assert result.meter.retried > 0
    assert result.meter.unmended() <= 1
    # Some have hit a node that had nothing.
    assert len(result.meter.recoveries) >= result.losses["node"] / 2
    # Two at once may take both copies of some model.
    assert result.meter.missed <= result.meter.calls * 1e-3


def test_servers_that_crash_get_their_models_again() -> None:
    _, result = played(fleet(), replace(QUIET, crashes=10, hours=6))
    assert result.losses["server"] >= 5
    assert result.loads >= result.losses["server"]
    assert {kind for kind, _, _ in result.meter.recoveries} == {"server"}


def test_fleet_follows_the_load_of_the_day_without_losing_a_call() -> None:
    _, result = played(fleet(12, 6, 16, 40), replace(QUIET, wave=0.9, load=0.7, hours=24), "16x4cpu8gb")
    wanted = [one.wanted for one in result.meter.points]
    assert min(wanted) < 12 < max(wanted)
    assert result.actions["drain"] == result.actions["stop"] > 0
    # Planned changes are nothing that a caller meets.
    assert (result.meter.missed, result.meter.retried) == pytest.approx((0, 0), abs=1e-3)


def test_new_versions_come_to_one_copy_after_the_other() -> None:
    simulation, result = played(fleet(), replace(QUIET, updates=200))
    assert result.updates_done >= 5
    current = simulation.driver.current
    for replica in simulation.world.replicas.values():
        assert all(version == current.get(name, 1) for name, version in replica.models.items())
    assert not simulation.driver.versions
    assert (result.meter.missed, result.meter.short_s) == pytest.approx((0, 0), abs=1e-3)


def test_part_of_the_fleet_that_is_looked_at_decides_as_the_whole_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenario = replace(QUIET, crashes=6, node_losses=1, updates=60, wave=0.9, load=0.7, hours=12)
    spec, nodes = fleet(12, 6, 16, 40), "16x4cpu8gb"
    simulation, of_parts = played(spec, scenario, nodes)
    is_as_planned(simulation)
    look = SimulatedDriver.look

    def at_all(driver: SimulatedDriver) -> None:
        driver.news |= dict.fromkeys(driver.world.replicas)
        look(driver)

    monkeypatch.setattr(SimulatedDriver, "look", at_all)
    simulation, of_all = played(spec, scenario, nodes)
    is_as_planned(simulation)
    assert of_parts.losses == of_all.losses
    assert [one.wanted for one in of_parts.meter.points] == [one.wanted for one in of_all.meter.points]
    assert of_parts.loads == pytest.approx(of_all.loads, rel=0.1)
    assert of_parts.meter.short_s == pytest.approx(of_all.meter.short_s, rel=0.25)


def test_same_seed_is_the_same_day_and_another_is_another() -> None:
    scenario = replace(QUIET, crashes=4, node_losses=1, updates=50)
    one, again, other = (
        document(played(fleet(), made)[1]) for made in (scenario, scenario, replace(scenario, seed=2))
    )
    assert one == again
    assert one["over_time"] != other["over_time"] or one["losses"] != other["losses"]


def test_models_that_do_not_fit_are_missed_and_counted() -> None:
    spec = fleet(2, 2, 2, 6)
    spec = replace(spec, models=tuple(replace(one, memory_mb=5000, copies=1) for one in spec.models))
    scenario = replace(QUIET, hours=0.5)
    _, result = played(spec, scenario)
    found = document(result)
    assert result.placed_s is None
    assert 0 < found["found_none"] < 1
    assert found["models_short_at_most"] == 4
    assert "not all were placed" in text(found, 0.1)


def test_what_people_read_has_the_figures() -> None:
    _, result = played(fleet(), replace(QUIET, crashes=10, node_losses=4, updates=50))
    lines = text(document(result), 1.0)
    for word in (
        "6 replicas",
        "20 models",
        "all placed after",
        "servers lost",
        "whole again in",
        "new versions",
    ):
        assert word in lines


def test_rates_of_a_day_have_their_mean() -> None:
    spec = fleet()
    needs = dict(needs_on_paper(spec))
    rates = Rates(list(needs), needs, replace(QUIET, wave=0.5), 6)
    day = [rates.at(hour * 3600.0).sum() for hour in range(24)]
    assert sum(day) / 24 == pytest.approx(rates.mean.sum())
    assert max(day) > 1.2 * min(day)


def test_moments_come_so_often() -> None:
    assert len(list(moments(10_000, 86_400, random.Random(1)))) == pytest.approx(10_000, rel=0.05)
    assert not list(moments(0, 86_400, random.Random(1)))
