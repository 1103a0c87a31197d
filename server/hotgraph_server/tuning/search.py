"""The search: candidates in, the best of them and the Pareto front out. Pure.

Coarse first, in steps of two and on few calls: every variant, row limits and processes, without waiting,
which costs a millisecond each. Of those that come to the very same, as row limits do that no run came up to,
the one that changes least goes on. Then waiting and, where calls are larger than runs, splitting, for the
best so far alone. Where nothing keeps the objective, deadlines that make the queue refuse who would be late.
At last the best and the front, with what lies between them and their neighbours, on many calls: only figures
of this last round are compared, and shown.

What is best: what keeps the objective, then what takes fewer processors (by a tenth or more), then fewer
processes, of which each has the model in memory, then the lower 99th percentile; where nothing keeps it, what
answers more calls in time. The settings of today are always among the candidates, and another one is the best
only if it is better by more than the noise: pairs of the same traces differ by more than twice the standard
error of their mean, and by a twentieth at least.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import TypeVar

from hotgraph_server.settings import BatchSettings
from hotgraph_server.tuning.costs import Costs, Variant
from hotgraph_server.tuning.prediction import Candidate, Place, Predicted, predict
from hotgraph_server.tuning.slo import Slo
from hotgraph_server.tuning.traffic import Traffic

T = TypeVar("T")

Say = Callable[[str], object]
"""Tells of progress."""

_COARSE_CALLS, _COARSE_SEEDS = 2000, (1,)
# A wait takes the whole queue to be simulated.
_COMPANY_CALLS = 1000
_FINE_CALLS, _FINE_SEEDS = 3000, (11, 12, 13, 14, 15)
_WAITS_US = (0, 250, 500, 1000, 2000, 4000, 8000, 16000)
# What goes on from a round beside so many of the front, and whose neighbours are looked at.
_KEPT, _OF_FRONT, _WITH_NEIGHBOURS = 5, 5, 3

_FEWER_CORES = 0.9
_CLEARLY = 0.05


@dataclass(frozen=True, eq=False)
class Tried:
    """A candidate, and what it would do; equal to itself alone."""

    candidate: Candidate
    predicted: Predicted


@dataclass(frozen=True)
class Found:
    """What a search has come to.

    Attributes:
        tried: what was compared in the last round, the best first.
        default: the settings of today.
        best: which is `default` where no other is clearly better.
        front: the Pareto front of `tried`: no other has all of a lower 99th percentile, fewer processors and
            more calls in time.
        simulations: how many there were.
    """

    tried: tuple[Tried, ...]
    default: Tried
    best: Tried
    front: tuple[Tried, ...]
    simulations: int


class Problem:
    """What is searched for.

    Args:
        costs: of each variant that was measured; the first is today's.
        base: the queue's settings today.
        traffic: to be served.
        place: where.
        slo: what is to be kept.
        processes: numbers of them to try beside 1.
        most_rows: the highest row limit to try.
        effort: calls of each trace, in units of what is usual; the time that it takes goes with it.
    """

    def __init__(
        self,
        costs: Sequence[Costs],
        base: BatchSettings,
        traffic: Traffic,
        place: Place,
        slo: Slo,
        *,
        processes: Sequence[int] = (),
        most_rows: int = 128,
        effort: float = 1.0,
    ) -> None:
        self.costs: Mapping[Variant, Costs] = {one.variant: one for one in costs}
        self.base = base
        self.traffic = traffic
        self.place = place
        self.slo = slo
        self.processes = (1, *(count for count in processes if count > 1))
        self.most_rows = most_rows
        self.effort = effort
        self.simulations = 0

    def at(self, cores: int) -> Problem:
        """The same where there are so many processors."""
        other = copy.copy(self)
        other.place = dataclasses.replace(self.place, cores=cores)
        return other

    def under(self, traffic: Traffic) -> Problem:
        """The same with another load."""
        other = copy.copy(self)
        other.traffic = traffic
        return other

    def predict(
        self, candidate: Candidate, calls: int, seeds: Sequence[int], share: float = 1.0
    ) -> Predicted:
        """See prediction.predict; of one of several replicas that share the load."""
        self.simulations += len(seeds)
        return predict(
            candidate,
            self.costs[candidate.variant],
            self.base,
            self.traffic,
            self.place,
            self.slo,
            calls=math.ceil(calls * self.effort),
            seeds=seeds,
            share=share,
        )

    def all_of(self, candidates: Iterable[Candidate], calls: int, seeds: Sequence[int]) -> list[Tried]:
        """Each once."""
        return [Tried(one, self.predict(one, calls, seeds)) for one in dict.fromkeys(candidates)]


def search(problem: Problem, say: Say = lambda _: None) -> Found:
    """The best settings for a problem.

    Args:
        say: is told of each round.
    """
    default = Candidate(next(iter(problem.costs)))
    coarse = problem.all_of(_grid(problem), _COARSE_CALLS, _COARSE_SEEDS)
    say(f"{len(coarse)} settings tried, coarsely")
    kept = _to_go_on(coarse)
    more = [one for tried in kept for one in with_company(problem, tried)]
    coarse += problem.all_of(more, _COMPANY_CALLS, _COARSE_SEEDS)
    if not any(tried.predicted.holds for tried in coarse):
        coarse += problem.all_of(_refusing(problem, _to_go_on(coarse)), _COMPANY_CALLS, _COARSE_SEEDS)
    finalists = [tried.candidate for tried in _to_go_on(coarse)]
    near = [one for candidate in finalists[:_WITH_NEIGHBOURS] for one in _neighbours(problem, candidate)]
    say(f"{len(coarse)} settings tried, {len({*finalists, *near})} of these and between them looked into")
    tried = problem.all_of([default, *finalists, *near], _FINE_CALLS, _FINE_SEEDS)
    return chosen(tried, problem.simulations)


def chosen(tried: Sequence[Tried], simulations: int = 0) -> Found:
    """The best of `tried`, the first of which is today's, and what nobody beats in everything."""
    default = tried[0]
    ordered = sorted(tried, key=_order)
    best = ordered[0] if better(ordered[0].predicted, default.predicted) else default
    front = pareto([best, *ordered], lambda one: objectives(one.predicted))
    return Found(tuple(ordered), default, best, tuple(front), simulations)


