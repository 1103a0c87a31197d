"""The rollouts of all models of a fleet; how one goes is in rollout_steps.py. Pure: a driver asks
`follow_all` at each look, and has the versions that it returns loaded by reconcile.py."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hotgraph_server.fleet.actions import Action, Load
from hotgraph_server.fleet.crashes import MOST
from hotgraph_server.fleet.memory import Failure
from hotgraph_server.fleet.observed import FleetSeen, ReplicaState
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.rollout import Copy, Rollout, Versions, View
from hotgraph_server.fleet.rollout_steps import follow
from hotgraph_server.fleet.spec import FleetSpec


@dataclass(frozen=True)
class Followed:
    """
    Attributes:
        rollouts: where each model's is now, by name.
        versions: that each (replica, model) is to have.
        waiting: models of which it is not known yet which version is served, so that none shall be loaded.
    """

    rollouts: Mapping[str, Rollout]
    versions: Mapping[tuple[str, str], Versions]
    waiting: frozenset[str]


def follow_all(
    spec: FleetSpec,
    seen: FleetSeen,
    placement: Placement,
    there: Mapping[str, Collection[int]],
    failed: Mapping[Action, Failure],
    rollouts: Mapping[str, Rollout],
) -> Followed:
    """All models of a fleet, at a look.

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
        # That a server was lost meanwhile says nothing of the version, unless it happens each time.
        if isinstance(action, Load) and (not failure.gone or failure.times >= MOST):
            of_model = faults.setdefault(action.model, {})
            of_model[action.replica_id, action.versions] = failure.at_s, failure.why
    unheard = any(one.state in (ReplicaState.STARTING, ReplicaState.LOST) for one in seen.replicas)
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
            unheard=unheard,
        )
        found[name], wanted = follow(view, rollouts.get(name))
        versions |= {(replica_id, name): numbers for replica_id, numbers in wanted.items()}
    waiting = {one.name for one in spec.models if one.name not in found or not found[one.name].serving}
    return Followed(found, versions, frozenset(waiting))
