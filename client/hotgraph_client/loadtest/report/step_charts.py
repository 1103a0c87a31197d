"""The charts of all steps together: latency against throughput, the distribution, errors. Pure."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence

from ..document import Distribution, Document, Step
from .charts import PERCENTILES, Axis, Chart, Mark, Series, Table, has_points, label
from .figures import by_count, ms, per_s, percent, plural
from .judging import errors_of, errors_share, is_closed, percentile, sound, steps_of

NINES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999)
"""The shares of a distribution's table."""

SHOWN_STATUSES = 7

_LIMIT = re.compile(r"\b(p[\d.]+)\s*<=?\s*([\d.]+)\s*(us|ms|s)\b")
_TO_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def throughput_latency(document: Document, baseline: Document | None) -> Chart | None:
    """p50, p99 and p99.9 against the rate; None: no step says anything."""
    steps = sound(steps_of(document))
    closed = bool(steps) and all(map(is_closed, steps))
    series = [*_percentiles(steps, "", dashed=False), *_void(document)]
    if baseline is not None:
        series += _percentiles(sound(steps_of(baseline)), ", baseline", dashed=True)
    series = [one for one in series if has_points(one)]
    if not series:
        return None
    return Chart(
        id="curve",
        title="Latency against throughput",
        summary=_rise(steps),
        x=Axis("answered, calls/s" if closed else "offered, calls/s", unit="calls/s"),
        y=Axis("latency, ms", "log", "ms"),
        series=tuple(series),
        marks=_marks(document),
        heads=tuple((_rate(step), _head(step)) for step in steps),
        table=_curve_table(document, baseline),
    )


def _rate(step: Step) -> float:
    return step.get("achieved_per_s", 0.0) if is_closed(step) else step.get("offered_per_s", 0.0)


def _percentiles(steps: Sequence[Step], suffix: str, *, dashed: bool) -> list[Series]:
    # Of a closed loop more callers may be answered no faster: its line goes by callers, and turns back.
    ordered = sorted(steps, key=lambda step: (step.get("concurrency") or 0, _rate(step)))
    shapes = ("circle", "diamond", "triangle")
    return [
        Series(
            name + suffix,
            [(_rate(step), percentile(step, name)) for step in ordered],
            colour=colour,
            dashed=dashed,
            shape=shape,
        )
        for (name, colour), shape in zip(PERCENTILES, shapes, strict=True)
    ]


def _void(document: Document) -> list[Series]:
    void = [step for step in steps_of(document) if step.get("void")]
    points = [(_rate(step), percentile(step, "p99")) for step in void]
    return [Series("p99 of void steps", points, "points", "muted", shape="ring", size=10)]


def _head(step: Step) -> str:
    answered = "" if is_closed(step) else f", {per_s(step.get('achieved_per_s'))} answered"
    return f"{label(step)}{answered}, errors {percent(errors_share(step))}"


def _rise(steps: Sequence[Step]) -> str:
    with_figures = [step for step in steps if percentile(step, "p99") is not None]
    if not with_figures:
        return "No step that is not void has a latency."
    first, last = min(with_figures, key=_rate), max(with_figures, key=_rate)
    begins = f"p99 is {ms(percentile(first, 'p99'))} at {per_s(_rate(first))}"
    if first is last:
        return f"{begins}, p50 {ms(percentile(first, 'p50'))}."
    return f"{begins} and {ms(percentile(last, 'p99'))} at {per_s(_rate(last))}."


def _marks(document: Document) -> tuple[Mark, ...]:
    slo = document.get("slo") or {}
    found = [
        Mark("y", float(number) * _TO_MS[unit], f"{name} < {number} {unit}")
        for name, number, unit in _LIMIT.findall(slo.get("text", ""))
        if _is_number(number)
    ]
    if rate := slo.get("rate_per_s"):
        found.append(Mark("x", rate, f"held: {per_s(rate)}"))
    return tuple(found)


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"\d+\.?\d*|\.\d+", text)) and float(text) > 0