def better(one: Predicted, other: Predicted) -> bool:
    """Is `one` better than `other` by more than the noise? Both had the same traces."""
    if one.holds != other.holds:
        return one.holds
    if not one.holds and abs(one.goodput_per_s - other.goodput_per_s) > _CLEARLY * other.goodput_per_s:
        return one.goodput_per_s > other.goodput_per_s
    if one.holds and not _FEWER_CORES <= one.cores / max(other.cores, 1e-9) <= 1 / _FEWER_CORES:
        return one.cores < other.cores
    return clearly_less(one.p99_by_seed, other.p99_by_seed)


def clearly_less(ones: Sequence[float], others: Sequence[float]) -> bool:
    """Are the first of these pairs less, by a twentieth in the mean and twice its standard error?"""
    if any(math.isnan(value) for value in (*ones, *others)):
        return False
    gains = [1.0 - one / other for one, other in zip(ones, others, strict=True)]
    error = stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
    return mean(gains) > max(_CLEARLY, 2 * error)


def objectives(predicted: Predicted) -> tuple[float, float, float]:
    """What is to be low: the 99th percentile, processors, and calls that are not answered in time; as fine
    as it means something."""
    return _rounded(predicted.p99_s), _rounded(predicted.cores), -_rounded(predicted.goodput_per_s)


def pareto(ones: Iterable[T], of: Callable[[T], tuple[float, ...]]) -> list[T]:
    """Those that no other one dominates: is at most as much in all, and less in something. Of equal ones the
    first."""
    front: dict[tuple[float, ...], T] = {}
    for one in ones:
        values = of(one)
        if any(_at_most(other, values) for other in front):
            continue
        front = {other: kept for other, kept in front.items() if not _at_most(values, other)}
        front[values] = one
    return list(front.values())


