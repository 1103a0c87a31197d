"""The overload bench's results as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Callable

from bench.figures import Spread, spread
from bench.outcomes import Idle, Level, Outcome
from bench.overload_results import Overload
from bench.report import Judged, marks_table, number, spread_text, table

TITLES = {
    "hotgraph": "hotgraph",
    "triton": "Triton 2.51, no queue policy",
    "triton-timeout": "Triton 2.51, queue timeout",
    "triton-queue": "Triton 2.51, queue timeout and limit",
}
_GOODPUT = 0.9
_LOAD = 3.0
_CALLS = 30_000
"""Fewer say too little of answers that are late once in thousands of calls."""


def markdown(results: Overload) -> str:
    """The whole report."""
    facts = ", ".join(f"{name} {value}" for name, value in (results.machine | results.versions).items())
    run = f"run time {spread_text(spread(results.run_ms))} ms, deadline {number(results.deadline_ms)} ms"
    when = f"{results.started} UTC, revision {results.revision or 'unknown'}, {results.rounds} round(s)."
    parts = [
        "# Overload",
        f"{when}\n\n- {facts}\n- {run}; medians over the rounds (least - greatest)",
        "## The marks",
        marks_table(judged(results)),
        "## Under load",
        load_table(results),
        "## Callers who wait for their answers",
        idle_table(results),
        closed_text(results),
        "## Who took part, and how",
        "\n".join(f"- **{TITLES[name]}**: {text}" for name, text in results.settings.items()),
    ]
    remarks = [f"- left out: {TITLES[name]}: {reason}" for name, reason in results.left_out.items()]
    remarks += [f"- {note}" for note in results.notes]
    if remarks:
        parts += ["## Remarks", "\n".join(remarks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def judged(results: Overload) -> list[Judged]:
    """What hotgraph has set itself, and whether it is met."""
    found: list[Judged] = []
    goodput = _of(results, "hotgraph", _LOAD, lambda level: level.goodput)
    if goodput is not None:
        measure = f"goodput at {_LOAD:g} times the capacity / capacity"
        bound = f"at least {_GOODPUT:g}"
        found.append(Judged(measure, bound, spread_text(goodput), goodput.median >= _GOODPUT))
    own = [level for level in results.levels if level.rival == "hotgraph"]
    if own:
        late, stalled = sum(level.late for level in own), sum(level.stalled for level in own)
        calls = sum(sum(level.ends.values()) for level in own)
        of = f" of {number(calls)} calls" + f", {number(_CALLS)} are wanted" * (calls < _CALLS)
        for measure, count in (
            ("answers after their deadline, all loads", late),
            ("calls that ended 10 ms past their deadline", stalled),
        ):
            found.append(Judged(measure, "none", f"{number(count)}{of}", not count))
    idle = [each for each in results.idle if each.rival == "hotgraph"]
    if idle:
        outliers = sum(each.outliers for each in idle)
        of = f" of {number(sum(each.calls for each in idle))} calls"
        measure = "1 to 3 callers: longer than two runs and 10 ms"
        found.append(Judged(measure, "none", f"{outliers}{of}", not outliers))
    return found


def load_table(results: Overload) -> str:
    """Every server under every load."""
    head = ["", "load", "offered/s", "goodput / capacity", "right in time", "refused", "expired or late"]
    head += ["no answer", "p50 ms", "p99 ms", "stalled"]
    rows: list[list[str]] = []
    for rival, load in _places(results):
        levels = [level for level in results.levels if (level.rival, level.load) == (rival, load)]

        def share(*ends: Outcome, levels: list[Level] = levels) -> str:
            calls = sum(sum(level.ends.values()) for level in levels)
            return (
                f"{sum(level.ends.get(end.value, 0) for level in levels for end in ends) / max(calls, 1):.0%}"
            )

        calls = sum(sum(level.ends.values()) for level in levels)
        good = sum(level.goodput * level.capacity / level.offered for level in levels) / len(levels)
        right = sum(level.ends.get(Outcome.RIGHT.value, 0) for level in levels) / max(calls, 1)
        expired = sum(level.ends.get(Outcome.EXPIRED.value, 0) for level in levels) / max(calls, 1)
        rows.append(
            [
                TITLES[rival],
                f"{load:g}",
                _figure(results, rival, load, lambda level: level.offered),
                spread_text(_of(results, rival, load, lambda level: level.goodput)),
                f"{good:.0%}",
                share(Outcome.REFUSED),
                f"{max(right - good, 0.0) + expired:.0%}",
                share(Outcome.FAILED, Outcome.WRONG, Outcome.SILENT),
                _figure(results, rival, load, lambda level: level.p50_ms),
                _figure(results, rival, load, lambda level: level.p99_ms),
                str(sum(level.stalled for level in levels)),
            ]
        )
    return table(head, rows)


def goodput_table(results: Overload) -> str:
    """Goodput in units of the capacity: a line for each server, a column for each load."""
    loads = sorted({level.load for level in results.levels})
    present = {level.rival for level in results.levels}
    rows = [
        [title, *(spread_text(_of(results, rival, load, lambda level: level.goodput)) for load in loads)]
        for rival, title in TITLES.items()
        if rival in present
    ]
    return table(["goodput / capacity at", *(f"{load:g} times" for load in loads)], rows)


def idle_table(results: Overload) -> str:
    """Every server with a few callers and nothing else to do."""
    head = ["", "callers", "p50 ms", "p99 ms", "max ms", "longer than two runs and 10 ms"]
    rows: list[list[str]] = []
    for rival, clients in dict.fromkeys((each.rival, each.clients) for each in _ordered(results)):
        found = [each for each in results.idle if (each.rival, each.clients) == (rival, clients)]
        outliers = f"{sum(each.outliers for each in found)} of {sum(each.calls for each in found)}"
        middle = [spread(each.p50_ms for each in found), spread(each.p99_ms for each in found)]
        worst = max(each.max_ms for each in found)
        medians = [number(each.median if each else None) for each in middle]
        rows.append([TITLES[rival], str(clients), *medians, number(worst), outliers])
    return table(head, rows)


def closed_text(results: Overload) -> str:
    """What each server makes of callers who wait, in units of the capacity."""
    parts: list[str] = []
    for rival, title in TITLES.items():
        found = spread(each.goodput for each in results.closed if each.rival == rival)
        if found is not None:
            parts.append(f"{title} {spread_text(found)}")
    if not parts:
        return ""
    return (
        f"With {results.closed[0].clients} callers who wait for each answer and set no deadline, calls/s in "
        f"units of the capacity (the rest is what a call costs on the one core): {'; '.join(parts)}."
    )


def _ordered(results: Overload) -> list[Idle]:
    order = list(TITLES)
    return sorted(results.idle, key=lambda each: (order.index(each.rival), each.clients))


def _places(results: Overload) -> list[tuple[str, float]]:
    order = list(TITLES)
    places = {(level.rival, level.load) for level in results.levels}
    return sorted(places, key=lambda place: (order.index(place[0]), place[1]))


def _of(results: Overload, rival: str, load: float, figure: Callable[[Level], float]) -> Spread | None:
    return spread(figure(level) for level in results.levels if (level.rival, level.load) == (rival, load))


def _figure(results: Overload, rival: str, load: float, figure: Callable[[Level], float]) -> str:
    found = _of(results, rival, load, figure)
    return number(found.median if found else None)
