"""The performance section of the README, from the results that lie in docs/performance. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from bench import large_models_report, overload_report, swap_report
from bench.figures import Figure, of
from bench.overload_results import Overload
from bench.report import judged, marks_table, number, perf_analyzer_rows, table
from bench.results import Results
from bench.rivals import NOT_TO_BE_HAD, RIVALS
from bench.workload import Cell

BEGIN = "<!-- performance: made by scripts/bench/report --readme; do not edit -->"
END = "<!-- end of performance -->"
_FOLDER = "docs/performance"
_LINE = 105
_FEWEST = 3
"""Rounds that make a measurement."""


class NoPlace(Exception):
    """The README has no markers between which the section goes, or not in this order."""


def replaced(readme: str, text: str) -> str:
    """The README with this section in place of the one that it has.

    Raises:
        NoPlace: see there.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoPlace(f"there is no section between {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def section(
    results: Results,
    overload: Overload | None,
    swap: Mapping[str, Any] | None = None,
    large_models: Mapping[str, Any] | None = None,
) -> str:
    """Heading and all. Pictures are named after the models, in docs/performance."""
    parts = [
        "## Performance",
        _introduction(results),
        marks_table(results, notes=False),
        _calls(results, "softmax", "A 784x10 softmax: what a call costs"),
        _calls(results, "mobilenet", "MobileNetV2, 224x224: how much of the machine computes"),
        _perf_analyzer(results),
        _overload(overload),
        swap_report.section(swap or {}),
        large_models_report.section(large_models or {}),
        _settings(results, overload),
    ]
    return "\n\n".join(_wrapped(part) for part in parts if part)


def _wrapped(text: str) -> str:
    """Paragraphs with lines as long as the README's; tables, lists and headings as they are."""
    return "\n".join(
        line if line.startswith(("|", "-", "#", "!", "<")) else textwrap.fill(line, _LINE)
        for line in text.split("\n")
    )


def _introduction(results: Results) -> str:
    met, missed = judged(results)
    machine, versions = results.machine, results.versions
    kind = f"{machine.get('cores', '?')} cores of {machine.get('processor', 'a processor')}"
    software = f"Python {machine.get('python', '?')}, TensorFlow {versions.get('tensorflow', '?')}"
    trial = f"**{results.rounds} round(s): a trial and no measurement.** " if results.rounds < _FEWEST else ""
    verdict = f"{met} of the {met + missed} marks are met, and those that are not say so." if missed else ""
    return (
        f"{trial}What follows was measured by `scripts/bench/run --marks` and `scripts/bench/overload` "
        f"({results.started[:10]}, {kind}, {machine.get('distribution', '?')}, {software}, "
        f"grpcio {versions.get('grpcio', '?')}). Servers and load shared the cores, took turns, and "
        f"had their answers checked. A mark is a ratio within one round; shown are the median over "
        f"{results.rounds} round{'s' * (results.rounds != 1)} and, in parentheses, the least and the "
        f"greatest. "
        f"Read ratios, not figures: another machine has others. {verdict}"
    ).rstrip()


def _calls(results: Results, model: str, title: str) -> str:
    """Throughput and latency of single-row calls, by rival and by number in flight."""
    rivals: dict[Cell, set[str]] = {}
    for run in results.runs:
        if run.cell.model == model and run.cell.rows == 1 and not run.failure:
            rivals.setdefault(run.cell, set()).add(run.rival)
    # A number in flight at which hotgraph alone was measured compares nothing.
    cells = sorted((cell for cell in rivals if len(rivals[cell]) > 2), key=lambda cell: cell.in_flight)
    if not cells:
        return ""
    rows: list[list[str]] = []
    for rival in RIVALS.values():
        if not any(run.rival == rival.name and run.cell in cells for run in results.runs):
            continue
        row = [rival.title]
        for cell in cells:
            rate = _median(results, rival.name, cell, lambda run: run.calls_per_s)
            p50 = _median(results, rival.name, cell, lambda run: run.p50_ms or None)
            row.append(rate if p50 == "-" else f"{rate} ({p50})")
        rows.append(row)
    head = ["", *(f"{cell.in_flight} in flight" for cell in cells)]
    what = f"### {title}\n\nCalls of one row answered per second and, in parentheses, median latency in ms."
    picture = f"![{model}: throughput and latency against calls in flight]({_FOLDER}/plot-{model}.svg)"
    return f"{what}\n\n{table(head, rows)}\n\n{picture}"


def _median(results: Results, rival: str, cell: Cell, figure: Figure) -> str:
    found = of(results.runs, rival, cell, figure)
    return number(found.median if found else None)


def _perf_analyzer(results: Results) -> str:
    if not results.perf_analyzer:
        return ""
    head = ["", "protocol", "in flight", "calls/s", "p50 ms", "p99 ms"]
    protocols = {
        "triton": "Open Inference",
        "triton, streaming": "Open Inference, streams",
        "tfserving": "TensorFlow Serving",
    }
    found = perf_analyzer_rows(results.perf_analyzer)
    rows = [[title, protocols[kind], *figures] for title, kind, *figures, why_not in found if not why_not]
    failed = {f"{title}, {protocols[kind]}: {why_not}" for title, kind, *_, why_not in found if why_not}
    missing = f" No figures: {'; '.join(sorted(failed))}." if failed else ""
    return (
        "### A second opinion\n\nThe softmax again, called by NVIDIA's perf_analyzer 2.51, which takes more "
        f"of the cores than h2load does.{missing}\n\n{table(head, rows)}"
    )


def _overload(overload: Overload | None) -> str:
    if overload is None:
        return ""
    return "\n\n".join(
        [
            "### More than it can do",
            "A model whose run takes some 16 ms, for 1 row as for 8; calls of one row come at random "
            f"moments, with {overload.deadline_ms:.0f} ms to be answered in, however many are waiting. The "
            "capacity is 8 calls in the time of a run, as a bare loop over the graph takes it. The server "
            "has one core, the load another.",
            overload_report.marks_table(overload),
            f"![goodput against load]({_FOLDER}/overload.svg)",
            overload_report.goodput_table(overload),
            overload_report.closed_text(overload),
        ]
    )


def _settings(results: Results, overload: Overload | None) -> str:
    lines = [f"- **{RIVALS[name].title}**: {text}" for name, text in results.settings.items()]
    if overload is not None:
        lines += [
            f"- **{overload_report.TITLES[name]}** (overload): {text}"
            for name, text in overload.settings.items()
            if name != "triton"
        ]
    lines += [f"- left out: {RIVALS[name].title}: {reason}" for name, reason in results.left_out.items()]
    lines += [f"- {note}" for note in results.notes]
    facts = ", ".join(f"{name} {value}" for name, value in (results.machine | results.versions).items())
    return "\n".join(
        [
            "### Who took part, and how",
            "",
            f"{NOT_TO_BE_HAD} {results.load[0].upper()}{results.load[1:]}. The machine: {facts}; "
            f"revision {results.revision or 'unknown'}. All figures: [{_FOLDER}]({_FOLDER}).",
            "",
            "<details><summary>Settings of each</summary>",
            "",
            *lines,
            "",
            "</details>",
        ]
    )
