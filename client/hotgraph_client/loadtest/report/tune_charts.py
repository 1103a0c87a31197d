"""The charts of what `hotgraph tune` found: candidates, and what rows cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .charts import Axis, Chart, Series, Table, has_points
from .figures import count, ms, per_s, percent, plural

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


_AXES = {
    "goodput_per_s": Axis("predicted goodput, calls/s", unit="calls/s"),
    "cores": Axis("predicted processors in use", unit="cores"),
    "duty": Axis("predicted share of the time that runs take", unit=""),
}
"""What p99 is drawn against, by the figure's name."""

_SAME = 0.02
"""Figures of all candidates that differ by no more are no axis."""


def pareto_fronts(tune: Mapping[str, Any]) -> list[Chart]:
    """Every candidate by what was predicted of it: p99 against each figure in which they differ."""
    candidates: Sequence[Candidate] = tune.get("candidates") or []
    differing = [name for name in _AXES if _differ(candidates, name)]
    # Both say what it takes; processors are what is paid for.
    names = [name for name in differing if name != "duty" or "cores" not in differing]
    found = [_front(tune, candidates, name) for name in names]
    # All alike in everything but p99: they are shown all the same.
    return [*filter(None, found or [_front(tune, candidates, "goodput_per_s")])]


def _differ(candidates: Sequence[Candidate], name: str) -> bool:
    values = [value for one in candidates if (value := predicted(one, name)) is not None]
    return bool(values) and max(values) - min(values) > _SAME * abs(max(values))


def _front(tune: Mapping[str, Any], candidates: Sequence[Candidate], name: str) -> Chart | None:
    front = [one for one in candidates if one.get("pareto")]
    groups = (
        ("candidates", [one for one in candidates if not one.get("pareto")], "muted", "circle", 6),
        ("Pareto front", front, "0", "diamond", 11),
        ("defaults", [one for one in candidates if one.get("default")], "1", "triangle", 14),
        ("best", [one for one in candidates if name_of(one) == tune.get("best")], "2", "rect", 13),
    )
    series = [
        Series(
            group,
            [(predicted(one, name) or 0.0, predicted(one, "p99_ms")) for one in members],
            "points",
            colour,
            tips=tuple(map(_tip, members)),
            shape=shape,
            size=size,
        )
        for group, members, colour, shape, size in groups
    ]
    series = [one for one in series if has_points(one)]
    if not series:
        return None
    axis = _AXES[name]
    said = "is beaten by no other" if len(front) == 1 else "are beaten by no other"
    return Chart(
        id=f"candidates-{name.partition('_')[0]}",
        title=f"p99 against {axis.name.partition(',')[0].removeprefix('predicted ')}",
        summary=f"{plural(len(candidates), 'setting')} simulated, of which {count(len(front))} {said}.",
        x=axis,
        y=Axis("predicted p99, ms", "log", "ms"),
        series=tuple(series),
        table=_table(candidates),
    )


def _table(candidates: Sequence[Candidate]) -> Table:
    keys = ("goodput_per_s", "p50_ms", "p99_ms", "duty", "rows_per_run")
    return Table(
        ("candidate", "settings", "goodput/s", "p50, ms", "p99, ms", "duty", "rows per run"),
        tuple(
            (
                f"{name_of(one)}{' (Pareto)' if one.get('pareto') else ''}",
                settings_text(one),
                *(predicted(one, key) for key in keys),
            )
            for one in candidates
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
        summary=f"{_cost(least)}, {_cost(most)}.",
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


def _cost(one: Mapping[str, Any]) -> str:
    return f"{plural(one['rows'], 'row')} in {ms(one['ms'])}"
