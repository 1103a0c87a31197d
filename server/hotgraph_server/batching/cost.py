"""The cost curve: how long a run takes by its rows, learnt from the runs themselves. Pure.

A curve belongs to one signature and one class of inner sizes (CostKey): 40 tokens a row and 4,000 are two
models as far as time goes, 40 and 50 are one. Its points are kept at a fixed row of sizes (EDGES: every
one up to 8, then four to an octave); a run counts for the next size that is not below its own, which makes
predictions too high by a quarter of the slope at most, and never too low for being between two points.

What each point knows is the median of its last runs, so that up to half of them may be outliers (a first
run that compiles, a neighbour on the machine) and a real change is believed after about eight. Between
the points stands one assumption, that more rows never take less time. The curve is the isotonic regression
of the medians in the sense of least absolute deviation, by pooling adjacent violators with weighted medians
(Robertson, Wright and Dykstra, "Order Restricted Statistical Inference", 1988, section 1.4; the algorithm is
Ayer et al., 1955). A pooled mean would let one outlier at one size move all the sizes above it.

One thing is not believed on the word of a run or two, nor of runs long ago: that a run of many rows takes
longer than as many runs of fewer. Otherwise one slow run at 64 rows could keep the queue from ever filling
a batch of 64 again, and so from finding out that it was an outlier.

What is not known is predicted low: below the smallest point as that one, above the greatest as that one too
(beyond EDGES nothing is kept), 0.0 with no point at all. No call shall be refused for a guess.

Not thread-safe; the queue holds its lock around `observe`. A prediction reads one list that is replaced
whole, so it may be asked from anywhere.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Sequence

from hotgraph_server.tensors import Array

CostKey = tuple[str, int]
"""Name of a signature, and the binary magnitude of a row's elements over all its inputs."""

EDGES: tuple[int, ...] = (
    *range(1, 9),
    *(part << octave for octave in range(1, 15) for part in (5, 6, 7, 8)),
)
"""The sizes at which a curve keeps points, rows: 1 to 8, 10, 12, 14, 16, 20 ... 131072."""

# The median of fifteen turns when eight have changed, and takes less than a microsecond to keep.
_WINDOW = 15
# Below so many runs, or after so many of the curve's other runs without one of its own, a point is not
# trusted against its neighbours. Both are guesses.
_TRUSTED_FROM = 3
_STALE_AFTER = 256
# A steady point is fitted in again once in so many runs: that costs about ten microseconds.
_FIT_EVERY = 8

MIN_MARGIN = 1.1
MAX_MARGIN = 1.5
"""Runs are taken to be so many times longer than predicted where a deadline depends on them. At least a
tenth, because a run that ends a moment late is of no use to its callers; at most a half, because with runs
that wander more than that, most refusals would be wrong."""
# A tenth of them is three, so that one outlier says nothing.
_OVERRUNS_KEPT = 32
_OVERRUNS_TRUSTED_FROM = 8


def cost_key(signature: str, elements: int) -> CostKey:
    """The curve that a run belongs to.

    Args:
        signature: its name.
        elements: of one row, over all inputs; a string is one.
    """
    return signature, elements.bit_length()


def elements_of_a_row(inputs: Sequence[Array]) -> int:
    """How many elements one row of these inputs has; an input without rows counts whole."""
    return sum(math.prod(array.shape[1:]) for array in inputs)