def _at_most(ones: tuple[float, ...], others: tuple[float, ...]) -> bool:
    return all(one <= other for one, other in zip(ones, others, strict=True))


def _rounded(value: float) -> float:
    """To two digits, or a hundredth part at worst."""
    return float(f"{value:.1e}") if math.isfinite(value) else value


def _order(tried: Tried) -> tuple[float, ...]:
    """As `better` has it, without its noise: of those that are alike the one that changes least."""
    predicted, changes = tried.predicted, len(tried.candidate.settings)
    if predicted.holds:
        # In steps of a tenth.
        cores = math.floor(math.log(max(predicted.cores, 1e-3)) / math.log(1 / _FEWER_CORES))
        return 0, cores, tried.candidate.processes, _rounded(predicted.p99_s), changes
    return 1, -_rounded(predicted.goodput_per_s), _rounded(predicted.p99_s), changes


def _to_go_on(tried: Sequence[Tried]) -> list[Tried]:
    different = {_course(one.predicted): one for one in sorted(tried, key=_order, reverse=True)}
    ordered = sorted(different.values(), key=_order)
    front = pareto(ordered, lambda one: objectives(one.predicted))
    return list({one.candidate: one for one in [*ordered[:_KEPT], *front[:_OF_FRONT]]}.values())


def _course(predicted: Predicted) -> tuple[float, ...]:
    """Equal of those whose runs were the same."""
    return (*predicted.p99_by_seed, predicted.cores, predicted.rows_per_run, predicted.goodput_per_s)


def _grid(problem: Problem) -> Iterable[Candidate]:
    """Every variant, row limit and number of processes."""
    for variant, costs in problem.costs.items():
        for processes in problem.processes:
            start = Candidate(variant, processes=processes)
            yield start
            if not costs.joins:
                continue
            for rows in _limits(problem):
                yield start if rows == problem.base.max_batch_rows else start.with_batch(max_batch_rows=rows)


def _limits(problem: Problem) -> list[int]:
    """Row limits in steps of two."""
    count = (problem.most_rows - 1).bit_length()
    return [*(1 << power for power in range(count)), problem.most_rows]


def with_company(problem: Problem, tried: Tried) -> Iterable[Candidate]:
    """The same with waits, as long as half of the objective allows, and with large calls whole."""
    candidate = tried.candidate
    if not problem.costs[candidate.variant].joins:
        return
    rows = candidate.in_queue(problem.base).max_batch_rows
    if rows > 1:
        for wait_us in _WAITS_US:
            if wait_us <= problem.slo.latency_s / 2 * 1e6 and wait_us != problem.base.max_wait_us:
                yield candidate.with_batch(max_wait_us=wait_us)
    if problem.traffic.most_rows > rows:
        yield candidate.with_batch(split=not problem.base.split)


def _refusing(problem: Problem, kept: Sequence[Tried]) -> Iterable[Candidate]:
    """The same, with calls told at the door that would be answered too late."""
    if problem.slo.latency_s < math.inf:
        timeout_ms = max(1, math.floor(problem.slo.latency_s * 1e3))
        for tried in kept:
            if tried.candidate.in_queue(problem.base).max_wait_us < timeout_ms * 1000:
                yield tried.candidate.with_batch(default_timeout_ms=timeout_ms)


def _neighbours(problem: Problem, candidate: Candidate) -> Iterable[Candidate]:
    """Half a step of two to either side in the row limit, and in the wait."""
    costs, settings = problem.costs[candidate.variant], candidate.in_queue(problem.base)
    batch = dict(candidate.batch)
    # A number of rows that was not measured may not have been compiled.
    if "max_batch_rows" in batch and not costs.buckets:
        for factor in (0.75, 1.5):
            rows = round(settings.max_batch_rows * factor)
            if 1 < rows < problem.most_rows and rows != settings.max_batch_rows:
                yield candidate.with_batch(max_batch_rows=rows)
    if "max_wait_us" in batch:
        for factor in (0.7, 1.4):
            yield candidate.with_batch(max_wait_us=round(settings.max_wait_us * factor))
