"""How many servers of which size a load takes. Pure.

Every call goes to one of n replicas by chance, as a load balancer without knowledge sends it, so each gets
calls like the whole load's, n times as rarely. Two replicas of a size need less than twice the processors for
the same tail, and one that knows better (least requests) needs fewer still: the answer is on the safe side.

How far the prediction is to be believed, a confirmation says: what was measured, in units of what was
predicted, for each settings that were tried under a real load. Replicas hold if they do so at the upper end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hotgraph_server.tuning.prediction import Candidate, Predicted
from hotgraph_server.tuning.search import Problem, Tried

_CALLS, _SEEDS = 8000, (21, 22, 23)
# Of the best settings so many are tried for each size.
_OPTIONS = 4
MOST = 4096
"""Replicas that are thought of."""


@dataclass(frozen=True)
class Trust:
    """How measured 99th percentiles compare with predicted ones.

    Attributes:
        low, middle, high: measured / predicted: the least, the median, the greatest.
        confirmed: were any measured? If not, all three are 1.
    """

    low: float = 1.0
    middle: float = 1.0
    high: float = 1.0
    confirmed: bool = False


def trust_of(ratios: Sequence[float]) -> Trust:
    """From measured / predicted, one for each measurement."""
    if not ratios:
        return Trust()
    ordered = sorted(ratios)
    return Trust(ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1], confirmed=True)


@dataclass(frozen=True)
class Replicas:
    """Servers of one size, between which a load is shared.

    Attributes:
        count: of them.
        size: of each, in words.
        candidate: their settings.
        cores: of each.
        predicted: of one.
        low_s, p99_s, high_s: the 99th percentile, as the confirmation lets it be expected.
        holds: does the objective, at the upper end?
    """

    count: int
    size: str
    candidate: Candidate
    cores: int
    predicted: Predicted
    low_s: float
    p99_s: float
    high_s: float
    holds: bool


def replicas(problem: Problem, tried: Iterable[Tried], trust: Trust) -> Iterator[Replicas]:
    """For each size: one fewer than hold, and the fewest that hold; only the most thought of where none do.

    Args:
        problem: with the whole load; its place says of which size a server can be at most.
        tried: settings to choose each size's from, the best first.
        trust: how far predictions are believed.
    """
    seen = [one.candidate for one in tried]
    for cores in sizes(problem.place.cores):
        yield from _of_size(problem.at(cores), [one for one in seen if one.processes <= cores], cores, trust)


def sizes(cores: int) -> list[int]:
    """Of servers, in processors: powers of two, and all that there are."""
    return [*(1 << power for power in range((cores - 1).bit_length())), cores]


def _of_size(
    problem: Problem, candidates: Sequence[Candidate], cores: int, trust: Trust
) -> Iterator[Replicas]:
    options = dict.fromkeys([*candidates[:_OPTIONS], *(one for one in candidates if one.is_default)])
    known: dict[int, Replicas] = {}

    def best_of(count: int) -> Replicas:
        if count not in known:
            each = [_replicas(problem, one, count, cores, trust) for one in options]
            known[count] = min(each, key=_order)
        return known[count]

    least = fewest(lambda count: best_of(count).holds)
    if least is None:
        yield best_of(MOST)
        return
    if least > 1:
        yield best_of(least - 1)
    yield best_of(least)


def _order(one: Replicas) -> tuple[float, ...]:
    """Of those that are alike, the one that changes least."""
    tail = math.log(one.high_s) if 0.0 < one.high_s < math.inf else math.inf
    return not one.holds, round(tail, 1), len(one.candidate.settings)


def _replicas(problem: Problem, candidate: Candidate, count: int, cores: int, trust: Trust) -> Replicas:
    predicted = problem.predict(candidate, _CALLS, _SEEDS, 1.0 / count)
    p99_s = predicted.p99_s
    at_worst = {name: value * trust.high for name, value in predicted.latency_s.items()}
    holds = predicted.holds and not problem.slo.broken(at_worst, predicted.errors)
    size = f"{cores} core{'s' if cores > 1 else ''}"
    return Replicas(
        count,
        f"{size}, {candidate.label}",
        candidate,
        cores,
        predicted,
        p99_s * trust.low,
        p99_s * trust.middle,
        p99_s * trust.high,
        holds,
    )


def fewest(holds: Callable[[int], bool], most: int = MOST) -> int | None:
    """The least count that holds, where more hold if fewer do; None: not even `most`."""
    high = 1
    while not holds(high):
        if high >= most:
            return None
        high = min(2 * high, most)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
