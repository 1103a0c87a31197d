"""How many replicas a fleet shall have, by what they have to do and to hold. Pure.

Out when the mean duty of those that answer is above `duty_high`, or calls wait longer than
`queue_wait_high_ms`, or a model has found no place, for `out_hold_s`: to as many as would bring the duty to
the middle between high and low, and as the plan says would hold all, and one at least. In when the duty is
below `duty_low` for `in_hold_s` and would be below that middle with one less, and one less would hold all: by
one. In between, and while replicas are still to come or to go, nothing changes and time begins anew: what was
asked for has to show first. But for those that do not come: where the duty is low without them they are
wanted no more."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hotgraph_server.fleet.observed import FleetSeen, ReplicaState
from hotgraph_server.fleet.placement import Placement
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


def scaled(
    spec: FleetSpec,
    wanted: int,
    seen: FleetSeen,
    trend: Trend,
    placement: Placement = Placement(),  # noqa: B008
) -> Scaled:
    """How many are wanted now, where `wanted` were at the last look.

    Args:
        placement: that holds so far.
    """
    least, most = spec.replicas.least, spec.replicas.most
    if least >= most:
        return Scaled(wanted, Trend())
    if not least <= wanted <= most:
        within = min(max(wanted, least), most)
        return Scaled(within, Trend(), f"least is {least}, most is {most}: {wanted} -> {within}")
    ready = [one for one in seen.replicas if one.state is ReplicaState.READY]
    if not ready or len(ready) > wanted:
        return Scaled(wanted, Trend())
    scaling, count = spec.scaling, len(ready)
    duty = sum(one.duty for one in ready) / count
    wait_ms = sum(one.queue_wait_ms for one in ready) / count
    middle = (scaling.duty_high + scaling.duty_low) / 2
    waits = wait_ms > scaling.queue_wait_high_ms
    needed = placement.replicas_wanted
    lacks = bool(placement.unplaced) and needed > wanted
    is_high = count == wanted and (duty > scaling.duty_high or waits or lacks)
    left = max(1, min(count, wanted - 1))
    is_low = duty < scaling.duty_low and not waits and wanted > 1 and duty * count / left < middle
    high = _since(is_high, trend.high_since_s, seen.at_s)
    low = _since(is_low and needed < wanted and not lacks, trend.low_since_s, seen.at_s)
    if high is not None and seen.at_s - high >= scaling.out_hold_s and wanted < most:
        more = min(most, max(wanted + 1, math.ceil(count * duty / middle), needed if lacks else 0))
        without = f", {len(placement.unplaced)} models short of room" if lacks else ""
        why = f"duty {duty:.2f}, {wait_ms:.0f} ms in the queue{without}: {wanted} -> {more}"
        return Scaled(more, Trend(), why)
    if low is not None and seen.at_s - low >= scaling.in_hold_s and wanted > least:
        return Scaled(wanted - 1, Trend(), f"duty {duty:.2f}: {wanted} -> {wanted - 1}")
    return Scaled(wanted, Trend(high, low))


def _since(is_so: bool, before_s: float | None, now_s: float) -> float | None:
    if not is_so:
        return None
    return now_s if before_s is None else before_s
