"""The dashboard in deploy/observability as Grafana reads it: its panels, and their queries with the variables
filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

OBSERVABILITY = Path(__file__).parents[2] / "deploy" / "observability"
DASHBOARD = OBSERVABILITY / "grafana-dashboard.json"

# Names of metrics, and whatever else may look like one; rules have names with colons.
_NAME = re.compile(r"(?<![\w:$])(?:hotgraph|nv|process|python)_[a-z0-9_]+\b(?!:)")
_SUM_BY = re.compile(r"(?:by|on|group_left|group_right|without|ignoring) ?\([^)]*\)")
_LABELS = re.compile(r'\w+ ?(?:=~|!~|!=|=) ?"[^"]*"')


class Panel(NamedTuple):
    """A panel.

    Attributes:
        row: the title of the row that it is in.
        title: its own.
        queries: as written.
        json: all of it.
    """

    row: str
    title: str
    queries: tuple[str, ...]
    json: Mapping[str, Any]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
    return found


def panels() -> Iterator[Panel]:
    """All that show something, those of rows that are folded included."""
    row = ""
    for one in dashboard()["panels"]:
        if one["type"] == "row":
            row = one["title"]
            yield from (_panel(row, inner) for inner in one["panels"])
        else:
            yield _panel(row, one)


def _panel(row: str, one: Mapping[str, Any]) -> Panel:
    return Panel(row, one["title"], tuple(target["expr"] for target in one["targets"]), one)


def filled(query: str, *, interval: str, **variables: str) -> str:
    """A query as Grafana sends it.

    Args:
        interval: what a rate is taken over, as Prometheus has it.
        variables: by name; all others are `All`.
    """
    query = query.replace("$__rate_interval", interval)
    for name in ("job", "instance", "model"):
        query = query.replace(f'"${name}"', f'"{variables.get(name, ".*")}"')
    assert "$" not in query, f"a variable that there is not: {query}"
    return query


def metrics_in(query: str) -> set[str]:
    """The metrics that a query reads."""
    return set(_NAME.findall(_LABELS.sub("", _SUM_BY.sub("", query))))
