"""Draw results.json: ``python -m bench.plot RESULTS.json FOLDER``. Needs matplotlib, but no server.

The pictures are SVG: small, sharp, and the same file for the same figures.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from bench.agenda import OVER_HTTP
from bench.figures import of
from bench.results import Results, read
from bench.workload import Cell

_COLOURS = {
    "hotgraph": "#d1495b",
    "hotgraph-tfs": "#edae49",
    "hotgraph-no-lane": "#f2b5bd",
    "hotgraph-as-saved": "#a3333d",
    "triton": "#3a7d44",
    "grpc-aio": "#00798c",
    "grpc-threads": "#66a5ad",
    "mosec": "#8e5ea2",
    "litserve": "#c49bbb",
    "bentoml": "#b08968",
    "echo": "#222222",
    "bare": "#888888",
    "bare-frozen": "#bbbbbb",
}
_VARIANT_COLOURS = ("#6d6875", "#f4a261", "#2a9d8f", "#264653")
_LIMITS = ("echo", "bare", "bare-frozen")


def draw(results: Results, model: str, path: Path) -> None:
    """One picture of a model: a row for each size of calls; left throughput, right latencies."""
    sizes = sorted({run.cell.rows for run in results.runs if run.cell.model == model})
    figure, axes = plt.subplots(len(sizes), 2, figsize=(13, 5 * len(sizes)), squeeze=False)
    for (throughput, latency), rows in zip(axes, sizes, strict=True):
        _throughput(throughput, results, model, rows)
        _latency(latency, results, model, rows)
    figure.suptitle(f"{model}: medians over {results.rounds} round(s); bars: least and greatest")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=6)
    figure.tight_layout(rect=(0, 0.1 / len(sizes), 1, 1))
    # Without a date, the same figures are the same file.
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def _colours(results: Results) -> dict[str, str]:
    """Of all who are drawn, hotgraph's variants among them."""
    variants = sorted({run.rival for run in results.runs} - {*_COLOURS, *OVER_HTTP})
    return {**_COLOURS, **dict(zip(variants, itertools.cycle(_VARIANT_COLOURS), strict=False))}


def _points(results: Results, rival: str, model: str, rows: int) -> list[Cell]:
    cells = {run.cell for run in results.runs if run.rival == rival and not run.failure}
    return sorted(
        (cell for cell in cells if (cell.model, cell.rows) == (model, rows)), key=lambda cell: cell.in_flight
    )


def _throughput(axes: Any, results: Results, model: str, rows: int) -> None:
    for rival, colour in _colours(results).items():
        cells = _points(results, rival, model, rows)
        spreads = [of(results.runs, rival, cell, lambda run: run.calls_per_s) for cell in cells]
        known = [(cell.in_flight, spread) for cell, spread in zip(cells, spreads, strict=True) if spread]
        if known:
            medians = [spread.median for _, spread in known]
            errors = [
                [spread.median - spread.least for _, spread in known],
                [spread.greatest - spread.median for _, spread in known],
            ]
            style = "--" if rival in _LIMITS else "-"
            axes.errorbar(
                [calls for calls, _ in known],
                medians,
                errors,
                label=rival,
                color=colour,
                fmt=f"o{style}",
                capsize=3,
            )
    axes.set(xscale="log", yscale="log", xlabel="calls in flight", ylabel=f"calls/s, {rows} row(s) a call")
    _grid(axes, results, model, rows)


def _latency(axes: Any, results: Results, model: str, rows: int) -> None:
    """A line at the median, dots at the 99th percentile."""
    for rival, colour in _colours(results).items():
        cells = _points(results, rival, model, rows)
        if rival in _LIMITS or not cells:
            continue
        halves = [of(results.runs, rival, cell, lambda run: run.p50_ms) for cell in cells]
        highest = [of(results.runs, rival, cell, lambda run: run.p99_ms) for cell in cells]
        x = [cell.in_flight for cell in cells]
        p50 = [spread.median if spread else float("nan") for spread in halves]
        p99 = [spread.median if spread else float("nan") for spread in highest]
        axes.plot(x, p50, "o-", color=colour, label=rival)
        axes.plot(x, p99, ":", color=colour)
    axes.set(
        xscale="log", yscale="log", xlabel="calls in flight", ylabel="latency ms: p50 (line), p99 (dots)"
    )
    _grid(axes, results, model, rows)


def _grid(axes: Any, results: Results, model: str, rows: int) -> None:
    ticks = sorted(
        {run.cell.in_flight for run in results.runs if (run.cell.model, run.cell.rows) == (model, rows)}
    )
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def main(source: str, folder: str) -> None:
    """A picture for each model that was measured at more than one number in flight."""
    matplotlib.use("Agg")
    # Names inside the file are made from this, and not at random.
    matplotlib.rcParams["svg.hashsalt"] = "hotgraph"
    matplotlib.rcParams["svg.fonttype"] = "none"
    results = read(Path(source))
    sizes = {(run.cell.model, run.cell.in_flight) for run in results.runs}
    for model in sorted({model for model, _ in sizes}):
        if len([size for size in sizes if size[0] == model]) > 1:
            draw(results, model, Path(folder) / f"plot-{model}.svg")


if __name__ == "__main__":
    main(*sys.argv[1:])
