"""What a load report says, from what was counted at two moments. Pure: no thread, lock or clock.

Utilization, by which balancers weigh servers (a call in proportion to calls a second / utilization, gRFC
A58):

    duty    the part of the time between the two moments that a version's executor was in runs, 0 to 1
    runs    how many runs a call has waited for: its mean wait in the queue, without what the executor may
            hold it for more rows (max_wait_us), by the mean time of a run
    full    0 up to a duty of 0.9, rising in a line to 1 at a duty of 1

    utilization of a version = duty + full * log2(max(1, runs))
    utilization of the server = the greatest of its versions'

Why. Up to saturation the executor's duty is the part of its capacity that is used, whatever a call costs and
however many share a run. At saturation duty says no more, and the queue does: it tells a server that just
keeps up from one that does not. A call that waits for one run waits for the one that is under way, which is
how batches form; only what is above that is pressure, and only where the executor has no time left: below, a
wait is the chance of arrivals. Each doubling of the wait counts like another whole server's load. Not the
wait itself: a queue that is a hundred runs long would take a server out of the balance, which would bring it
back empty, and so on. The greatest and not the sum, because executors of a server do not share their time: a
call waits for its own one, while the processor that they share shows in the duty of each.

Mean wait and mean run are those of runs that have ended between the two moments. Where none has, calls that
wait are taken to share runs as they did before: ``runs`` is then what waits / calls a run.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hotgraph_server.statistics import ENDINGS, Event, Figures

LEAST_UTILIZATION = 0.01
"""A report says no less: a balancer takes 0 for no report at all (gRFC A58), and an idle server for
unknown."""

_FULL_FROM = 0.9
# In a report that travels with every answer, in a header block of which peers take 8 KiB.
_MAX_MODELS = 16
_MAX_NAME = 64

_NOT_ANSWERED = tuple(ENDINGS - {Event.CANCELLED})


class Totals(NamedTuple):
    """What a version has done so far.

    Attributes:
        ended: calls that have ended, but for those that their callers left.
        not_answered: of these, those that got no answer: they failed, were refused, timed out or expired.
        ran: calls that were in runs.
        waited_s: before them, summed over these calls, seconds.
        runs, rows: so many, with so many rows.
        busy_s: in runs, the present one included, seconds.
        waiting: calls that wait now.
    """

    ended: int = 0
    not_answered: int = 0
    ran: int = 0
    waited_s: float = 0.0
    runs: int = 0
    rows: int = 0
    busy_s: float = 0.0
    waiting: int = 0


class OfModel(NamedTuple):
    """A version at a moment.

    Attributes:
        name: of its model.
        may_hold_s: how long its executor may wait for more rows while a call is there, seconds.
    """

    name: str
    totals: Totals
    may_hold_s: float = 0.0


class Sample(NamedTuple):
    """A server at a moment.

    Attributes:
        at: monotonic seconds.
        versions: by model and number.
        cpu_s: processor time of the process so far, seconds.
        processors: that it may use; a quota may leave a part of one.
        rss_bytes: its resident memory; 0: unknown.
        memory_bytes: that it may have; 0: unknown.
    """

    at: float
    versions: Mapping[tuple[str, int], OfModel]
    cpu_s: float = 0.0
    processors: float = 1.0
    rss_bytes: int = 0
    memory_bytes: int = 0


@dataclass(frozen=True)
class LoadReport:
    """How much a server has to do.

    Attributes:
        utilization: see the head of this file; at least LEAST_UTILIZATION.
        cpu: of the processors that it may use, such a part was busy with it.
        memory: of the memory that it may have it has such a part, 0 to 1.
        calls_per_s: that have ended, but for those that their callers left.
        errors_per_s: of these, those without an answer.
        models: the duty of each, 0 to 1, the busiest ones, where there are several.
        named: ``queue_wait_ms``: mean of the calls whose runs have ended; ``queue_calls``: that wait now;
            ``rows_per_batch``: mean; ``rss_bytes``. What is not known is not there.
    """

    utilization: float = LEAST_UTILIZATION
    cpu: float = 0.0
    memory: float = 0.0
    calls_per_s: float = 0.0
    errors_per_s: float = 0.0
    models: Mapping[str, float] = field(default_factory=dict)
    named: Mapping[str, float] = field(default_factory=dict)


def totals_of(figures: Iterable[Figures], in_run_for_s: float, waiting: int) -> Totals:
    """Of a version, from the figures of its signatures and what it does now."""
    ended = not_answered = ran = runs = rows = 0
    waited_s, busy_s = 0.0, in_run_for_s
    for one in figures:
        turned_away = sum(one.events[event] for event in _NOT_ANSWERED)
        ended += one.answered + one.cache_hits + one.failed + turned_away
        not_answered += one.failed + turned_away
        ran += one.answered + one.failed
        waited_s += one.waited_s
        runs += one.runs
        rows += one.rows_run
        busy_s += one.ran_s
    return Totals(ended, not_answered, ran, waited_s, runs, rows, busy_s, waiting)


def utilization(duty: float, runs_waited: float) -> float:
    """See the head of this file."""
    full = min(max(0.0, (duty - _FULL_FROM) / (1.0 - _FULL_FROM)), 1.0)
    return duty + full * math.log2(max(1.0, runs_waited))


def report_of(before: Sample, now: Sample) -> LoadReport:
    """What has become of the time between two moments; a version that was not there before began at
    nothing."""
    passed_s = now.at - before.at
    memory = min(now.rss_bytes / now.memory_bytes, 1.0) if now.memory_bytes else 0.0
    if passed_s <= 0.0:
        return LoadReport(memory=memory, named=_named(Totals(), now))
    greatest, duties, everything = LEAST_UTILIZATION, dict[str, float](), Totals()
    for key, of_model in now.versions.items():
        then = before.versions.get(key)
        done = _difference(then.totals if then is not None else Totals(), of_model.totals)
        duty = min(max(0.0, done.busy_s / passed_s), 1.0)
        runs_waited = _runs_waited(done, of_model, duty * passed_s)
        greatest = max(greatest, utilization(duty, runs_waited))
        duties[of_model.name] = max(duties.get(of_model.name, 0.0), duty)
        everything = _sum(everything, done)
    return LoadReport(
        utilization=greatest,
        cpu=max(0.0, (now.cpu_s - before.cpu_s) / (passed_s * now.processors)),
        memory=memory,
        calls_per_s=everything.ended / passed_s,
        errors_per_s=everything.not_answered / passed_s,
        models=_busiest(duties) if len(duties) > 1 else {},
        named=_named(everything, now),
    )


def _difference(before: Totals, now: Totals) -> Totals:
    """What was done between two moments; `waiting` is that of now."""
    # What ended between the look at the present run and the look at the figures may make it less than
    # nothing.
    done = [max(0, late - early) for early, late in zip(before, now, strict=True)]
    return Totals._make(done)._replace(waiting=now.waiting)


def _sum(one: Totals, other: Totals) -> Totals:
    return Totals._make(map(operator.add, one, other))


def _runs_waited(done: Totals, of_model: OfModel, busy_s: float) -> float:
    if done.runs and done.ran:
        wait_s = done.waited_s / done.ran - of_model.may_hold_s
        run_s = busy_s / done.runs
        return wait_s / run_s if run_s > 0.0 else 0.0
    totals = of_model.totals
    return done.waiting / max(1.0, totals.ran / totals.runs if totals.runs else 1.0)


def _busiest(duties: Mapping[str, float]) -> dict[str, float]:
    told = [name for name in duties if len(name) <= _MAX_NAME]
    told.sort(key=lambda name: (-duties[name], name))
    return {name: duties[name] for name in told[:_MAX_MODELS]}


def _named(done: Totals, now: Sample) -> dict[str, float]:
    named = {"queue_calls": float(sum(one.totals.waiting for one in now.versions.values()))}
    if done.ran:
        named["queue_wait_ms"] = done.waited_s / done.ran * 1e3
    if done.runs:
        named["rows_per_batch"] = done.rows / done.runs
    if now.rss_bytes:
        named["rss_bytes"] = float(now.rss_bytes)
    return named
