"""What is shown, in metrics, of models that are loaded when they are called (on_demand/)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

WAIT_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets of waits for loads, seconds."""


class DemandFigures(NamedTuple):
    """At one moment; what is counted only grows.

    Attributes:
        limit_bytes: that models may hold; 0: there is no limit.
        held_bytes: that they hold, or will as far as that can be told: loaded, on their way in, or out.
        working_set_bytes: of the models that were called in the last minute.
        hits: calls that found their model live; `misses`: that waited for its load, and went on.
        refused: calls whose model was not live, and that could not wait for it, or waited in vain.
        loads: of models that somebody called; `reloads`: of these, of what was given up a moment before.
        evictions: models that had to go for others.
        waiting: calls that wait now; `most_waiting`: that may.
        waits: histogram over WAIT_BOUNDS_S of the waits of `misses`; waited_s: their sum, seconds.
        thrash_share: of the last minute, how much went into loads of what was given up a moment before.
    """

    limit_bytes: int
    held_bytes: int
    working_set_bytes: int
    hits: int
    misses: int
    refused: int
    loads: int
    reloads: int
    evictions: int
    waiting: int
    most_waiting: int
    waits: Sequence[int]
    waited_s: float
    thrash_share: float


class Waits:
    """Of calls that went on. Guarded by its owner's lock."""

    def __init__(self) -> None:
        self.counts = [0] * (len(WAIT_BOUNDS_S) + 1)
        self.total_s = 0.0

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def add(self, seconds: float) -> None:
        """One has waited so long."""
        self.counts[bisect_left(WAIT_BOUNDS_S, seconds)] += 1
        self.total_s += seconds
