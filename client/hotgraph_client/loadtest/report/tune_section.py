"""What `hotgraph tune` found: the best settings, the front, what rows cost, how many replicas. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import tune_charts
from .charts import Chart
from .figures import count, ms, number, per_s, percent
from .markup import Markup, Row, join, table, tag
from .sections import Section, figure
from .tune_charts import Candidate, measured, name_of, predicted, settings_text

Tile = tuple[str, str, str]
"""Of the summary: what it is, its figure, and a few words more."""

MAX_ROWS = 20
"""Of the table of the best settings; the chart's own table has all."""


def tuning(tune: Mapping[str, Any] | None, found: Sequence[Chart]) -> Section | None:
    """All of it; `found` are tune_charts' charts."""
    if not tune:
        return None
    wanted = ", ".join(str(one) for one in (per_s(tune.get("rate_per_s")), tune.get("slo")) if one)
    body: list[Markup] = [tag("p", f"What was asked for: {wanted}.", class_="said")]
    if notes := tune.get("notes"):
        body.append(tag("ul", *(tag("li", one) for one in notes), class_="said"))
    body += _best(tune)
    body += _replicas(tune.get("replicas") or [])
    body += [figure(chart) for chart in found]
    return Section("tuning", "Tuning", join(body), "Tuning")


def tune_tiles(tune: Mapping[str, Any]) -> list[Tile]:
    """What is told of the best settings beside the defaults."""
    candidates: Sequence[Candidate] = tune.get("candidates") or []
    best = next((one for one in candidates if name_of(one) == tune.get("best")), None)
    default = next((one for one in candidates if one.get("default")), None)
    if best is None:
        return []
    tiles: list[Tile] = [("Best settings", name_of(best), settings_text(best)), _p99_tile("p99", best)]
    if default is not None and default is not best:
        tiles.append(_p99_tile("p99 of the defaults", default))
    if best.get("measured"):
        tiles.append(("Errors", percent(measured(best, "errors_share")), "measured, with the best settings"))
    holds = [one for one in tune.get("replicas") or [] if one.get("holds")]
    if holds:
        least = min(holds, key=lambda one: one.get("replicas", 0))
        tiles.append(
            ("Fewest replicas", count(least.get("replicas")), f"of {least.get('size', 'this size')}")
        )
    return tiles


def _p99_tile(name: str, candidate: Candidate) -> Tile:
    thought = f"predicted {ms(predicted(candidate, 'p99_ms'))}"
    if candidate.get("measured"):
        return name, ms(measured(candidate, "p99_ms")), f"measured; {thought}"
    return name, ms(predicted(candidate, "p99_ms")), "predicted, not measured"


def _best(tune: Mapping[str, Any]) -> list[Markup]:
    candidates: Sequence[Candidate] = tune.get("candidates") or []
    shown = [one for one in candidates if one.get("pareto") or one.get("default") or one.get("measured")]
    shown.sort(key=lambda one: (name_of(one) != tune.get("best"), not one.get("measured"), _p99(one)))
    if not shown:
        return []
    columns = ["Candidate", "Settings", "p99 predicted, ms", "p99 measured, ms", "p50 predicted, ms"]
    columns += [
        "p50 measured, ms",
        "Goodput predicted/s",
        "Answered measured/s",
        "Errors",
        "Duty",
        "Rows/run",
    ]
    rows = (
        Row(_cells(one, tune), "best" if name_of(one) == tune.get("best") else "") for one in shown[:MAX_ROWS]
    )
    return [
        tag("h3", "The best settings"),
        table("Settings, predicted and measured", columns, rows, texts=(1,)),
    ]


def _p99(candidate: Candidate) -> float:
    value = predicted(candidate, "p99_ms")
    return float("inf") if value is None else value


def _cells(candidate: Candidate, tune: Mapping[str, Any]) -> list[object]:
    badges = [
        name
        for name, holds in (
            ("best", name_of(candidate) == tune.get("best")),
            ("defaults", candidate.get("default") and name_of(candidate) != "defaults"),
        )
        if holds
    ]
    marks = [tag("span", one, class_="badge good" if one == "best" else "badge") for one in badges]
    return [
        tag("span", name_of(candidate), *(piece for one in marks for piece in (" ", one))),
        settings_text(candidate),
        number(predicted(candidate, "p99_ms")),
        number(measured(candidate, "p99_ms")),
        number(predicted(candidate, "p50_ms")),
        number(measured(candidate, "p50_ms")),
        number(predicted(candidate, "goodput_per_s")),
        number(measured(candidate, "achieved_per_s")),
        percent(measured(candidate, "errors_share")),
        percent(predicted(candidate, "duty")),
        number(predicted(candidate, "rows_per_run")),
    ]


def _replicas(replicas: Sequence[Mapping[str, Any]]) -> list[Markup]:
    if not replicas:
        return []
    rows = (
        Row(
            [
                one.get("replicas"),
                one.get("size", ""),
                ms(one.get("predicted_p99_ms")),
                f"{number(one.get('low_ms'))} to {ms(one.get('high_ms'))}",
                "holds" if one.get("holds") else "does not hold",
            ],
            "best" if one.get("holds") else "",
        )
        for one in replicas
    )
    columns = ["Replicas", "Size", "p99 predicted", "Between", "Objective"]
    return [
        tag("h3", "How many replicas"),
        table("Replicas and their predicted p99", columns, rows, texts=(1, 4)),
    ]


def charts_of(tune: Mapping[str, Any] | None) -> list[Chart]:
    """The charts that there are."""
    if not tune:
        return []
    costs = tune_charts.cost_curve(tune)
    return [*tune_charts.pareto_fronts(tune), *([costs] if costs is not None else [])]
