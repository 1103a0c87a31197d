"""A tuning as JSON, and as a table for the terminal. Pure.

The JSON is a document of `hotgraph loadtest` (its machine, command and so on) whose `tune` is made here, so
that the same report draws both:

    {"model", "rate_per_s", "slo",
     "costs": [{"plan", "rows", "ms"}],
     "candidates": [{"settings", "label", "default", "pareto",
                     "predicted": {"p50_ms", "p99_ms", "goodput_per_s", "duty", "rows_per_run", "cores",
                                   "holds"},
                     "measured": null | {"p50_ms", "p99_ms", "achieved_per_s", "errors_share", "cores",
                                         "turns": [ms]}}],
     "best", "verdict", "trust": {"low", "middle", "high", "confirmed"}, "notes",
     "replicas": [{"replicas", "size", "predicted_p99_ms", "low_ms", "high_ms", "holds"}]}

Times that nobody knows are null.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from hotgraph_server.tuning.confirmation import Measured
from hotgraph_server.tuning.costs import Costs
from hotgraph_server.tuning.search import Tried
from hotgraph_server.tuning.verdict import Tuning


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
        "replicas": [
            {
                "replicas": one.count,
                "size": one.size,
                "predicted_p99_ms": _ms(one.p99_s),
                "low_ms": _ms(one.low_s),
                "high_ms": _ms(one.high_s),
                "holds": one.holds,
            }
            for one in tuning.replicas
        ],
    }


def plan_of(costs: Costs) -> str:
    """How runs of a variant go, in words."""
    return f"{costs.plan} ({costs.variant})"


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
        "measured": _measured(tuning.measured.get(one.candidate)),
    }


def _measured(measured: Measured | None) -> dict[str, Any] | None:
    if measured is None or not measured.counted:
        return None
    return {
        "p50_ms": _ms(measured.latency("p50")),
        "p99_ms": _ms(measured.latency("p99")),
        "achieved_per_s": measured.middle(lambda turn: turn.achieved_per_s),
        "errors_share": measured.middle(lambda turn: turn.errors),
        "cores": _known(measured.middle(lambda turn: turn.cores)),
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
        medians = {point.rows: f"{point.median_s * 1e3:.3g}" for point in one.points}
        table.append([plan_of(one), *(medians.get(rows, "") for rows in sizes)])
    return table


def _settings(tuning: Tuning) -> list[list[str]]:
    head = ["", "p50 ms", "p99 ms", "in time/s", "cores", "rows/run", "holds", "measured p50", "p99", "cores"]
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
    if measured is None:
        return [*row, "", "", ""]
    if not measured.counted:
        return [*row, "void", "", ""]
    found = (measured.latency("p50") * 1e3, measured.latency("p99") * 1e3)
    return [*row, *map(_number, found), _number(measured.middle(lambda turn: turn.cores))]


def _replicas(tuning: Tuning) -> Iterator[str]:
    trust = tuning.trust
    yield "replicas, each call going to one of them by chance"
    table = [["", "replicas", "p99 ms", "from", "to", "holds"]]
    for one in tuning.replicas:
        times = map(_number, (one.p99_s * 1e3, one.low_s * 1e3, one.high_s * 1e3))
        table.append([one.size, str(one.count), *times, "yes" if one.holds else "no"])
    yield from _indented(table)
    if trust.confirmed:
        yield (
            f"  from-to: a real load had {trust.low:.2f} to {trust.high:.2f} times the p99 predicted,"
            " and replicas hold if they do at the upper end"
        )
    else:
        yield "  predicted alone: without a confirmation nobody knows by how much it is off"


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "-"


def _indented(table: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for first, *rest in table:
        cells = (f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        yield f"  {'  '.join([f'{first:{widths[0]}}', *cells])}".rstrip()
