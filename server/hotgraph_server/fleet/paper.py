"""A fleet that is not there: nodes as somebody describes them, and replicas on them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hotgraph_server.errors import SettingsError
from hotgraph_server.fleet.observed import NodeSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.spec import ReplicaSpec

_KIND = re.compile(
    r"(?:([0-9]{1,5})x)?([0-9]{1,4}(?:\.[0-9])?)cpu([0-9]{1,5}(?:\.[0-9])?)gb(?:([0-9]{1,2})gpu)?",
    re.IGNORECASE,
)
_MOST_NODES = 10_000


def nodes_in(text: str) -> list[NodeSeen]:
    """Nodes of a text as `3x8cpu32gb` or `2x4cpu16gb,1x32cpu256gb8gpu`.

    Raises:
        SettingsError: it is none.
    """
    nodes: list[NodeSeen] = []
    for kind in text.split(","):
        found = _KIND.fullmatch(kind.strip())
        count = int(found[1] or 1) if found else 0
        if found is None or not 1 <= count <= _MOST_NODES - len(nodes):
            raise SettingsError(
                f"nodes are N x CPUS cpu GIB gb, as 3x8cpu32gb or 2x4cpu16gb,1x32cpu256gb8gpu, at most"
                f" {_MOST_NODES} in all; got {kind.strip()[:100]!r}"
            )
        cpus, memory_mb, gpus = float(found[2]), float(found[3]) * 1024, float(found[4] or 0)
        nodes += [
            NodeSeen(f"node{number}", f"node{number}", cpus, memory_mb, gpus)
            for number in range(len(nodes), len(nodes) + count)
        ]
    return nodes


def replicas_on(nodes: Sequence[NodeSeen], spec: ReplicaSpec, count: int) -> list[ReplicaSeen]:
    """So many replicas, each on the node that has most room left; fewer where there is not room for all."""
    free = [[node.cpus, node.memory_mb, node.gpus] for node in nodes]
    wants = spec.cpus, spec.memory_mb, spec.gpus
    replicas: list[ReplicaSeen] = []
    for number in range(count):
        rooms = [_room(one, wants) for one in free]
        best = max(range(len(nodes)), key=lambda place: (rooms[place], -place), default=None)
        if best is None or rooms[best] < 1:
            break
        free[best] = [have - want for have, want in zip(free[best], wants, strict=True)]
        replicas.append(ReplicaSeen(f"r{number}", ReplicaState.READY, node_id=nodes[best].node_id))
    return replicas


def own_nodes(count: int, spec: ReplicaSpec) -> list[NodeSeen]:
    """A node for each replica, just as large."""
    return [
        NodeSeen(f"node{number}", f"node{number}", spec.cpus, spec.memory_mb, spec.gpus)
        for number in range(count)
    ]


def _room(free: Sequence[float], wants: Sequence[float]) -> float:
    """So many replicas it has room for."""
    return min((have / want for have, want in zip(free, wants, strict=True) if want), default=0.0)
