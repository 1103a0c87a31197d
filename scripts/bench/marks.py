"""The marks that the project has set itself, as ratios of figures. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import Figure, Run, Spread, of, ratio
from bench.workload import Cell


@dataclass(frozen=True)
class Mark:
    """A measure and its bound.

    Attributes:
        bound: of the median.
        at_least: the bound is a lower one; otherwise an upper one.
        value: of the runs; None where what it needs was not measured.
    """

    title: str
    bound: float
    at_least: bool
    value: Callable[[Sequence[Run]], Spread | None]
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


def _row_ms(run: Run) -> float:
    return 1e3 / run.rows_per_s


def _between(
    figure: Figure, over: tuple[str, Cell], under: tuple[str, Cell]
) -> Callable[[Sequence[Run]], Spread | None]:
    return lambda runs: ratio(runs, figure, over, under)


def _duty_of(cell: Cell) -> Callable[[Sequence[Run]], Spread | None]:
    return lambda runs: of(runs, "hotgraph", cell, _duty)


def _against(rival: str, cell: Cell, figure: Figure = _calls) -> Callable[[Sequence[Run]], Spread | None]:
    return _between(figure, ("hotgraph", cell), (rival, cell))


_TINY = Cell("softmax", 1, 128)
_TINY_ALONE = Cell("softmax", 1, 1)
_IMAGES = Cell("mobilenet", 1, 32)
_IMAGE = Cell("mobilenet", 1, 1)
_BYTES = Cell("identity", 1, 8)

MARKS = (
    Mark("softmax, 128 in flight: hotgraph / Triton, calls/s", 1.5, True, _against("triton", _TINY)),
    Mark("softmax, 1 in flight: hotgraph / Triton, p50", 0.4, False, _against("triton", _TINY_ALONE, _p50)),
    Mark("softmax, 128 in flight: hotgraph / mosec, calls/s", 1.0, True, _against("mosec", _TINY), "an aim"),
    Mark(
        "softmax, 128 in flight: hotgraph / its fast lane off, calls/s",
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
        "counts once the server freezes graphs itself",
    ),
    Mark("MobileNetV2, 128 in flight: executor's duty", 0.97, True, _duty_of(Cell("mobilenet", 1, 128))),
    Mark("MLP, 8 rows a call, 128 in flight: executor's duty", 0.97, True, _duty_of(Cell("mlp", 8, 128))),
    Mark(
        "MobileNetV2, one row: bare loop frozen / as saved, run time",
        0.75,
        False,
        _between(_row_ms, ("bare-frozen", _IMAGE), ("bare", _IMAGE)),
        "what freezing gives on this machine, without the server",
    ),
    Mark("identity 600 kB, 8 in flight: hotgraph / C++ echo, bytes/s", 0.5, True, _against("echo", _BYTES)),
)
