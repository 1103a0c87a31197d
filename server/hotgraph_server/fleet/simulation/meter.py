"""Counts what callers would have met, and what it took. Pure.

Callers are told of copies by the endpoints. A copy there that answers is good; one that is gone, and still
there, is bad: a call that meets it goes to another copy, if there is a good one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hotgraph_server.fleet.simulation.scenario import REGIONS, Rates


@dataclass
class Point:
    """The fleet at a moment.

    Attributes:
        wanted, ready: replicas.
        memory: loaded, a share of what the replicas have for models.
        duty: mean of the replicas.
        calls_per_s: that come.
        short, without: models with fewer copies than they shall have, and with none.
    """

    at_s: float
    wanted: int
    ready: int
    memory: float
    duty: float
    calls_per_s: float
    short: int
    without: int


@dataclass
class Incident:
    """A loss: which models still lack what they had."""

    kind: str
    at_s: float
    models: set[str] = field(default_factory=set)


class Meter:
    """Sums over time; whoever changes anything says so first.

    Args:
        least: copies of each model.
    """

    def __init__(self, rates: Rates, least: dict[str, int]) -> None:
        self._rates, self._least = rates, least
        self._index = {name: number for number, name in enumerate(rates.names)}
        self.good = dict.fromkeys(rates.names, 0)
        self.bad = dict.fromkeys(rates.names, 0)
        self.short = len(rates.names)
        self.without = len(rates.names)
        self.calls = self.retried = self.missed = 0.0
        self.short_s = 0.0
        self.recoveries: list[tuple[str, float, float]] = []
        self.points: list[Point] = []
        self.at_s = 0.0
        self._all = np.array(
            [rates.mean[rates.region == region].sum() for region in range(REGIONS)], dtype=np.float64
        )
        # By region, of the mean rates: calls that find no copy, and that meet one that is gone.
        self._missing = self._all.copy()
        self._meeting = np.zeros(REGIONS)
        self._open: dict[str, list[Incident]] = {}

    def begin(self) -> None:
        """What was counted so far was the beginning."""
        self.calls = self.retried = self.missed = self.short_s = 0.0
        self.recoveries.clear()
        self.points.clear()

    def until(self, now_s: float) -> None:
        """Nothing has changed up to now."""
        elapsed = now_s - self.at_s
        if elapsed <= 0:
            return
        factors = self._rates.factors((now_s + self.at_s) / 2) * elapsed
        self.calls += float(factors @ self._all)
        self.missed += float(factors @ self._missing)
        self.retried += float(factors @ self._meeting)
        self.short_s += elapsed * self.short
        self.at_s = now_s

    def change(self, name: str, good: int, bad: int) -> None:
        """A model has so many copies more, or less."""
        least, number = self._least[name], self._index[name]
        region, mean = self._rates.region[number], self._rates.mean[number]
        before, were_bad = self.good[name], self.bad[name]
        now, are_bad = before + good, were_bad + bad
        self.good[name], self.bad[name] = now, are_bad
        self.short += (now < least) - (before < least)
        self.without += (now <= 0) - (before <= 0)
        self._missing[region] += mean * ((now <= 0) - (before <= 0))
        self._meeting[region] += mean * (_part(now, are_bad) - _part(before, were_bad))
        if now >= least and name in self._open:
            self._mended(name)

    def _mended(self, name: str) -> None:
        for incident in self._open.pop(name):
            incident.models.discard(name)
            if not incident.models:
                self.recoveries.append((incident.kind, incident.at_s, self.at_s - incident.at_s))

    def lost(self, kind: str, models: set[str]) -> None:
        """These models have lost a copy; over when each has as many as it shall have."""
        models = {name for name in models if self.good[name] < self._least[name]}
        incident = Incident(kind, self.at_s, models)
        for name in models:
            self._open.setdefault(name, []).append(incident)

    def unmended(self) -> int:
        """Losses that are not over."""
        return len({id(one) for several in self._open.values() for one in several})


def _part(good: int, bad: int) -> float:
    """Of the calls, those that meet a copy that is gone and then find another."""
    return bad / (good + bad) if good > 0 and bad > 0 else 0.0
