"""What settings would do to a load: the queue's decisions on measured costs. Pure.

A call is read by the front, one after the other in one thread; then it waits in the queue and is run, which
the simulator says; then it is sent. While the front works it takes a part of the processors, so runs that
want all of them take longer: by as much as both together want more than there is, in the mean.

All candidates get the same calls, and the same accidents as far as they have the same runs, so that two of
them differ by their settings. The first tenth of a random trace is left out: the queue began empty.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hotgraph_server.batching.joining import compiled_buckets
from hotgraph_server.batching.plain_simulator import Course, is_plain, simulate_plainly
from hotgraph_server.batching.simulator import simulate
from hotgraph_server.settings import BatchSettings
from hotgraph_server.tuning.costs import Costs, RunTime, Variant, told
from hotgraph_server.tuning.slo import MAX, MEAN, Slo, share_of
from hotgraph_server.tuning.traffic import Trace, Traffic, as_arrivals

FRONT_S = 60e-6
"""Processor time of the front for a call in a crowd: sockets, reading, queue, answer (docs/performance)."""

WAKING_S = 120e-6
"""And what a call costs beside that which finds the front asleep."""

PATH_S = 300e-6
"""What a call takes beside waiting and running when nobody else is there: system calls, and threads that wake
up, of both sides. Over the loopback."""

_SKIPPED = 0.1


@dataclass(frozen=True)
class Place:
    """Where a server runs.

    Attributes:
        cores: processors that it may use.
        front_s: see FRONT_S.
        waking_s: see WAKING_S.
        path_s: see PATH_S.
    """

    cores: int
    front_s: float = FRONT_S
    waking_s: float = WAKING_S
    path_s: float = PATH_S


@dataclass(frozen=True)
class Candidate:
    """Settings to be tried.

    Attributes:
        variant: how the graph is run.
        batch: settings of the queue that differ from today's, ordered by name.
        processes: servers behind one port; 1 is the default.
    """

    variant: Variant
    batch: tuple[tuple[str, Any], ...] = ()
    processes: int = 1

    @property
    def settings(self) -> dict[str, Any]:
        """All that differ from today's, by name."""
        more = {"processes": self.processes} if self.processes != 1 else {}
        return {**dict(self.batch), **dict(self.variant.settings), **more}

    @property
    def is_default(self) -> bool:
        """Does it change nothing?"""
        return not self.settings

    @property
    def label(self) -> str:
        """For people."""
        return ", ".join(f"{name}={told(value)}" for name, value in self.settings.items()) or "defaults"

    def with_batch(self, **changed: Any) -> Candidate:
        """The same but for these settings of the queue; None takes one back to today's."""
        batch = {**dict(self.batch), **changed}
        kept = {name: value for name, value in batch.items() if value is not None}
        return dataclasses.replace(self, batch=tuple(sorted(kept.items())))

    def in_queue(self, base: BatchSettings) -> BatchSettings:
        """The whole settings of the queue.

        Raises:
            SettingsError: they cannot be.
        """
        values = dict(self.batch)
        rows = values.get("max_batch_rows", base.max_batch_rows)
        # What depends on the row limit goes with it.
        if "row_buckets" in dict(self.variant.settings):  # variants.TO_THE_LIMIT
            values["row_buckets"] = compiled_buckets(rows)
        elif base.row_buckets:
            values["row_buckets"] = (*(size for size in base.row_buckets if size < rows), rows)
        values["preferred_batch_rows"] = tuple(size for size in base.preferred_batch_rows if size <= rows)
        if base.max_queued_rows:
            values.setdefault("max_queued_rows", max(base.max_queued_rows, rows))
        return dataclasses.replace(base, **values)

    def values(self, base: BatchSettings) -> dict[str, Any]:
        """All settings that differ from today's, by name, as the server takes them."""
        queue = self.in_queue(base)
        names = [one.name for one in dataclasses.fields(queue)]
        changed = {
            name: getattr(queue, name) for name in names if getattr(queue, name) != getattr(base, name)
        }
        return {**self.settings, **changed}


@dataclass(frozen=True)
class Predicted:
    """What would become of a load.

    Attributes:
        latency_s: `p50`, `p99`, `mean`, `max` and what the objective names, of the answered; NaN: none was.
        p99_by_seed: seconds, one for each trace: how much chance is in it.
        goodput_per_s: calls answered within the objective's latency, a second, of all processes.
        errors: share of calls that were refused or late.
        duty: share of the time in which a process' graph ran.
        cores: processors that are busy, of all processes.
        rows_per_run: the mean.
        most_rows: of a run.
        overload: why no queue could keep up for long, though it may for a short trace; empty: it could.
        broken: why the objective does not hold, an overload among the reasons; empty: it does.
    """

    latency_s: Mapping[str, float]
    p99_by_seed: tuple[float, ...]
    goodput_per_s: float
    errors: float
    duty: float
    cores: float
    rows_per_run: float
    most_rows: int
    overload: str
    broken: str

    @property
    def holds(self) -> bool:
        """Does the objective?"""
        return not self.broken

    @property
    def p99_s(self) -> float:
        """Seconds; infinite where nothing was answered."""
        found = self.latency_s["p99"]
        return math.inf if math.isnan(found) else found


@dataclass(frozen=True)
class _Run:
    """Of one trace: seconds of each call's latency (NaN: refused or late), and what the runs were."""

    latency_s: NDArray[np.float64]
    course: Course
    seconds: float
    cpu_s: float


