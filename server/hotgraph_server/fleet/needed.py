"""How many replicas a fleet's models need, from nothing. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hotgraph_server.fleet.needs import MB, ModelNeeds
from hotgraph_server.fleet.packing import SLACK
from hotgraph_server.fleet.planner import COPY_OF_TARGET, TARGET_OF_HIGH
from hotgraph_server.fleet.spec import FleetSpec, ModelSpec

MOST_PACKED = 2000
"""Copies up to which they are packed to find it out; of more the sums tell, and `FILLED`."""

FILLED = 0.97
"""What many small things fill of what they are packed into."""


def replicas_needed(spec: FleetSpec, needs: Mapping[str, ModelNeeds]) -> int:
    """So many have room, and time, for every copy that is wanted; what is too large for any is left out.

    Few copies are packed, and then this is some that will do, at most a few more than the fewest; of many the
    sums are taken, which are met within some percent.
    """
    return Demand(spec, needs).replicas()


class Demand:
    """What all models want, whatever there is; kept up as models change.

    Attributes:
        memory, duty: of all copies, as shares of a replica's and of the duty that it is filled to.
    """

    def __init__(self, spec: FleetSpec, needs: Mapping[str, ModelNeeds]) -> None:
        self._spec = spec
        self._target = TARGET_OF_HIGH * spec.scaling.duty_high
        self._bytes = spec.replicas.for_models_mb * MB
        self._wants: dict[str, tuple[int, float, float]] = {}
        self.memory = self.duty = 0.0
        for model in spec.models:
            self.need(model, needs.get(model.name, ModelNeeds(0.0)))

    def need(self, model: ModelSpec, needs: ModelNeeds) -> None:
        """A model needs that from now on."""
        count, memory, duty = self._wants.get(model.name, (0, 0.0, 0.0))
        self.memory -= count * memory
        self.duty -= count * duty
        memory = needs.memory_bytes / self._bytes
        by_rate = needs.copies_below(COPY_OF_TARGET * self._target)
        count = max(model.copies, by_rate if model.most_copies is None else min(by_rate, model.most_copies))
        if memory > 1:
            count = 0
        # One that is pinned takes memory of each, and time of one as if it had only so many.
        duty = needs.duty(max(count, 1)) / self._target
        self._wants[model.name] = count, memory, duty
        self.memory += count * memory
        self.duty += count * duty

    def replicas(self) -> int:
        """How many are needed."""
        pinned = [self._wants[one.name] for one in self._spec.models if one.pin]
        often = max((count for count, _, _ in self._wants.values()), default=0)
        room = max(1e-6, 1 - sum(memory for count, memory, _ in pinned if count))
        memory = self.memory - sum(count * memory for count, memory, _ in pinned)
        least = max(often, math.ceil(memory / room - 1e-6), math.ceil(self.duty - 1e-6), 1)
        copies = sum(count for count, _, _ in self._wants.values())
        if copies > MOST_PACKED:
            return max(often, math.ceil(memory / room / FILLED), math.ceil(self.duty / FILLED))
        return max(least, self._packed(room))

    def _packed(self, room: float) -> int:
        """So many as packing opens, in the order in which the planner packs tightly."""
        models = [one for one in self._spec.models if not one.pin]
        return self._opened(sorted(models, key=lambda one: (-sum(self._wants[one.name][1:]), one.name)), room)

    def _opened(self, models: list[ModelSpec], room: float) -> int:
        copies = sum(self._wants[one.name][0] for one in models)
        memory, duty = np.zeros(copies), np.zeros(copies)
        homes: dict[str, list[int]] = {}
        opened = 0
        apart = _both_ways(models)
        for one in models:
            count, its_memory, its_duty = self._wants[one.name]
            for _ in range(count):
                fits = (memory[:opened] + its_memory <= room + SLACK) & (
                    duty[:opened] + its_duty <= 1 + SLACK
                )
                for name in (one.name, *apart.get(one.name, ())):
                    fits[homes.get(name, [])] = False
                place = opened
                if fits.any():
                    filled = memory[:opened] / room + duty[:opened]
                    place = int(np.where(fits, filled, -np.inf).argmax())
                else:
                    opened += 1
                memory[place] += its_memory
                duty[place] += its_duty
                homes.setdefault(one.name, []).append(place)
        return opened


def _both_ways(models: list[ModelSpec]) -> dict[str, set[str]]:
    apart: dict[str, set[str]] = {}
    for one in models:
        for other in one.apart_from:
            apart.setdefault(one.name, set()).add(other)
            apart.setdefault(other, set()).add(one.name)
    return apart
