"""The charts of one step second by second, the server's own figures on the same axis. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ..document import Document, Moment, ServerMoment, Step
from .charts import Axis, Chart, Point, Series, has_points, label
from .figures import by_count, ms, number, per_s
from .judging import errors_of, percentile, steps_of
from .step_charts import grouped

MAX_POINTS = 600
"""Of one step; longer ones are drawn with several seconds to a point."""

ALL_POINTS = 3000
"""Of all steps together, so that the file stays small."""

_T = TypeVar("_T")


def charts_over_time(document: Document) -> list[tuple[Step, tuple[Chart, ...]]]:
    """The steps that tell of their seconds, each with its charts."""
    steps = [step for step in steps_of(document) if step.get("over_time")]
    points = max(30, min(MAX_POINTS, ALL_POINTS // max(1, len(steps))))
    return [(step, _charts(step, points)) for step in steps]


def _charts(step: Step, points: int) -> tuple[Chart, ...]:
    moments = step["over_time"]
    server = (step.get("server") or {}).get("over_time") or []
    width = max(1, -(-len(moments) // points))
    last = max(moments[-1]["at_s"] + 1, step.get("seconds", 0.0))
    made = [_latency(step, moments, width, last)] if any(map(_answered, moments)) else []
    made.append(_calls(step, moments, width, last))
    if server:
        each = max(1, -(-len(server) // points))
        made += [_rows(step, server, each, last), _waits(step, server, each, last)]
        made += [_memory(step, server, each, last)] if "resident_mib" in step["server"] else []
    return tuple(chart for chart in made if any(map(has_points, chart.series)))


def _answered(moment: Moment) -> bool:
    return moment.get("p99_ms") is not None


def _seconds(last: float) -> Axis:
    return Axis("seconds since the warm-up", unit="s", least=0, greatest=last)


def _worst(text: str, width: int) -> str:
    return f"{text}{f', the worst of {width} s' if width > 1 else ''}"


def _latency(step: Step, moments: Sequence[Moment], width: int, last: float) -> Chart:
    names: tuple[tuple[str, Callable[[Moment], float | None], str, bool], ...] = (
        ("p50", lambda one: one.get("p50_ms"), "0", False),
        ("p99", lambda one: one.get("p99_ms"), "1", False),
        ("max", lambda one: one.get("max_ms"), "3", False),
        ("sender's lag, p99", lambda one: one.get("lag_p99_ms"), "muted", True),
    )
    series = tuple(
        Series(_worst(name, width), _greatest(moments, width, read), colour=colour, dashed=dashed, size=4)
        for name, read, colour, dashed in names
    )
    return Chart(
        id="time-latency",
        title="Latency over time",
        summary=f"{label(step)}: {_slowest(moments)}",
        x=_seconds(last),
        y=Axis("latency, ms", "log", "ms"),
        series=tuple(filter(has_points, series)),
        group="time",
    )


def _slowest(moments: Sequence[Moment]) -> str:
    found = [(p99, one["at_s"]) for one in moments if (p99 := one.get("p99_ms")) is not None]
    if not found:
        return "no second has a latency."
    (worst, at), (best, _) = max(found), min(found)
    return f"p99 of a second lies between {ms(best)} and {ms(worst)}, which was in second {at}."


def _calls(step: Step, moments: Sequence[Moment], width: int, last: float) -> Chart:
    statuses = by_count(errors_of([step]))
    # What a second tells may be more than the step's sum, where a document was put together by others.
    statuses += sorted({status for one in moments for status in one.get("errors") or {}} - set(statuses))
    series = [
        Series("due", _mean(moments, width, lambda one: one.get("due")), colour="muted", dashed=True, size=4),
        Series("answered", _mean(moments, width, lambda one: one.get("answered")), colour="0", size=4),
    ]
    for place, (name, members) in enumerate(grouped(statuses)):
        points = _mean(moments, width, _count_of(members))
        series.append(Series(name, points, "area", f"status{place}", size=4))
    due = per_s(step.get("offered_per_s"))
    return Chart(
        id="time-calls",
        title="Calls and errors over time",
        summary=f"{label(step)}: {due} due, {per_s(step.get('achieved_per_s'))} answered.",
        x=_seconds(last),
        y=Axis("calls/s", unit="calls/s", least=0),
        series=tuple(series),
        group="time",
    )


def _count_of(statuses: Sequence[str]) -> Callable[[Moment], float]:
    return lambda one: sum((one.get("errors") or {}).get(status, 0) for status in statuses)


def _rows(step: Step, server: Sequence[ServerMoment], width: int, last: float) -> Chart:
    mean = (step.get("server") or {}).get("rows_per_run")
    points = _server(server, width, lambda one: one.get("rows_per_run"))
    return Chart(
        id="time-rows",
        title="The server's rows per run",
        summary=f"{label(step)}: {number(mean)} rows a run in the mean, as the server counts.",
        x=_seconds(last),
        y=Axis("rows per run", unit="rows", least=0),
        series=(Series("rows per run", points, colour="2", size=4),),
        group="time",
    )


def _waits(step: Step, server: Sequence[ServerMoment], width: int, last: float) -> Chart:
    figures = step.get("server") or {}
    wait, run = ms(figures.get("queue_wait_ms")), ms(figures.get("run_ms"))
    return Chart(
        id="time-waits",
        title="The server's queue wait against its run time",
        summary=f"{label(step)}: a call waited {wait} for its run, which took {run}, in the mean.",
        x=_seconds(last),
        y=Axis("ms", unit="ms", least=0),
        series=tuple(
            Series(name, _server(server, width, read), colour=colour, size=4)
            for name, read, colour in (
                ("queue wait", lambda one: one.get("queue_wait_ms"), "1"),
                ("run time", lambda one: one.get("run_ms"), "0"),
            )
        ),
        group="time",
    )


def _memory(step: Step, server: Sequence[ServerMoment], width: int, last: float) -> Chart:
    found = step["server"]["resident_mib"]
    before, most, after = (number(found[name]) for name in ("before", "most", "after"))
    points: list[Point] = [
        (chunk[0]["at_s"], max((value for one in chunk if (value := one.get("resident_mib"))), default=None))
        for chunk in _chunks(server, width)
    ]
    return Chart(
        id="time-memory",
        title="The server's memory",
        summary=f"{label(step)}: {before} MiB at the beginning, {most} at most, {after} at the end.",
        x=_seconds(last),
        # Not from 0: what is looked for is whether it grows.
        y=Axis("resident, MiB", unit="MiB"),
        series=(Series("resident memory", points, colour="2", size=4),),
        group="time",
    )


def _chunks(values: Sequence[_T], width: int) -> Iterable[Sequence[_T]]:
    return (values[start : start + width] for start in range(0, len(values), width))


def _greatest(moments: Sequence[Moment], width: int, read: Callable[[Moment], float | None]) -> list[Point]:
    """Of percentiles there is no mean: of several seconds the worst is shown."""
    return [
        (chunk[0]["at_s"], max((value for one in chunk if (value := read(one)) is not None), default=None))
        for chunk in _chunks(moments, width)
    ]


def _mean(moments: Sequence[Moment], width: int, read: Callable[[Moment], float | None]) -> list[Point]:
    return [
        (chunk[0]["at_s"], sum(read(one) or 0 for one in chunk) / len(chunk))
        for chunk in _chunks(moments, width)
    ]


def _server(
    server: Sequence[ServerMoment], width: int, read: Callable[[ServerMoment], float | None]
) -> list[Point]:
    """Means of means, by how many calls each is of."""
    found: list[Point] = []
    for chunk in _chunks(server, width):
        weighed = [
            (value, one.get("calls_per_s") or 0.0) for one in chunk if (value := read(one)) is not None
        ]
        total = sum(weight for _, weight in weighed)
        mean = sum(value * weight for value, weight in weighed) / total if total else None
        plain = weighed[0][0] if len(weighed) == 1 else mean
        found.append((chunk[0]["at_s"], plain))
    return found


def chosen(steps: Sequence[Step], best: Step | None) -> int:
    """Which step is shown first: the one that stands at the top, or else the last that has latencies."""
    for place, step in enumerate(steps):
        if step is best:
            return place
    with_figures = (place for place, step in enumerate(steps) if percentile(step, "p99") is not None)
    return max(itertools.chain((0,), with_figures))
