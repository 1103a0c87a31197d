"""What a simulation showed, for people and for programs. Pure."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from hotgraph_server.fleet.simulation.run import Result

_ROWS = 13


def document(result: Result) -> dict[str, Any]:
    """All of it, as values that JSON has; durations in seconds."""
    meter, replicas = result.meter, result.spec.replicas
    calls = max(meter.calls, 1e-9)
    hours = result.scenario.hours
    return {
        "fleet": result.spec.name,
        "nodes": result.nodes,
        "replicas": {"count": replicas.count, "least": replicas.least, "most": replicas.most},
        "models": len(result.spec.models),
        "scenario": dataclasses.asdict(result.scenario),
        "placed_s": result.placed_s,
        "loads_to_place": result.loads_at_first,
        "calls": round(meter.calls),
        "found_at_once": max(0.0, 1 - (meter.missed + meter.retried) / calls),
        "found_at_another": max(0.0, meter.retried / calls),
        "found_none": max(0.0, meter.missed / calls),
        "models_short_on_average": meter.short_s / (hours * 3600),
        "models_short_at_most": max((one.short for one in meter.points), default=0),
        "loads": result.loads,
        "actions": dict(sorted(result.actions.items())),
        "updates": result.updates_done,
        "update_s": _spread(result.updates_s),
        "losses": dict(sorted(result.losses.items())),
        "recovery_s": {
            kind: _spread([took for what, _, took in meter.recoveries if what == kind])
            for kind in sorted(result.losses)
        },
        "losses_not_mended": meter.unmended(),
        "over_time": [dataclasses.asdict(one) for one in meter.points],
    }


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"median": round(statistics.median(values), 1), "worst": round(max(values), 1)}


def text(document: dict[str, Any], took_s: float) -> str:
    """The same for people.

    Args:
        took_s: to simulate it.
    """
    return "\n".join(_lines(document, took_s))


def _lines(of: dict[str, Any], took_s: float) -> Iterator[str]:
    scenario, replicas = of["scenario"], of["replicas"]
    yield (
        f"simulated: {of['nodes']:,} nodes, {replicas['count']:,} replicas ({replicas['least']:,} to"
        f" {replicas['most']:,}), {of['models']:,} models, {scenario['hours']:g} hours, in {took_s:.0f} s"
    )
    yield ""
    placed = "not all were placed" if of["placed_s"] is None else f"all placed after {of['placed_s']:.0f} s"
    yield f"beginning      {placed}, {of['loads_to_place']:,} loads"
    yield f"calls          {of['calls']:,}"
    yield f"  at once      {of['found_at_once']:.6%} met a copy that answers"
    yield f"  at another   {of['found_at_another']:.6%} met one that was gone, not yet known to be: a retry"
    yield f"  none         {of['found_none']:.6%} had no copy anywhere"
    yield (
        f"models short   {of['models_short_on_average']:.2f} on average with fewer copies than asked for,"
        f" {of['models_short_at_most']:,} at most"
    )
    for kind, count in of["losses"].items():
        spread = of["recovery_s"][kind]
        took = (
            ""
            if spread is None
            else f"; whole again in {spread['median']:.0f} s (worst {spread['worst']:.0f})"
        )
        yield f"{kind}s lost".ljust(15) + f"{count:,}{took}"
    if of["losses_not_mended"]:
        yield f"{'not mended'.ljust(15)}{of['losses_not_mended']:,} losses at the end"
    update = of["update_s"]
    took = "" if update is None else f", {update['median']:.0f} s each (worst {update['worst']:.0f})"
    yield f"new versions   {of['updates']:,} of models, one copy after the other{took}"
    yield f"loads          {of['loads']:,}; " + ", ".join(
        f"{what} {n:,}" for what, n in of["actions"].items()
    )
    yield ""
    yield " hour  replicas  ready  memory  duty    calls/s  short"
    points = of["over_time"]
    for one in points[:: max(1, len(points) // _ROWS)]:
        yield (
            f"{one['at_s'] / 3600:5.1f}  {one['wanted']:8,}  {one['ready']:5,}  {one['memory']:6.0%}"
            f"  {one['duty']:4.0%}  {one['calls_per_s']:9,.0f}  {one['short']:5,}"
        )