def predict(
    candidate: Candidate,
    costs: Costs,
    base: BatchSettings,
    traffic: Traffic,
    place: Place,
    slo: Slo,
    *,
    calls: int,
    seeds: Sequence[int],
    share: float = 1.0,
) -> Predicted:
    """What a candidate would do.

    Args:
        candidate: of the variant that `costs` are of.
        base: the queue's settings today.
        traffic: of all servers.
        place: of one server.
        slo: what is to be kept.
        calls: of each trace.
        seeds: of the traces.
        share: of the load that this server gets; one of its processes gets its part of it.

    Raises:
        SettingsError: the candidate's settings cannot be.
    """
    settings = candidate.in_queue(base)
    part = share / candidate.processes
    cores = place.cores / candidate.processes
    traces = [traffic.trace(calls, seed, part) for seed in seeds]
    front = _front(traces, place)
    runs = [
        _simulated(trace, costs, settings, place.path_s, costs.jittered(seed, cores, front), place.front_s)
        for trace, seed in zip(traces, seeds, strict=True)
    ]
    latency_s = np.concatenate([run.latency_s for run in runs])
    answered = latency_s[~np.isnan(latency_s)]
    found = {name: _figure(name, answered) for name in dict.fromkeys(("p50", "p99", *slo.latencies))}
    errors = 1.0 - len(answered) / len(latency_s)
    seconds = sum(run.seconds for run in runs)
    batches = [size for run in runs for size in run.course.batches]
    good = float(np.count_nonzero(answered <= slo.latency_s)) / len(latency_s)
    overload = _overload(costs.run_s(cores, front), costs, settings, traffic, part)
    crowded = traffic.rate * part * place.front_s
    if crowded >= 1.0:
        overload = f"the load is {crowded:.2f} times what one process can read"
    return Predicted(
        latency_s=found,
        p99_by_seed=tuple(_figure("p99", run.latency_s[~np.isnan(run.latency_s)]) for run in runs),
        goodput_per_s=good * traffic.rate * share,
        errors=errors,
        duty=sum(run.course.busy_s for run in runs) / seconds,
        cores=min(sum(run.cpu_s for run in runs) / seconds + front, cores) * candidate.processes,
        rows_per_run=sum(batches) / len(batches),
        most_rows=max(batches),
        overload=overload,
        broken=overload or slo.broken(found, errors),
    )


def _front(traces: Sequence[Trace], place: Place) -> float:
    """The share of a processor that the front keeps busy."""
    busy_s = seconds = 0.0
    for trace in traces:
        moments = trace.moments
        asleep = np.count_nonzero(moments[1:] > through_front(moments, place.front_s)[:-1]) + 1
        busy_s += len(moments) * place.front_s + int(asleep) * place.waking_s
        seconds += float(moments[-1] - moments[0])
    return min(busy_s / seconds, 1.0) if seconds else 1.0


def _simulated(
    trace: Trace, costs: Costs, settings: BatchSettings, path_s: float, run_s: RunTime, front_s: float
) -> _Run:
    came = through_front(trace.moments, front_s)
    course = _course(Trace(came, trace.rows), run_s, settings, joins=costs.joins)
    skipped = int(len(came) * _SKIPPED)
    latency_s = np.array(course.ended) - trace.moments + path_s
    cpu_s = costs.cpu_s()
    sizes, counts = np.unique(course.batches, return_counts=True)
    used_s = sum(cpu_s(int(size)) * int(count) for size, count in zip(sizes, counts, strict=True))
    ended = [one for one in course.ended if not math.isnan(one)]
    seconds = max([*ended[-1:], came[-1]]) - came[0]
    return _Run(latency_s[skipped:], course, max(float(seconds), 1e-9), used_s)


def _course(trace: Trace, run_s: RunTime, settings: BatchSettings, *, joins: bool) -> Course:
    timeout_s = settings.default_timeout_ms / 1e3 or math.inf
    if timeout_s == math.inf and is_plain(settings, int(trace.rows.max()), joins=joins):
        return simulate_plainly(trace.moments.tolist(), trace.rows.tolist(), run_s, settings, joins=joins)
    outcome = simulate(as_arrivals(trace, timeout_s=timeout_s, joins=joins), run_s, settings)
    ended = [fate.ended if fate.in_time else math.nan for fate in outcome.fates]
    return Course(ended, outcome.batches, outcome.busy_s)


def through_front(moments: NDArray[np.float64], front_s: float) -> NDArray[np.float64]:
    """When calls have been read that come at `moments`, one after the other, `front_s` each."""
    turns = np.arange(len(moments)) * front_s
    read: NDArray[np.float64] = np.maximum.accumulate(moments - turns) + turns + front_s
    return read


def _overload(run_s: RunTime, costs: Costs, settings: BatchSettings, traffic: Traffic, part: float) -> str:
    """Why no queue could keep up for long, in words, though it may for a short trace; empty: it could."""
    if costs.joins:
        sizes = {min(point.rows, settings.max_batch_rows) for point in costs.points}
        load = traffic.rows_per_s * part / max(rows / run_s(rows) for rows in sizes)
    else:
        whole = sum(traffic.rows.values())
        load = traffic.rate * part * sum(run_s(rows) * often for rows, often in traffic.rows.items()) / whole
    return f"the load is {load:.2f} times what its runs can do" if load >= 1.0 else ""


def _figure(name: str, latency_s: NDArray[np.float64]) -> float:
    if not len(latency_s):
        return math.nan
    if name == MEAN:
        return float(latency_s.mean())
    if name == MAX:
        return float(latency_s.max())
    return float(np.quantile(latency_s, share_of(name)))
