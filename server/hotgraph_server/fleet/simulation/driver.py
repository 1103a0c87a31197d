"""The driver's decisions, for a fleet of which little changes at a time. Pure.

The reconciler is asked of that part of the fleet alone where something has changed since it was asked last,
with all other copies of the models that are to go from there: what it decides is the same, and a look takes
as long as there is to do, not as there is fleet.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from hotgraph_server.fleet.actions import Action, Drain, Endpoint, Load, Publish, Start, Stop, Unload
from hotgraph_server.fleet.memory import Failure, Memory, Times, serves
from hotgraph_server.fleet.observed import FleetSeen, ReplicaState
from hotgraph_server.fleet.packing import Model
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.planner import Planner
from hotgraph_server.fleet.reconcile import Desired, reconcile, roles
from hotgraph_server.fleet.simulation.world import World
from hotgraph_server.fleet.spec import FleetSpec

_SOON_S = 0.01
_LEAVING_S = 4.0
_NO_ROOM_S = 30.0
_AGAIN_S = 2.0


@dataclass
class _Kept:
    """The memory of one replica; see memory.Memory."""

    published: Endpoint | None = None
    absent_at_s: dict[tuple[str, str], float] = field(default_factory=dict)
    begun: dict[Action, float] = field(default_factory=dict)
    done: dict[Action, float] = field(default_factory=dict)
    failed: dict[Action, Failure] = field(default_factory=dict)
    lost_at_s: float | None = None
    draining_at_s: float | None = None


class SimulatedDriver:
    """One that has just come, to a fleet of nothing.

    Args:
        planner: with no replica.
        published: told the name of a replica whose endpoint is another now.

    Attributes:
        wanted: replicas.
        news: replicas that are to be looked at.
        versions: of (replica, model), while a new version comes.
        current: the version of each model that has had a new one.
        actions: how many were begun, by kind.
    """

    def __init__(
        self, spec: FleetSpec, world: World, planner: Planner, wanted: int, published: Callable[[str], None]
    ) -> None:
        self.world, self.planner, self.wanted = world, planner, wanted
        self.news: dict[str, None] = {}
        self.versions: dict[tuple[str, str], tuple[int, ...]] = {}
        self.current: dict[str, int] = {}
        self.actions: dict[str, int] = {}
        self._spec = spec
        self._times = Times()
        self._models = {one.name: one for one in spec.models}
        self._published = published
        self._kept: dict[str, _Kept] = {}
        self._node: dict[str, str] = {}
        self._draining: set[str] = set()
        self._going: set[str] = set()
        self._looked_s = 0.0
        self._start_again_s = 0.0
        self._free = 0

    def endpoint(self, name: str) -> Endpoint | None:
        """What callers are told of a replica; None: nothing."""
        kept = self._kept.get(name)
        return kept.published if kept is not None else None

    def is_idle(self) -> bool:
        """Is there nothing to look at?"""
        over, now_s = self._present() - self.wanted, self.world.now_s
        waits = now_s - self._looked_s < _LEAVING_S - 1 if over > 0 else now_s < self._start_again_s
        return not self.news and (over == 0 or waits)

    def _present(self) -> int:
        return len(self.world.replicas) - len(self._draining)

    def look(self) -> None:
        """Look at what has changed, plan, reconcile, and have it done."""
        leaving = self._leaving()
        # Those that are to stay after all.
        self.news |= dict.fromkeys(sorted(self._going.difference(leaving), key=_number))
        if self.world.now_s - self._looked_s >= _LEAVING_S:
            # Those that have no news of their own wait for what others load; they are asked now and then.
            self._looked_s = self.world.now_s
            self.news |= dict.fromkeys(leaving)
            if leaving:
                self.world.later(_LEAVING_S, lambda: None)
        names, self._going = dict(self.news), set(leaving)
        self.news.clear()
        for name in names:
            self._follow(name)
        seen = self._seen(names)
        who = roles(self._wanted(names), seen, self._memory(names).looked(seen))
        touched = self._plan(names, set(who.places))
        names |= dict.fromkeys(touched)
        names |= dict.fromkeys(self._keepers(names, set(who.leaving)))
        seen = self._seen(names)
        memory = self._memory(names).looked(seen)
        actions, memory = reconcile(self._desired(names), seen, memory)
        for action in actions:
            memory = self._carry_out(action, memory)
        self._keep(names, memory)

    def _leaving(self) -> list[str]:
        """Those of the whole fleet that are too many, as `roles` has them."""
        over = self._present() - self.wanted
        if over <= 0:
            return []
        present = (one for name, one in self.world.replicas.items() if name not in self._draining)
        return [
            one.name
            for one in heapq.nlargest(
                over, present, key=lambda one: (self._rank(one.name, one.seen), _number(one.name))
            )
        ]

    def _rank(self, name: str, state: ReplicaState) -> int:
        kept = self._kept.get(name)
        if kept is not None and kept.lost_at_s is not None:
            return 2
        return 0 if state is ReplicaState.READY else 1

    def _follow(self, name: str) -> None:
        """A replica that is not there any more is forgotten."""
        replica = self.world.replicas.get(name)
        self._draining.discard(name)
        if replica is None:
            if self._kept.pop(name, None) is not None:
                self._published(name)
            if self._node.pop(name, None) is not None:
                self.planner.remove(name)
        elif replica.seen is ReplicaState.DRAINING:
            self._draining.add(name)

    def _wanted(self, names: Iterable[str]) -> int:
        """So many of these, where all others stay."""
        staying = self._present() - len(self._going)
        here = sum(name in self.world.replicas and name not in self._draining for name in names)
        going = sum(name in self._going for name in names)
        return max(0, self.wanted - (staying - (here - going)))

    def _seen(self, names: Iterable[str]) -> FleetSeen:
        looked = (self.world.look_at(name) for name in sorted(names, key=_number))
        return FleetSeen(self.world.now_s, (), tuple(one for one in looked if one is not None))

    def _memory(self, names: Iterable[str]) -> Memory:
        kept = [(name, self._kept[name]) for name in sorted(names, key=_number) if name in self._kept]
        return Memory(
            0.0,
            tuple(one.published for _, one in kept if one.published is not None),
            self._times,
            {pair: at_s for _, one in kept for pair, at_s in one.absent_at_s.items()},
            {action: at_s for _, one in kept for action, at_s in one.begun.items()},
            {action: at_s for _, one in kept for action, at_s in one.done.items()},
            {action: failure for _, one in kept for action, failure in one.failed.items()},
            {name: one.lost_at_s for name, one in kept if one.lost_at_s is not None},
            {name: one.draining_at_s for name, one in kept if one.draining_at_s is not None},
        )

    def _plan(self, names: Iterable[str], places: set[str]) -> list[str]:
        """Returns the replicas that get something else than before."""
        for name in names:
            replica = self.world.replicas.get(name)
            node = replica.node if replica is not None and name in places else None
            if self._node.get(name) == node:
                continue
            if name in self._node:
                self.planner.remove(name)
                del self._node[name]
            if node is not None:
                self.planner.add(name, node)
                self._node[name] = node
        self.planner.settle()
        packing = self.planner.packing
        touched = [packing.names[place] for place in packing.touched if packing.here[place]]
        packing.touched.clear()
        return touched

    def _keepers(self, names: Iterable[str], leaving: set[str]) -> list[str]:
        """Other replicas that keep what is to go from these."""
        packing, models = self.planner.packing, self.planner.models
        places, found = packing.places(), []
        for name in names:
            replica = self.world.replicas.get(name)
            if replica is None or not replica.models:
                continue
            place = places.get(name)
            going = (
                replica.models.keys()
                if name in leaving or place is None
                else replica.models.keys() - packing.on[place].keys()
            )
            for model in sorted(going):
                found += self._some_keepers(models[model])
        return found

    def _some_keepers(self, model: Model) -> list[str]:
        """Those that callers find it on: as many as it takes; all that shall have it, if they are fewer."""
        homes = [self.planner.packing.names[home] for home in sorted(model.homes)]
        found: list[str] = []
        for home in homes:
            kept = self._kept.get(home)
            if kept is not None and kept.published is not None and model.name in kept.published.models:
                found.append(home)
                if len(found) == model.least:
                    return found
        return homes

    def _desired(self, names: Iterable[str]) -> Desired:
        """Of the models that these replicas have, or shall have."""
        packing = self.planner.packing
        places = packing.places()
        placed = {name: frozenset(packing.on[places[name]]) for name in names if name in places}
        models = {model for there in placed.values() for model in there}
        models.update(*(self.world.replicas[name].models for name in names if name in self.world.replicas))
        spec = replace(self._spec, models=tuple(self._models[name] for name in sorted(models)))
        return Desired(spec, self._wanted(names), Placement(placed), self.versions)

    def _carry_out(self, action: Action, memory: Memory) -> Memory:
        if isinstance(action, Start) and self.world.now_s < self._start_again_s:
            # There was no room a moment ago.
            return replace(memory, begun={one: at for one, at in memory.begun.items() if one != action})
        kind = type(action).__name__.lower()
        self.actions[kind] = self.actions.get(kind, 0) + 1
        now_s, world = self.world.now_s, self.world
        if isinstance(action, Load):
            self._load(action)
            return memory
        if isinstance(action, Start):
            # Of the part of the fleet that the reconciler saw, the name was free.
            begun = {one: at_s for one, at_s in memory.begun.items() if one != action}
            memory = replace(memory, begun=begun)
            if not world.start(self._free_name()):
                self._start_again_s = now_s + _NO_ROOM_S
            return memory
        if isinstance(action, Unload):
            world.unload(action.replica_id, action.model)
        elif isinstance(action, Drain):
            world.drain(action.replica_id)
        elif isinstance(action, Stop):
            world.stop(action.replica_id)
        else:
            assert isinstance(action, Publish)
        return memory.with_done(action, now_s)

    def _load(self, action: Load) -> None:
        version = action.versions[0] if action.versions else self.current.get(action.model, 1)
        self.world.load(action.replica_id, action.model, version, lambda: self._is_done(action))

    def _is_done(self, action: Load) -> None:
        """It is live, or its replica was gone before."""
        name, now_s = action.replica_id, self.world.now_s
        kept = self._kept.setdefault(name, _Kept())
        if action not in kept.begun:
            return
        look = self.world.look_at(name)
        if look is not None and serves(look, action.model, action.versions):
            kept.done[action] = now_s
            return
        del kept.begun[action]
        kept.failed[action] = Failure(1, now_s + _AGAIN_S, "the server is gone")
        self._later(name, _AGAIN_S)

    def _free_name(self) -> str:
        self._free += 1
        return f"r{self._free - 1}"

    def _keep(self, names: Iterable[str], memory: Memory) -> None:
        """What is remembered of each of these, and when it is looked at next."""
        kept = {name: _Kept() for name in names}
        for endpoint in memory.published:
            kept[endpoint.replica_id].published = endpoint
        for pair, at_s in memory.absent_at_s.items():
            kept[pair[0]].absent_at_s[pair] = at_s
        for action, at_s in memory.begun.items():
            if not isinstance(action, Publish):
                kept[action.replica_id].begun[action] = at_s
        for action, at_s in memory.done.items():
            if not isinstance(action, Publish):
                kept[action.replica_id].done[action] = at_s
        for action, failure in memory.failed.items():
            if not isinstance(action, Publish) and action.replica_id in kept:
                kept[action.replica_id].failed[action] = failure
        for name, at_s in memory.lost_at_s.items():
            kept[name].lost_at_s = at_s
        for name, at_s in memory.draining_at_s.items():
            kept[name].draining_at_s = at_s
        for name, now in kept.items():
            before = self._kept.get(name, _Kept())
            self._kept[name] = now
            if now.published != before.published:
                self._published(name)
                self._later(name, self._times.settle_s)
                self.news[name] = None
            if self._has_superfluous(name):
                # It goes when others are seen to have it, who have news of that, not this one.
                self._later(name, _LEAVING_S)
            if now.lost_at_s is not None and before.lost_at_s is None:
                self._later(name, self._times.grace_s)
                self._later(name, self._times.replace_s)

    def _has_superfluous(self, name: str) -> bool:
        replica, place = self.world.replicas.get(name), self.planner.packing.places().get(name)
        if replica is None or place is None:
            return False
        return not replica.models.keys() <= self.planner.packing.on[place].keys()

    def _later(self, name: str, in_s: float) -> None:
        self.world.later(in_s + _SOON_S, lambda: self.news.setdefault(name))


def _number(name: str) -> int:
    return int(name[1:])
