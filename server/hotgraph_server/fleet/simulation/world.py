"""The simulated engine: replicas on nodes, what they have loaded, and when what was begun is over. Pure.

What happens later is put on `later`, a moment and a function.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from hotgraph_server.fleet.observed import ModelSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.simulation.scenario import Scenario


@dataclass
class Replica:
    """One.

    Attributes:
        life: changes when its process does: what an earlier one had begun comes to nothing.
        seen: what the driver sees of it, which may be late.
        up: does it answer?
        models: versions that are live.
    """

    name: str
    node: str
    state: ReplicaState = ReplicaState.STARTING
    seen: ReplicaState = ReplicaState.STARTING
    up: bool = False
    ended: bool = False
    life: int = 0
    models: dict[str, int] = field(default_factory=dict)


class World:
    """Replicas on nodes.

    Args:
        slots: replicas that each node has room for.
        changed: told the name of a replica of which the driver would see another thing now.
        touched: told the name of a replica that answers, or has models, as it had not.
    """

    def __init__(
        self,
        scenario: Scenario,
        slots: dict[str, int],
        size_mb: dict[str, float],
        changed: Callable[[str], None],
        touched: Callable[[str], None],
    ) -> None:
        self.scenario = scenario
        self.now_s = 0.0
        self.replicas: dict[str, Replica] = {}
        self.slots = slots
        self.free = dict(slots)
        self.dead: set[str] = set()
        self.on: dict[str, dict[str, None]] = {node: {} for node in slots}
        self.loads = 0
        self.loaded_mb = 0.0
        self._size_mb = size_mb
        self._tell_changed, self._tell_touched = changed, touched
        # What is seen of replicas, until it changes.
        self._looks: dict[str, ReplicaSeen] = {}
        self._models: dict[int, ModelSeen] = {}
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def _changed(self, name: str) -> None:
        self._looks.pop(name, None)
        self._tell_changed(name)

    def _touched(self, name: str) -> None:
        self._looks.pop(name, None)
        self._tell_touched(name)

    def later(self, in_s: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._later, (self.now_s + in_s, next(self._count), what))

    def next_s(self) -> float:
        """When something happens; infinity: nothing does."""
        return self._later[0][0] if self._later else float("inf")

    def go_on(self) -> None:
        """To the next that happens."""
        self.now_s, _, what = heapq.heappop(self._later)
        what()

    def node_with_room(self) -> str | None:
        """The node that has most room; of several the first."""
        return max(
            (node for node, free in self.free.items() if free > 0 and node not in self.dead),
            key=lambda node: self.free[node],
            default=None,
        )

    def start(self, name: str) -> bool:
        """False: there is no room."""
        node = self.node_with_room()
        if name in self.replicas or node is None:
            return name in self.replicas
        self.replicas[name] = Replica(name, node)
        self._settle_on(self.replicas[name], node)
        self._changed(name)
        self._begin(self.replicas[name])
        return True

    def _settle_on(self, replica: Replica, node: str) -> None:
        replica.node = node
        self.free[node] -= 1
        self.on[node][replica.name] = None

    def _begin(self, replica: Replica) -> None:
        life = replica.life

        def ready() -> None:
            if replica.life == life and replica.name in self.replicas:
                replica.state = replica.seen = ReplicaState.READY
                replica.up = True
                self._changed(replica.name)
                self._touched(replica.name)

        self.later(self.scenario.start_s, ready)

    def load(self, name: str, model: str, version: int, over: Callable[[], None]) -> None:
        """`over` is told when it is live, or never will be."""
        replica = self.replicas[name]
        life, size = replica.life, self._size_mb[model]

        def live() -> None:
            if replica.life == life and replica.up and self.replicas.get(name) is replica:
                if model not in replica.models:
                    self.loaded_mb += size
                replica.models[model] = version
                self.loads += 1
                self._touched(name)
            over()
            self._changed(name)

        self.later(self.scenario.load_s + size / self.scenario.load_mb_per_s, live)

    def unload(self, name: str, model: str) -> None:
        replica = self.replicas.get(name)
        if replica is not None and replica.models.pop(model, None) is not None:
            self.loaded_mb -= self._size_mb[model]
            self._touched(name)
            self._changed(name)

    def drain(self, name: str) -> None:
        replica = self.replicas[name]
        replica.state = replica.seen = ReplicaState.DRAINING
        self._changed(name)

        def ended() -> None:
            if self.replicas.get(name) is replica:
                replica.ended, replica.up = True, False
                self._touched(name)
                self._changed(name)

        self.later(self.scenario.drain_s, ended)

    def stop(self, name: str) -> None:
        replica = self.replicas.get(name)
        if replica is None:
            return
        self._empty(replica)
        self.free[replica.node] += 1
        self.on[replica.node].pop(name, None)
        del self.replicas[name]
        self._touched(name)
        self._changed(name)

    def crash(self, name: str) -> None:
        """The process of a replica is gone; the engine begins another."""
        replica = self.replicas[name]
        self._empty(replica)
        if replica.state is ReplicaState.DRAINING:
            replica.ended = True
            self._touched(name)
            self._changed(name)
            return
        replica.state = ReplicaState.STARTING
        self._touched(name)
        life = replica.life

        def noticed() -> None:
            if replica.life == life and self.replicas.get(name) is replica:
                replica.seen = ReplicaState.STARTING
                self._changed(name)
                self._begin(replica)

        self.later(self.scenario.notice_process_s, noticed)

    def lose(self, node: str) -> list[str]:
        """A node is gone, for a while; returns its replicas."""
        self.dead.add(node)
        names = list(self.on[node])
        for name in names:
            replica = self.replicas[name]
            self._empty(replica)
            replica.state = ReplicaState.LOST
            self._touched(name)
            self._go_elsewhere(replica)
        self.later(self.scenario.repair_s, lambda: self.dead.discard(node))
        return names

    def _go_elsewhere(self, replica: Replica) -> None:
        life = replica.life

        def is_same() -> bool:
            return replica.life == life and self.replicas.get(replica.name) is replica

        def noticed() -> None:
            if is_same():
                replica.seen = ReplicaState.LOST
                self._changed(replica.name)

        def begun() -> None:
            node = self.node_with_room()
            if not is_same():
                return
            if node is None:
                self.later(30.0, begun)
                return
            self.free[replica.node] += 1
            self.on[replica.node].pop(replica.name, None)
            self._settle_on(replica, node)
            replica.state = replica.seen = ReplicaState.STARTING
            self._changed(replica.name)
            self._begin(replica)

        self.later(self.scenario.notice_node_s, noticed)
        self.later(self.scenario.notice_node_s + self.scenario.elsewhere_s, begun)

    def _empty(self, replica: Replica) -> None:
        replica.life += 1
        replica.up = False
        self.loaded_mb -= sum(self._size_mb[model] for model in replica.models)
        replica.models = {}

    def look_at(self, name: str) -> ReplicaSeen | None:
        """What the driver sees; None: there is none."""
        replica = self.replicas.get(name)
        if replica is None:
            return None
        look = self._looks.get(name)
        if look is None:
            # One that is gone, and not seen to be, is seen with nothing on it.
            self._looks[name] = look = ReplicaSeen(
                name,
                replica.seen,
                address="" if replica.ended or replica.seen is ReplicaState.STARTING else name,
                node_id=replica.node,
                models={model: self._copy(version) for model, version in replica.models.items()},
            )
        return look

    def _copy(self, version: int) -> ModelSeen:
        if version not in self._models:
            self._models[version] = ModelSeen((version,))
        return self._models[version]
