"""A fleet on paper, for the reconciler: an engine that takes its time, fails when it is told to, and loses
what it is told to lose. Second by second, on a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from hotgraph_server.fleet.actions import Action, Drain, Endpoint, Load, Publish, Start, Stop, Unload
from hotgraph_server.fleet.memory import Memory, Times
from hotgraph_server.fleet.observed import FleetSeen, ModelSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.reconcile import Desired, reconcile, roles
from hotgraph_server.fleet.spec import FleetSpec

LIVE = ModelSeen((1,))
START_S = 6.0
DRAIN_S = 4.0
CALL_S = 2.0


@dataclass
class FakeFleet:
    """
    Attributes:
        replicas: as they are; what is seen is these, a second ago.
        file: the endpoints that callers have.
        calls: of the engine that have not returned, each with the moment when it does.
        asked: every action ever begun, with its moment.
    """

    spec: FleetSpec
    wanted: int
    replicas: dict[str, ReplicaSeen] = field(default_factory=dict)
    file: tuple[Endpoint, ...] = ()
    place: Callable[[FleetSpec, tuple[str, ...]], Placement] = lambda spec, places: everywhere(spec, places)
    now_s: float = 100.0
    fails: Callable[[Action], bool] = lambda action: False
    calls: dict[Action, float] = field(default_factory=dict)
    asked: list[tuple[float, Action]] = field(default_factory=list)
    versions: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    _until: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.driver_comes()

    def driver_comes(self) -> None:
        """A new one, which knows nothing but the file. Calls of the one before have gone with it."""
        self.calls = {}
        self.memory = Memory(self.now_s, self.file, Times())

    def look(self) -> FleetSeen:
        return FleetSeen(self.now_s, (), tuple(self.replicas[name] for name in sorted(self.replicas)))

    def tick(self) -> list[Action]:
        """A second passes; what was begun in it."""
        seen = self.look()
        self.now_s += 1
        self._time_passes()
        for action in [one for one, at_s in self.calls.items() if at_s <= self.now_s]:
            del self.calls[action]
            self._end(action)
        memory = self.memory.looked(seen)
        placement = self.place(self.spec, roles(self.wanted, seen, memory).places)
        desired = Desired(self.spec, self.wanted, placement, self.versions)
        actions, self.memory = reconcile(desired, seen, memory)
        for action in actions:
            assert action not in self.calls, "begun while it is under way"
            self.asked.append((self.now_s, action))
            self.calls[action] = self.now_s + (0 if isinstance(action, Publish) else CALL_S)
        return actions

    def ticks(self, count: int) -> Iterator[list[Action]]:
        for _ in range(count):
            yield self.tick()

    def until_quiet(self, most: int = 600) -> bool:
        """Until nothing is begun for longer than any wait; False: it never ends."""
        quiet = 0
        for actions in self.ticks(most):
            quiet = 0 if actions or self.calls else quiet + 1
            ready = all(one.state is ReplicaState.READY for one in self.replicas.values())
            if quiet > (15 if ready and not self.memory.failed else 100):
                return True
        return False

    def lose(self, name: str, *, comes_back: bool) -> None:
        """Its process is gone; another one comes after a while, or never."""
        if name in self.replicas:
            self.replicas[name] = replace(self.replicas[name], state=ReplicaState.LOST, models={}, address="")
            self._until[name] = self.now_s + (3 if comes_back else 1e9)

    def holders(self, model: str) -> set[str]:
        """The replicas that callers find with that model."""
        return {
            one.replica_id
            for one in self.file
            if model in one.models
            and one.replica_id in self.replicas
            and self.replicas[one.replica_id].state is ReplicaState.READY
            and model in self.replicas[one.replica_id].models
        }

    def _time_passes(self) -> None:
        for name, replica in list(self.replicas.items()):
            if replica.state is ReplicaState.READY:
                continue
            until = self._until.setdefault(
                name, self.now_s + (DRAIN_S if replica.state is ReplicaState.DRAINING else START_S)
            )
            if until > self.now_s:
                continue
            del self._until[name]
            if replica.state is ReplicaState.DRAINING:
                self.replicas[name] = replace(replica, address="")
            elif replica.state is ReplicaState.LOST:
                self.replicas[name] = replace(replica, state=ReplicaState.STARTING)
            else:
                address = f"h:{self.now_s:g}{name.removeprefix('r')}"
                self.replicas[name] = ReplicaSeen(name, ReplicaState.READY, address)

    def _end(self, action: Action) -> None:
        if self.fails(action):
            self.memory = self.memory.with_failed(action, "told to", self.now_s)
            return
        if isinstance(action, Publish):
            self.file = action.endpoints
        elif isinstance(action, Start):
            self.replicas.setdefault(action.replica_id, ReplicaSeen(action.replica_id, ReplicaState.STARTING))
        elif isinstance(action, Stop):
            self.replicas.pop(action.replica_id, None)
            self._until.pop(action.replica_id, None)
        elif isinstance(action, Drain):
            self.change(action.replica_id, state=ReplicaState.DRAINING)
        else:
            self.set_model(action)
        self.memory = self.memory.with_done(action, self.now_s)

    def set_model(self, action: Load | Unload) -> None:
        if action.replica_id not in self.replicas:
            return
        models = dict(self.replicas[action.replica_id].models)
        models.pop(action.model, None)
        if isinstance(action, Load):
            models[action.model] = ModelSeen(action.versions or LIVE.versions)
        self.change(action.replica_id, models=models)

    def change(self, name: str, **changes: object) -> None:
        if name in self.replicas and self.replicas[name].state is ReplicaState.READY:
            self.replicas[name] = replace(self.replicas[name], **changes)  # type: ignore[arg-type]


def everywhere(spec: FleetSpec, places: tuple[str, ...]) -> Placement:
    """Every model on every replica."""
    return Placement({name: frozenset(model.name for model in spec.models) for name in places})


def in_turns(spec: FleetSpec, places: tuple[str, ...]) -> Placement:
    """Each model on as many as it wants, side by side."""
    models: dict[str, set[str]] = {name: set() for name in places}
    for number, model in enumerate(spec.models):
        for copy in range(min(model.copies, len(places))):
            models[places[(number + copy) % len(places)]].add(model.name)
    return Placement({name: frozenset(those) for name, those in models.items()})
