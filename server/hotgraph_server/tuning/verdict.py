"""What a tuning has come to, in values and in words. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hotgraph_server.tuning.confirmation import FEWER_CORES, Measured, better, ratios
from hotgraph_server.tuning.costs import Costs
from hotgraph_server.tuning.prediction import Candidate
from hotgraph_server.tuning.replicas import Replicas, Trust, trust_of
from hotgraph_server.tuning.search import Found, Tried
from hotgraph_server.tuning.slo import Slo, digits


@dataclass(frozen=True)
class Tuning:
    """All of it.

    Attributes:
        model: its name.
        rate_per_s: of calls.
        slo: what is to be kept.
        costs: of each variant; the first is today's.
        found: by the search.
        measured: what was confirmed; empty: nothing was.
        not_confirmed: why nothing was; empty: it was.
        best: today's settings, where nothing is clearly better.
        verdict: a sentence or two.
        replicas: for the load that was asked about.
        replicas_for: that load, calls a second; None: none was.
        notes: what else is to be known, such as variants that were not measured.
    """

    model: str
    rate_per_s: float
    slo: Slo
    costs: Sequence[Costs]
    found: Found
    measured: Mapping[Candidate, Measured]
    not_confirmed: str
    best: Tried
    verdict: str
    replicas: Sequence[Replicas] = ()
    replicas_for: float | None = None
    notes: Sequence[str] = ()

    @property
    def trust(self) -> Trust:
        """How far predictions are to be believed."""
        return trust_in(self.found, self.measured)


def to_confirm(found: Found, count: int) -> list[Candidate]:
    """The defaults, and the best of what differs from them."""
    others = [found.best, *found.tried]
    chosen = dict.fromkeys(one.candidate for one in others if not one.candidate.is_default)
    return [found.default.candidate, *list(chosen)[:count]]


def trust_in(found: Found, measured: Mapping[Candidate, Measured]) -> Trust:
    """From all turns that count."""
    predicted = {one.candidate: one.predicted for one in found.tried}
    return trust_of(
        [ratio for one, turns in measured.items() for ratio in ratios(turns, predicted[one].p99_s)]
    )


def is_shown(found: Found, measured: Mapping[Candidate, Measured]) -> bool:
    """Has a real load said how the defaults do, without which nothing can be better than they are?"""
    return found.default.candidate in measured and bool(measured[found.default.candidate].counted)


def best_of(found: Found, measured: Mapping[Candidate, Measured], slo: Slo) -> Tried:
    """Which settings to take: where loads were sent they decide, else the prediction does."""
    if not measured:
        return found.best
    best = found.default
    for one in [found.best, *found.tried]:
        # The first that beats the defaults is the one that was predicted best; another has to beat that.
        turns = measured.get(one.candidate)
        if turns is not None and one is not best and better(turns, measured[best.candidate], slo):
            best = one
    return best


def verdict_of(found: Found, measured: Mapping[Candidate, Measured], best: Tried, slo: Slo) -> str:
    """Why that, in words."""
    default, label = found.default, found.best.candidate.label
    base = measured.get(default.candidate)
    if measured and not is_shown(found, measured):
        text = "nothing is shown: no real load of the defaults counts"
        return f"{text}, so they stay; {label} was predicted to be better" if label != "defaults" else text
    if best is default:
        text = "the defaults are as good: nothing that was tried is better by more than the noise"
        if found.best is not default and base is not None:
            text += f"; {label} was predicted to be, and a real load did not show it"
        return f"{text}. {_kept(base, default, slo)}"
    turns = measured.get(best.candidate)
    if base is None or turns is None:
        before, after, how = _as_predicted(default), _as_predicted(best), "predicted"
    else:
        before, after, how = _as_measured(base, slo), _as_measured(turns, slo), "measured"
    rows = default.predicted.rows_per_run, best.predicted.rows_per_run
    return (
        f"better than the defaults: {best.candidate.label}. {_advantage(before, after)}"
        f" ({how}); {rows[0]:.1f} -> {rows[1]:.1f} rows a run. {_kept(turns, best, slo)}"
    )


class _Figures(NamedTuple):
    """What settings are compared by."""

    holds: bool
    in_time_per_s: float
    cores: float
    p99_s: float


def _as_predicted(one: Tried) -> _Figures:
    predicted = one.predicted
    return _Figures(predicted.holds, predicted.goodput_per_s, predicted.cores, predicted.p99_s)


def _as_measured(measured: Measured, slo: Slo) -> _Figures:
    return _Figures(
        not measured.broken(slo),
        measured.middle(lambda turn: turn.in_time_per_s(slo.latency_s)),
        measured.middle(lambda turn: turn.cores),
        measured.latency("p99"),
    )


def _advantage(before: _Figures, after: _Figures) -> str:
    """In what it is better, by the first thing that `better` looks at, and the figures."""
    figures = f"p99 {digits(before.p99_s * 1e3)} -> {digits(after.p99_s * 1e3)} ms"
    if not math.isnan(before.cores + after.cores):
        figures += f", {before.cores:.2f} -> {after.cores:.2f} processors busy"
    if after.holds and not before.holds:
        return f"The objective is kept, which the defaults do not do: {figures}"
    if after.holds and after.cores < (1 - FEWER_CORES) * before.cores:
        return f"It takes fewer processors: {figures}"
    if not after.holds and after.in_time_per_s > before.in_time_per_s:
        in_time = f"{digits(before.in_time_per_s)} -> {digits(after.in_time_per_s)} calls/s"
        return f"More calls are answered in time: {in_time}, {figures}"
    return f"The tail is shorter: {figures}"


def _kept(measured: Measured | None, one: Tried, slo: Slo) -> str:
    broken = measured.broken(slo) if measured is not None and measured.counted else one.predicted.broken
    return f"{slo.text} does not hold: {broken}" if broken else f"{slo.text} holds"


def voided(measured: Mapping[Candidate, Measured]) -> list[str]:
    """How many turns do not count, and why, in a sentence; empty: all do."""
    whole = sum(len(turns.turns) for turns in measured.values())
    void = [why for turns in measured.values() for why in turns.void]
    if not void:
        return []
    return [f"{len(void)} of {whole} turns under a real load do not count; the last: {void[-1]}"]
