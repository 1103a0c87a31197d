"""What a copy of a model takes of a replica: memory, and a share of its time. Pure.

A server that has a free executor runs what waits, so it is busy more than its runs' costs at one row say, and
less than they say when many come: calls that come during a run share the next one. For calls that come at
random moments and runs that cost `a + b * rows`, the share of time in runs is

    duty = r b + (1 - r b) x e^x / (1 + x e^x),    x = r a / (1 - r b)

which is r (a + b) where the rate r is small, and goes to 1 where r b does. The tests hold it against a queue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MB = 2**20

_MOST_COPIES = 100_000


@dataclass(frozen=True)
class ModelNeeds:
    """What is known of a model.

    Attributes:
        memory_bytes: of a copy.
        rate_per_s: calls a second, of all copies.
        fixed_s, per_row_s: of a run, seconds: it costs fixed_s + rows * per_row_s.
        memory_from: where the figure is from, a word for people: `measured`, `said`, `files` or `guessed`.
        rate_from: `measured`, `said`, or empty where nothing is known of it.
    """

    memory_bytes: float
    rate_per_s: float = 0.0
    fixed_s: float = 0.0
    per_row_s: float = 0.0
    memory_from: str = "measured"
    rate_from: str = ""

    def duty(self, copies: int) -> float:
        """The share of time, 0 to 1, that each of so many copies is in runs."""
        return duty(self.rate_per_s / copies, self.fixed_s, self.per_row_s)

    def copies_below(self, most_duty: float) -> int:
        """The least number of copies each of which has at most that duty, which is above 0."""
        if self.duty(1) <= most_duty:
            return 1
        few, enough = 1, 2
        while self.duty(enough) > most_duty and enough < _MOST_COPIES:
            few, enough = enough, 2 * enough
        while enough - few > 1:
            between = (few + enough) // 2
            few, enough = (few, between) if self.duty(between) <= most_duty else (between, enough)
        return enough


def duty(rate_per_s: float, fixed_s: float, per_row_s: float) -> float:
    """The share of time in runs of a server to which calls of one row come at random moments."""
    rows = rate_per_s * per_row_s
    if rows >= 1:
        return 1.0
    waiting = rate_per_s * fixed_s / (1 - rows)
    if waiting > 50:
        return 1.0
    grown = waiting * math.exp(waiting)
    return rows + (1 - rows) * grown / (1 + grown)


def line_of_costs(curve: tuple[tuple[int, float], ...]) -> tuple[float, float]:
    """`fixed_s` and `per_row_s` of runs whose (rows, milliseconds) are these, ascending by rows.

    Of one point alone all is taken for work by the row, which no batch makes less.
    """
    if not curve:
        return 0.0, 0.0
    (rows, ms), (most_rows, most_ms) = curve[0], curve[-1]
    if most_rows == rows:
        return 0.0, ms / rows / 1000
    per_row = min(max(0.0, (most_ms - ms) / (most_rows - rows)), ms / rows)
    return (ms - rows * per_row) / 1000, per_row / 1000
