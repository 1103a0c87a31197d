"""What became of the calls to a server that got more than it can answer. Pure.

A call's latency counts from the moment at which it should have been sent, so a generator that is late cannot
flatter the server.
"""

from __future__ import annotations

import enum
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

ALLOWANCE_S = 0.010
"""How long after its deadline a call may end and not count as stalled."""
ON_THE_WAY_S = 0.001
"""How long an answer may be on its way back, sent before the deadline and read after it."""


class Outcome(enum.Enum):
    """What became of a call."""

    RIGHT = "right"
    WRONG = "wrong"
    REFUSED = "refused"
    EXPIRED = "expired"
    FAILED = "failed"
    SILENT = "silent"


_BY_STATUS = {
    "RESOURCE_EXHAUSTED": Outcome.REFUSED,
    "UNAVAILABLE": Outcome.REFUSED,
    "DEADLINE_EXCEEDED": Outcome.EXPIRED,
    "NO_ANSWER": Outcome.SILENT,
}


def outcome(status: str, message: bytes, expected: bytes) -> Outcome:
    """From the status and the message; the right answer's bytes are somewhere in a right message.

    Args:
        status: gRPC's, by its name, or one of the generator's own; empty for an answer.
    """
    if not status:
        return Outcome.RIGHT if expected in message else Outcome.WRONG
    return _BY_STATUS.get(status, Outcome.FAILED)


@dataclass(frozen=True)
class Ended:
    """A call that is over, or was given up.

    Attributes:
        latency_s: from the moment at which it should have been sent.
        lag_s: how much later than that it was sent.
    """

    outcome: Outcome
    latency_s: float
    lag_s: float = 0.0


@dataclass(frozen=True)
class Level:
    """One server under one load in one round.

    Attributes:
        load: in units of the capacity; `capacity` is in calls/s, and so is what `offered` came to.
        good_per_s: right answers within their deadline.
        ends: how many calls ended how.
        late: right answers more than `ON_THE_WAY_S` past their deadline; `latest_ms`: the worst of them.
        stalled: calls that ended, however they did, more than `ALLOWANCE_S` past their deadline.
        p50_ms, p99_ms: latency of the good ones; `p99_end_ms`: of all calls.
        lag_p99_ms: of the generator.
    """

    rival: str
    round: int
    load: float
    capacity: float
    offered: float
    good_per_s: float
    ends: dict[str, int] = field(default_factory=dict)
    late: int = 0
    latest_ms: float = 0.0
    stalled: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    p99_end_ms: float = 0.0
    lag_p99_ms: float = 0.0

    @property
    def goodput(self) -> float:
        """As a share of the capacity."""
        return self.good_per_s / self.capacity


def judge(
    rival: str,
    round_number: int,
    load: float,
    capacity: float,
    seconds: float,
    ended: Sequence[Ended],
    deadline_s: float,
) -> Level:
    """Sum a load of `seconds` up."""
    right = [call.latency_s for call in ended if call.outcome is Outcome.RIGHT]
    good = [latency_s for latency_s in right if latency_s <= deadline_s]
    late = [latency_s - deadline_s for latency_s in right if latency_s > deadline_s + ON_THE_WAY_S]
    return Level(
        rival=rival,
        round=round_number,
        load=load,
        capacity=capacity,
        offered=len(ended) / seconds,
        good_per_s=len(good) / seconds,
        ends={each.value: count for each, count in Counter(call.outcome for call in ended).items()},
        late=len(late),
        latest_ms=max(late, default=0.0) * 1e3,
        stalled=sum(call.latency_s > deadline_s + ALLOWANCE_S for call in ended),
        p50_ms=percentile(good, 50) * 1e3,
        p99_ms=percentile(good, 99) * 1e3,
        p99_end_ms=percentile([call.latency_s for call in ended], 99) * 1e3,
        lag_p99_ms=percentile([call.lag_s for call in ended], 99) * 1e3,
    )


@dataclass(frozen=True)
class Idle:
    """A few callers, each of whom calls again when answered, and a server that has nothing else to do.

    Attributes:
        calls: answered right; `others` were not.
        outliers: calls that took longer than `bound_ms`.
    """

    rival: str
    round: int
    clients: int
    calls: int
    others: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    bound_ms: float
    outliers: int


@dataclass(frozen=True)
class Closed:
    """As many callers as keep a server busy, without a deadline: what it can do where nothing is too much.

    Attributes:
        goodput: right answers in units of the capacity.
    """

    rival: str
    round: int
    clients: int
    goodput: float


def judge_idle(rival: str, round_number: int, clients: int, ended: Sequence[Ended], run_s: float) -> Idle:
    """Sum a closed loop up.

    A call that finds a run under way waits for its end and is in the next: two runs, and `ALLOWANCE_S` for
    everything that is not running. What takes longer was held up by something else.
    """
    latencies = [call.latency_s for call in ended]
    right = sum(call.outcome is Outcome.RIGHT for call in ended)
    bound_s = 2 * run_s + ALLOWANCE_S
    return Idle(
        rival=rival,
        round=round_number,
        clients=clients,
        calls=right,
        others=len(ended) - right,
        p50_ms=percentile(latencies, 50) * 1e3,
        p99_ms=percentile(latencies, 99) * 1e3,
        max_ms=max(latencies, default=0.0) * 1e3,
        bound_ms=bound_s * 1e3,
        outliers=sum(latency_s > bound_s for latency_s in latencies),
    )


def percentile(values: Sequence[float], share: int) -> float:
    """The smallest value that `share` percent of all are not above; 0 where there is none."""
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]
