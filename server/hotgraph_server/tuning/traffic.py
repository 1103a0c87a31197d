"""When calls come, and with how many rows. Pure: the same seed gives the same calls."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotgraph_server.batching.simulator import Arrival
from hotgraph_server.errors import SettingsError


class Senseless(SettingsError):
    """A file or an option that makes no sense; the text says where and why."""


@dataclass(frozen=True)
class Trace:
    """Calls to come.

    Attributes:
        moments: of arrival, seconds, ascending; float64 [calls].
        rows: of each; int64 [calls].
    """

    moments: NDArray[np.float64]
    rows: NDArray[np.int64]

    @property
    def seconds(self) -> float:
        """From 0 to the last call."""
        return float(self.moments[-1]) if len(self.moments) else 0.0


@dataclass(frozen=True)
class Traffic:
    """A load, of which any number of traces can be had.

    Attributes:
        rate: calls a second.
        rows: the sizes of calls, and how often each comes relative to the others.
        log: the moments and rows of calls that were made; None: moments are random (Poisson).
    """

    rate: float
    rows: Mapping[int, float]
    log: Trace | None = None

    @property
    def most_rows(self) -> int:
        """Of a call."""
        return max(self.rows)

    @property
    def rows_per_s(self) -> float:
        """The mean."""
        whole = sum(self.rows.values())
        return self.rate * sum(rows * weight for rows, weight in self.rows.items()) / whole

    def at(self, rate: float) -> Traffic:
        """The same calls, so many a second."""
        log = self.log and Trace(self.log.moments * (self.rate / rate), self.log.rows)
        return dataclasses.replace(self, rate=rate, log=log)

    def trace(self, calls: int, seed: int, share: float = 1.0) -> Trace:
        """Calls as one of several servers gets them, to each of which every call goes by chance.

        Args:
            calls: so many; of a log at most so many, from a place in it by chance.
            seed: another one: other calls.
            share: of the load that this server gets, above 0 to 1. A random share of Poisson's calls is
                Poisson's again (Kingman, "Poisson Processes", 1993, section 5.1), a share of a log is drawn.
        """
        chance = np.random.default_rng(seed)
        if self.log is None:
            moments = np.cumsum(chance.exponential(1.0 / (self.rate * share), calls))
            sizes = np.fromiter(self.rows, np.int64)
            weights = np.fromiter(self.rows.values(), np.float64)
            return Trace(moments, chance.choice(sizes, calls, p=weights / weights.sum()))
        wanted = min(len(self.log.moments), math.ceil(calls / share))
        start = int(chance.integers(0, len(self.log.moments) - wanted + 1))
        moments, rows = self.log.moments[start : start + wanted], self.log.rows[start : start + wanted]
        if share < 1.0:
            kept = chance.random(wanted) < share
            kept[0] = True
            moments, rows = moments[kept], rows[kept]
        return Trace(moments - moments[0], rows)


def poisson_traffic(rate: float, rows: Mapping[int, float] | None = None) -> Traffic:
    """Calls that come independently of each other."""
    return Traffic(rate, rows or {1: 1.0})


def logged_traffic(trace: Trace, rate: float | None = None) -> Traffic:
    """The calls of a log, at their own pace.

    Args:
        trace: of two calls or more.
        rate: stretches or squeezes them in time to so many a second; None: as they came.

    Raises:
        Senseless: all came at one moment, so that they have no pace.
    """
    seconds = float(trace.moments[-1] - trace.moments[0]) if len(trace.moments) > 1 else 0.0
    if seconds <= 0.0:
        raise Senseless("all calls of the log came at one moment, so it shows no rate; give one with --rate")
    sizes, counts = np.unique(trace.rows, return_counts=True)
    rows = {int(size): float(count) for size, count in zip(sizes, counts, strict=True)}
    from_zero = Trace(trace.moments - trace.moments[0], trace.rows)
    traffic = Traffic((len(trace.moments) - 1) / seconds, rows, from_zero)
    return traffic if rate is None else traffic.at(rate)


def spread_over_seconds(stamps: Sequence[int], rows: Sequence[int], seed: int = 1) -> Trace:
    """The calls of a log that has whole seconds only: each somewhere in its own, which for many independent
    callers is how they came."""
    chance = np.random.default_rng(seed)
    moments = np.asarray(stamps, np.float64) + chance.random(len(stamps))
    order = np.argsort(moments, kind="stable")
    moments = moments[order]
    return Trace(moments - (moments[0] if len(moments) else 0.0), np.asarray(rows, np.int64)[order])


def rows_of(text: str) -> dict[int, float]:
    """Sizes of calls, from `4`, `1,4,16` (equally often) or `1:0.9,16:0.1`.

    Raises:
        Senseless: it says something else.
    """
    rows: dict[int, float] = {}
    for part in text.split(","):
        size, colon, weight = part.partition(":")
        try:
            count, often = int(size), float(weight) if colon else 1.0
        except ValueError:
            count, often = 0, 0.0
        if count < 1 or not 0.0 < often < math.inf:
            raise Senseless(f"--rows must be like 4 or 1,4,16 or 1:0.9,16:0.1, got {text!r}")
        rows[count] = rows.get(count, 0.0) + often
    return rows


def as_arrivals(trace: Trace, *, timeout_s: float = math.inf, joins: bool = True) -> list[Arrival]:
    """For the simulator; `timeout_s` is each call's until its deadline."""
    lane = "lane" if joins else None
    return [
        Arrival(at, rows, at + timeout_s, lane=lane)
        for at, rows in zip(trace.moments.tolist(), trace.rows.tolist(), strict=True)
    ]


_FIELDS = {"at_s", "rows", "deadline_ms", "priority", "lane"}


def read_trace(lines: Iterable[str]) -> list[Arrival]:
    """Arrivals from lines of JSON, as scripts/simulate describes them; empty ones are passed over.

    Raises:
        Senseless: a line is no such call, or there is none.
    """
    arrivals = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                arrivals.append(_arrival(json.loads(line)))
            except (ValueError, OverflowError) as error:
                raise Senseless(f"line {number} of the trace: {error}") from error
    if not arrivals:
        raise Senseless("the trace has no calls")
    return arrivals


def trace_of(arrivals: Iterable[Arrival]) -> Trace:
    """Moments and rows alone, from the first call on."""
    ordered = sorted(arrivals, key=lambda one: one.at)
    moments = np.array([one.at for one in ordered], np.float64)
    return Trace(moments - moments[0], np.array([one.rows for one in ordered], np.int64))


def _arrival(call: object) -> Arrival:
    if not isinstance(call, dict) or "at_s" not in call or not set(call) <= _FIELDS:
        raise ValueError(f"not an object with at_s and some of {', '.join(sorted(_FIELDS - {'at_s'}))}")
    at, budget_ms = call["at_s"], call.get("deadline_ms")
    rows, priority, lane = call.get("rows", 1), call.get("priority", 1), call.get("lane", "lane")
    if not _is_number(at):
        raise ValueError("at_s must be a number of seconds")
    if budget_ms is not None and not (_is_number(budget_ms) and budget_ms > 0):
        raise ValueError("deadline_ms must be above 0, or null")
    if any(type(count) is not int or count < 1 for count in (rows, priority)):
        raise ValueError("rows and priority must be whole numbers from 1")
    if lane is not None and not isinstance(lane, str):
        raise ValueError("lane must be a text, or null")
    deadline = math.inf if budget_ms is None else at + budget_ms / 1e3
    return Arrival(float(at), rows, deadline, priority, lane)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
