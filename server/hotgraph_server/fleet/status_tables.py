"""The status document (status.py) as tables of text, for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hotgraph_server.errors import FleetError
from hotgraph_server.fleet.status import FORMAT

STALE_S = 5.0
"""A document that is older than this is of a driver that is gone, or hangs."""

_RECENT = 6
_NONE = "-"


class Table(NamedTuple):
    """
    Attributes:
        title: of it.
        headings: of its columns; those that are figures stand to the right.
        figures: the places of these.
        rows: a text for each column.
    """

    title: str
    headings: Sequence[str]
    figures: frozenset[int]
    rows: Sequence[Sequence[str]]


class Shown(NamedTuple):
    """
    Attributes:
        head: the fleet in a line.
        warnings: what its owner should know, a line each.
        tables: nodes, replicas, models.
        recent: what the driver did last, a line each, the latest last.
    """

    head: str
    warnings: Sequence[str]
    tables: Sequence[Table]
    recent: Sequence[str]


def shown(document: Any, wall_s: float) -> Shown:
    """
    Args:
        document: as JSON was read.
        wall_s: now, seconds since the epoch.

    Raises:
        FleetError: it is no such document, or one of another version of the package.
    """
    try:
        if document["format"] != FORMAT:
            raise FleetError(f"the status is of format {document['format']!r}, this hotgraph reads {FORMAT}")
        return _shown(document, wall_s)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise FleetError(f"the status is not as it should be: {error!r}"[:200]) from error


def plain(told: Shown) -> str:
    """All of it as lines."""
    lines = [told.head, *(f"! {line}" for line in told.warnings)]
    for table in told.tables:
        widths = [max(map(len, column)) for column in zip(table.headings, *table.rows, strict=True)]
        lines += ["", table.title]
        for row in (table.headings, *table.rows):
            cells = (
                cell.rjust(width) if place in table.figures else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append(("  " + "  ".join(cells)).rstrip())
    if told.recent:
        lines += ["", "last", *(f"  {line}" for line in told.recent)]
    return "\n".join(lines)


def one_line(text: object) -> str:
    """A text that does nothing to the terminal which shows it."""
    return "".join(one if one.isprintable() else "?" for one in " ".join(str(text).split()))


def _shown(document: Mapping[str, Any], wall_s: float) -> Shown:
    replicas, models, nodes = document["replicas"], document["models"], document["nodes"]
    ready = sum(one["state"] == "ready" for one in replicas)
    calls = sum(one["calls_per_s"] for one in models)
    age_s = max(0.0, wall_s - float(document["at_s"]))
    head = (
        f"fleet {one_line(document['fleet'])}: {ready} of {document['replicas_wanted']} replicas ready, "
        f"{len(models)} models, {_figure(calls)} calls/s; {_duration(age_s)} old"
    )
    return Shown(
        head,
        _warnings(document, age_s),
        [_nodes(nodes), _replicas(replicas, nodes), _models(models)],
        [one_line(line) for line in document["driver"]["recent"]][-_RECENT:],
    )


def _warnings(document: Mapping[str, Any], age_s: float) -> list[str]:
    found = []
    if age_s > STALE_S:
        pid = int(document["driver"]["pid"])
        found.append(
            f"no driver tells of it for {_duration(age_s)} (it was process {pid}): hotgraph fleet up takes "
            "over; replicas that run go on without one"
        )
    found += [f"{one['replica_id']} is lost" for one in document["replicas"] if one["state"] == "lost"]
    found += [f"{one['replica_id']}: {one['trouble']}" for one in document["replicas"] if one.get("trouble")]
    for one in document["models"]:
        if one["unplaced"]:
            found.append(f"{one['name']} has no place: {one['unplaced']}")
        # Of a driver of an earlier version there is none.
        for replica_id, why in one.get("not_loaded", {}).items():
            found.append(f"{one['name']} is not on {replica_id}: {why}")
        rollout = one["rollout"]
        if rollout is None:
            continue
        if not rollout["serving"] and rollout["reason"]:
            found.append(f"{one['name']}: {rollout['reason']}")
        elif rollout["step"] != "steady":
            found.append(f"{one['name']}: {rollout['reason']}{_compared(rollout)}")
        else:
            found += [f"{one['name']}: {why}" for why in rollout["refused"].values()]
    return [one_line(line) for line in found]


def _compared(rollout: Mapping[str, Any]) -> str:
    slower = "" if rollout["slower"] is None else f", runs take {rollout['slower']:.2f} times as long"
    return f" ({rollout['compared']} compared, {rollout['differed']} differed{slower})"


def _nodes(nodes: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            one_line(one["address"] or one["node_id"]),
            "alive" if one["alive"] else "gone",
            str(one["replicas"]),
            _figure(one["cpus"]),
            _megabytes(one["memory_mb"]),
            _figure(one["gpus"]),
        ]
        for one in nodes
    ]
    headings = ["node", "state", "replicas", "cpus", "memory", "gpus"]
    return Table("nodes", headings, frozenset({2, 3, 4, 5}), rows)


def _replicas(replicas: Sequence[Mapping[str, Any]], nodes: Sequence[Mapping[str, Any]]) -> Table:
    addresses = {one["node_id"]: one["address"] for one in nodes}
    rows = [
        [
            one_line(one["replica_id"]),
            one_line(one["state"]),
            one_line(one["address"] or _NONE),
            one_line(addresses.get(one["node_id"]) or _NONE),
            str(one["restarts"]),
            f"{100 * one['duty']:.0f} %",
            f"{one['queue_wait_ms']:.1f} ms",
            _figure(one["calls_per_s"]),
            _megabytes(one["rss_bytes"] / 2**20) if one["rss_bytes"] else _NONE,
            str(len(one["models"])),
        ]
        for one in replicas
    ]
    headings = [
        "replica",
        "state",
        "address",
        "node",
        "restarts",
        "duty",
        "waits",
        "calls/s",
        "memory",
        "models",
    ]
    return Table("replicas", headings, frozenset(range(4, 10)), rows)


def _models(models: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            one_line(one["name"]),
            f"{one['copies']} of {one['copies_wanted']}",
            one_line(", ".join(map(str, one["versions"])) or _NONE),
            _step(one["rollout"]),
            _megabytes(one["memory_bytes"] / 2**20) if one["memory_bytes"] else _NONE,
            _figure(one["calls_per_s"]),
            _figure(one["failed_per_s"]),
            _NONE if one["p99_ms"] is None else f"{one['p99_ms']:.3g} ms",
            one_line(", ".join(one["replicas"]) or _NONE),
        ]
        for one in models
    ]
    headings = ["model", "copies", "version", "rollout", "memory", "calls/s", "failed/s", "p99", "on"]
    return Table("models", headings, frozenset({1, 4, 5, 6, 7}), rows)


def _step(rollout: Mapping[str, Any] | None) -> str:
    if rollout is None:
        return _NONE
    to = f" to {rollout['coming']}" if rollout["coming"] else ""
    return one_line(f"{rollout['step']}{to}")


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _megabytes(value: float) -> str:
    return f"{value / 1024:.1f} GB" if value >= 1024 else f"{value:.0f} MB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"
