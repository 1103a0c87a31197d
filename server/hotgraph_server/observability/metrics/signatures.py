"""What is told of each signature: how it is batched and run, how its calls ended, and how long they took.

Every series of a signature is there from the moment its version is, at 0, so that the first refusal is an
increase that a rate can see and not a new series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from hotgraph_server.models.version import Version
from hotgraph_server.statistics import DURATION_BOUNDS_S, ROWS_BOUNDS, Event, Figures

_OF_SIGNATURE = ("model", "version", "signature")

_REFUSALS = {
    "queue_full": Event.REFUSED_FULL,
    "too_late": Event.REFUSED_LATE,
    "draining": Event.REFUSED_DRAINING,
    "queue_size": Event.REFUSED_BY_SIZE,
    "queue_timeout": Event.TIMED_OUT,
}
# Calls by how they ended. Whatever a reason is called, a call is counted under one outcome and once.
_OUTCOMES: Mapping[str, Callable[[Figures], int]] = {
    "answered": lambda figures: figures.answered,
    "failed": lambda figures: figures.failed,
    "refused": lambda figures: sum(figures.events[event] for event in _REFUSALS.values()),
    "expired": lambda figures: figures.events[Event.EXPIRED],
    "cancelled": lambda figures: figures.events[Event.CANCELLED],
}
_EVENTS = {
    "hotgraph_poison_calls": (Event.POISON, "Calls that failed alone after their batch had failed."),
    "hotgraph_apart_calls": (
        Event.APART,
        "Calls that share no run because calls of their peer keep failing.",
    ),
    "hotgraph_rerun_batches": (Event.RERUN, "Batches that failed and were run again in parts."),
    "hotgraph_out_of_memory": (Event.OUT_OF_MEMORY, "Runs that did not fit into memory."),
    "hotgraph_checked_calls": (Event.CHECKED, "Answers from batches that were compared with those alone."),
    "hotgraph_differing_calls": (Event.DIFFERED, "Compared answers that differed beyond the tolerance."),
    "hotgraph_delayed_calls": (Event.DELAYED, "Calls that a queue policy put behind others of their level."),
    "hotgraph_split_calls": (Event.SPLIT, "Calls larger than the row limit, run in pieces."),
}

_Histogram = tuple[str, str, Sequence[float], Callable[[Figures], Sequence[int]], Callable[[Figures], float]]
_HISTOGRAMS: Sequence[_Histogram] = (
    (
        "hotgraph_batch_rows",
        "Rows in each run of the graph.",
        ROWS_BOUNDS,
        lambda figures: figures.rows_per_run,
        lambda figures: figures.rows_run,
    ),
    (
        "hotgraph_run_duration_seconds",
        "Time inside each run of the graph.",
        DURATION_BOUNDS_S,
        lambda figures: figures.run_durations,
        lambda figures: figures.ran_s,
    ),
    (
        "hotgraph_queue_wait_seconds",
        "From the arrival of a call to the start of its run.",
        DURATION_BOUNDS_S,
        lambda figures: figures.wait_durations,
        lambda figures: figures.waited_s,
    ),
    (
        "hotgraph_call_duration_seconds",
        "From the arrival of a call to the end of its run, answered or failed.",
        DURATION_BOUNDS_S,
        lambda figures: figures.call_durations,
        lambda figures: figures.answered_s + figures.failed_s,
    ),
)


def signature_metrics(
    versions: Sequence[Version], figures: Mapping[Version, Mapping[str, Figures]]
) -> Iterator[Metric]:
    """Everything, metric by metric.

    Args:
        figures: of each version by signature, those without a call so far included.
    """
    yield _batching(versions)
    yield _by_signature(
        "hotgraph_trusted_calls",
        "Joined calls so far without a difference, of earlier starts too where that is kept.",
        versions,
        _trusted,
    )
    yield from _plans(versions)
    by_signature = [
        ((version.name, str(version.number), signature), of_one)
        for version in versions
        for signature, of_one in figures[version].items()
    ]
    yield _counter("hotgraph_calls", "Calls by how they ended.", by_signature, "outcome", _OUTCOMES)
    yield _counter(
        "hotgraph_refused_calls",
        "Calls refused at the door.",
        by_signature,
        "reason",
        {reason: _count_of(event) for reason, event in _REFUSALS.items()},
    )
    yield _counter(
        "hotgraph_runs",
        "Runs of the graph.",
        by_signature,
        "outcome",
        {"answered": lambda one: one.runs - one.failed_runs, "failed": lambda one: one.failed_runs},
    )
    for name, (event, help) in _EVENTS.items():
        yield _counter(name, help, by_signature, "", {"": _count_of(event)})
    yield _by_signature(
        "hotgraph_apart_peers",
        "Connections whose calls share no run now because they keep failing.",
        versions,
        _suspects,
    )
    for name, help, bounds, counts, total in _HISTOGRAMS:
        histogram = HistogramMetricFamily(name, help, labels=_OF_SIGNATURE)
        for labels, of_one in by_signature:
            histogram.add_metric(labels, _buckets(bounds, counts(of_one)), total(of_one))
        yield histogram


def _batching(versions: Sequence[Version]) -> Metric:
    batching = GaugeMetricFamily(
        "hotgraph_signature_batches",
        "1 if calls of the signature share runs; 0 if each runs alone, with the reason.",
        labels=(*_OF_SIGNATURE, "reason"),
    )
    for version in versions:
        for signature, reason in version.unbatched_reasons.items():
            labels = (version.name, str(version.number), signature, reason or "")
            batching.add_metric(labels, float(reason is None))
    return batching


def _by_signature(
    name: str, help: str, versions: Sequence[Version], figures: Callable[[Version], Mapping[str, float]]
) -> Metric:
    """A gauge of what `figures` says of a version's signatures, by their names."""
    gauge = GaugeMetricFamily(name, help, labels=_OF_SIGNATURE)
    for version in versions:
        for signature, figure in figures(version).items():
            gauge.add_metric((version.name, str(version.number), signature), figure)
    return gauge


