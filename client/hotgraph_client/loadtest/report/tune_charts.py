"""The charts of what `hotgraph tune` found: candidates, and what rows cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .charts import Axis, Chart, Series, Table, has_points
from .figures import count, ms, number, per_s, percent

Candidate = Mapping[str, Any]


def settings_text(candidate: Candidate) -> str:
    """Its settings in a line."""
    settings = candidate.get("settings") or {}
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "as they are"


def name_of(candidate: Candidate) -> str:
    """What a candidate is called."""
    return str(candidate.get("label") or settings_text(candidate))


def predicted(candidate: Candidate, name: str) -> float | None:
    """A figure of the simulator."""
    value: float | None = (candidate.get("predicted") or {}).get(name)
    return value


def measured(candidate: Candidate, name: str) -> float | None:
    """A figure of the confirming load test; None: there was none."""
    value: float | None = (candidate.get("measured") or {}).get(name)
    return value


def pareto_front(tune: Mapping[str, Any]) -> Chart | None:
    """Every candidate by what was predicted of it: calls that kept the objective, and p99."""
    candidates: Sequence[Candidate] = tune.get("candidates") or []
    front = sorted(
        (one for one in candidates if one.get("pareto")), key=lambda one: predicted(one, "goodput_per_s") or 0
    )
    groups = (
        ("candidates", [one for one in candidates if not one.get("pareto")], "muted", "circle", 6),
        ("Pareto front", front, "0", "diamond", 10),
        ("defaults", [one for one in candidates if one.get("default")], "1", "triangle", 13),
        ("best", [one for one in candidates if name_of(one) == tune.get("best")], "2", "rect", 13),
    )
    series = [
        Series(
            name,
            [(predicted(one, "goodput_per_s") or 0.0, predicted(one, "p99_ms")) for one in members],
            "line" if name == "Pareto front" else "points",
            colour,
            tips=tuple(map(_tip, members)),
            shape=shape,
            size=size,
        )
        for name, members, colour, shape, size in groups
    ]
    series = [one for one in series if has_points(one)]
    if not series:
        return None
    return Chart(
        id="pareto",
        title="Candidates",
        summary=f"{count(len(candidates))} settings were simulated; {count(len(front))} are beaten by no other.",
        x=Axis("predicted goodput, calls/s", unit="calls/s"),
        y=Axis("predicted p99, ms", "log", "ms"),
        series=tuple(series),
        table=Table(
            ("candidate", "settings", "goodput/s", "p50, ms", "p99, ms", "duty", "rows per run"),
            tuple(
                (
                    f"{name_of(one)}{' (Pareto)' if one.get('pareto') else ''}",
                    settings_text(one),
                    *(predicted(one, key) for key in ("goodput_per_s", "p50_ms", "p99_ms", "duty", "rows_per_run")),
                )
                for one in candidates
            ),
        ),
    )


def _tip(candidate: Candidate) -> str:
    said = [name_of(candidate), settings_text(candidate)]
    said.append(f"p50 {ms(predicted(candidate, 'p50_ms'))}, duty {percent(predicted(candidate, 'duty'))}")
    if candidate.get("measured"):
        p99, rate = measured(candidate, "p99_ms"), measured(candidate, "achieved_per_s")
        said.append(f"measured: p99 {ms(p99)} at {per_s(rate)}")
    return "\n".join(said)


def cost_curve(tune: Mapping[str, Any]) -> Chart | None:
    """What a run of so many rows takes, a line for each plan."""
    costs = tune.get("costs") or []
    plans = list(dict.fromkeys(one["plan"] for one in costs))
    if not costs:
        return None
    least, most = min(costs, key=lambda one: one["rows"]), max(costs, key=lambda one: one["rows"])
    shapes = ("circle", "diamond", "triangle", "rect")
    return Chart(
        id="costs",
        title="What a run costs",
        summary=f"A run of {number(least['rows'])} rows takes {ms(least['ms'])}, one of {number(most['rows'])} {ms(most['ms'])}.",
        x=Axis("rows", "log", "rows"),
        y=Axis("time of a run, ms", "log", "ms"),
        series=tuple(
            Series(
                str(plan),
                sorted((one["rows"], one["ms"]) for one in costs if one["plan"] == plan),
                colour=str(place % 6),
                shape=shapes[place % len(shapes)],
            )
            for place, plan in enumerate(plans)
        ),
    )
