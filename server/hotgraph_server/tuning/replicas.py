"""How many servers of which size a load takes. Pure.

Every call goes to one of n replicas by chance, as a load balancer without knowledge sends it, so each gets
calls like the whole load's, n times as rarely. Two replicas of a size need less than twice the processors for
the same tail, and one that knows better (least requests) needs fewer still: the answer is on the safe side.

How far the prediction is to be believed, a confirmation says: what was measured, in units of what was
predicted, for each settings that were tried under a real load. Replicas hold if they do so at the upper end;
how many would do in the middle, and at the lower end, is the error bar of their number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hotgraph_server.tuning.prediction import Candidate, Predicted
from hotgraph_server.tuning.search import Problem, Tried
from hotgraph_server.tuning.slo import Slo

_CALLS, _SEEDS = 8000, (21, 22, 23)
# Of the best settings so many are tried for each size.
_OPTIONS = 4
_ENDS = 8

YES, LIKELY, AT_BEST, NO = "yes", "likely", "at best", "no"
"""Does the objective hold: at the upper end of what real loads had of their predictions, in the middle, at
the lower end, or not even there?"""
_RANK = {kept: rank for rank, kept in enumerate((YES, LIKELY, AT_BEST, NO))}

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
    """From measured / predicted, one for each measurement. Of many, an eighth at either end is left out: a
    moment in which the machine did something else would be the answer otherwise."""
    if not ratios:
        return Trust()
    ends = len(ratios) // _ENDS
    ordered = sorted(ratios)[ends : len(ratios) - ends]
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
        kept: YES, LIKELY, AT_BEST or NO.
    """

    count: int
    size: str
    candidate: Candidate
    cores: int
    predicted: Predicted
    low_s: float
    p99_s: float
    high_s: float
    kept: str

    @property
    def holds(self) -> bool:
        """Does the objective, at the upper end?"""
        return self.kept == YES


def replicas(problem: Problem, tried: Iterable[Tried], trust: Trust) -> Iterator[Replicas]:
    """For each size: the fewest with which the objective holds at best, likely, and surely, ascending; where
    these are one number, one fewer before it; only the most thought of where none holds even at best.

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

    def at_least(kept: str) -> int | None:
        return fewest(lambda count: _RANK[best_of(count).kept] <= _RANK[kept])

    found = sorted({count for kept in (AT_BEST, LIKELY, YES) if (count := at_least(kept)) is not None})
    if len(found) == 1 and found[0] > 1:
        found.insert(0, found[0] - 1)
    yield from map(best_of, found or [MOST])


def _order(one: Replicas) -> tuple[float, ...]:
    """Of those that are alike, the one that changes least."""
    tail = math.log(one.high_s) if 0.0 < one.high_s < math.inf else math.inf
    return _RANK[one.kept], round(tail, 1), len(one.candidate.settings)


def _replicas(problem: Problem, candidate: Candidate, count: int, cores: int, trust: Trust) -> Replicas:
    predicted = problem.predict(candidate, _CALLS, _SEEDS, 1.0 / count)
    p99_s = predicted.p99_s
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
        _kept(problem.slo, predicted, trust),
    )


def _kept(slo: Slo, predicted: Predicted, trust: Trust) -> str:
    if predicted.overload:
        return NO
    for kept, ratio in ((YES, trust.high), (LIKELY, trust.middle), (AT_BEST, trust.low)):
        scaled = {name: value * ratio for name, value in predicted.latency_s.items()}
        if not slo.broken(scaled, predicted.errors):
            return kept
    return NO


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
