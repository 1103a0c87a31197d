"""What is known of a lane's calls, made up."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hotgraph_server.batching.cost import CostCurve
from hotgraph_server.batching.lane import Flow

LINEAR = {1: 1.0, 64: 64.0}
"""A second a row."""


def flow_of(costs: Mapping[int, float] | None = None, gap_s: float = math.inf) -> Flow:
    """Runs that cost so many seconds by their rows, of calls that come so far apart."""
    curve = CostCurve()
    for count, seconds in (costs or {}).items():
        for _ in range(3):
            curve.observe(count, seconds)
    flow = Flow(curve)
    flow.gap_s = gap_s
    return flow
