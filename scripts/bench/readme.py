"""What the README says of performance, and the page behind it (docs/performance/figures.md), from the results
that lie in docs/performance. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench import large_models_report, overload_report, swap_report
from bench.agenda import OVER_HTTP
from bench.figures import TAIL_CALLS, Figure, of
from bench.overload_results import Overload
from bench.report import beside_itself, judged, marks_table, number, perf_analyzer_rows, table, tail_text
from bench.results import Results
from bench.rivals import NOT_TO_BE_HAD, in_order, title
from bench.variants import BASE
from bench.workload import Cell

BEGIN = "<!-- performance: made by scripts/bench/report --readme; do not edit -->"
END = "<!-- end of performance -->"
FOLDER = "docs/performance"
WHOLE = "whole"
"""The folder in it that keeps the last whole run where a quick one came later."""
FIGURES = f"{FOLDER}/figures.md"
_BESIDE = "hotgraph / Triton,"
_LINE = 105
_FEWEST = 3
"""Rounds that make a measurement."""


@dataclass(frozen=True)
class Measured:
    """A run of the benchmark, and where its files and pictures lie."""

    results: Results
    overload: Overload | None
    folder: str = FOLDER


class NoPlace(Exception):
    """A page has no markers between which a section goes, or not in this order."""


def replaced(page: str, text: str) -> str:
    """A page with this section in place of the one that it has.

    Raises:
        NoPlace: see there.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoPlace(f"there is no section between {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def headline(run: Measured) -> str:
    """What the README itself says: how hotgraph does beside Triton, and a picture."""
    results = run.results
    beside = [each for each in judged(results) if each.measure.partition(": ")[2].startswith(_BESIDE)]
    page = f"[{FIGURES}]({FIGURES})"
    text = (
        f"{_introduction_of(results)} Shown are the median over {results.rounds} rounds and, in parentheses, "
        "the least and the greatest; read ratios, not figures. All of it, with the marks that are missed: "
        f"{page}."
    )
    picture = f"![softmax: throughput and latency against calls in flight]({run.folder}/plot-softmax.svg)"
    return "\n\n".join([_wrapped(text), marks_table(beside), picture])


def section(
    run: Measured,
    swap: Mapping[str, Any] | None = None,
    large_models: Mapping[str, Any] | None = None,
    whole: Measured | None = None,
) -> str:
    """The page. Pictures are named after the models.

    Args:
        whole: an earlier run, from which comes, under its own date, what `run` did not measure.
    """
    results, overload = run.results, run.overload
    parts = [
        "## The last run",
        _introduction(results, overload is not None, whole is not None),
        marks_table(judged(results)),
        _calls(run, "softmax"),
        _calls(run, "mobilenet"),
        _over_http(results),
        _beside_itself(results),
        _perf_analyzer(results),
        _overload(run),
        _earlier(run, whole),
        swap_report.section(swap or {}),
        large_models_report.section(large_models or {}),
        _settings(run, whole),
    ]
    return "\n\n".join(_wrapped(part) for part in parts if part)


def _wrapped(text: str) -> str:
    """Paragraphs with lines as long as the README's; tables, lists and headings as they are."""
    return "\n".join(
        line if line.startswith(("|", "-", "#", "!", "<")) else textwrap.fill(line, _LINE)
        for line in text.split("\n")
    )


def _introduction_of(results: Results) -> str:
    """By what it was measured, when and where."""
    machine, versions = results.machine, results.versions
    kind = f"{machine.get('cores', '?')} cores of {machine.get('processor', 'a processor')}"
    how = "`scripts/bench/run --quick`" if results.quick else "`scripts/bench/run --marks`"
    return (
        f"Beside a real Triton, one right after the other in every round of {how} ({results.started[:10]}, "
        f"{kind}, TensorFlow {versions.get('tensorflow', '?')})."
    )


def _introduction(results: Results, overload: bool, whole: bool) -> str:
    verdicts = [each.met for each in judged(results)]
    met, missed = verdicts.count(True), verdicts.count(False)
    machine, versions = results.machine, results.versions
    kind = f"{machine.get('cores', '?')} cores of {machine.get('processor', 'a processor')}"
    software = f"Python {machine.get('python', '?')}, TensorFlow {versions.get('tensorflow', '?')}"
    trial = f"**{results.rounds} round(s): a trial and no measurement.** " if results.rounds < _FEWEST else ""
    verdict = f"{met} of the {met + missed} marks are met, and those that are not say so." if missed else ""
    how = "`scripts/bench/run --quick`" if results.quick else "`scripts/bench/run --marks`"
    how += " and `scripts/bench/overload`" * (overload and not results.quick)
    earlier = " What it leaves out was measured before, and stands below under its own date." * whole
    return (
        f"{trial}What follows was measured by {how} "
        f"({results.started[:10]}, {kind}, {machine.get('distribution', '?')}, {software}, "
        f"grpcio {versions.get('grpcio', '?')}).{earlier} Servers and load shared the cores, took turns, and "
        f"had their answers checked. A mark is a ratio within one round; shown are the median over "
        f"{results.rounds} round{'s' * (results.rounds != 1)} and, in parentheses, the least and the "
        f"greatest. "
        f"Read ratios, not figures: another machine has others. {verdict}"
    ).rstrip()


_MODELS = {
    "softmax": "A 784x10 softmax: what a call costs",
    "mobilenet": "MobileNetV2, 224x224: how much of the machine computes",
}


def _calls(run: Measured, model: str, *, level: str = "###") -> str:
    """Throughput and latency of single-row calls, by rival and by number in flight."""
    results = run.results
    rivals: dict[Cell, set[str]] = {}
    for each in results.runs:
        apart = each.failure or each.rival in OVER_HTTP
        if each.cell.model == model and each.cell.rows == 1 and not apart:
            rivals.setdefault(each.cell, set()).add(each.rival)
    # A number in flight at which hotgraph alone was measured compares nothing.
    cells = sorted((cell for cell in rivals if len(rivals[cell]) > 2), key=lambda cell: cell.in_flight)
    if not cells:
        return ""
    rows: list[list[str]] = []
    for rival in in_order(each.rival for each in results.runs if each.cell in cells):
        if rival not in OVER_HTTP:
            rows.append([title(rival), *(_rate_and_latency(results, rival, cell) for cell in cells)])
    head = ["", *(f"{cell.in_flight} in flight" for cell in cells)]
    latency = "median latency in ms"
    if results.tails:
        latency = (
            "the median and the 99.9th percentile of the latency in ms, the latter over all rounds (a dash: "
            f"fewer than {number(TAIL_CALLS)} calls, too few for it)"
        )
    what = f"Calls of one row answered per second and, in parentheses, {latency}."
    picture = f"![{model}: throughput and latency against calls in flight]({run.folder}/plot-{model}.svg)"
    return "\n\n".join([f"{level} {_MODELS[model]}", what, table(head, rows), picture])


def _rate_and_latency(results: Results, rival: str, cell: Cell) -> str:
    rate = _median(results, rival, cell, lambda run: run.calls_per_s)
    p50 = _median(results, rival, cell, lambda run: run.p50_ms or None)
    p999 = f"; {tail_text(results.tails, rival, cell)}" * bool(results.tails)
    return rate if p50 == "-" else f"{rate} ({p50}{p999})"


_HTTP_CELLS = {
    Cell("softmax", 1, 1): "softmax, 1 in flight",
    Cell("softmax", 1, 128): "softmax, 128 in flight",
    Cell("identity", 1, 8): "600 kB in and out, 8 in flight",
}


def _over_http(results: Results, *, level: str = "###") -> str:
    """The same servers by their other door."""
    good = [each for each in results.runs if not each.failure]
    called = {each.cell for each in good if each.rival in OVER_HTTP}
    cells = [cell for cell in _HTTP_CELLS if cell in called]
    if not cells:
        return ""
    shown = (BASE, "triton", *OVER_HTTP)
    rows = [
        [title(rival), *(_rate_and_latency(results, rival, cell) for cell in cells)]
        for rival in in_order(each.rival for each in good if each.rival in shown and each.cell in cells)
    ]
    what = (
        "The Open Inference Protocol over HTTP/1.1, with a connection for each call in flight: tensors as "
        "bytes behind the JSON (the binary extension) or in it, both ways, and gRPC for comparison. Figures "
        "as above."
    )
    head = ["", *(_HTTP_CELLS[cell] for cell in cells)]
    return "\n\n".join([f"{level} Over HTTP", what, table(head, rows)])


def _beside_itself(results: Results) -> str:
    found = beside_itself(results)
    if not found:
        return ""
    return (
        "### Beside itself\n\nhotgraph in units of itself with other flags, and of an earlier commit, within "
        f"one round. More calls, and less of the other two, are better.\n\n{found}"
    )


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
    rows = [[name, protocols[kind], *figures] for name, kind, *figures, why_not in found if not why_not]
    failed = {f"{name}, {protocols[kind]}: {why_not}" for name, kind, *_, why_not in found if why_not}
    missing = f" No figures: {'; '.join(sorted(failed))}." if failed else ""
    return (
        "### A second opinion\n\nThe softmax again, called by NVIDIA's perf_analyzer 2.51, which takes more "
        f"of the cores than h2load does.{missing}\n\n{table(head, rows)}"
    )


def _overload(run: Measured) -> str:
    overload = run.overload
    if overload is None:
        return ""
    loads = {level.load for level in overload.levels}
    return "\n\n".join(
        [
            "### More than it can do",
            "A model whose run takes some 16 ms, for 1 row as for 8; calls of one row come at random "
            f"moments, with {overload.deadline_ms:.0f} ms to be answered in, however many are waiting. The "
            "capacity is 8 calls in the time of a run, as a bare loop over the graph takes it. The server "
            "has one core, the load another.",
            marks_table(overload_report.judged(overload)),
            # One load is in the marks, and no line.
            *(_under_load(run, overload) if len(loads) > 1 else []),
            overload_report.closed_text(overload),
        ]
    )


def _under_load(run: Measured, overload: Overload) -> list[str]:
    picture = f"![goodput against load]({run.folder}/overload.svg)"
    return [picture, overload_report.goodput_table(overload)]


def _earlier(run: Measured, whole: Measured | None) -> str:
    """What the run did not measure, from one that did."""
    if whole is None:
        return ""
    present = {each.measure for each in judged(run.results)}
    marks = [each for each in judged(whole.results) if each.measure not in present]
    parts = [
        "### From the last whole run",
        f"`scripts/bench/run --marks` and `scripts/bench/overload` of {whole.results.started[:10]}, revision "
        f"{whole.results.revision or 'unknown'}, an older state of the server. Marks that were not measured "
        "anew:",
        marks_table(marks),
        *(_calls(whole, model, level="####") for model in _MODELS),
        "" if _over_http(run.results) else _over_http(whole.results, level="####"),
    ]
    if whole.overload is not None:
        now = {level.load for level in run.overload.levels} if run.overload else set()
        if {level.load for level in whole.overload.levels} - now:
            parts += ["#### More than it can do: all loads", *_under_load(whole, whole.overload)]
    return "\n\n".join(part for part in parts if part)


def _settings(run: Measured, whole: Measured | None) -> str:
    results = run.results
    settings = {**(whole.results.settings if whole else {}), **results.settings}
    lines = [f"- **{title(name)}**: {settings[name]}" for name in in_order(settings)]
    overload = whole.overload if whole and whole.overload else run.overload
    if overload is not None:
        lines += [
            f"- **{overload_report.TITLES[name]}** (overload): {text}"
            for name, text in overload.settings.items()
            if name != "triton"
        ]
    lines += [f"- left out: {title(name)}: {reason}" for name, reason in results.left_out.items()]
    lines += [f"- {note}" for note in results.notes]
    facts = ", ".join(f"{name} {value}" for name, value in (results.machine | results.versions).items())
    return "\n".join(
        [
            "### Who took part, and how",
            "",
            f"{NOT_TO_BE_HAD} {results.load[0].upper()}{results.load[1:]}. The machine: {facts}; "
            f"revision {results.revision or 'unknown'}. All figures: `results.json` and its neighbours, "
            "beside this page.",
            "",
            "<details><summary>Settings of each</summary>",
            "",
            *lines,
            "",
            "</details>",
        ]
    )
