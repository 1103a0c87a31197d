"""Which model goes on which replica: what a plan keeps, and how it is made whole again. Pure.

What it promises:

- A replica's models never take more memory than it has; no replica has a model twice, or two that are to be
  apart.
- A copy stays where it is, unless its replica is gone or too full, it may not be there any more, or all
  copies of a model that asked for several have come to lie on fewer nodes than they might. A plan that is
  good is not changed for a better one: each move costs a load.
- Copies of a model are on different replicas, and on different nodes where there are such with room.
- There are `copies` of each, and more where its rate asks for them: a copy is busy for no more than half of
  the time that a replica is filled to. Copies that a lower rate does not need any more stay until their room
  is wanted: the next peak finds them there.
- Memory decides what finds a place, and time only where: a copy that no replica has the time for goes to the
  one that has most, and the plan says how many replicas would do.
- Where there is not room for all, copies that nobody needs go first, then others move closer together, then a
  model without any copy takes the place of another's second one. What has found none is told with its reason.
- A replica without any model, where others have some, gets copies of those that are busiest.
- The same values make the same plan.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence

from hotgraph_server.fleet.mending import Mending
from hotgraph_server.fleet.needs import MB, ModelNeeds
from hotgraph_server.fleet.packing import Model, Packing, Places
from hotgraph_server.fleet.spec import FleetSpec

TARGET_OF_HIGH = 0.8
"""Replicas are filled up to this part of the duty at which one more would be added."""

COPY_OF_TARGET = 0.5
"""A copy's part of that."""

# A copy is spare where the others, without it, had less than this part of what makes one more.
_SPARE = 0.7
_ROUNDS = 4


class Way(enum.Enum):
    """In which order copies are placed, and where."""

    EVENLY = "evenly"  # the largest first, where the load is least
    TIGHTLY = "tightly"  # the largest first, where least room is left
    BY_VALUE = "by value"  # first copies before second ones, and what serves most calls with its memory first


