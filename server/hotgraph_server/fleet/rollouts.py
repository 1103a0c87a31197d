"""The rollouts of all models of a fleet. Pure; how one goes: rollout.py.

rollouts, versions = follow_all(spec, seen, placement, there, memory.failed, rollouts)
reconcile(Desired(spec, wanted, placement, versions), seen, memory)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hotgraph_server.fleet.actions import Action, Load
from hotgraph_server.fleet.memory import Failure
from hotgraph_server.fleet.observed import FleetSeen, ReplicaState
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.rollout import Copy, Rollout, Versions, View, follow
from hotgraph_server.fleet.spec import FleetSpec


def follow_all(
    spec: FleetSpec,
    seen: FleetSeen,
    placement: Placement,
    there: Mapping[str, Collection[int]],
    failed: Mapping[Action, Failure],
    rollouts: Mapping[str, Rollout],
) -> tuple[dict[str, Rollout], dict[tuple[str, str], Versions]]:
    """Where each model's rollout is now, and which versions each (replica, model) is to have.

    Args:
        there: complete versions in the repository, by model; a model that is not among these has not been
            looked at yet, and stays as it is.
        failed: actions that failed.
        rollouts: as this has returned them before; or restored (rollout.py), or none.
    """
    placed: dict[str, list[str]] = {}
    for replica_id, models in placement.models.items():
        for name in models:
            placed.setdefault(name, []).append(replica_id)
    copies: dict[str, dict[str, Copy]] = {}
    for replica in seen.replicas:
        if replica.state is ReplicaState.READY:
            for name, model in replica.models.items():
                if model.versions:
                    copies.setdefault(name, {})[replica.replica_id] = Copy(replica.incarnation, model)
    faults: dict[str, dict[tuple[str, Versions], tuple[float, str]]] = {}
    for action, failure in failed.items():
        if isinstance(action, Load):
            of_model = faults.setdefault(action.model, {})
            of_model[action.replica_id, action.versions] = failure.at_s, failure.why
    found: dict[str, Rollout] = {}
    versions: dict[tuple[str, str], Versions] = {}
    for model_spec in spec.models:
        name = model_spec.name
        if name not in there:
            if name in rollouts:
                found[name] = now = rollouts[name]
                if now.serving:
                    versions |= {(one, name): (now.serving,) for one in placed.get(name, ())}
            continue
        view = View(
            spec=spec.rollout,
            version=model_spec.version,
            there=there[name],
            placed=placed.get(name, ()),
            copies=copies.get(name, {}),
            failed=faults.get(name, {}),
            now_s=seen.at_s,
        )
        found[name], wanted = follow(view, rollouts.get(name))
        versions |= {(replica_id, name): numbers for replica_id, numbers in wanted.items()}
    return found, versions
