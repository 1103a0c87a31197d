"""A load among processes, and what they know put together again. Pure."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ..histograms import Histogram
from ..load import Answer, Arrivals, Assignment, Ended, Interval
from .messages import Finished, Known

# A second that so many others have followed is rarely told of again.
_RECENT = 3
_SEEDS_APART = 1_000_003


def assignments_for(count: int, assignment: Assignment) -> list[Assignment]:
    """The same load from so many processes, or from fewer where there are not as many callers.

    Independent calls stay so, each process with chances of its own; equal distances stay equal, for their
    phases differ; of a trace each takes every n-th call; callers are spread. Each has the connections of
    `assignment`, and a part of the bytes for answers.

    Raises:
        ValueError: no processes.
    """
    if count < 1:
        raise ValueError(f"{count} processes; 1 or more are possible")
    if assignment.arrivals.kind == "closed":
        count = max(min(count, assignment.arrivals.callers), 1)
    return [
        dataclasses.replace(
            assignment,
            arrivals=_part(assignment.arrivals, place, count),
            order=None if assignment.order is None else assignment.order[place::count],
            seed=assignment.seed + place * _SEEDS_APART,
            keep_bytes=assignment.keep_bytes // count,
        )
        for place in range(count)
    ]


def _part(arrivals: Arrivals, place: int, count: int) -> Arrivals:
    if arrivals.kind == "closed":
        callers = arrivals.callers // count + (place < arrivals.callers % count)
        return dataclasses.replace(arrivals, callers=callers)
    if arrivals.kind == "trace":
        moments = None if arrivals.moments is None else arrivals.moments[place::count]
        return dataclasses.replace(arrivals, moments=moments)
    phase = arrivals.phase
    if arrivals.kind == "uniform" and arrivals.rate:
        phase += place / arrivals.rate
    return dataclasses.replace(arrivals, rate=arrivals.rate / count, phase=phase)


def interval_of(known: Known) -> Interval:
    """What came to be known of a second, as others read it."""
    return Interval(
        known.second,
        known.due,
        known.answered,
        known.rows,
        dict(known.errors),
        _encoded(known.latency_us),
        _encoded(known.lag_us),
    )


class Merger:
    """Adds up what the processes of one step tell."""

    def __init__(self) -> None:
        self._recent: dict[int, Known] = {}
        self._settled: dict[int, Interval] = {}

    def add(self, known: Known) -> None:
        """What one process came to know of a second."""
        total = self._recent.get(known.second)
        if total is None:
            self._recent[known.second] = total = Known(known.second)
            # What is not told of any more is kept in less space: a soak has hours of it.
            for second in [second for second in self._recent if second < known.second - _RECENT]:
                self._settle(second)
        total.due += known.due
        total.answered += known.answered
        total.rows += known.rows
        total.errors = dict(Counter(total.errors) + Counter(known.errors))
        total.latency_us.extend(known.latency_us)
        total.lag_us.extend(known.lag_us)

    def intervals(self) -> list[Interval]:
        """Every second, ascending."""
        for second in list(self._recent):
            self._settle(second)
        return [self._settled[second] for second in sorted(self._settled)]

    def _settle(self, second: int) -> None:
        more = interval_of(self._recent.pop(second))
        before = self._settled.get(second)
        self._settled[second] = more if before is None else sum_of(before, more)


def sum_of(one: Interval, other: Interval) -> Interval:
    """Two parts of what is known of the same second."""
    return Interval(
        one.second,
        one.due + other.due,
        one.answered + other.answered,
        one.rows + other.rows,
        dict(Counter(one.errors) + Counter(other.errors)),
        Histogram.merged([one.latency, other.latency]).encode(),
        Histogram.merged([one.lag, other.lag]).encode(),
    )


def ended_of(
    intervals: Sequence[Interval], finished: Sequence[Finished], began_s: float, fault: str
) -> Ended:
    """All that a step has to say."""
    texts: dict[str, str] = {}
    for one in finished:
        for status, text in one.error_texts.items():
            texts[status] = texts.get(status) or text
    return Ended(
        intervals=list(intervals),
        answers=_distinct(answer for one in finished for answer in one.answers),
        unchecked=sum(one.unchecked for one in finished),
        cpu_s=sum(one.cpu_s for one in finished),
        seconds=max((one.seconds for one in finished), default=0.0),
        error_texts=texts,
        fault=fault,
        began_s=began_s,
    )


def _distinct(answers: Iterable[Answer]) -> list[Answer]:
    found: dict[tuple[int, bytes], Answer] = {}
    for answer in answers:
        key = (answer.payload, answer.body)
        before = found.get(key)
        count = answer.count + (0 if before is None else before.count)
        found[key] = dataclasses.replace(before or answer, count=count)
    return sorted(found.values(), key=lambda answer: answer.payload)


def _encoded(values_us: Iterable[int]) -> bytes:
    values = np.asarray(values_us)
    return Histogram.of(values).encode() if len(values) else b""