class Planner:
    """A plan that goes on as things change: replicas come and go, models need more or less.

    After any of `add`, `remove` and `need`, `settle` makes it whole again.

    Args:
        replicas: their names and nodes.
        before: what each replica has.
        mends: is room made for what finds none?
    """

    def __init__(
        self,
        spec: FleetSpec,
        replicas: Iterable[tuple[str, str]],
        needs: Mapping[str, ModelNeeds],
        before: Mapping[str, frozenset[str]] | None = None,
        way: Way = Way.EVENLY,
        mends: bool = True,
    ) -> None:
        self.spec = spec
        self.way = way
        self.mends = mends
        self.needs: dict[str, ModelNeeds] = {}
        self.packing = Packing(sorted(replicas), TARGET_OF_HIGH * spec.scaling.duty_high)
        self.models = self.packing.models
        self._bytes = spec.replicas.for_models_mb * MB
        self._mending = Mending(self.packing, spec.scaling.duty_high)
        # Dictionaries, because sets have another order each time. To be looked at; with too few copies; whose
        # number goes with that of replicas; on too few nodes.
        self._changed: dict[Model, None] = {}
        self._short: dict[Model, None] = {}
        self._by_count: dict[Model, None] = {}
        self._crowded: dict[Model, None] = {}
        self._make_models()
        self._keep(before or {})
        for name in self.models:
            self.need(name, needs.get(name, ModelNeeds(0.0, memory_from="guessed")))

    def _make_models(self) -> None:
        for one in self.spec.models:
            self.models[one.name] = Model(one.name, least=one.copies, most=one.most_copies, pin=one.pin)
        for one in self.spec.models:
            # Both ways, whichever of the two says it.
            self.models[one.name].apart |= one.apart_from
            for other in one.apart_from & self.models.keys():
                self.models[other].apart |= {one.name}

    def _keep(self, before: Mapping[str, frozenset[str]]) -> None:
        places = self.packing.places()
        for replica in sorted(before):
            if (place := places.get(replica)) is not None:
                for name in sorted(before[replica] & self.models.keys()):
                    self.packing.put(self.models[name], place)

    def add(self, replica: str, node: str) -> None:
        """A replica more, which has nothing yet."""
        self.packing.add(replica, node)
        self._mending.hope()
        # It has room, for whom there was none.
        self._changed |= {**self._by_count, **self._short, **self._crowded}

    def remove(self, replica: str) -> None:
        """A replica less."""
        lost = self.packing.remove(replica)
        self._changed |= {**dict.fromkeys(lost), **self._by_count}

    def need(self, name: str, needs: ModelNeeds) -> None:
        """A model of the spec needs that from now on."""
        self.needs[name] = needs
        self._changed[self.models[name]] = None

    def settle(self) -> None:
        """Make the plan whole."""
        for _ in range(_ROUNDS):
            self._settle()
            if not self._changed:
                return

    def _settle(self) -> None:
        self.packing.freed = False
        changed = list(self._changed)
        self._changed.clear()
        for model in changed:
            self._wish(model)
        ejected = self._mending.eject(changed)
        for model in (*changed, *ejected):
            self._crowded.pop(model, None)
            if not self._mending.spread(model):
                self._crowded[model] = None
        short = dict.fromkeys(model for model in (*changed, *ejected) if model.missing)
        self._mending.begin()
        for model in self._in_order(short):
            self._place(model)
        if self.mends:
            self._mend([model for model in short if model.missing])
        fewer_or_more = (*ejected, *self._mending.given_up, *self._mending.fill_idle())
        for model in (*changed, *fewer_or_more):
            self._short.pop(model, None)
            if model.missing:
                self._short[model] = None
        # Each of their copies has more, or less, to do than was thought.
        self._changed |= {model: None for model in fewer_or_more if self._duty(model) != model.duty}
        if self.packing.freed:
            self._changed |= self._short

    def _wish(self, model: Model) -> None:
        """How many copies it shall have, and what each takes."""
        self._mending.trim(model)
        needs = self.needs[model.name]
        alive = self.packing.alive
        most = alive if model.most is None else min(model.most, alive)
        by_rate = needs.copies_below(COPY_OF_TARGET * self.packing.target)
        model.wanted = alive if model.pin else min(max(model.least, by_rate), most)
        kept = needs.copies_below(_SPARE * COPY_OF_TARGET * self.packing.target)
        model.spare = alive if model.pin else max(model.least, kept)
        self._by_count.pop(model, None)
        if model.pin or max(model.least, by_rate) > alive:
            self._by_count[model] = None
        memory = needs.memory_bytes / self._bytes
        model.value = needs.rate_per_s / max(memory, 1e-12)
        self.packing.change(model, memory, self._duty(model))

    def _duty(self, model: Model) -> float:
        """Of each of its copies, when all have been placed."""
        return self.needs[model.name].duty(max(model.wanted, len(model.homes), 1))

    def _in_order(self, models: Iterable[Model]) -> list[Model]:
        """A model comes as often as it misses copies, or once for all of them."""
        if self.way is Way.BY_VALUE:
            rounds = [
                (not model.pin, number, -model.value, model.memory, model.name, model)
                for model in models
                for number in range(len(model.homes), model.wanted)
            ]
            return [one[-1] for one in sorted(rounds, key=lambda one: one[:-1])]
        size = _sum if self.way is Way.TIGHTLY else _largest
        return sorted(
            models, key=lambda model: (not model.pin, -size(model, self.packing.target), model.name)
        )

    def _place(self, model: Model) -> None:
        """All of its missing copies that find room; one alone, by value."""
        for _ in range(1 if self.way is Way.BY_VALUE else model.missing):
            fitting = self.packing.fitting(model)
            if not fitting.any():
                return
            self.put(model, fitting)

    def put(self, model: Model, fitting: Places) -> None:
        """A copy more on the best of these replicas, of which there is one."""
        apart = self.packing.on_other_nodes(model, fitting) if model.homes else fitting
        choose = self.packing.evenly if self.way is Way.EVENLY else self.packing.tightly
        self.packing.put(model, choose(model, apart if apart.any() else fitting))

    def _mend(self, short: Sequence[Model]) -> None:
        """Make room for what has found none, as long as that comes to something."""
        ways: tuple[Callable[[Model], bool], ...] = (
            self._mending.by_spare_copies,
            self._mending.by_moves,
            self._mending.by_second_copies,
            self._mending.for_pinned,
        )
        for model in sorted(short, key=lambda one: (bool(one.homes), -one.value, one.memory, one.name)):
            while model.missing and any(way(model) for way in ways):
                self.put(model, self.packing.fitting(model))


def _largest(model: Model, target: float) -> float:
    return max(model.memory, model.duty / target)


def _sum(model: Model, target: float) -> float:
    return model.memory + model.duty / target
