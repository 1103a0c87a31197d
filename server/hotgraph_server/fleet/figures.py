"""From what a server tells on its admin port (/api/status) to what is seen of a replica. Pure.

Servers count from their start; what happens now is the difference of two looks. A server, or a version, that
has begun anew counts from nothing again: then all that it has counted is new.

A version that answers in the shadow of another is asked by nobody: its calls are not among its model's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hotgraph_server.fleet.observed import ModelSeen, ReplicaSeen, ShadowSeen

_LIVE = "live"
# Ended without a run, by the server; who leaves has not been failed.
_FAILED = ("refused_full", "refused_late", "refused_by_size", "refused_draining", "timed_out", "expired")
# Two looks at one server agree on its start to less than this.
_SAME_START_S = 0.5


class NoFigures(ValueError):
    """What a server has told is none of this."""


@dataclass(frozen=True)
class Counts:
    """Of a version, since its start.

    Attributes:
        calls: that have ended, otherwise than by their callers.
        failed: of these.
        ran: that were in runs.
        waited_s: of these, in the queue.
        run_s: of runs.
        durations: of calls, a histogram.
    """

    calls: float = 0.0
    failed: float = 0.0
    ran: float = 0.0
    waited_s: float = 0.0
    run_s: float = 0.0
    durations: tuple[float, ...] = ()

    def less(self, before: Counts | None) -> Counts:
        """What has come since; all of it, where it has begun anew."""
        if before is None or before.calls > self.calls or before.run_s > self.run_s:
            return self
        pairs = zip(self.durations, before.durations, strict=False)
        return Counts(
            self.calls - before.calls,
            self.failed - before.failed,
            self.ran - before.ran,
            self.waited_s - before.waited_s,
            self.run_s - before.run_s,
            tuple(now - then for now, then in pairs) if before.durations else self.durations,
        )

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        longest = max(len(self.durations), len(other.durations))
        one, two = (x.durations + (0.0,) * (longest - len(x.durations)) for x in (self, other))
        return Counts(
            self.calls + other.calls,
            self.failed + other.failed,
            self.ran + other.ran,
            self.waited_s + other.waited_s,
            self.run_s + other.run_s,
            tuple(map(sum, zip(one, two, strict=True))),
        )


@dataclass(frozen=True)
class Look:
    """What is remembered of a look, to compare the next one with.

    Attributes:
        now_s: of the server's clock.
        began_s: when it has started, by the same.
        versions: counts by model and number.
    """

    now_s: float
    began_s: float
    versions: Mapping[tuple[str, int], Counts] = field(default_factory=dict)


def read(replica: ReplicaSeen, status: Any, before: Look | None) -> tuple[ReplicaSeen, Look]:
    """A replica with what its server tells, and what the next look is compared with.

    Args:
        replica: as the engine knows it.
        status: what /api/status says, as JSON was read.
        before: of the look before; None: there was none.

    Raises:
        NoFigures: it says something else.
    """
    try:
        return _read(replica, status, before)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise NoFigures(f"its /api/status is not as it should be: {error!r}"[:200]) from error


def percentile(durations: Sequence[float], bounds: Sequence[float], share: float) -> float | None:
    """Seconds that a share (0 to 1) of calls have taken at most, by a histogram; None: of no calls.

    Args:
        durations: counts; the last of what is above all bounds.
        bounds: upper ones of the others, ascending, seconds.
    """
    total = sum(durations)
    if total <= 0 or not bounds:
        return None
    below, lower = 0.0, 0.0
    for count, upper in zip(durations, bounds, strict=False):
        if count > 0 and below + count >= share * total:
            return lower + (upper - lower) * (share * total - below) / count
        below, lower = below + count, upper
    return float(bounds[-1])


def _read(replica: ReplicaSeen, status: Any, before: Look | None) -> tuple[ReplicaSeen, Look]:
    now_s, process, bounds = float(status["now_s"]), status["process"], status["bounds"]["duration_s"]
    began_s = now_s - float(status["uptime_s"])
    if before is not None and (abs(before.began_s - began_s) > _SAME_START_S or before.now_s >= now_s):
        before = None
    passed_s = max(now_s - (before.now_s if before else began_s), 1e-3)
    counted = {
        (str(model["name"]), int(version["number"])): _counts(version["signatures"])
        for model in status["models"]
        for version in model["versions"]
    }
    grown = {key: now.less(before.versions.get(key) if before else None) for key, now in counted.items()}
    models = {
        str(model["name"]): _model(model, counted, grown, passed_s, bounds) for model in status["models"]
    }
    ran = sum(one.ran for one in grown.values())
    waited_s = sum(one.waited_s for one in grown.values())
    found = dataclasses.replace(
        replica,
        models={name: model for name, model in models.items() if model.versions},
        duty=_duty(grown.values(), passed_s, process, int(status["processes"])),
        queue_wait_ms=1e3 * waited_s / ran if ran > 0 else 0.0,
        rss_bytes=int(process["rss_bytes"] or 0),
        calls_per_s=sum(model.calls_per_s for model in models.values()),
    )
    return found, Look(now_s, began_s, counted)


def _duty(grown: Any, passed_s: float, process: Mapping[str, Any], processes: int) -> float:
    """Of the busiest version, whose one executor is the limit of its model; or of all together, where they
    share fewer processors than they are."""
    shares = [one.run_s / passed_s / max(processes, 1) for one in grown]
    together = sum(shares) * max(processes, 1) / max(float(process["processors"]), 1.0)
    return float(min(max([*shares, together], default=0.0), 1.0))


def _model(
    model: Mapping[str, Any],
    counted: Mapping[tuple[str, int], Counts],
    grown: Mapping[tuple[str, int], Counts],
    passed_s: float,
    bounds: Sequence[float],
) -> ModelSeen:
    name = str(model["name"])
    live = [version for version in model["versions"] if version["state"] == _LIVE]
    numbers = tuple(sorted(int(version["number"]) for version in live))
    shadow = _shadow(model["versions"])
    asked = [
        (name, int(version["number"]))
        for version in model["versions"]
        if shadow is None or int(version["number"]) != shadow.version
    ]
    total, new = Counts(), Counts()
    for key in asked:
        total, new = total.plus(counted[key]), new.plus(grown[key])
    p99_s = percentile(new.durations, bounds, 0.99)
    return ModelSeen(
        versions=numbers,
        memory_bytes=sum(int(version.get("memory_bytes") or 0) for version in model["versions"]),
        calls=int(total.calls),
        failed=int(total.failed),
        queue_s=total.waited_s,
        run_s=total.run_s,
        default=int(model.get("default") or max(numbers, default=0)),
        calls_per_s=new.calls / passed_s,
        failed_per_s=new.failed / passed_s,
        p99_ms=None if p99_s is None else 1e3 * p99_s,
        shadow=shadow,
    )


def _counts(signatures: Sequence[Mapping[str, Any]]) -> Counts:
    total = Counts()
    for one in signatures:
        refused = float(sum(one["events"].get(name, 0) for name in _FAILED))
        ran = float(one["answered"] + one["failed"])
        total = total.plus(
            Counts(
                calls=ran + refused + one["cache_hits"],
                failed=one["failed"] + refused,
                ran=ran,
                waited_s=float(one["waited_s"]),
                run_s=float(one["ran_s"]),
                durations=tuple(map(float, one["call_durations"])),
            )
        )
    return total


def _shadow(versions: Sequence[Mapping[str, Any]]) -> ShadowSeen | None:
    version = next((one for one in versions if one.get("shadow")), None)
    if version is None:
        return None
    told = version["shadow"]
    slower = told["slower"]
    return ShadowSeen(
        version=int(version["number"]),
        compared=int(told["compared"]),
        differed=int(told["differed"]),
        failed=int(told["failed"]),
        dropped=int(told["dropped"]),
        slower=None if slower is None else float(slower),
        largest=float(told["largest"]),
        reason=str(told["reason"])[:500],
    )