def _suspects(version: Version) -> dict[str, float]:
    suspects = version.suspects
    return {signature: suspects.get(signature, 0) for signature in sorted(version.signatures)}


def _trusted(version: Version) -> dict[str, float]:
    return {signature: trust.joined for signature, trust in version.trust.items()}


def _plans(versions: Sequence[Version]) -> Iterator[Metric]:
    plans = InfoMetricFamily("hotgraph_plan", "How the signature is run, and why.", labels=_OF_SIGNATURE)
    gains = GaugeMetricFamily(
        "hotgraph_plan_gain_ratio",
        "How many times as fast as the graph as saved; 1 also where nothing was measured.",
        labels=_OF_SIGNATURE,
    )
    xla_gains = GaugeMetricFamily(
        "hotgraph_plan_xla_gain_ratio",
        "How many times as fast as the same plan without XLA, at each number of rows that it compiled.",
        labels=(*_OF_SIGNATURE, "rows"),
    )
    for version in versions:
        for signature, plan in version.plans.items():
            labels = (version.name, str(version.number), signature)
            about = {"form": plan.form.value, "threads": plan.threads.value, "reason": plan.reason}
            plans.add_metric(labels, {**about, "xla_rows": ",".join(map(str, plan.xla_rows))})
            gains.add_metric(labels, plan.gain)
            for rows, gain in zip(plan.xla_rows, plan.xla_gains, strict=False):
                xla_gains.add_metric((*labels, str(rows)), gain)
    yield from (plans, gains, xla_gains)


def _counter(
    name: str,
    help: str,
    by_signature: Sequence[tuple[tuple[str, str, str], Figures]],
    label: str,
    values: Mapping[str, Callable[[Figures], int]],
) -> Metric:
    """A counter for each signature and for each of `values`, whose keys `label` carries."""
    counter = CounterMetricFamily(name, help, labels=(*_OF_SIGNATURE, label) if label else _OF_SIGNATURE)
    for labels, figures in by_signature:
        for value, count in values.items():
            counter.add_metric((*labels, value) if label else labels, count(figures))
    return counter


def _count_of(event: Event) -> Callable[[Figures], int]:
    return lambda figures: figures.events[event]


def _buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus has them."""
    edges = [*map(floatToGoString, bounds), "+Inf"]
    return list(zip(edges, accumulate(counts), strict=True))
