"""How long the executor is busy: with its present run, and with all that waits. Part of the backlog: no
thread, no lock, no clock.

The work that waits is kept by level as a sum of seconds, and each call with a deadline asks for it. A lane
that has changed is noted, and its work is counted again when the next call asks; so calls without deadlines
pay nothing for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hotgraph_server.batching import estimates
from hotgraph_server.batching.call import Call
from hotgraph_server.batching.cost import CostCurve, Costs, cost_key, elements_of_a_row
from hotgraph_server.batching.lane import Flow, Lane
from hotgraph_server.batching.lane_key import LaneKey
from hotgraph_server.tensors import Array

# Callers choose shapes, so what is known of them is forgotten at some point. The curves are kept apart.
_MAX_FLOWS = 1024

# The part of the graph is forgotten over about so many runs. A guess.
_PART_OVER = 16


class LoadEstimate:
    """The present run and the work of the lanes of one backlog, and the cost curves that say how much it is.

    Args:
        levels: of the queue.
        max_rows: of a batch.

    Attributes:
        free_at: predicted end of the present run, monotonic seconds; -infinite: there is none.
        graph_s: how long the present run is predicted to be in the graph, seconds.
        graph_part: of a run's time, so much is spent in the graph, on average; the rest is Python.
        uncounted: lanes to which calls have come, or which some have left, since `waiting_s` was last asked.
    """

    def __init__(self, levels: int, max_rows: int) -> None:
        self.free_at = -math.inf
        self.graph_part = 1.0
        self.graph_s = math.inf
        self._in_graph_s = 0.0  # of the present run
        self._levels = levels
        self._max_rows = max_rows
        # What waits, by level, but for the lanes in `uncounted`.
        self._waiting_s = [0.0] * (levels + 1)
        self.uncounted: set[Lane] = set()
        # The batch that the executor has: its curve, its rows, when it was taken.
        self._running: tuple[CostCurve, int, float] | None = None
        self._costs = Costs()
        self._flows: dict[LaneKey, Flow] = {}

    @property
    def longest_run_s(self) -> float:
        """No run is predicted to take more, seconds."""
        return self._costs.longest_s

    def begin(self, lane: Lane, call: Call, rows: int, now: float) -> None:
        """The run of a batch of `lane` that begins with `call` begins at `now`."""
        curve = lane.flow.curve if lane.joins else self.flow(call).curve
        self._running = curve, rows, now
        self._in_graph_s = 0.0
        self.graph_s = self.in_graph_of(call, curve, rows)
        self.free_at = now + curve.predict(rows)

    def in_graph_of(self, call: Call, curve: CostCurve, rows: int) -> float:
        """How long a run of so many rows that begins with `call` is predicted to be in the graph, seconds;
        infinite: nothing is known."""
        if not curve.known:
            return math.inf
        # What has no inputs may be a task of the executor's, of which all is unlike other runs.
        return (self.graph_part if call.inputs else 1.0) * curve.predict(rows)

    def in_graph(self, seconds: float) -> None:
        """So long the present run was in the graph; more than once, where it is run in parts."""
        self._in_graph_s += seconds

    def run_is_over(self, now: float) -> None:
        """The present run, if there is one, has ended at `now`."""
        if self._running is not None:
            curve, rows, began = self._running
            took_s = now - began
            self._costs.observe(curve, rows, took_s)
            if 0.0 < self._in_graph_s <= took_s:
                self.graph_part += (self._in_graph_s / took_s - self.graph_part) / _PART_OVER
            self._running = None
            self.free_at = -math.inf

    def ran(self, signature: str, inputs: Sequence[Array], rows: int, seconds: float) -> None:
        """Learn of a run that was no batch of the queue; see BatchQueue.ran."""
        curve = self._costs.curve(cost_key(signature, elements_of_a_row(inputs)))
        self._costs.observe(curve, rows, seconds)

    def predicted_s(self, signature: str, inputs: Sequence[Array], rows: int) -> float:
        """See BatchQueue.predicted_s."""
        return self._costs.curve(cost_key(signature, elements_of_a_row(inputs))).predict(rows)

    def flow(self, call: Call) -> Flow:
        """What is known of calls like this one: their pace, and what they cost."""
        if call.lane is None or call.apart:
            return Flow(self._costs.curve(cost_key(call.signature.name, elements_of_a_row(call.inputs))))
        flow = self._flows.get(call.lane)
        if flow is None:
            if len(self._flows) == _MAX_FLOWS:
                self._flows.clear()
            key = cost_key(call.signature.name, elements_of_a_row(call.inputs))
            flow = self._flows[call.lane] = Flow(self._costs.curve(key))
        return flow

    def gone(self, lane: Lane, *, last: bool) -> None:
        """Nothing waits in `lane` any more; `last`: nor in any other."""
        self.uncounted.discard(lane)
        self._waiting_s[lane.level] -= lane.counted_s
        if last:
            # Sums of floats drift.
            self._waiting_s = [0.0] * (self._levels + 1)

    def waiting_s(self, level: int) -> float:
        """The work that waits at `level` and above it, seconds."""
        for lane in self.uncounted:
            if lane.joins:
                work_s = estimates.work_s(lane.rows, min(lane.max_rows, self._max_rows), lane.flow.curve)
            else:
                work_s = sum(lane.calls.values())
            self._waiting_s[lane.level] += work_s - lane.counted_s
            lane.counted_s = work_s
        self.uncounted.clear()
        return self._waiting_s[1] if level == 1 else sum(self._waiting_s[1 : level + 1])
