"""A lane: calls in arrival order that may share a batch. And the choice between lanes.

Pure: no thread, no lock, no clock. The queue holds its lock around everything here.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from hotgraph_server.batching.call import Call, LaneKey


class Lane:
    """Calls with the same lane key, or the one lane of those that run alone (key None).

    An ordered dict and not a deque, because callers leave from the middle: removing one is O(1), and
    what it held is given back at once.
    """

    def __init__(self, key: LaneKey | None) -> None:
        self.key = key
        self.rows = 0
        self._calls: OrderedDict[Call, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def oldest(self) -> float:
        """Arrival of the call that has waited longest, monotonic seconds; infinite if none waits."""
        return next(iter(self._calls)).arrived if self._calls else math.inf

    @property
    def joins(self) -> bool:
        """May calls of this lane share a batch?"""
        return self.key is not None

    def append(self, call: Call) -> None:
        """Take in a call, behind the others."""
        self._calls[call] = None
        self.rows += call.rows

    def remove(self, call: Call) -> bool:
        """Let a call leave. Returns whether it was still waiting here."""
        if call not in self._calls:
            return False
        del self._calls[call]
        self.rows -= call.rows
        return True

    def take(self, max_rows: int) -> list[Call]:
        """Take the calls of the next batch: the oldest, then those behind it while they fit.

        The first call always goes, so one that is larger than `max_rows` runs by itself.
        """
        taken: list[Call] = []
        rows = 0
        while self._calls:
            call = next(iter(self._calls))
            if taken and (not self.joins or rows + call.rows > max_rows):
                break
            self._calls.popitem(last=False)
            self.rows -= call.rows
            rows += call.rows
            taken.append(call)
        return taken

    def take_all(self) -> list[Call]:
        """Empty the lane."""
        taken = list(self._calls)
        self._calls.clear()
        self.rows = 0
        return taken


@dataclass(frozen=True)
class Choice:
    """What a free executor does now: run a lane, or wait until a moment (infinite: for a call)."""

    lane: Lane | None
    wait_until: float = math.inf


def choose(lanes: Iterable[Lane], now: float, max_rows: int, max_wait_s: float) -> Choice:
    """The lane whose oldest call came first among those that may go at `now`.

    A lane may go when it is full, when its oldest call has waited `max_wait_s`, or at once if its
    calls cannot be joined anyway.
    """
    best: Lane | None = None
    wait_until = math.inf
    for lane in lanes:
        if not len(lane):
            continue
        ripe_at = lane.oldest + max_wait_s
        if not lane.joins or lane.rows >= max_rows or ripe_at <= now:
            if best is None or lane.oldest < best.oldest:
                best = lane
        else:
            wait_until = min(wait_until, ripe_at)
    return Choice(best) if best is not None else Choice(None, wait_until)
