"""What to do next, of what is wanted and what is seen. Pure; called once a second, by a driver or a
simulation:

    memory = memory.looked(seen)
    places = roles(wanted, seen, memory).places           # the replicas that models may be placed on
    actions, memory = reconcile(Desired(spec, wanted, plan(spec, places, ...)), seen, memory)
    # each action is carried out, at the same time as others, and then:
    memory = memory.with_done(action, now)                # or with_failed(action, why, now)

What it promises, of changes that are planned:

- A model has at least `copies` replicas in the endpoints all along, or one for each replica where there are
  fewer, once it has had them: a replica is taken out, or a model off it, only when others that keep the model
  are enough. What is being drained or unloaded is none of these, even if by now it shall stay.
- Callers first: what goes is out of the endpoints for `settle_s` before it is drained or unloaded. A drain
  lets calls end. A replica joins the endpoints when all that is placed on it, and known, is live there or has
  failed to load.
- No action is begun while the same one is under way, and one that failed is begun again later and later. A
  replica loads one model at a time, and none while one is about to go from it that others take over: its
  memory is planned for what stays. Of two that swap models one holds both for a while.
- From any state that is seen it comes to what is wanted, if the engine does what it is asked for. Nothing
  needs to be known of earlier drivers but the endpoint file; see memory.py.
- A driver that has just come takes nobody from the callers, and stops nobody, only because it has not heard
  of them yet: for `grace_s` addresses stay in the endpoints of which it does not know whose they are.

What is lost without being planned (a process, a node) is out of the endpoints at the next look. Its models
are placed elsewhere after `grace_s`, and another replica is begun after `replace_s`: the engine brings most
of them back before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hotgraph_server.fleet.actions import Action, Drain, Endpoint, Load, Publish, Start, Stop, Unload
from hotgraph_server.fleet.memory import Memory, serves
from hotgraph_server.fleet.observed import FleetSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.spec import FleetSpec


@dataclass(frozen=True)
class Desired:
    """What a fleet shall be now.

    Attributes:
        replicas: so many.
        versions: of (replica, model), where they are others than the spec's: while a new version comes.
            Empty: the newest.
        waiting: models that are loaded nowhere for now, for it is not known yet which version is served."""

    spec: FleetSpec
    replicas: int
    placement: Placement
    versions: Mapping[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    waiting: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Roles:
    """Which replicas stay, by id.

    Attributes:
        staying: and not drained.
        places: those of them that models are placed on: not lost for long.
        leaving: one too many.
        given_up: lost for so long that another takes their place.
        missing: so many are to be started.
    """

    staying: tuple[str, ...]
    places: tuple[str, ...]
    leaving: tuple[str, ...]
    given_up: tuple[str, ...]
    missing: int


def roles(wanted: int, seen: FleetSeen, memory: Memory) -> Roles:
    """Who stays and who goes where `wanted` replicas shall be: those that answer stay before those that
    start, and the older before the newer. The same each time for the same fleet, whoever asks."""
    times = memory.times
    present = [one for one in seen.replicas if one.state is not ReplicaState.DRAINING]
    lost_s = {name: seen.at_s - at_s for name, at_s in memory.lost_at_s.items()}
    given_up = tuple(one.replica_id for one in present if lost_s.get(one.replica_id, 0) > times.replace_s)
    kept = [one for one in present if one.replica_id not in given_up]
    kept.sort(key=lambda one: (_rank(one, memory), *_age(one.replica_id)))
    names = [one.replica_id for one in kept]
    # In an order that does not change with their states, or a planner would have reason to move models.
    staying, leaving = sorted(names[:wanted], key=_age), names[wanted:]
    starting = {one.replica_id for one in memory.begun if isinstance(one, Start)} - {
        one.replica_id for one in seen.replicas
    }
    return Roles(
        tuple(staying),
        tuple(name for name in staying if lost_s.get(name, 0) <= times.grace_s),
        tuple(leaving),
        given_up,
        max(0, wanted - len(staying) - len(starting)),
    )


def reconcile(desired: Desired, seen: FleetSeen, memory: Memory) -> tuple[list[Action], Memory]:
    """What is to be begun now, each action once, and the memory that it is under way."""
    look = _Look(desired, seen, memory)
    wanted = [
        *look.stops(),
        *look.starts(),
        *look.drains(),
        *look.unloads(),
        *look.loads(),
        *look.publishing(),
    ]
    begun = [action for action in wanted if memory.may_begin(action, seen.at_s)]
    return begun, memory.with_begun(begun, seen.at_s)


class _Look:
    """One fleet at one moment."""

    def __init__(self, desired: Desired, seen: FleetSeen, memory: Memory) -> None:
        self._desired = desired
        self._memory = memory
        self._now_s = seen.at_s
        self._seen = seen
        self._roles = roles(desired.replicas, seen, memory)
        # What is under way is not seen yet, and is not taken back.
        self._ending = {one.replica_id for one in memory.begun if isinstance(one, Drain | Stop)}
        self._unloading = {(one.replica_id, one.model) for one in memory.begun if isinstance(one, Unload)}
        self._ready = {
            one.replica_id: self._but_for_unloading(one)
            for one in seen.replicas
            if one.state is ReplicaState.READY and one.address and one.replica_id not in memory.lost_at_s
        }
        self._published = {one.replica_id: one for one in memory.published}
        # A driver that has just come may not have heard of all that answer calls.
        self._is_new = seen.at_s - memory.begun_at_s < memory.times.grace_s
        self._versions = {one.name: (one.version,) for one in desired.spec.models if one.version is not None}
        self._enough = self._models_with_enough_copies()

    def _but_for_unloading(self, replica: ReplicaSeen) -> ReplicaSeen:
        name = replica.replica_id
        kept = {model: one for model, one in replica.models.items() if (name, model) not in self._unloading}
        return replica if len(kept) == len(replica.models) else replace(replica, models=kept)

    def stops(self) -> list[Action]:
        """Those that are done with, or never were of use."""
        ended = [
            one.replica_id
            for one in self._seen.replicas
            if one.state is ReplicaState.DRAINING and (not one.address or self._drains_for_long(one))
        ]
        silent = [name for name in self._roles.leaving if name not in self._ready]
        useless = [] if self._is_new else silent
        return [Stop(name) for name in (*ended, *self._roles.given_up, *useless)]

    def starts(self) -> list[Action]:
        taken = {one.replica_id for one in self._seen.replicas}
        # One that is being stopped has its name until it is gone.
        taken |= {one.replica_id for one in self._memory.begun if not isinstance(one, Publish)}
        free = (
            name for name in map("r{}".format, range(len(taken) + self._roles.missing)) if name not in taken
        )
        return [Start(name) for name, _ in zip(free, range(self._roles.missing), strict=False)]

    def drains(self) -> list[Action]:
        return [
            Drain(name)
            for name in self._roles.leaving
            if name in self._ready
            and name not in self._published
            and self._may_leave(name)
            and self._memory.is_left_alone(name, self._now_s)
        ]

    def unloads(self) -> list[Action]:
        return [
            Unload(name, model)
            for name in self._roles.staying
            for model in sorted(self._superfluous(name))
            if not (name in self._published and model in self._published[name].models)
            and self._memory.is_settled(name, model, self._now_s)
        ]

    def loads(self) -> list[Action]:
        """The next model for each replica that loads nothing: what fewest others have comes first."""
        busy = {one.replica_id for one in self._memory.begun if isinstance(one, Load)}
        copies: dict[str, int] = {}
        for replica in self._ready.values():
            for model in replica.models:
                copies[model] = copies.get(model, 0) + 1
        chosen: list[Action] = []
        for name in self._roles.staying:
            if name not in self._ready or name in busy | self._ending or self._ready[name].loading:
                continue
            wanted = (
                Load(name, model, self._versions_of(name, model))
                for model in self._placed(name) - self._desired.waiting
            )
            missing = [
                load
                for load in wanted
                if not serves(self._ready[name], load.model, load.versions)
                and self._memory.may_begin(load, self._now_s)
            ]
            if missing and not self._gives_up(name):
                chosen.append(min(missing, key=lambda load: (copies.get(load.model, 0), load.model)))
        return chosen

    def _gives_up(self, name: str) -> bool:
        """Is a model going, or about to go, from this replica, whose memory the next one may need?"""
        return any(name == replica for replica, _ in self._unloading) or any(
            Unload(name, model) not in self._memory.failed
            if model in self._enough
            else any(self._takes_over(other, model, name) for other in self._roles.staying)
            for model in self._to_go(name)
        )

    def _takes_over(self, name: str, model: str, before: str) -> bool:
        """Will this replica have a model soon that another one has before? It is not waited for where that
        one might wait in turn: of those that have something to give up the older loads first."""
        if name not in self._ready or model not in self._placed(name) or model in self._desired.waiting:
            return False
        if Load(name, model, self._versions_of(name, model)) in self._memory.failed:
            return False
        offered = self._published[name].models if name in self._published else frozenset()
        return model not in offered and (not self._to_go(name) or _age(name) < _age(before))

    def _to_go(self, name: str) -> frozenset[str]:
        """Models on a replica that are placed elsewhere."""
        if name not in self._ready or name not in self._roles.staying:
            return frozenset()
        if name not in self._desired.placement.models:
            # The planner does not know of it yet.
            return frozenset()
        return frozenset(self._ready[name].models.keys() - self._placed(name))

    def publishing(self) -> list[Action]:
        """The endpoints as they should be, where they are others and no change is under way."""
        endpoints = tuple(
            Endpoint(name, self._ready[name].address, self._ready[name].rest_address, models)
            for name in sorted(self._ready, key=_age)
            if (models := self._offered(name))
        )
        if self._is_new:
            heard = {one.address for one in endpoints}
            endpoints += tuple(
                one for one in self._memory.published if not one.replica_id and one.address not in heard
            )
        under_way = any(isinstance(action, Publish) for action in self._memory.begun)
        same = set(endpoints) == set(self._memory.published)
        return [] if under_way or same else [Publish(endpoints)]

    def _offered(self, name: str) -> frozenset[str]:
        """The models that callers may ask this replica for, which answers."""
        live = frozenset(model for model, seen in self._ready[name].models.items() if seen.versions)
        if name in self._ending or name in self._roles.given_up:
            return frozenset()
        if name in self._roles.leaving and self._may_leave(name):
            return frozenset()
        offered = live - self._superfluous(name)
        return offered if name in self._published or self._is_complete(name) else frozenset()

    def _is_complete(self, name: str) -> bool:
        failed = {
            action.model
            for action in self._memory.failed
            if isinstance(action, Load) and action.replica_id == name
        }
        # What nobody loads for now is not waited for: it may be that there is no version of it.
        return self._placed(name) <= self._ready[name].models.keys() | failed | self._desired.waiting

    def _versions_of(self, name: str, model: str) -> tuple[int, ...]:
        return self._desired.versions.get((name, model), self._versions.get(model, ()))

    def _placed(self, name: str) -> frozenset[str]:
        return self._desired.placement.models.get(name, frozenset())

    def _superfluous(self, name: str) -> frozenset[str]:
        """Models on a replica that are placed elsewhere, and are there."""
        return self._to_go(name) & self._enough

    def _may_leave(self, name: str) -> bool:
        return self._ready[name].models.keys() <= self._enough

    def _models_with_enough_copies(self) -> frozenset[str]:
        """Those that replicas which keep them, and are in the endpoints with them, have often enough."""
        staying = self._roles.staying
        least = {one.name: min(max(one.copies, 1), len(staying)) for one in self._desired.spec.models}
        keeping: dict[str, int] = {}
        for name in staying:
            if name not in self._ready or name in self._ending or name not in self._published:
                continue
            offered = self._published[name].models & self._ready[name].models.keys()
            kept = offered & self._placed(name) if name in self._desired.placement.models else offered
            for model in kept:
                keeping[model] = keeping.get(model, 0) + 1
        models = {model for replica in self._ready.values() for model in replica.models}
        return frozenset(model for model in models if keeping.get(model, 0) >= least.get(model, 0))

    def _drains_for_long(self, replica: ReplicaSeen) -> bool:
        since = self._memory.draining_at_s.get(replica.replica_id, self._now_s)
        return self._now_s - since > self._memory.times.drain_s


def _rank(replica: ReplicaSeen, memory: Memory) -> int:
    if replica.replica_id in memory.lost_at_s:
        return 2
    return 0 if replica.state is ReplicaState.READY else 1


def _age(replica_id: str) -> tuple[int, str]:
    """The older first."""
    digits = replica_id.removeprefix("r")
    return int(digits) if digits.isascii() and digits.isdigit() else -1, replica_id
