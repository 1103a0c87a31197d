"""What a tuning has come to, in values and in words. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hotgraph_server.tuning.confirmation import FEWER_CORES, Measured, better, ratios
from hotgraph_server.tuning.costs import Costs
from hotgraph_server.tuning.prediction import Candidate
from hotgraph_server.tuning.replicas import Replicas, Trust, trust_of
from hotgraph_server.tuning.search import Found, Tried
from hotgraph_server.tuning.slo import Slo


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
    if base is not None and turns is not None:
        how = "measured"
        holds = not base.broken(slo), not turns.broken(slo)
        p99_s = base.latency("p99"), turns.latency("p99")
        cores = base.middle(lambda turn: turn.cores), turns.middle(lambda turn: turn.cores)
    else:
        how = "predicted"
        holds = default.predicted.holds, best.predicted.holds
        p99_s = default.predicted.p99_s, best.predicted.p99_s
        cores = default.predicted.cores, best.predicted.cores
    figures = f"p99 {p99_s[0] * 1e3:.3g} -> {p99_s[1] * 1e3:.3g} ms"
    if not any(map(math.isnan, cores)):
        figures += f", {cores[0]:.2f} -> {cores[1]:.2f} processors busy"
    rows = default.predicted.rows_per_run, best.predicted.rows_per_run
    return (
        f"better than the defaults: {best.candidate.label}. {_advantage(holds, cores, p99_s)}:"
        f" {figures}, {rows[0]:.1f} -> {rows[1]:.1f} rows a run ({how}). {_kept(turns, best, slo)}"
    )


def _advantage(holds: tuple[bool, bool], cores: tuple[float, float], p99_s: tuple[float, float]) -> str:
    """Of the second over the first, by the first thing that `better` looks at."""
    if holds == (False, True):
        return "The objective is kept, which the defaults do not do"
    if holds == (True, True) and cores[1] < (1 - FEWER_CORES) * cores[0]:
        return "It takes fewer processors"
    return "The tail is shorter" if p99_s[1] < p99_s[0] else "More calls are answered in time"


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
