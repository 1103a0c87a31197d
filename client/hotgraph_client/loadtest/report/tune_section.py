"""What `hotgraph tune` found: the best settings, the front, what rows cost, how many replicas. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

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
    body += _replicas(tune)
    body += [figure(chart) for chart in found]
    return Section("tuning", "Tuning", join(body), "Tuning")


def tune_tiles(tune: Mapping[str, Any]) -> list[Tile]:
    """What is told of the best settings beside the defaults."""
    candidates: Sequence[Candidate] = tune.get("candidates") or []
    best = next((one for one in candidates if name_of(one) == tune.get("best")), None)
    default = next((one for one in candidates if one.get("default")), None)
    if best is None:
        return []
    tiles: list[Tile] = [("Best settings", *_named(best)), _p99_tile("p99", best)]
    if default is not None and default is not best:
        tiles.append(_p99_tile("p99 of the defaults", default))
    if _cores(best) is not None:
        beside = default is not None and default is not best and _cores(default) is not None
        than = f"; {number(_cores(default))} with the defaults" if default and beside else ""
        how = "measured" if measured(best, "cores") is not None else "predicted"
        tiles.append(("Processors busy", number(_cores(best)), f"{how}{than}"))
    if best.get("measured"):
        tiles.append(("Errors", percent(measured(best, "errors_share")), "measured, with the best settings"))
    holds = [one for one in tune.get("replicas") or [] if one.get("holds")]
    if holds:
        least = min(holds, key=lambda one: one.get("replicas", 0))
        tiles.append(
            ("Fewest replicas", count(least.get("replicas")), f"of {least.get('size', 'this size')}")
        )
    return tiles


def _named(candidate: Candidate) -> tuple[str, str]:
    """What a candidate is called, and its settings where they are something else."""
    name = name_of(candidate)
    return name, "" if _says_settings(candidate) else settings_text(candidate)


def _says_settings(candidate: Candidate) -> bool:
    """Is its name its settings?"""
    settings = candidate.get("settings") or {}
    return not settings or all(f"{one}=" in name_of(candidate) for one in settings)


def _cores(candidate: Candidate) -> float | None:
    found = measured(candidate, "cores")
    return predicted(candidate, "cores") if found is None else found


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
    figures = [one for one in _FIGURES if any(one.of(candidate) is not None for candidate in shown)]
    named = not all(map(_says_settings, shown))
    columns = ["Candidate", *(["Settings"] if named else []), *(one.name for one in figures)]
    rows = (
        Row(
            [
                _name(one, tune),
                *([settings_text(one)] if named else []),
                *(figure.text(figure.of(one)) for figure in figures),
            ],
            "best" if name_of(one) == tune.get("best") else "",
        )
        for one in shown[:MAX_ROWS]
    )
    return [
        tag("h3", "The best settings"),
        table("Settings, predicted and measured", columns, rows, texts=(1,) if named else ()),
    ]


def _p99(candidate: Candidate) -> float:
    value = predicted(candidate, "p99_ms")
    return float("inf") if value is None else value


def _name(candidate: Candidate, tune: Mapping[str, Any]) -> Markup:
    badges = [
        name
        for name, holds in (
            ("best", name_of(candidate) == tune.get("best")),
            ("defaults", candidate.get("default") and name_of(candidate) != "defaults"),
        )
        if holds
    ]
    marks = [tag("span", one, class_="badge good" if one == "best" else "badge") for one in badges]
    return tag("span", name_of(candidate), *(piece for one in marks for piece in (" ", one)))


class _Figure(NamedTuple):
    """A column of the table of settings."""

    name: str
    of: Callable[[Candidate], float | None]
    text: Callable[[float | None], str] = number


_FIGURES = (
    _Figure("p99 predicted, ms", lambda one: predicted(one, "p99_ms")),
    _Figure("p99 measured, ms", lambda one: measured(one, "p99_ms")),
    _Figure("p50 predicted, ms", lambda one: predicted(one, "p50_ms")),
    _Figure("p50 measured, ms", lambda one: measured(one, "p50_ms")),
    _Figure("Cores predicted", lambda one: predicted(one, "cores")),
    _Figure("Cores measured", lambda one: measured(one, "cores")),
    _Figure("Goodput predicted/s", lambda one: predicted(one, "goodput_per_s")),
    _Figure("Answered measured/s", lambda one: measured(one, "achieved_per_s")),
    _Figure("Errors", lambda one: measured(one, "errors_share"), percent),
    _Figure("Duty", lambda one: predicted(one, "duty"), percent),
    _Figure("Rows/run", lambda one: predicted(one, "rows_per_run")),
)


_KEPT = {
    "yes": "holds",
    "likely": "likely holds",
    "at best": "holds at best",
    "no": "does not hold",
}


def _replicas(tune: Mapping[str, Any]) -> list[Markup]:
    replicas: Sequence[Mapping[str, Any]] = tune.get("replicas") or []
    if not replicas:
        return []
    rows = (
        Row(
            [
                one.get("replicas"),
                one.get("size", ""),
                ms(one.get("predicted_p99_ms")),
                f"{number(one.get('low_ms'))} to {ms(one.get('high_ms'))}",
                _KEPT.get(str(one.get("kept")), "holds" if one.get("holds") else "does not hold"),
            ],
            "best" if one.get("holds") else "",
        )
        for one in replicas
    )
    asked = tune.get("replicas_for")
    said = f"How many replicas for {per_s(asked)}" if asked else "How many replicas"
    columns = ["Replicas", "Size", "p99 expected", "Between", "Objective"]
    body = [tag("h3", said), table("Replicas and the p99 to be expected", columns, rows, texts=(1, 4))]
    trust = tune.get("trust") or {}
    if trust.get("confirmed"):
        ends = f"{number(trust.get('low'))} to {number(trust.get('high'))}"
        text = (
            f"Between: real loads had {ends} times the p99 that was predicted. The objective holds if it"
            " does at the upper end of that; likely, in the middle; at best, at the lower end."
        )
        body.append(tag("p", text, class_="said"))
    elif trust:
        text = "Predicted alone: without a real load nobody knows by how much it is off."
        body.append(tag("p", text, class_="said"))
    return body


def charts_of(tune: Mapping[str, Any] | None) -> list[Chart]:
    """The charts that there are."""
    if not tune:
        return []
    costs = tune_charts.cost_curve(tune)
    return [*tune_charts.pareto_fronts(tune), *([costs] if costs is not None else [])]
