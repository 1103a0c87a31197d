from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

from hotgraph_server.fleet.observed import NodeSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.spec import ReplicaSpec
from hotgraph_server.fleet.spreading import Spreading

WANTS = ReplicaSpec(cpus=2, memory_mb=1000)
NODES = [NodeSeen(name, name, 4, 4000) for name in "abc"]


def on(name: str, node: str) -> ReplicaSeen:
    return ReplicaSeen(name, ReplicaState.READY, node_id=node)


def test_replica_goes_where_fewest_are_and_room_is() -> None:
    there = [on("r0", "a"), on("r1", "a"), on("r2", "b")]
    spreading = Spreading(WANTS)
    assert spreading.choose("r3", NODES, there) == "c"
    assert spreading.choose("r4", NODES, there) == "b"
    assert spreading.choose("r5", NODES, there) == "c"
    assert spreading.choose("r6", NODES, there) is None


def test_replica_that_has_said_where_it_is_counts_once_and_one_that_is_gone_no_more() -> None:
    spreading = Spreading(WANTS)
    assert spreading.choose("r0", NODES, []) == "a"
    assert spreading.choose("r1", NODES, [on("r0", "a")]) == "b"
    spreading.forget("r0")
    spreading.forget("r1")
    assert spreading.choose("r2", NODES, [on("r0", "b")]) == "a"


def test_dead_node_gets_nothing() -> None:
    nodes = [NodeSeen("a", "a", 4, 4000, alive=False), NodeSeen("b", "b", 4, 4000)]
    assert Spreading(WANTS).choose("r0", nodes, []) == "b"


def test_replicas_that_are_begun_at_once_go_to_nodes_of_their_own() -> None:
    spreading, gate = Spreading(WANTS), threading.Barrier(3)
    chosen: list[str | None] = []

    def nodes() -> Iterator[NodeSeen]:
        # All of them are asked for a node before any has one, if nothing keeps them apart.
        with contextlib.suppress(threading.BrokenBarrierError):
            gate.wait(0.05)
        yield from NODES

    threads = [
        threading.Thread(target=lambda name=name: chosen.append(spreading.choose(name, nodes(), [])))
        for name in ("r0", "r1", "r2")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(chosen) == Counter(["a", "b", "c"])
