"""A tuning as JSON, and as a table for the terminal. Pure.

The JSON is a document of `hotgraph loadtest` (its machine, command and so on) whose `tune` is made here, so
that the same report draws both:

    {"model", "rate_per_s", "slo",
     "costs": [{"plan", "rows", "ms"}],
     "candidates": [{"settings", "label", "default", "pareto",
                     "predicted": {"p50_ms", "p99_ms", "goodput_per_s", "duty", "rows_per_run", "cores",
                                   "holds"},
                     "measured": null | {"p50_ms", "p99_ms", "achieved_per_s", "errors_share", "cores",
                                         "holds", "turns": [ms]}}],
     "best", "verdict", "trust": {"low", "middle", "high", "confirmed"}, "notes", "replicas_for",
     "replicas": [{"replicas", "size", "predicted_p99_ms", "low_ms", "high_ms", "holds", "kept"}]}

Times that nobody knows are null, and so is `replicas_for` where nobody asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from hotgraph_server.tuning.confirmation import Measured
from hotgraph_server.tuning.costs import Costs
from hotgraph_server.tuning.replicas import AT_BEST, LIKELY, NO
from hotgraph_server.tuning.search import Tried
from hotgraph_server.tuning.slo import Slo, digits
from hotgraph_server.tuning.verdict import Tuning

_WIDE = 3.0


def tune_of(tuning: Tuning) -> dict[str, Any]:
    """What the head of this module shows."""
    trust = tuning.trust
    return {
        "model": tuning.model,
        "rate_per_s": tuning.rate_per_s,
        "slo": tuning.slo.text,
        "costs": [
            {"plan": plan_of(costs), "rows": point.rows, "ms": point.median_s * 1e3}
            for costs in tuning.costs
            for point in costs.points
        ],
        "candidates": [_candidate(tuning, one) for one in tuning.found.tried],
        "best": tuning.best.candidate.label,
        "verdict": tuning.verdict,
        "trust": {
            "low": trust.low,
            "middle": trust.middle,
            "high": trust.high,
            "confirmed": trust.confirmed,
        },
        "notes": [*([tuning.not_confirmed] if tuning.not_confirmed else []), *tuning.notes],
        "replicas_for": tuning.replicas_for,
        "replicas": [
            {
                "replicas": one.count,
                "size": one.size,
                "predicted_p99_ms": _ms(one.p99_s),
                "low_ms": _ms(one.low_s),
                "high_ms": _ms(one.high_s),
                "holds": one.holds,
                "kept": one.kept,
            }
            for one in tuning.replicas
        ],
    }


def plan_of(costs: Costs) -> str:
    """A variant, and how its runs go, in words."""
    return f"{costs.variant} ({costs.plan})"


def _candidate(tuning: Tuning, one: Tried) -> dict[str, Any]:
    predicted = one.predicted
    return {
        "settings": one.candidate.settings,
        "label": one.candidate.label,
        "default": one.candidate.is_default,
        "pareto": one in tuning.found.front,
        "predicted": {
            "p50_ms": _ms(predicted.latency_s["p50"]),
            "p99_ms": _ms(predicted.latency_s["p99"]),
            "goodput_per_s": predicted.goodput_per_s,
            "duty": predicted.duty,
            "rows_per_run": predicted.rows_per_run,
            "cores": predicted.cores,
            "holds": predicted.holds,
        },
        "measured": _measured(tuning.measured.get(one.candidate), tuning.slo),
    }


def _measured(measured: Measured | None, slo: Slo) -> dict[str, Any] | None:
    if measured is None or not measured.counted:
        return None
    return {
        "p50_ms": _ms(measured.latency("p50")),
        "p99_ms": _ms(measured.latency("p99")),
        "achieved_per_s": measured.middle(lambda turn: turn.achieved_per_s),
        "errors_share": measured.middle(lambda turn: turn.errors),
        "cores": _known(measured.middle(lambda turn: turn.cores)),
        "holds": not measured.broken(slo),
        "turns": [None if turn is None else _ms(turn.p99_s) for turn in measured.turns],
    }


def _ms(seconds: float) -> float | None:
    return _known(seconds * 1e3)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def lines(tuning: Tuning) -> Iterator[str]:
    """For people."""
    yield f"{tuning.model} at {tuning.rate_per_s:g} calls/s, {tuning.slo.text}"
    yield ""
    yield "what a run takes, ms"
    yield from _indented(_costs(tuning.costs))
    yield from (f"  {plan}: {', '.join(ways)}" for plan, ways in _plans(tuning.costs).items())
    alone = tuning.costs[0].alone_because
    if alone:
        yield f"  each call runs alone: {alone}"
    yield ""
    yield f"settings ({tuning.found.simulations} simulations; * none is better in everything)"
    yield from _indented(_settings(tuning))
    yield ""
    yield f"verdict: {tuning.verdict}"
    if tuning.not_confirmed:
        yield f"not confirmed: {tuning.not_confirmed}"
    yield from (f"note: {note}" for note in tuning.notes)
    if tuning.replicas:
        yield ""
        yield from _replicas(tuning)


def _costs(costs: Sequence[Costs]) -> list[list[str]]:
    sizes = sorted({point.rows for one in costs for point in one.points})
    table = [["rows", *map(str, sizes)]]
    for one in costs:
        medians = {point.rows: digits(point.median_s * 1e3) for point in one.points}
        table.append([str(one.variant), *(medians.get(rows, "") for rows in sizes)])
    return table


def _plans(costs: Sequence[Costs]) -> dict[str, list[str]]:
    plans: dict[str, list[str]] = {}
    for one in costs:
        plans.setdefault(one.plan, []).append(str(one.variant))
    return plans


def _settings(tuning: Tuning) -> list[list[str]]:
    head = ["", "p50 ms", "p99 ms", "in time/s", "cores", "rows/run", "holds"]
    if tuning.measured:
        head += ["measured p50", "p99", "cores", "holds"]
    shown = dict.fromkeys([tuning.best, tuning.found.default, *tuning.found.front])
    shown |= dict.fromkeys(one for one in tuning.found.tried if one.candidate in tuning.measured)
    return [head, *(_row(tuning, one) for one in shown)]


def _row(tuning: Tuning, one: Tried) -> list[str]:
    predicted, measured = one.predicted, tuning.measured.get(one.candidate)
    mark = "* " if one in tuning.found.front else "  "
    row = [
        mark + one.candidate.label + (" (best)" if one is tuning.best else ""),
        _number(predicted.latency_s["p50"] * 1e3),
        _number(predicted.latency_s["p99"] * 1e3),
        f"{predicted.goodput_per_s:.0f}",
        f"{predicted.cores:.2f}",
        f"{predicted.rows_per_run:.1f}",
        "yes" if predicted.holds else "no",
    ]
    if not tuning.measured:
        return row
    if measured is None:
        return [*row, "", "", "", ""]
    if not measured.counted:
        return [*row, "void", "", "", ""]
    cores = measured.middle(lambda turn: turn.cores)
    return [
        *row,
        _number(measured.latency("p50") * 1e3),
        _number(measured.latency("p99") * 1e3),
        "-" if math.isnan(cores) else f"{cores:.2f}",
        "no" if measured.broken(tuning.slo) else "yes",
    ]


def _replicas(tuning: Tuning) -> Iterator[str]:
    trust = tuning.trust
    yield f"replicas for {tuning.replicas_for:g} calls/s, each call going to one of them by chance"
    table = [["", "replicas", "p99 ms", "from", "to", "holds"]]
    for one in tuning.replicas:
        times = map(_number, (one.p99_s * 1e3, one.low_s * 1e3, one.high_s * 1e3))
        table.append([one.size, str(one.count), *times, one.kept])
    yield from _indented(table)
    if not trust.confirmed:
        yield "  predicted alone: without a confirmation nobody knows by how much it is off"
        return
    yield (
        f"  from, to: real loads had {trust.low:.2f} to {trust.high:.2f} times the p99 predicted,"
        f" {trust.middle:.2f} in the middle"
    )
    if {LIKELY, AT_BEST, NO} & {one.kept for one in tuning.replicas}:
        yield f"  holds: yes at the upper end of that; {LIKELY} in the middle; {AT_BEST} at the lower end"
    if trust.high > _WIDE * trust.low:
        yield "  that is far apart: was anything else running? On a quiet machine the answer is a better one"


def _number(value: float) -> str:
    return digits(value) if math.isfinite(value) else "-"


def _indented(table: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for first, *rest in table:
        cells = (f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        yield f"  {'  '.join([f'{first:{widths[0]}}', *cells])}".rstrip()
