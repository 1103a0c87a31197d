"""Results as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import Figure, Run, Spread, failures, of, ratio
from bench.marks import MARKS
from bench.results import Results
from bench.rivals import NOT_TO_BE_HAD, RIVALS
from bench.workload import MODELS, Cell

_BASE = "hotgraph"


def markdown(results: Results) -> str:
    """The whole report."""
    parts = ["# Benchmark", _facts(results), _marks(results.runs)]
    for model in MODELS:
        cells = sorted(
            {run.cell for run in results.runs if run.cell.model == model},
            key=lambda cell: (cell.rows, cell.in_flight),
        )
        if cells:
            parts.append(f"## {model}\n\n{MODELS[model].why}.")
        parts += [_cell(results.runs, cell) for cell in cells]
    parts += [_perf_analyzer(results), _settings(results), _remarks(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


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


def _spread(value: Spread | None) -> str:
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


def _marks(runs: Sequence[Run]) -> str:
    rows: list[list[str]] = []
    for mark in MARKS:
        value = mark.value(runs)
        if value is not None:
            bound = f"{'at least' if mark.at_least else 'at most'} {mark.bound:g}"
            met = "yes" if mark.met(value) else "**no**"
            rows.append([mark.title, bound, _spread(value), met, mark.note])
    return "## The marks\n\n" + table(["measure", "mark", "measured", "met", ""], rows) if rows else ""


def _cell(runs: Sequence[Run], cell: Cell) -> str:
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
    for rival in RIVALS.values():
        if not any(run.rival == rival.name and run.cell == cell for run in runs):
            continue
        figures = [of(runs, rival.name, cell, figure) for _, figure in columns]
        to_base = ratio(runs, lambda run: run.calls_per_s, (_BASE, cell), (rival.name, cell))
        medians = [number(figure.median if figure else None) for figure in figures]
        rows.append([rival.title, medians[0], "" if rival.name == _BASE else _spread(to_base), *medians[1:]])
    head = ["", "calls/s", "hotgraph / it", *[title for title, _ in columns[1:]]]
    size = f"{cell.rows} row{'s' * (cell.rows > 1)} a call"
    return f"### {size}, {cell.in_flight} in flight\n\n{table(head, rows)}"


def _latency(figure: Figure) -> Figure:
    """The bare loop has no callers, and so no latencies."""
    return lambda run: figure(run) or None


def _perf_analyzer(results: Results) -> str:
    if not results.perf_analyzer:
        return ""
    rows = [
        [
            str(row["rival"]),
            str(row["kind"]),
            str(row["in_flight"]),
            *(
                [number(row[key]) for key in ("calls_per_s", "p50_ms", "p99_ms")]
                if not row["failure"]
                else "---"
            ),
            str(row["failure"]),
        ]
        for row in results.perf_analyzer
    ]
    head = ["", "service kind", "in flight", "calls/s", "p50 ms", "p99 ms", "why not"]
    return f"## perf_analyzer 2.51, softmax, one row a call\n\n{table(head, rows)}"


def _settings(results: Results) -> str:
    lines = [f"- **{RIVALS[name].title}**: {text}" for name, text in results.settings.items()]
    return "## Who took part, and how\n\n" + "\n".join(lines)


def _remarks(results: Results) -> str:
    lines = [f"- left out: {RIVALS[name].title}: {reason}" for name, reason in results.left_out.items()]
    lines += [f"- failed: {failure}" for failure in failures(results.runs)]
    for name in results.settings:
        failed = sum(run.failed_calls for run in results.runs if run.rival == name)
        if failed:
            lines.append(
                f"- {RIVALS[name].title}: {failed} calls got an error or nothing, in runs that count"
            )
    lines += [f"- {note}" for note in results.notes]
    lines.append(f"- {NOT_TO_BE_HAD}")
    return "## Remarks\n\n" + "\n".join(lines)
