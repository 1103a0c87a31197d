"""What `hotgraph tune` found: the best settings, the front, what rows cost, how many replicas. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import tune_charts
from .charts import Chart
from .figures import ms, number, per_s, percent
from .markup import Markup, Row, join, table, tag
from .sections import Section, figure
from .tune_charts import Candidate, measured, name_of, predicted, settings_text

MAX_ROWS = 20
"""Of the table of the best settings; the chart's own table has all."""


def tuning(tune: Mapping[str, Any] | None, found: Sequence[Chart | None]) -> Section | None:
    """All of it; `found` are tune_charts' charts."""
    if not tune:
        return None
    wanted = ", ".join(str(one) for one in (per_s(tune.get("rate_per_s")), tune.get("slo")) if one)
    body: list[Markup] = [tag("p", f"{tune.get('model', 'The model')}, for {wanted}. {tune.get('verdict', '')}")]
    body += [figure(chart) for chart in found if chart is not None]
    body += _best(tune)
    body += _replicas(tune.get("replicas") or [])
    return Section("tuning", "Tuning", join(body))


def _best(tune: Mapping[str, Any]) -> list[Markup]:
    candidates: Sequence[Candidate] = tune.get("candidates") or []
    shown = [one for one in candidates if one.get("pareto") or one.get("default") or one.get("measured")]
    shown.sort(key=lambda one: (name_of(one) != tune.get("best"), not one.get("measured"), _p99(one)))
    if not shown:
        return []
    columns = ["Candidate", "Settings", "p99 predicted, ms", "p99 measured, ms", "p50 predicted, ms"]
    columns += ["p50 measured, ms", "Goodput predicted/s", "Answered measured/s", "Errors", "Duty", "Rows/run"]
    rows = (Row(_cells(one, tune), "best" if name_of(one) == tune.get("best") else "") for one in shown[:MAX_ROWS])
    return [tag("h3", "The best settings"), table("Settings, predicted and measured", columns, rows, texts=(1,))]


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
    return [tag("h3", "How many replicas"), table("Replicas and their predicted p99", columns, rows, texts=(1, 4))]


def charts_of(tune: Mapping[str, Any] | None) -> list[Chart]:
    """The charts that there are."""
    if not tune:
        return []
    return [chart for chart in (tune_charts.pareto_front(tune), tune_charts.cost_curve(tune)) if chart is not None]
