"""The figures for the live page, of several processes as if they were one. Pure; see status.py."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from hotgraph_server.last_errors import without_numbers

# The share of the time that executors run, and not how many of them do.
_MEANS = ("busy_s",)
_COUNTS = (
    *("processes", "cpu_s", "serving_cpu_s", "executors_cpu_s", "others_cpu_s", "rss_bytes", "state_bytes"),
    "memory_bytes",
    *("waiting", "runs", "failed_runs", "rows", "answered", "failed", "cache_hits", "ran_s", "waited_s"),
    *("rows_per_run", "run_durations", "wait_durations", "call_durations", "events"),
)
_LIVE = "live"

MAX_ERRORS = 100
"""Different errors that are shown, of all models and processes together."""


def summed(statuses: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What status.status says of several processes, at least one, as of one: counts are added up, and what is
    said in words is the first one's. It is live when all are."""
    states = [one["state"] for one in statuses]
    return {
        **_added(statuses),
        "uptime_s": min(one["uptime_s"] for one in statuses),
        "state": next((state for state in states if state != _LIVE), _LIVE),
        "process": _process([one["process"] for one in statuses]),
        "errors": _errors([one["errors"] for one in statuses]),
        "models": _joined([one["models"] for one in statuses], "name", _model),
    }


def _process(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    # Where they share processors each says the same; where each has its own, that is what they have together.
    return {**_added(figures), "processors": sum(one["processors"] for one in figures)}


def _errors(lists: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Those of one kind joined, with the words of the one that came last; the last first."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for error in (error for one in lists for error in one):
        names = (error["model"], error["version"], error["signature"], error["status"])
        key = (*names, without_numbers(error["text"]))
        same = found.get(key, {**error, "times": 0})
        last = max(same, error, key=lambda one: one["at_s"])
        found[key] = {**last, "times": same["times"] + error["times"]}
    return sorted(found.values(), key=lambda one: -one["at_s"])[:MAX_ERRORS]


def _model(models: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {**models[0], "versions": _joined([one["versions"] for one in models], "number", _version)}


def _version(versions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    signatures = _joined([one["signatures"] for one in versions], "name", _added)
    told = {**_added(versions), "signatures": signatures}
    shadows = [one["shadow"] for one in versions if one.get("shadow") is not None]
    return {**told, "shadow": _shadow(shadows)} if shadows else told


def _shadow(told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    slower = [one["slower"] for one in told if one["slower"] is not None]
    return {
        **told[0],
        **{name: sum(one[name] for one in told) for name in ("compared", "differed", "failed", "dropped")},
        # Of medians; a few processes of one machine are alike.
        "slower": median(slower) if slower else None,
        "largest": max(one["largest"] for one in told),
        "reason": next((one["reason"] for one in told if one["reason"]), ""),
    }


def _joined(lists: Sequence[Sequence[dict[str, Any]]], key: str, join: Any) -> list[dict[str, Any]]:
    """Lists of things with a name: those of one name joined, in the order in which they come."""
    found: dict[Any, list[dict[str, Any]]] = {}
    for one in lists:
        for item in one:
            found.setdefault(item[key], []).append(item)
    return [join(same) for same in found.values()]


def _added(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    result = dict(items[0])
    for key in result:
        if key in _COUNTS:
            result[key] = _sum([one[key] for one in items])
        elif key in _MEANS:
            result[key] = sum(one[key] for one in items) / len(items)
    return result


def _sum(values: Sequence[Any]) -> Any:
    if None in values:
        return None
    first = values[0]
    if isinstance(first, dict):
        return {key: sum(one.get(key, 0) for one in values) for key in {k: 0 for one in values for k in one}}
    if isinstance(first, (list, tuple)):
        return [sum(column) for column in zip(*values, strict=True)]
    return sum(values)
