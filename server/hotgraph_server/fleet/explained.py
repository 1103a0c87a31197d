"""A plan for people and for programs: what is where, why, and what would change. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hotgraph_server.fleet.needs import MB, ModelNeeds
from hotgraph_server.fleet.observed import ModelSeen, NodeSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.spec import FleetSpec

_MOST_ROWS = 60
_WIDE = 34
# Columns that are flush to the right.
_FIGURES = ("copies", "MB", "of it", "duty")


def document(
    spec: FleetSpec,
    nodes: Sequence[NodeSeen],
    replicas: Sequence[ReplicaSeen],
    needs: Mapping[str, ModelNeeds],
    now: Placement | None,
    planned: Placement,
) -> dict[str, Any]:
    """A plan, as values that JSON has.

    Args:
        now: what is live; None: the fleet is on paper.
    """
    homes = _homes(planned)
    return {
        "fleet": spec.name,
        "on_paper": now is None,
        "nodes": len(nodes),
        "replicas_wanted": planned.replicas_wanted,
        "replicas": [_replica(spec, one, needs, homes, now, planned) for one in replicas],
        "models": [_model(one.name, needs[one.name], homes, now, planned) for one in spec.models],
    }


def _homes(placement: Placement) -> dict[str, list[str]]:
    homes: dict[str, list[str]] = {}
    for replica, names in placement.models.items():
        for name in names:
            homes.setdefault(name, []).append(replica)
    return homes


def _replica(
    spec: FleetSpec,
    replica: ReplicaSeen,
    needs: Mapping[str, ModelNeeds],
    homes: Mapping[str, Sequence[str]],
    now: Placement | None,
    planned: Placement,
) -> dict[str, Any]:
    names = sorted(planned.models.get(replica.replica_id, ()))
    memory_mb = sum(needs[name].memory_bytes for name in names) / MB
    before = frozenset(names) if now is None else now.models.get(replica.replica_id, frozenset())
    return {
        "replica_id": replica.replica_id,
        "node": replica.node_id,
        "models": names,
        "memory_mb": round(memory_mb, 1),
        "memory_share": round(memory_mb / spec.replicas.for_models_mb, 4),
        "duty": round(sum(needs[name].duty(len(homes[name])) for name in names), 4),
        "load": sorted(set(names) - before),
        "unload": sorted(before - set(names)),
    }


def _model(
    name: str,
    needs: ModelNeeds,
    homes: Mapping[str, Sequence[str]],
    now: Placement | None,
    planned: Placement,
) -> dict[str, Any]:
    there = sorted(homes.get(name, ()))
    return {
        "name": name,
        "copies": len(there),
        "copies_now": None if now is None else sum(name in names for names in now.models.values()),
        "replicas": there,
        "memory_mb": round(needs.memory_bytes / MB, 1),
        "memory_from": needs.memory_from,
        "rate_per_s": round(needs.rate_per_s, 3),
        "duty": round(needs.duty(len(there)), 4) if there else 0.0,
        "why": planned.reasons.get(name, ""),
        "unplaced": planned.unplaced.get(name, ""),
    }


def text(document: Mapping[str, Any], wide: bool = False) -> str:
    """The same for people.

    Args:
        wide: all models and all replicas, however many there are.
    """
    return "\n".join(_lines(document, 10**9 if wide else _MOST_ROWS))


def _lines(document: Mapping[str, Any], most: int) -> Iterator[str]:
    replicas, models = document["replicas"], document["models"]
    what = "on paper" if document["on_paper"] else "for what runs"
    yield f"fleet {document['fleet']}, {what}: {_count(document['nodes'], 'node')}, " + (
        f"{_count(len(replicas), 'replica')}, {_count(len(models), 'model')}"
    )
    yield ""
    rows: list[tuple[str, ...]] = [
        (
            *(one["replica_id"], one["node"], f"{one['memory_mb']:,.0f}"),
            *(f"{one['memory_share']:.0%}", f"{one['duty']:.0%}", _some(one["models"])),
        )
        for one in replicas[:most]
    ]
    yield from _table(("replica", "node", "MB", "of it", "duty", "models"), rows, len(replicas))
    yield ""
    rows = [
        (one["name"], str(one["copies"]), f"{one['memory_mb']:,.0f}", _some(one["replicas"]), one["why"])
        for one in models[:most]
        if one["copies"]
    ]
    yield from _table(
        ("model", "copies", "MB", "where", "why"), rows, sum(one["copies"] > 0 for one in models)
    )
    yield from _unplaced([one for one in models if one["unplaced"]], most)
    yield from _changes(document, most)
    yield ""
    yield _verdict(document)


def _unplaced(models: Sequence[Mapping[str, Any]], most: int) -> Iterator[str]:
    if models:
        yield ""
        yield from _table(
            ("without a place", "why"), [(one["name"], one["unplaced"]) for one in models[:most]], len(models)
        )


def _changes(document: Mapping[str, Any], most: int) -> Iterator[str]:
    if document["on_paper"]:
        return
    rows = [
        (one["replica_id"], _some(one["load"]), _some(one["unload"]))
        for one in document["replicas"]
        if one["load"] or one["unload"]
    ]
    yield ""
    if rows:
        yield from _table(("would change", "loads", "gives up"), rows[:most], len(rows))
    else:
        yield "nothing would change"


def _verdict(document: Mapping[str, Any]) -> str:
    replicas, wanted = len(document["replicas"]), document["replicas_wanted"]
    short = sum(bool(one["unplaced"]) for one in document["models"])
    if short and wanted > replicas:
        return (
            f"{_count(short, 'model')} short of copies: {_count(wanted, 'replica')} would have room for all"
        )
    if short:
        return f"{_count(short, 'model')} short of copies"
    if wanted > replicas:
        return f"all is placed; {_count(wanted, 'replica')} would also have the time that is aimed at"
    return f"all is placed; {_count(wanted, 'replica')} would be enough"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _some(names: Sequence[str]) -> str:
    shown: list[str] = []
    for name in names:
        if shown and len(", ".join([*shown, name])) > _WIDE:
            return f"{', '.join(shown)} +{len(names) - len(shown)}"
        shown.append(name)
    return ", ".join(shown) or "-"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], of: int) -> Iterator[str]:
    """Columns, figures to the right."""
    widths = [max(len(row[at]) for row in (heads, *rows)) for at in range(len(heads))]
    figures = [head in _FIGURES for head in heads]
    for row in (heads, *rows):
        cells = (
            cell.rjust(width) if figure else cell.ljust(width)
            for cell, width, figure in zip(row, widths, figures, strict=True)
        )
        yield "  ".join(cells).rstrip()
    if of > len(rows):
        yield f"... and {of - len(rows):,} more (--all shows them)"


def seen_in(status: Mapping[str, Any]) -> tuple[list[NodeSeen], list[ReplicaSeen]]:
    """Nodes and replicas of a driver's status.json; see status.py.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    nodes = [
        NodeSeen(
            one["node_id"], one["address"], one["cpus"], one["memory_mb"], one["gpus"], bool(one["alive"])
        )
        for one in status["nodes"]
    ]
    models: dict[str, dict[str, ModelSeen]] = {}
    for one in status["models"]:
        for replica in one["replicas"]:
            models.setdefault(replica, {})[one["name"]] = _copy(one)
    replicas = [
        ReplicaSeen(
            one["replica_id"],
            ReplicaState(one["state"]),
            node_id=one["node_id"],
            models=models.get(one["replica_id"], {}),
            duty=float(one["duty"]),
        )
        for one in status["replicas"]
    ]
    return nodes, replicas


def _copy(model: Mapping[str, Any]) -> ModelSeen:
    """One of a model's copies, which are taken for alike."""
    copies = len(model["replicas"])
    rate, run_ms = float(model["calls_per_s"]) / copies, float(model["run_ms"])
    versions = tuple(int(one) for one in model["versions"])
    return ModelSeen(
        versions,
        int(model["memory_bytes"]) // copies,
        # Of as many calls as make the figure.
        calls=1000,
        run_s=run_ms,
        calls_per_s=rate,
    )