class CostCurve:
    """Run time by rows; empty until the first `observe`.

    Attributes:
        longest_s: the most that is predicted for any number of rows, seconds.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._points: dict[int, _Point] = {}  # by index into EDGES
        self._runs = 0
        self._overruns = _Overruns()
        # What has been seen, rising in both: EDGES of the points, and their fitted seconds.
        self._fit: tuple[list[int], list[float]] = ([], [])

    @property
    def known(self) -> bool:
        """Has there been a run?"""
        return self._runs > 0

    @property
    def margin(self) -> float:
        """How many times what is predicted for it a run takes that is slow and yet no outlier; from
        MIN_MARGIN to MAX_MARGIN."""
        return self._overruns.margin

    def observe(self, rows: int, seconds: float) -> None:
        """Take in a run; `rows` from 1, beyond EDGES ignored."""
        index = bisect_left(EDGES, rows)
        if index == len(EDGES):
            return
        predicted_s = self.predict(rows)
        if predicted_s > 0.0:
            self._overruns.add(seconds / predicted_s)
        point = self._points.get(index)
        if point is None:
            point = self._points[index] = _Point()
        self._runs += 1
        point.add(seconds, self._runs)
        if point.weight <= _TRUSTED_FROM or self._runs % _FIT_EVERY == 0:
            self._fit = self._fitted()
            self.longest_s = self._fit[1][-1]

    def predict(self, rows: int) -> float:
        """Seconds that a run of `rows` will take; 0.0 if nothing is known."""
        edges, seconds = self._fit
        if not edges:
            return 0.0
        index = bisect_left(edges, rows)
        if index == len(edges):
            return seconds[-1]
        if index == 0 or edges[index] == rows:
            return seconds[index]
        # A line between two neighbours, so that a curve measured at powers of two says something sensible
        # for the sizes between them.
        below, above = edges[index - 1], edges[index]
        part = (rows - below) / (above - below)
        return seconds[index - 1] + part * (seconds[index] - seconds[index - 1])

    def rows_within(self, seconds: float) -> int:
        """The most rows whose run is predicted to take at most `seconds`; 0: not even one; else from EDGES
        or between two of them. Rows beyond all that is known count as possible.
        """
        edges, fitted = self._fit
        if not edges or seconds >= fitted[-1]:
            return EDGES[-1]
        if seconds < fitted[0]:
            return 0
        above = bisect_right(fitted, seconds)
        below = above - 1
        part = (seconds - fitted[below]) / (fitted[above] - fitted[below])
        return edges[below] + int(part * (edges[above] - edges[below]))

    def _fitted(self) -> tuple[list[int], list[float]]:
        """The points as a curve that never falls."""
        edges: list[int] = []
        values: list[tuple[float, int]] = []  # median and weight
        trusted_s_a_row = math.inf
        for index in sorted(self._points):
            point, edge = self._points[index], EDGES[index]
            seconds = point.median
            if point.weight >= _TRUSTED_FROM and self._runs - point.last < _STALE_AFTER:
                trusted_s_a_row = seconds / edge
            else:
                seconds = min(seconds, trusted_s_a_row * edge)
            edges.append(edge)
            values.append((seconds, point.weight))
        return edges, _isotonic(values)


class _Point:
    """The last run times at one size: in order of arrival, and in order of size.

    Attributes:
        weight: how many they are.
        last: the number of the last of them among the curve's runs.
    """

    __slots__ = ("_in_order", "_recent", "last", "weight")

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._in_order: list[float] = []
        self.weight = 0
        self.last = 0

    @property
    def median(self) -> float:
        """The lower one of two: what is known little is predicted low."""
        return self._in_order[(len(self._in_order) - 1) // 2]

    def add(self, seconds: float, run: int) -> None:
        self.last = run
        if len(self._recent) == _WINDOW:
            del self._in_order[bisect_left(self._in_order, self._recent.popleft())]
        self._recent.append(seconds)
        insort(self._in_order, seconds)
        self.weight = len(self._in_order)


class _Overruns:
    """What the last runs took, in units of what was predicted for them.

    Attributes:
        margin: nine of ten took no more, as far as the bounds let it say so.
    """

    __slots__ = ("_in_order", "_recent", "margin")

    def __init__(self) -> None:
        self.margin = MIN_MARGIN
        self._recent: deque[float] = deque()
        self._in_order: list[float] = []

    def add(self, ratio: float) -> None:
        if len(self._recent) == _OVERRUNS_KEPT:
            del self._in_order[bisect_left(self._in_order, self._recent.popleft())]
        self._recent.append(ratio)
        insort(self._in_order, ratio)
        if len(self._recent) >= _OVERRUNS_TRUSTED_FROM:
            slow = self._in_order[len(self._in_order) * 9 // 10]
            self.margin = min(max(slow, MIN_MARGIN), MAX_MARGIN)


def _isotonic(values: Sequence[tuple[float, int]]) -> list[float]:
    """The rising sequence next to `values` (value, weight) by weighted absolute deviation."""
    blocks: list[tuple[float, list[tuple[float, int]]]] = []
    for value in values:
        level, members = value[0], [value]
        while blocks and blocks[-1][0] > level:
            members = blocks.pop()[1] + members
            level = _weighted_median(members)
        blocks.append((level, members))
    return [level for level, members in blocks for _ in members]


def _weighted_median(values: Sequence[tuple[float, int]]) -> float:
    half = sum(weight for _, weight in values) / 2
    passed = 0
    for value, weight in sorted(values):
        passed += weight
        if passed >= half:
            return value
    raise AssertionError("no values")


class Costs:
    """The curves of one version, by key. Signatures are few and magnitudes below 64, so are they.

    Attributes:
        longest_s: no curve predicts more than this, or has for long.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._curves: dict[CostKey, CostCurve] = {}
        self._runs = 0

    def curve(self, key: CostKey) -> CostCurve:
        """The curve of that key; an empty one the first time."""
        found = self._curves.get(key)
        if found is None:
            found = self._curves[key] = CostCurve()
        return found

    def observe(self, curve: CostCurve, rows: int, seconds: float) -> None:
        """Tell one of the curves of a run."""
        curve.observe(rows, seconds)
        self._runs += 1
        if self._runs % _FIT_EVERY:
            self.longest_s = max(self.longest_s, curve.longest_s)
        else:
            self.longest_s = max(one.longest_s for one in self._curves.values())
