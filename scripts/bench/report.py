"""Results as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.figures import TAIL_CALLS, Figure, Spread, Tail, failures, of, ratio, spread, tail
from bench.marks import MARKS
from bench.results import Memory, Results
from bench.rivals import NOT_TO_BE_HAD, in_order, title
from bench.variants import BASE, is_variant
from bench.workload import MODELS, Cell


@dataclass(frozen=True)
class Judged:
    """A mark that was measured, in words, and whether it is met."""

    measure: str
    mark: str
    measured: str
    met: bool
    note: str = ""


def markdown(results: Results) -> str:
    """The whole report."""
    parts = ["# Benchmark", _facts(results), "## The marks", marks_table(judged(results), notes=True)]
    for model in MODELS:
        cells = sorted({run.cell for run in results.runs if run.cell.model == model}, key=_place)
        if cells:
            parts.append(f"## {model}\n\n{MODELS[model].why}.")
        parts += [_cell(results, cell) for cell in cells]
    if beside := beside_itself(results):
        parts.append(f"## hotgraph beside itself\n\n{beside}")
    parts += [
        tails_text(results.tails),
        _perf_analyzer(results),
        _memory(results),
        _startup(results),
        _settings(results),
        _remarks(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _place(cell: Cell) -> tuple[int, int, int]:
    """Where it stands among others."""
    return list(MODELS).index(cell.model), cell.rows, cell.in_flight


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is left-aligned, the others are right-aligned."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None) -> str:
    """Three significant digits; a dash where there is nothing."""
    if value is None or value != value:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def spread_text(value: Spread | None) -> str:
    """The median, and the least and the greatest where there is more than one figure."""
    if value is None:
        return "-"
    if value.count == 1:
        return number(value.median)
    return f"{number(value.median)} ({number(value.least)} - {number(value.greatest)})"


def _facts(results: Results) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    versions = ", ".join(f"{name} {value}" for name, value in results.versions.items())
    return "\n".join(
        [
            f"{results.started} UTC, revision {results.revision or 'unknown'}, {results.rounds} round(s), "
            f"{results.seconds / 60:.0f} minutes.",
            "",
            f"- {machine}",
            f"- {versions}",
            f"- {results.load}",
            "- Ratios are taken within a round; given is their median over the rounds (least - greatest).",
        ]
    )


def judged(results: Results) -> list[Judged]:
    """The marks that were measured."""
    found: list[Judged] = []
    for mark in MARKS:
        value = mark.value(results)
        if value is not None:
            bound = f"{'at least' if mark.at_least else 'at most'} {mark.bound:g}"
            found.append(Judged(mark.title, bound, spread_text(value), mark.met(value), mark.note))
    return found


def marks_table(found: Iterable[Judged], *, notes: bool = False) -> str:
    """Marks, and whether they are met; with a column of remarks on them or without."""
    rows = [
        [each.measure, each.mark, each.measured, "yes" if each.met else "**no**", *([each.note] * notes)]
        for each in found
    ]
    head = ["measure", "mark", "measured", "met", *([""] * notes)]
    return table(head, rows) if rows else "None was measured."


def tails_text(tails: Sequence[Tail]) -> str:
    """What p99.9 is, and why some have none; empty where nobody was called."""
    known = {found.known for found in tails}
    if not known:
        return ""
    few = (f"{title(found.rival)}, {found.cell}: {number(found.calls)}" for found in tails if not found.known)
    too_few = f" Too few were {'; '.join(few)}." * (False in known)
    return (
        f"p99.9 is of the calls of all rounds together, and needs {number(TAIL_CALLS)} of them; the other "
        f"figures are medians over rounds, the greatest latency too.{too_few}"
    )


def _cell(results: Results, cell: Cell) -> str:
    runs = results.runs
    columns: list[tuple[str, Figure]] = [
        ("calls/s", lambda run: run.calls_per_s),
        ("p50 ms", _latency(lambda run: run.p50_ms)),
        ("p90 ms", _latency(lambda run: run.p90_ms)),
        ("p99 ms", _latency(lambda run: run.p99_ms)),
        ("max ms", _latency(lambda run: run.max_ms)),
        ("server CPU us/call", lambda run: run.cpu_us),
        ("rows/run", lambda run: run.rows_per_run),
        ("duty", lambda run: run.duty),
    ]
    rows: list[list[str]] = []
    for rival in in_order(run.rival for run in runs if run.cell == cell):
        figures = [of(runs, rival, cell, figure) for _, figure in columns]
        to_base = ratio(runs, lambda run: run.calls_per_s, (BASE, cell), (rival, cell))
        medians = [number(figure.median if figure else None) for figure in figures]
        rows.append(
            [
                title(rival),
                medians[0],
                "" if rival == BASE else spread_text(to_base),
                *medians[1:_TAIL],
                tail_text(results.tails, rival, cell),
                *medians[_TAIL:],
            ]
        )
    heads = [head for head, _ in columns]
    head = ["", "calls/s", "hotgraph / it", *heads[1:_TAIL], "p99.9 ms", *heads[_TAIL:]]
    size = f"{cell.rows} row{'s' * (cell.rows > 1)} a call"
    return f"### {size}, {cell.in_flight} in flight\n\n{table(head, rows)}"


def beside_itself(results: Results) -> str:
    """hotgraph in units of each of its variants, round by round; empty where there is none."""
    figures: tuple[Figure, ...] = (
        lambda run: run.calls_per_s,
        lambda run: run.p50_ms,
        lambda run: run.cpu_us,
    )
    rows: list[list[str]] = []
    places = {(run.rival, run.cell) for run in results.runs}
    for variant in in_order(rival for rival, _ in places if is_variant(rival)):
        for cell in sorted((cell for rival, cell in places if rival == variant), key=_place):
            ratios = [ratio(results.runs, figure, (BASE, cell), (variant, cell)) for figure in figures]
            rows.append([variant, str(cell), *map(spread_text, ratios)])
    return table(["hotgraph / it", "", "calls/s", "p50", "processor time a call"], rows) if rows else ""


_TAIL = 4
"""Columns of `_cell` before that of the slowest calls, which are no run's but all rounds'."""


def tail_text(tails: Iterable[Tail], rival: str, cell: Cell) -> str:
    """p99.9 in milliseconds; a dash where there were too few calls."""
    found = tail(tails, rival, cell)
    return number(found.p999_ms if found is not None and found.known else None)


def _latency(figure: Figure) -> Figure:
    """The bare loop has no callers, and so no latencies."""
    return lambda run: figure(run) or None


def _perf_analyzer(results: Results) -> str:
    if not results.perf_analyzer:
        return ""
    head = ["", "service kind", "in flight", "calls/s", "p50 ms", "p99 ms", "why not"]
    heading = "## perf_analyzer 2.51, softmax, one row a call"
    parts = [heading, table(head, perf_analyzer_rows(results.perf_analyzer))]
    if ratios := perf_analyzer_ratios(results.perf_analyzer):
        parts.append(table(["calls/s, hotgraph / it", "service kind", "in flight", ""], ratios))
    return "\n\n".join(parts)


def perf_analyzer_rows(found: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """For each rival, kind and number in flight: medians over the rounds, or why there are none."""
    rows: list[list[str]] = []
    keys = {(row["rival"], row["kind"], row["in_flight"]): None for row in found}
    for key in keys:
        same = [row for row in found if (row["rival"], row["kind"], row["in_flight"]) == key]
        good = [row for row in same if not row["failure"]]
        figures = [spread(row[name] for row in good) for name in ("calls_per_s", "p50_ms", "p99_ms")]
        why_not = "; ".join({str(row["failure"]): None for row in same if row["failure"]})
        rival, kind, in_flight = key
        medians = [number(figure.median if figure else None) for figure in figures]
        rows.append([title(rival), kind, str(in_flight), *medians, why_not])
    return rows


def perf_analyzer_ratios(found: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """For each other rival, kind and number in flight: the ratio of calls answered within a round."""
    rates = {
        (row["rival"], row["kind"], row["in_flight"], row["round"]): row["calls_per_s"]
        for row in found
        if not row["failure"]
    }
    ratios: dict[tuple[str, str, int], list[float]] = {}
    for (rival, kind, in_flight, round_number), rate in rates.items():
        base = rates.get((BASE, kind, in_flight, round_number))
        if rival != BASE and base is not None and rate:
            ratios.setdefault((rival, kind, in_flight), []).append(base / rate)
    return [
        [title(rival), kind, str(in_flight), spread_text(spread(values))]
        for (rival, kind, in_flight), values in ratios.items()
    ]


def _memory(results: Results) -> str:
    """Resident memory as calls went by."""
    if not results.memory:
        return ""
    return "## Memory\n\n" + memory_table(results.memory)


def memory_table(found: Sequence[Memory]) -> str:
    """One line for each server, all looked at after the same numbers of calls."""
    head = ["resident MiB after", *(f"{calls:,} calls" for calls in found[0].calls), "last / first"]
    rows = [
        [title(row.rival), *(f"{size / 2**20:.1f}" for size in row.resident), f"{row.ratio:.4f}"]
        for row in found
    ]
    return table(head, rows)


def _startup(results: Results) -> str:
    """Seconds until calls are answered, and of the least that TensorFlow needs."""
    if not results.startup:
        return ""
    names = {"serve_s": "hotgraph serve, built-in model", "bare_s": "import of TensorFlow and load"}
    rows = [
        [what, spread_text(spread(results.startup[key])), spread_text(spread(results.startup[cpu]))]
        for (key, what), cpu in zip(names.items(), ("serve_cpu_s", "bare_cpu_s"), strict=True)
    ]
    return "## Start-up\n\n" + table(["", "s", "processor s"], rows)


def _settings(results: Results) -> str:
    lines = [f"- **{title(name)}**: {text}" for name, text in results.settings.items()]
    return "## Who took part, and how\n\n" + "\n".join(lines)


def _remarks(results: Results) -> str:
    lines = [f"- left out: {title(name)}: {reason}" for name, reason in results.left_out.items()]
    lines += [f"- failed: {failure}" for failure in failures(results.runs)]
    for name in results.settings:
        failed = sum(run.failed_calls for run in results.runs if run.rival == name)
        if failed:
            lines.append(f"- {title(name)}: {failed} calls got an error or nothing, in runs that count")
    lines += [f"- {note}" for note in results.notes]
    lines.append(f"- {NOT_TO_BE_HAD}")
    return "## Remarks\n\n" + "\n".join(lines)
