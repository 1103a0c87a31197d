"""The marks that the project has set itself, as ratios of figures. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.figures import Figure, Run, Spread, of, ratio, spread
from bench.results import Results
from bench.variants import BASE, BEFORE
from bench.workload import Cell

Value = Callable[[Results], "Spread | None"]


@dataclass(frozen=True)
class Mark:
    """A measure and its bound.

    Attributes:
        bound: of the median.
        at_least: the bound is a lower one; otherwise an upper one.
        value: from the results; None where what it needs was not measured.
    """

    title: str
    bound: float
    at_least: bool
    value: Value
    note: str = ""

    def met(self, value: Spread) -> bool:
        return value.median >= self.bound if self.at_least else value.median <= self.bound


def _calls(run: Run) -> float:
    return run.calls_per_s


def _rows(run: Run) -> float:
    return run.rows_per_s


def _p50(run: Run) -> float:
    return run.p50_ms


def _duty(run: Run) -> float | None:
    return run.duty


def _run_ms(run: Run) -> float | None:
    return run.run_ms


def _duty_of(cell: Cell) -> Value:
    return lambda results: of(results.runs, "hotgraph", cell, _duty)


def _against(rival: str, cell: Cell, figure: Figure = _calls, base: str = BASE) -> Value:
    return lambda results: ratio(results.runs, figure, (base, cell), (rival, cell))


def _of_variant(variant: str, cell: Cell) -> Value:
    """Its calls/s in units of those of hotgraph without flags."""
    return lambda results: ratio(results.runs, _calls, (variant, cell), (BASE, cell))


def _memory(rival: str) -> Value:
    return lambda results: spread(row.ratio for row in results.memory if row.rival == rival)


def _startup(results: Results) -> Spread | None:
    times = zip(results.startup.get("serve_s", ()), results.startup.get("bare_s", ()), strict=True)
    return spread(serve_s / bare_s for serve_s, bare_s in times)


_TINY = Cell("softmax", 1, 128)
_TINY_ALONE = Cell("softmax", 1, 1)
_TINY_FEW = Cell("softmax", 1, 8)
_TINY_MORE = Cell("softmax", 1, 32)
_IMAGES = Cell("mobilenet", 1, 32)
_IMAGE = Cell("mobilenet", 1, 1)
_BYTES = Cell("identity", 1, 8)
_COMMIT = f"{BASE}@{BEFORE}"
_TWO = f"{BASE} --processes 2"

MARKS = (
    Mark("softmax, 128 in flight: hotgraph / Triton, calls/s", 1.5, True, _against("triton", _TINY)),
    Mark("softmax, 32 in flight: hotgraph / Triton, calls/s", 1.5, True, _against("triton", _TINY_MORE)),
    Mark("softmax, 8 in flight: hotgraph / Triton, calls/s", 1.5, True, _against("triton", _TINY_FEW)),
    Mark("softmax, 1 in flight: hotgraph / Triton, p50", 0.4, False, _against("triton", _TINY_ALONE, _p50)),
    Mark(
        f"softmax, 8 in flight: hotgraph / hotgraph of commit {BEFORE}, calls/s",
        1.3,
        True,
        _against(_COMMIT, _TINY_FEW),
        "what leader and followers bring",
    ),
    Mark(
        f"softmax, 128 in flight: hotgraph / hotgraph of commit {BEFORE}, calls/s",
        1.0,
        True,
        _against(_COMMIT, _TINY),
        "and cost no crowd",
    ),
    Mark(
        "softmax, 128 in flight: hotgraph --processes 2 / hotgraph, calls/s",
        1.0,
        True,
        _of_variant(_TWO, _TINY),
        "on cores that the load shares nothing can double",
    ),
    Mark("softmax, 128 in flight: hotgraph / mosec, calls/s", 1.0, True, _against("mosec", _TINY), "an aim"),
    Mark(
        "softmax, 128 in flight: hotgraph / the same on grpcio's public API, calls/s",
        3.0,
        True,
        _against("hotgraph-no-lane", _TINY),
    ),
    Mark("softmax, 128 in flight: hotgraph / C++ echo, calls/s", 0.35, True, _against("echo", _TINY)),
    Mark(
        "MobileNetV2, 32 in flight: hotgraph / bare loop as saved, rows/s",
        0.95,
        True,
        _against("bare", _IMAGES, _rows),
    ),
    Mark(
        "MobileNetV2, 32 in flight: hotgraph / bare loop frozen, rows/s",
        0.95,
        True,
        _against("bare-frozen", _IMAGES, _rows),
        "the loop runs the graph that the server runs",
    ),
    Mark("MobileNetV2, 128 in flight: executor's duty", 0.97, True, _duty_of(Cell("mobilenet", 1, 128))),
    Mark("MLP, 8 rows a call, 128 in flight: executor's duty", 0.95, True, _duty_of(Cell("mlp", 8, 128))),
    Mark(
        "MobileNetV2, 1 in flight: hotgraph / the same with --plan as-saved, run time",
        0.75,
        False,
        _against("hotgraph-as-saved", _IMAGE, _run_ms),
    ),
    Mark("identity 600 kB, 8 in flight: hotgraph / C++ echo, bytes/s", 0.6, True, _against("echo", _BYTES)),
    Mark(
        "softmax over the binary extension, 128 in flight: hotgraph / Triton over HTTP, calls/s",
        1.5,
        True,
        _against("triton-http", _TINY, base="hotgraph-http"),
    ),
    Mark(
        "softmax in JSON, 128 in flight: hotgraph / Triton over HTTP, calls/s",
        1.2,
        True,
        _against("triton-json", _TINY, base="hotgraph-json"),
    ),
    Mark(
        "identity 600 kB over the binary extension, 8 in flight: hotgraph / Triton over HTTP, bytes/s",
        1.0,
        True,
        _against("triton-http", _BYTES, base="hotgraph-http"),
    ),
    Mark("resident memory after 200,000 calls / after 2,000", 1.02, False, _memory("hotgraph")),
    Mark("the same, Predict", 1.02, False, _memory("hotgraph-tfs")),
    Mark("start-up, built-in model: hotgraph / import of TensorFlow and load", 1.3, False, _startup),
)
