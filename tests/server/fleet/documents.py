"""A status document of a fleet in which something of everything is so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hotgraph_server.fleet.observed import (
    FleetSeen,
    ModelSeen,
    NodeSeen,
    ReplicaSeen,
    ReplicaState,
    ShadowSeen,
)
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.rollout import Rollout, Step
from hotgraph_server.fleet.spec import FleetSpec, ModelSpec
from hotgraph_server.fleet.status import DriverFigures, status_document

MIB = 2**20


def fleet_spec(models: int = 0) -> FleetSpec:
    names = ["flowers", "voices", "words", *(f"team-{number:03}.model" for number in range(models))]
    specs = tuple(ModelSpec(name, copies=2) for name in names)
    return FleetSpec("shop", Path("/srv/models"), Path("/srv/fleet"), models=specs)


def document(at_s: float = 1000.0, models: int = 0) -> dict[str, Any]:
    """
    Args:
        models: besides the three that something is so of.
    """
    spec = fleet_spec(models)
    shadow = ShadowSeen(4, compared=31, differed=2, dropped=5, slower=1.07, reason="output 'y' differs")
    flowers = ModelSeen((3, 4), 210 * MIB, 5000, 3, default=3, calls_per_s=83.25, p99_ms=12.3, shadow=shadow)
    others = {f"team-{number:03}.model": ModelSeen((1,), 60 * MIB, default=1) for number in range(models)}
    replicas = (
        ReplicaSeen(
            *("r0", ReplicaState.READY, "10.0.0.1:8500", "10.0.0.1:8502", "10.0.0.1:8501", "node-a", "1.1.1"),
            models={"flowers": flowers, "voices": ModelSeen((1,), 60 * MIB, default=1), **others},
            duty=0.42,
            queue_wait_ms=1.5,
            rss_bytes=1400 * MIB,
            calls_per_s=83.25,
        ),
        ReplicaSeen(
            *("r1", ReplicaState.READY, "10.0.0.2:8500", "10.0.0.2:8502", "10.0.0.2:8501", "node-b", "2.2.2"),
            models={
                "flowers": ModelSeen((3,), 105 * MIB, 900, default=3, calls_per_s=20.0, failed_per_s=0.5)
            },
            rss_bytes=900 * MIB,
            restarts=2,
        ),
        ReplicaSeen("r2", ReplicaState.LOST, node_id="node-c"),
    )
    nodes = (
        NodeSeen("node-a", "10.0.0.1", 8, 32768),
        NodeSeen("node-b", "10.0.0.2", 8, 32768, gpus=1),
        NodeSeen("node-c", "10.0.0.3", 8, 32768, alive=False),
    )
    placed = frozenset({"flowers", "voices", *others})
    placement = Placement(
        {"r0": placed, "r1": frozenset({"flowers", "voices"})},
        reasons={"flowers": "2 copies: 103 calls/s"},
        unplaced={"words": "no replica has 9000 MB"},
        replicas_wanted=3,
    )
    rollouts = {
        "flowers": Rollout(
            *(3, 4, Step.COMPARING, "r0"),
            reason="version 4 answers in the shadow of version 3 on r0",
            shadow=shadow,
        ),
        "voices": Rollout(1, refused={2: "version 2 was refused: its runs take 2.10 times as long"}),
    }
    driver = DriverFigures(
        wall_s=at_s,
        uptime_s=3700.0,
        pid=4711,
        admin_address="127.0.0.1:9000",
        wanted=3,
        actions={"load": 7, "start": 3},
        failed_actions={"load": 1},
        recent=["start r2", "load flowers on r0 (versions 3, 4)", "r2 is lost"],
    )
    return status_document(spec, FleetSeen(5.0, nodes, replicas), placement, rollouts, driver)
