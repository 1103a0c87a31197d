"""What a tuning has come to, in values and in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hotgraph_server.tuning.confirmation import Measured, better, ratios
from hotgraph_server.tuning.costs import Costs
from hotgraph_server.tuning.prediction import Candidate, Predicted
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


def best_of(found: Found, measured: Mapping[Candidate, Measured], slo: Slo) -> Tried:
    """Which settings to take: where loads were measured they decide, else the prediction does."""
    default = measured.get(found.default.candidate)
    if default is None or not default.counted:
        return found.best
    best, best_measured = found.default, default
    for one in [found.best, *found.tried]:
        turns = measured.get(one.candidate)
        if turns is None or one.candidate.is_default:
            continue
        # The first that beats the defaults is the one that was predicted best; another has to beat that.
        if better(turns, best_measured, slo):
            best, best_measured = one, turns
    return best


def verdict_of(found: Found, measured: Mapping[Candidate, Measured], best: Tried, slo: Slo) -> str:
    """Why that, in words."""
    default = found.default
    base = measured.get(default.candidate)
    is_measured = base is not None and bool(base.counted)
    if best is default:
        text = "the defaults are as good: nothing that was tried is better by more than the noise"
        if found.best is not default and is_measured:
            text += f"; {found.best.candidate.label} was predicted to be, and a real load did not show it"
        return f"{text}. {_kept(found, base, default, slo)}"
    if is_measured:
        assert base is not None
        turns = measured[best.candidate]
        figures = _change(
            "measured",
            (base.latency("p99"), turns.latency("p99")),
            (base.middle(lambda turn: turn.cores), turns.middle(lambda turn: turn.cores)),
        )
    else:
        figures = _change(
            "predicted",
            (default.predicted.p99_s, best.predicted.p99_s),
            (default.predicted.cores, best.predicted.cores),
        )
    rows = (
        f"runs of {best.predicted.rows_per_run:.1f} rows in the mean,"
        f" {default.predicted.rows_per_run:.1f} with the defaults"
    )
    return f"{best.candidate.label} is better: {figures}; {rows}. {_kept(found, base, best, slo, measured)}"


def _change(how: str, p99_s: tuple[float, float], cores: tuple[float, float]) -> str:
    text = f"p99 {p99_s[0] * 1e3:.3g} -> {p99_s[1] * 1e3:.3g} ms"
    if all(value == value for value in cores):
        text += f", {cores[0]:.2f} -> {cores[1]:.2f} processors busy"
    return f"{text} ({how})"


def _kept(
    found: Found,
    base: Measured | None,
    best: Tried,
    slo: Slo,
    measured: Mapping[Candidate, Measured] | None = None,
) -> str:
    turns = (measured or {}).get(best.candidate) if best is not found.default else base
    broken = turns.broken(slo) if turns is not None and turns.counted else best.predicted.broken
    return f"{slo.text} does not hold: {broken}" if broken else f"{slo.text} holds"


def why(best: Predicted, default: Predicted) -> str:
    """A comment for a settings file: what was predicted of both."""
    return (
        f"p99 {best.p99_s * 1e3:.3g} ms, {best.cores:.2f} processors; with the defaults"
        f" {default.p99_s * 1e3:.3g} ms, {default.cores:.2f}"
    )
