"""Which node each replica is put on: the one with the fewest that has room for one more. May be asked by any
thread: several replicas are begun at once, and each has to know of the others."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from hotgraph_server.fleet.observed import NodeSeen, ReplicaSeen
from hotgraph_server.fleet.spec import ReplicaSpec


class Spreading:
    """Of one fleet.

    Args:
        replicas: what each takes.
    """

    def __init__(self, replicas: ReplicaSpec) -> None:
        self._wants = replicas
        # Where replicas were put that have not said yet where they are.
        self._put: dict[str, str] = {}
        # Two that choose at the same time would choose the same.
        self._lock = threading.Lock()

    def choose(
        self, replica_id: str, nodes: Iterable[NodeSeen], replicas: Sequence[ReplicaSeen]
    ) -> str | None:
        """The node for a replica, which counts there from now on; None: none has room."""
        with self._lock:
            on = {one.replica_id: one.node_id for one in replicas if one.node_id}
            there: dict[str, int] = {}
            for node_id in {**on, **self._put}.values():
                there[node_id] = there.get(node_id, 0) + 1
            fitting = [one for one in nodes if one.alive and self._has_room(one, there.get(one.node_id, 0))]
            if not fitting:
                return None
            chosen = min(fitting, key=lambda one: (there.get(one.node_id, 0), one.node_id)).node_id
            self._put[replica_id] = chosen
            return chosen

    def forget(self, replica_id: str) -> None:
        """It has said where it is, or is gone."""
        with self._lock:
            self._put.pop(replica_id, None)

    def _has_room(self, node: NodeSeen, there: int) -> bool:
        wants, count = self._wants, there + 1
        return (
            count * wants.cpus <= node.cpus
            and count * wants.memory_mb <= node.memory_mb
            and count * wants.gpus <= node.gpus
        )
