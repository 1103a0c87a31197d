"""What is to be kept, as `p99<20ms,errors<0.1%` says it. Pure.

The same texts mean the same to `hotgraph loadtest --slo`, which has a reader of its own: neither package
imports the other. What is asked beside them there is asked here too: all but 3 % of the calls are answered,
for a queue that refuses everybody else has the best of latencies.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from hotgraph_server.tuning.traffic import Senseless

MEAN, MAX = "mean", "max"
MOST_ERRORS = 0.03

_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
# Shares of the calls; a prediction knows no wrong answers.
_LOW_SHARES, _HIGH_SHARES = ("errors", "wrong"), ("achieved", "goodput")
_CONDITION = re.compile(
    r"(?P<what>p\d{1,2}(?:\.\d{1,3})?|mean|max|errors|wrong|achieved|goodput)"
    r"\s*(?P<sign><=?|>=?)\s*(?P<number>\d{1,12}(?:\.\d{0,9})?)\s*(?P<unit>us|ms|s|%)"
)


@dataclass(frozen=True)
class Condition:
    """One of an objective's.

    Attributes:
        what: `p99` and others alike, `mean`, `max`, or a share of the calls.
        bound: seconds, or a share.
        is_met_at: is the bound itself good enough?
        text: as it was written.
    """

    what: str
    bound: float
    is_met_at: bool
    text: str

    @property
    def is_latency(self) -> bool:
        """Is it about times?"""
        return self.what not in (*_LOW_SHARES, *_HIGH_SHARES)

    def is_met(self, value: float) -> bool:
        """Is it, by this value? By NaN it is not."""
        if value == self.bound:
            return self.is_met_at
        return value > self.bound if self.what in _HIGH_SHARES else value < self.bound


@dataclass(frozen=True)
class Slo:
    """An objective: all of its conditions hold, or it does not."""

    text: str
    conditions: tuple[Condition, ...]

    @property
    def latency_s(self) -> float:
        """An answer that takes longer is of no use: the least bound of a percentile, infinite without any."""
        return min(
            (one.bound for one in self.conditions if one.is_latency and one.what != MEAN), default=math.inf
        )

    @property
    def latencies(self) -> tuple[str, ...]:
        """Names of the latencies that it is about."""
        return tuple(one.what for one in self.conditions if one.is_latency)

    def broken(self, latency_s: Mapping[str, float], errors: float) -> str:
        """Why it does not hold, in words; empty: it does.

        Args:
            latency_s: by name, of all `latencies`; NaN where nothing was answered.
            errors: share of calls.
        """
        shares = {"errors": errors, "wrong": 0.0, "achieved": 1.0 - errors, "goodput": 1.0 - errors}
        for one in self.conditions:
            value = latency_s[one.what] if one.is_latency else shares[one.what]
            if not one.is_met(value):
                shown = f"{digits(value * 1e3)} ms" if one.is_latency else f"{value:.2%}"
                return f"{one.what} is {shown}, not {one.text.removeprefix(one.what).strip()}"
        return f"{errors:.1%} of the calls are not answered" if not errors <= MOST_ERRORS else ""


def slo_of(text: str) -> Slo:
    """Read an objective.

    Raises:
        Senseless: it is none.
    """
    return Slo(text, tuple(_condition(part.strip(), text) for part in text.split(",")))


def _condition(part: str, text: str) -> Condition:
    found = _CONDITION.fullmatch(part)
    what, sign, unit = (found["what"], found["sign"], found["unit"]) if found else ("", "", "")
    is_share = what in (*_LOW_SHARES, *_HIGH_SHARES)
    if not found or (unit == "%") != is_share or (sign[0] == ">") != (what in _HIGH_SHARES):
        raise Senseless(f"--slo must be like 'p99<20ms,errors<0.1%', got {text!r}")
    bound = float(found["number"]) * (0.01 if is_share else _UNITS_S[unit])
    return Condition(what, bound, sign.endswith("="), part)


def share_of(percentile: str) -> float:
    """0.99 of `p99`."""
    return float(percentile[1:]) / 100


def digits(value: float) -> str:
    """Three of them, for people: 0.123, 12.3, 12,345."""
    return f"{value:,.0f}" if 999.5 <= abs(value) < math.inf else f"{value:.3g}"
