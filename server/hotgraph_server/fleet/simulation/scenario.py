"""What happens to a simulated fleet: how many nodes and models, what calls come, and what fails. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hotgraph_server.fleet.needs import MB, ModelNeeds
from hotgraph_server.fleet.observed import NodeSeen
from hotgraph_server.fleet.spec import FleetSpec, ModelSpec

DAY_S = 86_400.0
REGIONS = 3
"""Whose days are shifted against each other by a third."""


@dataclass(frozen=True)
class Scenario:
    """What happens.

    Attributes:
        hours: of virtual time, after all has been placed.
        load: of the time of all replicas at the start, the share that calls would take on average if each
            were run alone; 0: rates are the models' own.
        wave: rates go up and down by this share of their mean, in a day.
        node_losses: a day and node; it comes back after `repair_s`.
        crashes: of servers, a day and replica.
        updates: new versions of models, a day.
        start_s: of a server, to its first load.
        load_s, load_mb_per_s: of a model: so many seconds, and more by its size.
        notice_process_s, notice_node_s: until one that is gone is seen to be.
        elsewhere_s: after a loss of a node, until the engine begins its replicas elsewhere.
        drain_s: that a server takes to end its calls.
    """

    hours: float = 24.0
    seed: int = 1
    load: float = 0.55
    wave: float = 0.6
    node_losses: float = 0.02
    crashes: float = 0.1
    updates: float = 200.0
    repair_s: float = 3600.0
    start_s: float = 6.0
    load_s: float = 1.0
    load_mb_per_s: float = 200.0
    notice_process_s: float = 1.0
    notice_node_s: float = 8.0
    elsewhere_s: float = 7.0
    drain_s: float = 5.0


def synthetic(spec: FleetSpec, models: int, seed: int) -> FleetSpec:
    """The same fleet with so many models that are made up: Zipf rates, sizes and costs of all kinds.

    Their copies together want about half of the memory of `spec.replicas.count` replicas.
    """
    chance = random.Random(seed)
    room = spec.replicas.for_models_mb
    share = 0.25 * spec.replicas.count * room / models
    mean = math.exp(0.5 * 0.9**2)
    made = []
    for number in range(models):
        memory = min(share / mean * chance.lognormvariate(0, 0.9), room / 2)
        fixed, per_row = chance.lognormvariate(0.3, 0.7), chance.lognormvariate(-0.7, 0.7)
        cost = ((1, fixed + per_row), (33, fixed + 33 * per_row))
        made.append(
            ModelSpec(f"m{number:05}", copies=2, rate_per_s=1 / (number + 1), cost_ms=cost, memory_mb=memory)
        )
    return replace(spec, models=tuple(made))


class Rates:
    """Calls a second of each model, as time goes on.

    Args:
        needs: with the mean rates.
    """

    def __init__(
        self, names: list[str], needs: dict[str, ModelNeeds], scenario: Scenario, replicas: int
    ) -> None:
        self.names = names
        self._wave = scenario.wave
        self.mean = np.array([needs[name].rate_per_s for name in names])
        if scenario.load:
            work = sum(
                needs[name].rate_per_s * (needs[name].fixed_s + needs[name].per_row_s) for name in names
            )
            self.mean *= scenario.load * replicas / work if work else 0.0
        chance = random.Random(scenario.seed + 1)
        # Most of the load is in one region.
        self.region = np.array([chance.choice((0,) * 8 + (1, 2)) for _ in names], dtype=np.int64)

    def factors(self, at_s: float) -> NDArray[np.float64]:
        """Of each region, at a moment."""
        phases = 2 * math.pi * (at_s / DAY_S + np.arange(REGIONS) / REGIONS)
        factors: NDArray[np.float64] = 1 - self._wave * np.cos(phases)
        return factors

    def at(self, at_s: float) -> NDArray[np.float64]:
        """Of each model, at a moment."""
        rates: NDArray[np.float64] = self.mean * self.factors(at_s)[self.region]
        return rates


def moments(rate_per_day: float, until_s: float, chance: random.Random) -> Iterator[float]:
    """Moments that come at random, so many a day."""
    at_s = 0.0
    while rate_per_day > 0:
        at_s += chance.expovariate(rate_per_day / DAY_S)
        if at_s >= until_s:
            return
        yield at_s


def slots(nodes: list[NodeSeen], spec: FleetSpec) -> dict[str, int]:
    """So many replicas each node has room for."""
    wants = spec.replicas
    return {
        node.node_id: int(
            min(
                node.cpus / wants.cpus,
                node.memory_mb / wants.memory_mb,
                node.gpus / wants.gpus if wants.gpus else math.inf,
            )
            + 1e-9
        )
        for node in nodes
    }


def memory_mb(needs: ModelNeeds) -> float:
    return needs.memory_bytes / MB
