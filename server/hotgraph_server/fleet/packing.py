"""Copies of models on replicas, and what room is left: the state that a plan is made in. Pure.

A replica has memory, which is never overdrawn, and time, which should not be: its `duty` is the sum of its
models' shares. Where a copy may go is looked up for all replicas at once, so that a thousand replicas and
ten thousand models take a second. Replicas are told by their place in a row; of several that are as good the
first is taken, so the same values make the same plan.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

SLACK = 1e-9
"""What roundings may make of a sum."""

Places: TypeAlias = NDArray[np.bool_]
"""For each replica: is it one of them?"""


@dataclass(eq=False)
class Model:
    """A model in a plan.

    Attributes:
        memory: of a copy, as a share of a replica's.
        duty: of each of its copies.
        least: copies that were asked for.
        wanted: copies that there shall be: `least`, or more that its rate asks for.
        spare: copies from this number on may go where room is needed.
        apart: models that share no replica with it.
        pin: on every replica.
        value: calls a second that a MB of it serves.
        homes: places of its copies.
    """

    name: str
    memory: float = 0.0
    duty: float = 0.0
    least: int = 1
    wanted: int = 1
    spare: int = 1
    most: int | None = None
    apart: frozenset[str] = frozenset()
    pin: bool = False
    value: float = 0.0
    homes: set[int] = field(default_factory=set)

    @property
    def missing(self) -> int:
        return max(0, self.wanted - len(self.homes))


class Packing:
    """Replicas, and models on them.

    Attributes:
        freed: has any replica more room since somebody set this to False?
        touched: places that have other models since somebody emptied this.

    Args:
        replicas: their names and nodes; an empty node is one of its own.
        target: share of time, 0 to 1, up to which replicas are filled.
    """

    def __init__(self, replicas: Sequence[tuple[str, str]], target: float) -> None:
        count = len(replicas)
        self.target = target
        self.models: dict[str, Model] = {}
        self.names: list[str] = []
        self.memory: NDArray[np.float64] = np.zeros(count)
        self.duty: NDArray[np.float64] = np.zeros(count)
        self.here: Places = np.zeros(count, dtype=bool)
        self.freed = False
        self.touched: dict[int, None] = {}
        self.on: list[dict[str, Model]] = []
        self._node: list[str] = []
        self._of_node: dict[str, list[int]] = {}
        self._place: dict[str, int] = {}
        for name, node in replicas:
            self.add(name, node)

    @property
    def alive(self) -> int:
        """How many replicas there are."""
        return len(self._place)

    @property
    def nodes(self) -> int:
        """How many nodes have one."""
        return len(self._of_node)

    def places(self) -> dict[str, int]:
        """The place of each replica, by its name."""
        return self._place

    def node_at(self, place: int) -> str:
        """The node of a replica; one that nobody else has, where it is not known."""
        return self._node[place]

    def add(self, name: str, node: str) -> int:
        """A replica more, with nothing on it; returns its place."""
        place = len(self.names)
        if place == len(self.memory):
            more = max(16, place)
            self.memory = np.concatenate([self.memory, np.zeros(more)])
            self.duty = np.concatenate([self.duty, np.zeros(more)])
            self.here = np.concatenate([self.here, np.zeros(more, dtype=bool)])
        node = node or f"\0{name}"
        self.names.append(name)
        self.on.append({})
        self._node.append(node)
        self._of_node.setdefault(node, []).append(place)
        self._place[name] = place
        self.here[place] = True
        return place

    def remove(self, name: str) -> list[Model]:
        """A replica less; returns the models that have lost a copy."""
        place = self._place.pop(name)
        lost = list(self.on[place].values())
        for model in lost:
            self.take(model, place)
        self.here[place] = False
        of_node = self._of_node[self._node[place]]
        of_node.remove(place)
        if not of_node:
            del self._of_node[self._node[place]]
        return lost

    def put(self, model: Model, place: int) -> None:
        """A copy more."""
        self.touched[place] = None
        self.on[place][model.name] = model
        model.homes.add(place)
        self.memory[place] += model.memory
        self.duty[place] += model.duty

    def take(self, model: Model, place: int) -> None:
        """A copy less."""
        self.freed = True
        self.touched[place] = None
        del self.on[place][model.name]
        model.homes.remove(place)
        if self.on[place]:
            self.memory[place] -= model.memory
            self.duty[place] -= model.duty
        else:
            # What roundings have left is nothing.
            self.memory[place] = self.duty[place] = 0.0

    def change(self, model: Model, memory: float, duty: float) -> None:
        """Each of its copies takes so much from now on."""
        self.freed |= bool(model.homes) and memory < model.memory
        for place in model.homes:
            self.memory[place] += memory - model.memory
            self.duty[place] += duty - model.duty
        model.memory, model.duty = memory, duty

    def fitting(self, model: Model) -> Places:
        """Where a copy more could be put, as far as memory and the other models go."""
        return self.allowed(model) & (self.memory + model.memory <= 1 + SLACK)

    def allowed(self, model: Model) -> Places:
        """The same of replicas that had room."""
        allowed = self.here.copy()
        if model.homes:
            allowed[list(model.homes)] = False
        for other in model.apart:
            if homes := self.homes_of(other):
                allowed[list(homes)] = False
        return allowed

    def homes_of(self, name: str) -> Collection[int]:
        """Where a model is, if there is one of that name."""
        model = self.models.get(name)
        return () if model is None else model.homes

    def on_other_nodes(self, model: Model, places: Places) -> Places:
        """Those of the places whose node has no copy of it."""
        apart = places.copy()
        for node in {self._node[place] for place in model.homes}:
            apart[self._of_node[node]] = False
        return apart

    def nodes_of(self, model: Model) -> int:
        """On how many nodes it is."""
        return len({self._node[place] for place in model.homes})

    def evenly(self, model: Model, places: Places) -> int:
        """The one of these places, of which there is one, that a copy more leaves with the least load."""
        load = np.maximum(self.memory + model.memory, (self.duty + model.duty) / self.target)
        return int(np.where(places, load, np.inf).argmin())

    def tightly(self, model: Model, places: Places) -> int:
        """The one that it leaves fullest, of those that have the time; if none has, that with the most."""
        duty = self.duty + model.duty
        in_time = places & (duty <= self.target + SLACK)
        if not in_time.any():
            return int(np.where(places, duty, np.inf).argmin())
        return int(np.where(in_time, self.memory + duty / self.target, -np.inf).argmax())
