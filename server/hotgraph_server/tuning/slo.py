"""What is to be kept, as `p99<20ms,errors<0.1%` says it. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from hotgraph_server.tuning.traffic import Senseless

ERRORS = "errors"
MEAN = "mean"
MAX = "max"

_CONDITION = re.compile(r"(p\d{1,2}(?:\.\d{1,4})?|mean|max|errors)<=?(\d+(?:\.\d+)?)(us|ms|s|%)")
_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Condition:
    """One of an objective's.

    Attributes:
        what: `p99` and others alike, `mean`, `max`, or `errors`.
        bound: seconds, of errors their share of calls.
        text: as it was written.
    """

    what: str
    bound: float
    text: str


@dataclass(frozen=True)
class Slo:
    """An objective: all of its conditions hold, or it does not."""

    text: str
    conditions: tuple[Condition, ...]

    @property
    def latency_s(self) -> float:
        """An answer that takes longer is of no use: the least bound of a quantile from the median on,
        infinite without any."""
        return min((one.bound for one in self.conditions if one.what not in (ERRORS, MEAN)), default=math.inf)

    @property
    def quantiles(self) -> tuple[str, ...]:
        """Names of the latencies that it is about."""
        return tuple(one.what for one in self.conditions if one.what != ERRORS)

    def broken(self, latency_s: Mapping[str, float], errors: float) -> str:
        """Why it does not hold, in words; empty: it does.

        Args:
            latency_s: by name, of all `quantiles`; NaN where nothing was answered.
            errors: share of calls.
        """
        for one in self.conditions:
            found = errors if one.what == ERRORS else latency_s[one.what]
            if not found < one.bound:
                shown = f"{found:.2%}" if one.what == ERRORS else f"{found * 1e3:.3g} ms"
                return f"{one.what} is {shown}, not {one.text.removeprefix(one.what)}"
        return ""


def slo_of(text: str) -> Slo:
    """Read an objective.

    Raises:
        Senseless: it is none.
    """
    conditions = []
    for part in text.split(","):
        found = _CONDITION.fullmatch(part.replace(" ", ""))
        what, number, unit = found.groups() if found else ("", "0", "")
        if not found or (unit == "%") != (what == ERRORS) or not float(number) or what == "p0":
            raise Senseless(f"--slo must be like 'p99<20ms,errors<0.1%', got {text!r}")
        bound = float(number) * (0.01 if unit == "%" else _UNITS_S[unit])
        conditions.append(Condition(what, bound, part.replace(" ", "")))
    return Slo(text.replace(" ", ""), tuple(conditions))


def share_of(quantile: str) -> float:
    """0.99 of `p99`."""
    return float(quantile[1:]) / 100
