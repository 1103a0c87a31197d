"""What runs cost, as measured: by rows, for each way to run the graph. Pure.

Between two sizes that were measured lies a straight line; below the first it is flat, and beyond the last it
goes on as it came. Where runs are filled up to buckets, a size costs what its bucket does. A simulated run
takes the line's time, times what one of the measured runs of a near size took in units of their median: that
is the machine's own jitter.
"""

from __future__ import annotations

import json
import math
import random
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from hotgraph_server.tuning.traffic import Senseless

RunTime = Callable[[int], float]
"""Seconds that a run of so many rows takes."""

_LONGER_ONE_IN = 7


@dataclass(frozen=True)
class Variant:
    """A way to run the graph: settings that take a load of the model to measure.

    Attributes:
        settings: names and values, in which it differs from the model as it is set today; ordered by name.
    """

    settings: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return ", ".join(f"{name}={told(value)}" for name, value in self.settings) or "as today"


TODAY = Variant()


def told(value: Any) -> str:
    """A setting's value as the settings file has it, for people."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Point:
    """Runs of one size.

    Attributes:
        rows: of each.
        times_s: what each took the executor, seconds; not empty.
        cpu_s: processor time of all threads, for one run, seconds.
    """

    rows: int
    times_s: tuple[float, ...]
    cpu_s: float

    @property
    def median_s(self) -> float:
        """Of `times_s`."""
        return median(self.times_s)


@dataclass(frozen=True)
class Costs:
    """What runs of a model cost in one variant.

    Attributes:
        plan: how its signature is run, in words.
        alone_because: why no calls share runs; empty: they do.
        buckets: numbers of rows that runs are filled up to; empty: none.
        threads: that one op may use, at most the machine's processors.
        points: ascending in rows; at least one.
    """

    variant: Variant
    plan: str
    points: tuple[Point, ...]
    alone_because: str = ""
    buckets: tuple[int, ...] = ()
    threads: int = 1

    @property
    def joins(self) -> bool:
        """May calls share runs?"""
        return not self.alone_because

    def run_s(self, cores: float = math.inf, front: float = 0.0) -> RunTime:
        """The median, by rows, where a run shares `cores` processors with a front that keeps `front` of one
        busy: what both want beyond that makes it longer."""
        line, used_s = through([(point.rows, point.median_s) for point in self.points]), self.cpu_s()

        def run_s(rows: int) -> float:
            alone_s = line(self._filled(rows))
            return max(alone_s, (used_s(rows) + front * alone_s) / cores)

        return run_s

    def cpu_s(self) -> RunTime:
        """Processor time, by rows. What was measured holds what it takes to ask for a run as well, so it is
        never more than its threads can use in the time of the run."""
        line = through(
            [(point.rows, min(point.cpu_s, self.threads * point.median_s)) for point in self.points]
        )
        return lambda rows: line(self._filled(rows))

    def jittered(self, seed: int, cores: float = math.inf, front: float = 0.0) -> RunTime:
        """Runs that vary as the measured ones did.

        Args:
            seed: another one: other accidents.
            cores, front: as in `run_s`.
        """
        sizes = [point.rows for point in self.points]
        ratios = [[time_s / point.median_s for time_s in point.times_s] for point in self.points]
        usual_s, chance = self.run_s(cores, front), random.Random(seed).random
        known: dict[int, tuple[float, list[float]]] = {}

        def run_s(rows: int) -> float:
            found = known.get(rows)
            if found is None:
                near = min(bisect_left(sizes, rows), len(sizes) - 1)
                found = known[rows] = usual_s(rows), ratios[near]
            return found[0] * found[1][int(chance() * len(found[1]))]

        return run_s

    def _filled(self, rows: int) -> int:
        """How many a run of so many has."""
        place = bisect_left(self.buckets, rows)
        return self.buckets[place] if place < len(self.buckets) else rows


def through(points: Sequence[tuple[int, float]]) -> RunTime:
    """Lines through points of rows and seconds, which ascend in rows."""

    def run_s(rows: int) -> float:
        index = bisect_left(points, (rows, -math.inf))
        if index == 0 or len(points) == 1:
            return points[0][1]
        (below, below_s), (above, above_s) = points[min(index, len(points) - 1) - 1 :][:2]
        slope = (above_s - below_s) / (above - below)
        # Noise in the last two points must not make large runs free.
        return max(below_s + (rows - below) * slope, points[0][1])

    return run_s


def affine(base_ms: float, per_row_ms: float) -> RunTime:
    """Runs that take `base_ms` + rows * `per_row_ms`."""
    return lambda rows: (base_ms + rows * per_row_ms) / 1e3


def read_costs(text: str) -> RunTime:
    """Runs as measured, from a JSON object of rows and milliseconds.

    Raises:
        Senseless: it is none.
    """
    try:
        points = sorted({int(rows): float(ms) for rows, ms in json.loads(text).items()}.items())
    except (ValueError, TypeError, AttributeError) as error:
        raise Senseless(f"the costs are no JSON object of rows and milliseconds: {error}") from error
    if not points or points[0][0] < 1 or not all(0 < ms < math.inf for _, ms in points):
        raise Senseless("the costs must have a point, rows from 1 and milliseconds above 0")
    return through([(rows, ms / 1e3) for rows, ms in points])


def uneven(run_s: RunTime, jitter: float, seed: int) -> RunTime:
    """Runs of which one in seven, by chance, takes longer by the share `jitter`."""
    if not jitter:
        return run_s
    chance = random.Random(seed)
    return lambda rows: run_s(rows) * (1 + jitter if chance.random() * _LONGER_ONE_IN < 1 else 1)


def sizes_to_measure(most_rows: int) -> list[int]:
    """1, 2, 4 ... and `most_rows`."""
    sizes = [1 << power for power in range((most_rows - 1).bit_length())]
    return [*sizes, most_rows]


def as_json(costs: Costs) -> dict[str, Any]:
    """Plain values, which go from process to process; `from_json` has them back."""
    return {
        "variant": dict(costs.variant.settings),
        "plan": costs.plan,
        "points": [[point.rows, list(point.times_s), point.cpu_s] for point in costs.points],
        "alone_because": costs.alone_because,
        "buckets": list(costs.buckets),
        "threads": costs.threads,
    }


def from_json(values: Mapping[str, Any]) -> Costs:
    """See `as_json`."""
    return Costs(
        variant_of(values["variant"]),
        values["plan"],
        tuple(Point(rows, tuple(times_s), cpu_s) for rows, times_s, cpu_s in values["points"]),
        values["alone_because"],
        tuple(values["buckets"]),
        values["threads"],
    )


def variant_of(settings: Mapping[str, Any]) -> Variant:
    """Of settings by name; lists, as JSON has them, become tuples."""
    return Variant(
        tuple(
            (name, tuple(value) if isinstance(value, list) else value)
            for name, value in sorted(settings.items())
        )
    )
