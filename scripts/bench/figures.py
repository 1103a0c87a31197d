"""From runs to figures: what one run gave, medians over rounds, ratios within rounds. Pure.

A machine's speed wanders by a third within minutes, and wanders for everybody: runs of one round lie
within seconds of each other, so only their ratio is meaningful, and its median over the rounds is what
is reported, with the least and the greatest.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.workload import Cell


@dataclass(frozen=True)
class Run:
    """One rival's figures in one cell of one round.

    Attributes:
        calls_per_s: answered, and answered right.
        p50_ms ... max_ms: latency.
        cpu_us: of the server per call, all its processes, user and system.
        failed_calls: that got an error or nothing, besides those that are counted.
        duty: share of the time that the executor spent in runs; None where the server does not tell.
        rows_per_run: mean, None likewise.
        run_ms: mean time of a run, None likewise.
        failure: why there are no figures; they are zero then.
    """

    rival: str
    cell: Cell
    round: int
    calls_per_s: float = 0.0
    p50_ms: float = 0.0
    p90_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    cpu_us: float | None = None
    failed_calls: int = 0
    duty: float | None = None
    rows_per_run: float | None = None
    run_ms: float | None = None
    failure: str = ""

    @property
    def rows_per_s(self) -> float:
        return self.calls_per_s * self.cell.rows


Figure = Callable[[Run], "float | None"]

TAIL_CALLS = 10_000
"""That a p99.9 needs: ten calls were slower then, and a single unlucky one says nothing."""


@dataclass(frozen=True)
class Tail:
    """The slowest calls of a rival in a cell, of all rounds together: one round has too few.

    Attributes:
        calls: that were answered right.
        p999_ms: the latency that 999 of 1,000 of them had at most.
    """

    rival: str
    cell: Cell
    calls: int
    p999_ms: float

    @property
    def known(self) -> bool:
        """Are they enough?"""
        return self.calls >= TAIL_CALLS


def tail(tails: Iterable[Tail], rival: str, cell: Cell) -> Tail | None:
    """None: it was not looked at."""
    return next((found for found in tails if (found.rival, found.cell) == (rival, cell)), None)


@dataclass(frozen=True)
class Spread:
    """The median of some figures, the least and the greatest of them, and how many they were."""

    median: float
    least: float
    greatest: float
    count: int


def spread(values: Iterable[float | None]) -> Spread | None:
    """None: there is no figure."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(statistics.median(known), min(known), max(known), len(known))


def of(runs: Sequence[Run], rival: str, cell: Cell, figure: Figure) -> Spread | None:
    """A rival's figure in a cell, over the rounds; None: no round succeeded."""
    return spread(figure(run) for run in runs if _succeeded(run, rival, cell))


def ratio(
    runs: Sequence[Run], figure: Figure, over: tuple[str, Cell], under: tuple[str, Cell]
) -> Spread | None:
    """One rival's figure in units of another's, round by round; None: no round has both."""
    below = {run.round: figure(run) for run in runs if _succeeded(run, *under)}
    ratios: list[float] = []
    for run in runs:
        if _succeeded(run, *over):
            value, unit = figure(run), below.get(run.round)
            if value is not None and unit:
                ratios.append(value / unit)
    return spread(ratios)


def failures(runs: Sequence[Run]) -> list[str]:
    """Each distinct failure once, with where it happened first and how often."""
    first: dict[tuple[str, str, str], tuple[Run, int]] = {}
    for run in runs:
        if run.failure:
            key = (run.rival, run.cell.model, run.failure)
            earliest, count = first.get(key, (run, 0))
            first[key] = (earliest, count + 1)
    return [f"{run.rival}: {run.cell}: {run.failure} ({count} runs)" for run, count in first.values()]


def _succeeded(run: Run, rival: str, cell: Cell) -> bool:
    return run.rival == rival and run.cell == cell and not run.failure
