"""Plays a scenario through. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from hotgraph_server.fleet.needs import MB, ModelNeeds
from hotgraph_server.fleet.observed import FleetSeen, NodeSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.planner import Planner
from hotgraph_server.fleet.scaling import Trend, scaled
from hotgraph_server.fleet.simulation.driver import SimulatedDriver
from hotgraph_server.fleet.simulation.meter import Meter, Point
from hotgraph_server.fleet.simulation.scenario import Rates, Scenario, moments, slots
from hotgraph_server.fleet.simulation.world import World
from hotgraph_server.fleet.spec import FleetSpec

_LOOK_S = 1.0
_TICK_S = 60.0
_RATES_EVERY = 5
_CHANGED = 0.2
_READY = (ReplicaState.READY,)
_MOST_BEGINNING_S = 7200.0


@dataclass
class Result:
    """What came of it.

    Attributes:
        placed_s: until all models were placed; None: they never were.
        loads, actions: after that; of engine and driver.
        losses: nodes and servers that were lost, by kind.
    """

    spec: FleetSpec
    nodes: int
    scenario: Scenario
    meter: Meter
    placed_s: float | None
    loads_at_first: int
    loads: int = 0
    actions: dict[str, int] = field(default_factory=dict)
    losses: dict[str, int] = field(default_factory=dict)
    updates_done: int = 0
    updates_s: list[float] = field(default_factory=list)


class Simulation:
    """One fleet's time."""

    def __init__(
        self, spec: FleetSpec, nodes: list[NodeSeen], needs: dict[str, ModelNeeds], scenario: Scenario
    ) -> None:
        self.spec, self.nodes, self.scenario = spec, nodes, scenario
        self.chance = random.Random(scenario.seed)
        names = [one.name for one in spec.models]
        self.rates = Rates(names, needs, scenario, spec.replicas.count)
        self.needs = needs
        self.meter = Meter(self.rates, {one.name: one.copies for one in spec.models})
        size_mb = {name: needs[name].memory_bytes / MB for name in names}
        self.world = World(scenario, slots(nodes, spec), size_mb, self._changed, self._recount)
        self._told = self.rates.at(0.0)
        first = {
            name: replace(needs[name], rate_per_s=float(rate))
            for name, rate in zip(names, self._told, strict=True)
        }
        planner = Planner(spec, (), first)
        self.driver = SimulatedDriver(spec, self.world, planner, spec.replicas.count, self._recount)
        self._counted: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        self._trend = Trend()
        self._ticks = 0
        self._began_s = 0.0
        self._updates: dict[str, tuple[int, float]] = {}
        # Models that have lost a copy, while a loss happens.
        self._losing: set[str] | None = None
        self.result = Result(spec, len(nodes), scenario, self.meter, None, 0)

    def run(self) -> Result:
        """Place all; then let the scenario's time pass."""
        self._pass(_MOST_BEGINNING_S, until_placed=True)
        result = self.result
        if not self.meter.short:
            result.placed_s = self.world.now_s
        result.loads_at_first = self.world.loads
        self.world.loads = 0
        self.driver.actions.clear()
        self.meter.begin()
        self._began_s = self.world.now_s
        self._plan_events()
        self._tick()
        self._pass(self._began_s + self.scenario.hours * 3600)
        result.loads, result.actions = self.world.loads, dict(self.driver.actions)
        return result

    def _pass(self, until_s: float, until_placed: bool = False) -> None:
        world, driver = self.world, self.driver
        while world.now_s < until_s and not (until_placed and not self.meter.short):
            look_s = math.inf if driver.is_idle() else (math.floor(world.now_s / _LOOK_S) + 1) * _LOOK_S
            next_s = min(world.next_s(), until_s)
            if next_s <= look_s:
                if next_s >= until_s:
                    break
                world.go_on()
                continue
            world.now_s = look_s
            self.meter.until(look_s)
            driver.look()
            self._go_on_updating()
        world.now_s = max(world.now_s, min(until_s, world.now_s if until_placed else until_s))
        self.meter.until(world.now_s)

    def _plan_events(self) -> None:
        hours_s, replicas = self.scenario.hours * 3600, self.spec.replicas.count
        for at_s in moments(self.scenario.node_losses * len(self.nodes), hours_s, self.chance):
            self.world.later(at_s, self._lose_a_node)
        for at_s in moments(self.scenario.crashes * replicas, hours_s, self.chance):
            self.world.later(at_s, self._crash_a_server)
        for at_s in moments(self.scenario.updates, hours_s, self.chance):
            self.world.later(at_s, self._update_a_model)

    def _tick(self) -> None:
        self.meter.until(self.world.now_s)
        self._ticks += 1
        if self._ticks % _RATES_EVERY == 0:
            self._tell_rates()
        ready, duty = self._scale()
        world, room_mb = self.world, self.spec.replicas.for_models_mb
        self.meter.points.append(
            Point(
                world.now_s - self._began_s,
                self.driver.wanted,
                ready,
                world.loaded_mb / (ready * room_mb) if ready else 0.0,
                duty,
                float(self.rates.at(world.now_s - self._began_s).sum()),
                self.meter.short,
                self.meter.without,
            )
        )
        world.later(_TICK_S, self._tick)

    def _tell_rates(self) -> None:
        """The planner learns of those that have changed by so much that it matters."""
        rates = self.rates.at(self.world.now_s - self._began_s)
        changed = np.flatnonzero(np.abs(rates - self._told) > _CHANGED * self._told)
        for number in changed:
            name = self.rates.names[number]
            self.driver.planner.need(name, replace(self.needs[name], rate_per_s=float(rates[number])))
        self._told[changed] = rates[changed]
        if len(changed) and self.world.replicas:
            self.driver.news.setdefault(next(iter(self.world.replicas)))

    def _scale(self) -> tuple[int, float]:
        """As the driver does; returns how many are ready, and their mean duty."""
        packing = self.driver.planner.packing
        places = packing.places()
        now = self.rates.at(self.world.now_s - self._began_s).sum() / max(self._told.sum(), 1e-9)
        up = [
            places[name] for name, one in self.world.replicas.items() if one.seen in _READY and name in places
        ]
        duties = np.minimum(1.0, packing.duty[up] * now)
        # It goes by their mean.
        mean = float(duties.mean()) if up else 0.0
        ready = (ReplicaSeen("r", ReplicaState.READY, duty=mean),) * len(up)
        seen = FleetSeen(self.world.now_s, (), ready)
        found = scaled(self.spec, self.driver.wanted, seen, self._trend)
        self._trend, self.driver.wanted = found.trend, found.replicas
        return len(up), mean

    def _lose_a_node(self) -> None:
        alive = [node for node in self.world.on if node not in self.world.dead]
        if alive:
            node = self.chance.choice(alive)
            self._lose("node", lambda: self.world.lose(node))

    def _crash_a_server(self) -> None:
        up = [name for name, one in self.world.replicas.items() if one.up]
        if up:
            name = self.chance.choice(up)
            self._lose("server", lambda: self.world.crash(name))

    def _lose(self, kind: str, lose: Callable[[], object]) -> None:
        self.meter.until(self.world.now_s)
        self._losing = set()
        lose()
        self.meter.lost(kind, self._losing)
        self._losing = None
        self.result.losses[kind] = self.result.losses.get(kind, 0) + 1

    def _update_a_model(self) -> None:
        name = self.chance.choice(self.rates.names)
        if name not in self._updates:
            self.driver.current[name] = self.driver.current.get(name, 1) + 1
            self._updates[name] = self.driver.current[name], self.world.now_s
            self._go_on_updating()

    def _go_on_updating(self) -> None:
        """One copy after the other."""
        for name, (version, began_s) in list(self._updates.items()):
            packing = self.driver.planner.packing
            homes = [packing.names[place] for place in sorted(self.driver.planner.models[name].homes)]
            have = {
                home: self.world.replicas[home].models.get(name)
                for home in homes
                if home in self.world.replicas
            }
            behind = [home for home, has in have.items() if has is not None and has != version]
            for home in have:
                if have[home] == version:
                    self.driver.versions.pop((home, name), None)
            if behind:
                if (behind[0], name) not in self.driver.versions:
                    self.driver.versions[behind[0], name] = (version,)
                    self.driver.news[behind[0]] = None
            else:
                del self._updates[name]
                for pair in [pair for pair in self.driver.versions if pair[1] == name]:
                    del self.driver.versions[pair]
                self.result.updates_done += 1
                self.result.updates_s.append(self.world.now_s - began_s)

    def _changed(self, name: str) -> None:
        self.driver.news[name] = None

    def _recount(self, name: str) -> None:
        """What callers are told of a replica, or what it has, is other than it was."""
        self.meter.until(self.world.now_s)
        endpoint, replica = self.driver.endpoint(name), self.world.replicas.get(name)
        told = endpoint.models if endpoint is not None else frozenset()
        good = told & replica.models.keys() if replica is not None and replica.up else frozenset()
        good, bad = frozenset(good), told - good
        was_good, was_bad = self._counted.get(name, (frozenset(), frozenset()))
        self._counted[name] = good, bad
        for model in (good ^ was_good) | (bad ^ was_bad):
            more = (model in good) - (model in was_good)
            self.meter.change(model, more, (model in bad) - (model in was_bad))
            if more < 0 and self._losing is not None:
                self._losing.add(model)
