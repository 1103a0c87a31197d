"""A plan of a fleet: the planner's best of its ways, in values and words. Pure.

planner.py says what a plan promises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hotgraph_server.fleet.needed import replicas_needed
from hotgraph_server.fleet.needs import MB, ModelNeeds
from hotgraph_server.fleet.observed import NodeSeen, ReplicaSeen
from hotgraph_server.fleet.packing import Model
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.planner import Planner, Way
from hotgraph_server.fleet.spec import FleetSpec

_NOTHING = (0, 0.0, 0, 0)


def plan(
    spec: FleetSpec,
    nodes: Sequence[NodeSeen],
    replicas: Sequence[ReplicaSeen],
    models: Mapping[str, ModelNeeds],
    before: Placement,
) -> Placement:
    """Place the models of the spec.

    Args:
        nodes: that are there; where a replica is, it says itself.
        replicas: that models may be placed on, whatever their state: not those that go.
        models: what is known of each; of one that is not there, nothing.
        before: the plan that holds so far. Of a driver that has just come: `seen_placement`.
    """
    places = [(one.replica_id, one.node_id) for one in replicas]
    best = _settled(Planner(spec, places, models, before.models, mends=False))
    for way in Way:
        if _lacks(best) == _NOTHING:
            break
        # What is as good as what there is, and other, is not worth a load.
        best = min(best, _settled(Planner(spec, places, models, before.models, way)), key=_lacks)
    return placement_of(best, before)


def _settled(planner: Planner) -> Planner:
    planner.settle()
    return planner


def held_by(planner: Planner) -> dict[str, frozenset[str]]:
    """What each replica has by a plan."""
    packing = planner.packing
    return {name: frozenset(packing.on[place]) for name, place in packing.places().items()}


def _lacks(planner: Planner) -> tuple[int, float, int, int]:
    """What a plan leaves undone: copies of pinned models; calls a second of models without a copy, the number
    of those; and copies."""
    short = [model for model in planner.models.values() if model.missing]
    without = [model for model in short if not model.homes]
    rates = sum(planner.needs[model.name].rate_per_s for model in without)
    pinned = sum(model.missing for model in short if model.pin)
    return pinned, round(rates, 6), len(without), sum(model.missing for model in short)


def seen_placement(replicas: Iterable[ReplicaSeen]) -> Placement:
    """What is live, as if it had been planned so."""
    return Placement({one.replica_id: frozenset(one.models) for one in replicas})


def placement_of(planner: Planner, before: Placement) -> Placement:
    """A settled plan in values and words."""
    packing = planner.packing
    models = held_by(planner)
    moved = _moved(models, before.models) if before.models else None
    unplaced = {
        model.name: _why_not(planner, model)
        for model in planner.models.values()
        if model.missing or len(model.homes) < model.least
    }
    reasons = {
        name: _why(planner, model, None if moved is None else moved.get(name, ""))
        for name, model in planner.models.items()
        if model.homes
    }
    wanted = replicas_needed(planner.spec, planner.needs)
    if any(planner.models[name].memory <= 1 for name in unplaced):
        # Enough if it began anew; what is placed is not moved for that.
        wanted = max(wanted, packing.alive + 1)
    return Placement(models, reasons, unplaced, wanted)


def _moved(now: Mapping[str, frozenset[str]], before: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """By model: the replicas where it is new."""
    new: dict[str, list[str]] = {}
    for replica in sorted(now):
        for name in now[replica] - before.get(replica, frozenset()):
            new.setdefault(name, []).append(replica)
    return {name: _some(replicas) for name, replicas in new.items()}


def _some(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _why(planner: Planner, model: Model, new_on: str | None) -> str:
    needs = planner.needs[model.name]
    words = [_why_so_many(planner, model, needs)]
    if needs.rate_per_s and model.duty:
        words.append(f"{needs.rate_per_s:.3g} calls/s keep each busy for {model.duty:.0%}")
    words.append(f"{needs.memory_bytes / MB:,.0f} MB each ({needs.memory_from})")
    if len(model.homes) > 1 and planner.packing.nodes > 1:
        words.append(f"on {planner.packing.nodes_of(model)} nodes")
    if new_on is not None:
        words.append(f"new on {new_on}" if new_on else "stays")
    return "; ".join(words)


def _why_so_many(planner: Planner, model: Model, needs: ModelNeeds) -> str:
    count = len(model.homes)
    noun = "copy" if count == 1 else "copies"
    if model.pin:
        return f"{count} {noun}: pinned to every replica"
    if count < model.least:
        return f"{count} of {model.least} copies"
    if count > model.wanted:
        return f"{count} {noun}: {model.wanted} needed, others as long as nobody needs their room"
    if count > model.least:
        return f"{count} {noun}: so many for its rate"
    return f"{count} {noun}: as asked for" if model.least > 1 else f"{count} {noun}"


def _why_not(planner: Planner, model: Model) -> str:
    packing = planner.packing
    missing = max(model.missing, model.least - len(model.homes))
    what = f"{missing} of {missing + len(model.homes)} copies" if model.homes else "no copy of it"
    if not packing.alive:
        return f"{what} has a place: there is no replica"
    if model.memory > 1:
        room = planner.spec.replicas.for_models_mb
        size = planner.needs[model.name].memory_bytes / MB
        return f"{what} has a place: it takes {size:,.0f} MB, and a replica has {room:,} for models"
    allowed = packing.allowed(model)
    if not allowed.any():
        if not model.apart:
            return f"{what} without a place: there are {packing.alive} replicas, and each has it"
        return f"{what} without a place: each other replica has a model that it is to be apart from"
    free = max(0.0, float((1 - packing.memory[allowed]).max())) * planner.spec.replicas.for_models_mb
    size = planner.needs[model.name].memory_bytes / MB
    return f"{what} without a place: it takes {size:,.0f} MB, and no replica has more than {free:,.0f} left"
