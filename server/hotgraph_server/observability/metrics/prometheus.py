"""The figures in Prometheus' form, made when somebody asks for them.

Nothing here is on the path of a call: the figures lie in statistics.py and are read, named and labelled at
the scrape. Names and labels are what dashboards and alerts hold on to; docs/metrics.md lists them, and a
test compares the two.

Every series of a signature is there from the moment its version is, at 0, so that the first refusal is an
increase that a rate can see and not a new series.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from hotgraph_protos.version import __version__
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.observability.metrics.sequences import sequence_metrics
from hotgraph_server.statistics import DURATION_BOUNDS_S, ROWS_BOUNDS, Event, Figures

# Rendering is pure Python and could keep the interpreter's lock for milliseconds at a stretch. After each
# family the thread really sleeps, seconds: with 0 it would take the lock back before the one that waits
# for it has woken.
_GIVE_WAY_S = 1e-4

_OF_VERSION = ("model", "version")
_OF_SIGNATURE = (*_OF_VERSION, "signature")

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


def versions_of_packages() -> dict[str, str]:
    """Which versions of what matters are installed: by ``version`` (ours), ``python`` and package names."""
    found = {"version": __version__, "python": platform.python_version()}
    for name in ("tensorflow", "grpcio"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            # TensorFlow comes under other names as well (tensorflow-cpu).
            found[name] = "unknown"
    return found


Lost = Callable[[], Mapping[str, int]]
"""How much of what is written to files was lost so far, by what it is."""


def nothing_lost() -> Mapping[str, int]:
    """For a server that writes neither calls nor traces."""
    return {"request_log": 0, "trace": 0}


def prometheus_registry(
    models: Registry, ready: Callable[[], bool], lost: Lost = nothing_lost
) -> CollectorRegistry:
    """All that /metrics shows: the models, the server, this process. Not the package's global registry,
    so that two servers in one process do not meet."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServerCollector(models, ready, lost=lost))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class ServerCollector(Collector):
    """Reads models and their figures at each scrape.

    Args:
        models: which versions there are.
        ready: are calls answered?
        lost: see Lost.
        clock: monotonic seconds.
        give_way: called between metrics, with seconds to sleep.
    """

    def __init__(
        self,
        models: Registry,
        ready: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        give_way: Callable[[float], object] = time.sleep,
        lost: Lost = nothing_lost,
    ) -> None:
        self._models = models
        self._ready = ready
        self._lost = lost
        self._clock = clock
        self._give_way = give_way
        self._packages = versions_of_packages()
        # When the last scrape was, and how long each version had run by then; of the scraping thread.
        self._scraped = clock()
        self._busy_s: Mapping[Version, float] = {}

    def collect(self) -> Iterator[Metric]:
        """Everything, metric by metric; the figures of a version are all of one moment."""
        versions = self._models.versions()
        figures = {version: _figures(version) for version in versions}
        for metric in self._metrics(versions, figures):
            yield metric
            self._give_way(_GIVE_WAY_S)

    def _metrics(
        self, versions: Sequence[Version], figures: Mapping[Version, Mapping[str, Figures]]
    ) -> Iterator[Metric]:
        yield InfoMetricFamily("hotgraph_build", "What is installed.", value=self._packages)
        yield GaugeMetricFamily("hotgraph_ready", "1 while calls are answered.", value=float(self._ready()))
        lost = CounterMetricFamily(
            "hotgraph_lost_records",
            "Calls and traces that could not be written to their file.",
            labels=["kind"],
        )
        for kind, count in self._lost().items():
            lost.add_metric((kind,), count)
        yield lost
        yield _states(versions)
        yield from self._executors(versions, figures)
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
        yield from sequence_metrics(versions)

    def _executors(
        self, versions: Sequence[Version], figures: Mapping[Version, Mapping[str, Figures]]
    ) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("hotgraph_queue_calls", "Calls that wait now.", labels=_OF_VERSION)
        busy = CounterMetricFamily(
            "hotgraph_executor_busy_seconds", "Time that the executor has spent in runs.", labels=_OF_VERSION
        )
        duty = GaugeMetricFamily(
            "hotgraph_executor_duty_ratio",
            "Share of the time since the last scrape, by anyone, that the executor has spent in runs.",
            labels=_OF_VERSION,
        )
        now = self._clock()
        passed_s, self._scraped = now - self._scraped, now
        busy_s = {version: sum(one.ran_s for one in figures[version].values()) for version in versions}
        for version in versions:
            labels = (version.name, str(version.number))
            waiting.add_metric(labels, version.waiting)
            busy.add_metric(labels, busy_s[version])
            ran_s = busy_s[version] - self._busy_s.get(version, 0.0)
            # A run counts when it ends, and may have begun before the last scrape.
            duty.add_metric(labels, min(ran_s / passed_s, 1.0) if passed_s > 0 else 0.0)
        self._busy_s = busy_s
        yield from (waiting, busy, duty)


def _figures(version: Version) -> dict[str, Figures]:
    """Of every signature that can be called, those without a call so far included."""
    found = version.statistics.by_signature()
    return {name: found.get(name) or Figures() for name in sorted({*version.signatures, *found})}


def _states(versions: Sequence[Version]) -> Metric:
    states = GaugeMetricFamily(
        "hotgraph_version_state", "1 for the state that the version is in.", labels=(*_OF_VERSION, "state")
    )
    for version in versions:
        for state in State:
            labels = (version.name, str(version.number), state.value)
            states.add_metric(labels, float(version.state is state))
    return states


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
