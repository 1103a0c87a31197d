"""A lane: calls in arrival order that may share a batch. State alone: what is done with it is decided in
decisions.py, and the queue holds its lock around everything here.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable, Iterable

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.cost import CostCurve

# A pace is forgotten over about so many arrivals. A guess.
_PACE_OVER = 16


class Flow:
    """What is known of a lane's calls beyond those that wait now; it outlives the lane.

    Attributes:
        curve: what their runs cost.
        gap_s: seconds between one row's arrival and the next, on average; infinite before the second.
    """

    __slots__ = ("_last", "curve", "gap_s")

    def __init__(self, curve: CostCurve) -> None:
        self.curve = curve
        self.gap_s = math.inf
        self._last = -math.inf

    def arrival(self, now: float, rows: int) -> None:
        """A call has come; an exponential average over rows."""
        gap = max(0.0, now - self._last) / max(1, rows)
        self._last = now
        if math.isinf(self.gap_s):
            self.gap_s = gap
        else:
            self.gap_s += (gap - self.gap_s) / _PACE_OVER


class Lane:
    """Calls of one level with the same lane key, or those that run alone.

    A dict and not a deque, because callers leave from the middle: removing one is O(1), and what it held
    is given back at once.

    Attributes:
        key: of the queue's table of lanes.
        level: of the queue, from 1; 1 goes first. See backlog.Backlog.
        joins: may calls of this lane share a batch?
        apart: are its calls those of peers whose calls keep failing?
        flow: what is known of its calls; of no use where they run alone, for they are of all kinds then.
        calls: in arrival order, and for each that runs alone the predicted seconds of its run.
        rows: that wait.
        nbytes: that its calls hold.
        max_rows: of a batch of this lane; the queue's own limit may be lower.
        has_deadlines: has any call had one since the lane was made?
        has_timeouts: may any call that has come since the lane was made wait only until some moment?
        counted_s: what the queue has counted this lane's work as, seconds; see estimates.work_s.
    """

    __slots__ = (
        "apart",
        "calls",
        "counted_s",
        "flow",
        "has_deadlines",
        "has_timeouts",
        "joins",
        "key",
        "level",
        "max_rows",
        "nbytes",
        "rows",
    )

    def __init__(
        self,
        key: Hashable,
        flow: Flow,
        level: int = 1,
        *,
        joins: bool = True,
        apart: bool = False,
        max_rows: int = sys.maxsize,
    ) -> None:
        self.key = key
        self.level = level
        self.joins = joins
        self.apart = apart
        self.flow = flow
        self.calls: dict[Call, float] = {}
        self.rows = 0
        self.nbytes = 0
        self.max_rows = max_rows
        self.has_deadlines = False
        self.has_timeouts = False
        self.counted_s = 0.0

    def __len__(self) -> int:
        return len(self.calls)

    @property
    def oldest(self) -> float:
        """Arrival of the call that has waited longest, monotonic seconds; infinite if none waits."""
        for call in self.calls:
            return call.arrived
        return math.inf

    def append(self, call: Call, cost_s: float = 0.0) -> None:
        """Take in a call, behind the others."""
        self.calls[call] = cost_s
        self.rows += call.rows - call.rows_done
        self.nbytes += call.nbytes
        if call.deadline != math.inf:
            self.has_deadlines = True
        call.waits_in = self

    def remove(self, calls: Iterable[Call]) -> list[Call]:
        """Let calls go. Returns those that were waiting here."""
        waiting = self.calls
        removed = [call for call in calls if waiting.pop(call, None) is not None]
        self.rows -= sum([call.rows - call.rows_done for call in removed])
        self.nbytes -= sum([call.nbytes for call in removed])
        return removed

    def take_all(self) -> list[Call]:
        """Empty the lane."""
        taken = list(self.calls)
        self.calls.clear()
        self.rows = self.nbytes = 0
        return taken
