"""Senders that send nothing: what becomes of calls is computed, and the clock goes on by itself."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hotgraph_client.loadtest.document import ServerFigures, Step
from hotgraph_client.loadtest.histograms import Histogram
from hotgraph_client.loadtest.load import Answer, Assignment, Ended, Interval
from hotgraph_client.loadtest.plan import Load


class FakeClock:
    """Seconds that pass when somebody says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Fate:
    """Of every call of a run.

    Attributes:
        latency_ms: of those that are answered; by their number in their second.
        errors: by status, how many of each second's.
    """

    latency_ms: Callable[[int], float] = lambda _: 5.0
    lag_ms: float = 0.05
    errors: dict[str, int] = field(default_factory=dict)
    error_texts: dict[str, str] = field(default_factory=dict)
    cpu_share: float = 0.1
    answers: list[Answer] = field(default_factory=list)
    fault: str = ""
    none_due: bool = False


class FakeGenerator:
    """See above.

    Attributes:
        runs: the assignments of each run.
        on_run: is called before each, with what it will be.
    """

    def __init__(self, fate: Callable[[Assignment], Fate], clock: FakeClock | None = None) -> None:
        self._fate = fate
        self._clock = clock or FakeClock()
        self.runs: list[Sequence[Assignment]] = []
        self.changes: list[float] = []
        self.on_second: Callable[[int], None] = lambda _: None
        self.was_stopped = threading.Event()

    @property
    def clock(self) -> FakeClock:
        return self._clock

    def run(self, assignments: Sequence[Assignment], on_interval: Callable[[Interval], None]) -> Ended:
        self.runs.append(assignments)
        self.was_stopped.clear()
        whole = _together(assignments)
        fate = self._fate(whole)
        if fate.none_due:
            return Ended(seconds=whole.seconds, fault=fate.fault)
        intervals = []
        for second in range(-math.ceil(whole.warm_up_s), math.ceil(whole.seconds)):
            intervals.append(_interval(second, _due(whole), fate))
            self._clock.now = whole.begin_s + whole.warm_up_s + second + 1
            on_interval(intervals[-1])
            self.on_second(second)
            if self.was_stopped.is_set():
                break
        measured = min(whole.seconds, max(intervals[-1].second + 1, 0))
        return Ended(
            intervals=intervals,
            answers=fate.answers,
            cpu_s=fate.cpu_share * (whole.warm_up_s + measured),
            seconds=measured,
            error_texts=fate.error_texts,
            fault=fate.fault,
        )

    def change(self, rate: float) -> None:
        self.changes.append(rate)

    def stop_early(self) -> None:
        self.was_stopped.set()


def split_in(count: int) -> Callable[[Assignment], Sequence[Assignment]]:
    """As many equal parts."""
    return lambda whole: [
        replace(whole, arrivals=replace(whole.arrivals, rate=whole.arrivals.rate / count))
        for _ in range(count)
    ]


class Silent:
    """A watcher that keeps what it was shown."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.steps: list[Step] = []

    def began(self, load: Load, place: int, of: int | None, seconds: float) -> None:
        self.told.append(f"{load.label} {place}/{of}")

    def second(self, interval: Interval, server: ServerFigures) -> None:
        self.told.append(str(interval.second))

    def ended(self, step: Step) -> None:
        self.steps.append(step)


def _together(assignments: Sequence[Assignment]) -> Assignment:
    first = assignments[0]
    rate = sum(one.arrivals.rate for one in assignments)
    return replace(first, arrivals=replace(first.arrivals, rate=rate))


def _due(whole: Assignment) -> int:
    if whole.arrivals.kind == "closed":
        return 100 * whole.arrivals.callers
    return round(whole.arrivals.rate)


def _interval(second: int, due: int, fate: Fate) -> Interval:
    answered = due - sum(fate.errors.values())
    latency = np.array([round(1e3 * fate.latency_ms(call)) for call in range(answered)], np.int64)
    return Interval(
        second,
        due,
        answered,
        rows=answered,
        errors=dict(fate.errors),
        latency=Histogram.of(latency).encode(),
        lag=Histogram.of([round(1e3 * fate.lag_ms)] * due).encode(),
    )
