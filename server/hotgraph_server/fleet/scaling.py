"""How many replicas a fleet shall have, by what they have to do. Pure.

Out when the mean duty of those that answer is above `duty_high`, or calls wait longer than
`queue_wait_high_ms`, for `out_hold_s`: to as many as would bring the duty to the middle between high and low,
and one at least. In when it is below `duty_low` for `in_hold_s` and would be below that middle with one less:
by one. In between, and while
replicas are still to come or to go, nothing changes and time begins anew: what was asked for has to show
first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hotgraph_server.fleet.observed import FleetSeen, ReplicaState
from hotgraph_server.fleet.spec import FleetSpec


@dataclass(frozen=True)
class Trend:
    """Since when it has been so, seconds; None: it is not."""

    high_since_s: float | None = None
    low_since_s: float | None = None


@dataclass(frozen=True)
class Scaled:
    """
    Attributes:
        replicas: wanted from now on.
        reason: why they are others than before; empty: they are not.
    """

    replicas: int
    trend: Trend
    reason: str = ""


def scaled(spec: FleetSpec, wanted: int, seen: FleetSeen, trend: Trend) -> Scaled:
    """How many are wanted now, where `wanted` were at the last look."""
    least, most = spec.replicas.least, spec.replicas.most
    ready = [one for one in seen.replicas if one.state is ReplicaState.READY]
    if least >= most or len(ready) != wanted or not ready:
        return Scaled(wanted, Trend())
    scaling, count = spec.scaling, len(ready)
    duty = sum(one.duty for one in ready) / count
    wait_ms = sum(one.queue_wait_ms for one in ready) / count
    middle = (scaling.duty_high + scaling.duty_low) / 2
    waits = wait_ms > scaling.queue_wait_high_ms
    is_high = duty > scaling.duty_high or waits
    is_low = duty < scaling.duty_low and not waits and count > 1 and duty * count / (count - 1) < middle
    high = _since(is_high, trend.high_since_s, seen.at_s)
    low = _since(is_low, trend.low_since_s, seen.at_s)
    if high is not None and seen.at_s - high >= scaling.out_hold_s and wanted < most:
        more = min(most, max(wanted + 1, math.ceil(count * duty / middle)))
        return Scaled(more, Trend(), f"duty {duty:.2f}, {wait_ms:.0f} ms in the queue: {wanted} -> {more}")
    if low is not None and seen.at_s - low >= scaling.in_hold_s and wanted > least:
        return Scaled(wanted - 1, Trend(), f"duty {duty:.2f}: {wanted} -> {wanted - 1}")
    return Scaled(wanted, Trend(high, low))


def _since(is_so: bool, before_s: float | None, now_s: float) -> float | None:
    if not is_so:
        return None
    return now_s if before_s is None else before_s
