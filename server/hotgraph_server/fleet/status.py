"""What a fleet is like now, as values that JSON has: what the driver writes into status.json, and what
its page and `hotgraph fleet status` show. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hotgraph_server.fleet.actions import Action, Load
from hotgraph_server.fleet.memory import Failure
from hotgraph_server.fleet.observed import FleetSeen, ModelSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.rollout import Rollout
from hotgraph_server.fleet.spec import FleetSpec

FORMAT = 1
"""Of the document; raised where a reader of an older one would be misled."""

FILE_NAME = "status.json"
"""In the fleet's state folder."""


@dataclass(frozen=True)
class DriverFigures:
    """What the driver knows of itself.

    Attributes:
        wall_s: now, seconds since the epoch.
        uptime_s: of it.
        pid: of it.
        reconciled_s_ago: since it last compared what shall be with what is, seconds.
        admin_address: HOST:PORT of its page; empty: it has none.
        wanted: of replicas, by what scaling has come to.
        actions: that went well, by kind (start, drain, stop, load, unload, ...).
        failed_actions: that did not.
        recent: what it did last, a line each, the latest last.
    """

    wall_s: float
    uptime_s: float = 0.0
    pid: int = 0
    reconciled_s_ago: float = 0.0
    admin_address: str = ""
    wanted: int = 0
    actions: Mapping[str, int] = field(default_factory=dict)
    failed_actions: Mapping[str, int] = field(default_factory=dict)
    recent: Sequence[str] = ()


def status_document(
    spec: FleetSpec,
    seen: FleetSeen,
    placement: Placement,
    rollouts: Mapping[str, Rollout],
    driver: DriverFigures,
    failed: Mapping[Action, Failure] | None = None,
) -> dict[str, Any]:
    """All that is shown of a fleet.

    Args:
        rollouts: of models whose versions are followed, by name.
        failed: actions that failed last; what is told of them are loads of what a replica has no version of.
    """
    return {
        "format": FORMAT,
        "fleet": spec.name,
        "at_s": driver.wall_s,
        "driver": {
            "pid": driver.pid,
            "uptime_s": round(driver.uptime_s, 1),
            "reconciled_s_ago": round(driver.reconciled_s_ago, 3),
            "admin_address": driver.admin_address,
            "actions": dict(driver.actions),
            "failed_actions": dict(driver.failed_actions),
            "recent": list(driver.recent),
        },
        "replicas_wanted": driver.wanted or spec.replicas.count,
        "replicas_needed": placement.replicas_wanted,
        "nodes": _nodes(seen),
        "replicas": [_replica(one) for one in sorted(seen.replicas, key=lambda one: one.replica_id)],
        "models": _models(spec, seen, placement, rollouts, _not_loaded(seen, failed or {})),
    }


def _not_loaded(seen: FleetSeen, failed: Mapping[Action, Failure]) -> dict[str, dict[str, str]]:
    """By model and replica: why it is not there."""
    there = {one.replica_id: one.models.keys() for one in seen.replicas}
    found: dict[str, dict[str, str]] = {}
    for action, failure in failed.items():
        if isinstance(action, Load) and action.model not in there.get(action.replica_id, ()):
            found.setdefault(action.model, {})[action.replica_id] = " ".join(failure.why.split())[:300]
    return found


def _nodes(seen: FleetSeen) -> list[dict[str, Any]]:
    return [
        {
            "node_id": node.node_id,
            "address": node.address,
            "alive": node.alive,
            "cpus": node.cpus,
            "memory_mb": node.memory_mb,
            "gpus": node.gpus,
            "replicas": sum(one.node_id == node.node_id for one in seen.replicas),
        }
        for node in sorted(seen.nodes, key=lambda one: (one.address, one.node_id))
    ]


def _replica(replica: ReplicaSeen) -> dict[str, Any]:
    return {
        "replica_id": replica.replica_id,
        "state": replica.state.value,
        "address": replica.address,
        "rest_address": replica.rest_address,
        "admin_address": replica.admin_address,
        "node_id": replica.node_id,
        "restarts": replica.restarts,
        "duty": round(replica.duty, 4),
        "queue_wait_ms": round(replica.queue_wait_ms, 3),
        "calls_per_s": round(replica.calls_per_s, 2),
        "rss_bytes": replica.rss_bytes,
        "models": sorted(replica.models),
        "trouble": replica.trouble,
    }


def _models(
    spec: FleetSpec,
    seen: FleetSeen,
    placement: Placement,
    rollouts: Mapping[str, Rollout],
    not_loaded: Mapping[str, Mapping[str, str]],
) -> list[dict[str, Any]]:
    ready = [one for one in seen.replicas if one.state is ReplicaState.READY]
    wanted: dict[str, int] = {}
    for placed in placement.models.values():
        for name in placed:
            wanted[name] = wanted.get(name, 0) + 1
    # One pass: a fleet may have thousands of models.
    there: dict[str, list[tuple[ReplicaSeen, ModelSeen]]] = {}
    for replica in ready:
        for name, model in replica.models.items():
            if model.versions:
                there.setdefault(name, []).append((replica, model))
    for one in spec.models:
        # What finds no place is missing all the same.
        wanted[one.name] = max(wanted.get(one.name, 0), one.copies)
    names = sorted({*(model.name for model in spec.models), *wanted, *there, *placement.unplaced})
    return [
        {
            "name": name,
            "copies_wanted": wanted.get(name, 0),
            "copies": len(there.get(name, ())),
            "why": placement.reasons.get(name, ""),
            "unplaced": placement.unplaced.get(name, ""),
            "not_loaded": dict(sorted(not_loaded.get(name, {}).items())),
            **_model(there.get(name, ())),
            "rollout": _rollout(rollouts[name]) if name in rollouts else None,
        }
        for name in names
    ]


def _model(copies: Sequence[tuple[ReplicaSeen, ModelSeen]]) -> dict[str, Any]:
    models = [model for _, model in copies]
    return {
        "replicas": sorted(replica.replica_id for replica, _ in copies),
        "versions": sorted({number for model in models for number in model.versions}),
        "defaults": sorted({model.default for model in models if model.default}),
        "memory_bytes": sum(model.memory_bytes for model in models),
        "calls_per_s": round(sum(model.calls_per_s for model in models), 2),
        # Of its calls since its servers' start, what runs have cost each.
        "run_ms": round(
            1000 * sum(one.run_s for one in models) / max(sum(one.calls for one in models), 1), 4
        ),
        "failed_per_s": round(sum(model.failed_per_s for model in models), 2),
        # Of the slowest copy: callers meet that one as often as the others.
        "p99_ms": max((model.p99_ms for model in models if model.p99_ms is not None), default=None),
    }


def _rollout(rollout: Rollout) -> dict[str, Any]:
    seen = rollout.shadow
    return {
        "step": rollout.step.value,
        "serving": rollout.serving,
        "coming": rollout.coming,
        "canary": rollout.canary,
        "reason": rollout.reason,
        "refused": {str(number): why for number, why in sorted(rollout.refused.items())},
        "compared": seen.compared if seen else 0,
        "differed": seen.differed if seen else 0,
        "failed": seen.failed if seen else 0,
        "dropped": seen.dropped if seen else 0,
        "slower": seen.slower if seen else None,
        "largest": seen.largest if seen else 0.0,
    }