def _curve_table(document: Document, baseline: Document | None) -> Table:
    rows = []
    for source, name in ((document, ""), (baseline, "baseline: ")):
        for step in steps_of(source) if source is not None else ():
            void = " (void)" if step.get("void") else ""
            figures = (percentile(step, name) for name, _ in PERCENTILES)
            rows.append((f"{name}{label(step)}{void}", _rate(step), step.get("achieved_per_s"), *figures))
    names = (f"{name}, ms" for name, _ in PERCENTILES)
    return Table(("step", "calls/s", "answered/s", *names), tuple(rows))


def distributions(document: Document) -> Chart | None:
    """How much of the calls took how long, a line for each step; None: no step tells."""
    steps = [step for step in sound(steps_of(document)) if step.get("distribution")]
    if not steps:
        return None
    ordered = sorted(steps, key=lambda step: (step.get("concurrency") or 0, _rate(step)))
    last = max(1, len(ordered) - 1)
    series = tuple(
        Series(
            label(step),
            [(_nines(share), value) for share, value in step["distribution"] if share < 1],
            colour=f"ramp{place / last:.3f}" if len(ordered) > 1 else "0",
            size=0,
        )
        for place, step in enumerate(ordered)
    )
    return Chart(
        id="distribution",
        title="Distribution of latency",
        summary=_tail(ordered),
        x=Axis("share of calls that took no longer", "nines", "%"),
        y=Axis("latency, ms", "log", "ms"),
        series=series,
        table=Table(
            ("step", *(f"{100 * share:.6g} %, ms" for share in NINES)),
            tuple(
                (label(step), *(at_share(step["distribution"], share) for share in NINES)) for step in ordered
            ),
        ),
    )


def _nines(share: float) -> float:
    """0.9: 1, 0.99: 2, ..."""
    return -math.log10(1 - share)


def at_share(distribution: Distribution, share: float) -> float | None:
    """The least latency that the distribution has for at least this share; None: it does not go so far."""
    # What a share was computed as and what it is written as may differ in the last place.
    place = bisect_left([one[0] for one in distribution], share - 1e-9)
    return distribution[place][1] if place < len(distribution) else None


def _tail(steps: Sequence[Step]) -> str:
    step = steps[-1]
    figures = (
        (name, percentile(step, key)) for name, key in (("half", "p50"), ("99 %", "p99"), ("99.9 %", "p99.9"))
    )
    said = ", ".join(
        f"{name} of the calls within {ms(value)}" for name, value in figures if value is not None
    )
    return f"At {label(step)}: {said or 'no percentiles'}, the slowest {ms(percentile(step, 'max'))}."


def errors_by_step(document: Document) -> Chart | None:
    """Shares of calls that ended in an error, stacked by status; None: none did."""
    steps = steps_of(document)
    total = errors_of(steps)
    if not total:
        return None
    calls = sum(step.get("calls", 0) for step in steps)
    most = by_count(total)[0]
    part = percent(total.total() / calls if calls else None)
    said = f"{part} of {plural(calls, 'call')} ended in an error; most frequent: {most}."
    return Chart(
        id="errors",
        title="Errors by status",
        summary=said,
        x=Axis("step", "names", names=tuple(map(label, steps))),
        # Rounded up, the axis would end beyond all calls.
        y=Axis(
            "share of the calls, %",
            unit="%",
            least=0,
            greatest=100 if max(map(errors_share, steps)) > 0.8 else None,
        ),
        series=tuple(
            Series(
                name,
                [(place, _share(step, statuses)) for place, step in enumerate(steps)],
                "bars",
                f"status{number}",
            )
            for number, (name, statuses) in enumerate(grouped(by_count(total)))
        ),
        table=Table(
            ("step", "calls", *by_count(total)),
            tuple(
                (
                    label(step),
                    step.get("calls"),
                    *((step.get("errors") or {}).get(one, 0) for one in by_count(total)),
                )
                for step in steps
            ),
        ),
    )


def grouped(statuses: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Statuses as they are drawn: the most frequent, and the rest as one."""
    shown = list(statuses[:SHOWN_STATUSES])
    found: list[tuple[str, tuple[str, ...]]] = [(status, (status,)) for status in shown]
    if rest := tuple(statuses[SHOWN_STATUSES:]):
        found.append((f"{len(rest)} others", rest))
    return found


def _share(step: Step, statuses: Sequence[str]) -> float:
    calls = step.get("calls", 0)
    ended = sum((step.get("errors") or {}).get(status, 0) for status in statuses)
    return 100 * ended / calls if calls else 0.0
