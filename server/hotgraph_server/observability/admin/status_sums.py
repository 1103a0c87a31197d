"""The figures for the live page, of several processes as if they were one. Pure; see status.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# The share of the time that executors run, and not how many of them do.
_MEANS = ("busy_s",)
_COUNTS = (
    *("waiting", "runs", "failed_runs", "rows", "answered", "failed", "ran_s", "waited_s"),
    *("rows_per_run", "run_durations", "wait_durations", "call_durations", "events"),
)
_LIVE = "live"


def summed(statuses: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What status.status says of several processes, at least one, as of one: counts are added up, and what is
    said in words is the first one's. It is live when all are."""
    first = statuses[0]
    states = [one["state"] for one in statuses]
    return {
        **first,
        "uptime_s": min(one["uptime_s"] for one in statuses),
        "state": next((state for state in states if state != _LIVE), _LIVE),
        "models": _joined([one["models"] for one in statuses], "name", _model),
    }


def _model(models: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {**models[0], "versions": _joined([one["versions"] for one in models], "number", _version)}


def _version(versions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    signatures = _joined([one["signatures"] for one in versions], "name", _added)
    return {**_added(versions), "signatures": signatures}


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
    first = values[0]
    if isinstance(first, dict):
        return {key: sum(one.get(key, 0) for one in values) for key in {k: 0 for one in values for k in one}}
    if isinstance(first, (list, tuple)):
        return [sum(column) for column in zip(*values, strict=True)]
    return sum(values)
