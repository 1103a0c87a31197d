"""The figures under TensorFlow Serving's names, for dashboards and alerts that know no others.

Names, types and the unit (microseconds) are TensorFlow Serving's; so are the labels `model_name`, `status`
and `thread_pool_name`. To each series come labels that its users miss: `version` and `signature`, and
`model_name` where it has none. Sums over them are what TensorFlow Serving shows; histograms have our own
bounds, which is all the same to ``histogram_quantile``.

What differs:

* Calls are counted from the queue on. A request that no queue has taken (a wrong name, a broken message) is
  in none of these figures, so no caller can make series by inventing names of models.
* All protocols count. Where TensorFlow Serving tells `API` and `entrypoint` apart we know the signature, so
  these two labels are not there.
* A call that fails in the graph has the status UNKNOWN, whatever code TensorFlow gave it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from hotgraph_server.models.registry import Registry
from hotgraph_server.models.version import Version
from hotgraph_server.observability.metrics.prometheus import OwnFigures, of_no_server, prometheus_registry
from hotgraph_server.statistics import DURATION_BOUNDS_S, ROWS_BOUNDS, Event, Figures

_PREFIX = ":tensorflow:serving:"
_BATCHING = f"{_PREFIX}batching_session:"

_US = 1e6
_DURATION_BOUNDS_US = tuple(round(bound * _US) for bound in DURATION_BOUNDS_S)

_Histogram = tuple[
    str, dict[str, str], Sequence[float], Callable[[Figures], Sequence[int]], Callable[[Figures], float]
]
_HISTOGRAMS: Sequence[_Histogram] = (
    (
        f"{_PREFIX}request_latency",
        {},
        _DURATION_BOUNDS_US,
        lambda one: one.call_durations,
        lambda one: (one.answered_s + one.failed_s) * _US,
    ),
    (
        f"{_PREFIX}runtime_latency",
        {"runtime": "TF1"},
        _DURATION_BOUNDS_US,
        lambda one: one.run_durations,
        lambda one: one.ran_s * _US,
    ),
    (
        f"{_BATCHING}queuing_latency",
        {"thread_pool_name": ""},
        _DURATION_BOUNDS_US,
        lambda one: one.wait_durations,
        lambda one: one.waited_s * _US,
    ),
    (
        f"{_BATCHING}processed_batch_size",
        {},
        ROWS_BOUNDS,
        lambda one: one.rows_per_run,
        lambda one: one.rows_run,
    ),
)


class TfsCollector(Collector):
    """Reads models and their figures at each scrape."""

    def __init__(self, models: Registry) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """Everything, metric by metric."""
        series = [
            (
                version,
                {"model_name": version.name, "version": str(version.number), "signature": name},
                figures,
            )
            for version in self._models.versions()
            for name, figures in _figures(version)
        ]
        requests = Metric(f"{_PREFIX}request_count", "", "counter")
        runs = Metric(f"{_BATCHING}wrapped_run_count", "", "counter")
        for version, labels, figures in series:
            for status, count in _by_status(
                figures, version.refuse_with, version.refuse_by_policy_with
            ).items():
                requests.add_sample(requests.name, {**labels, "status": status}, count)
            runs.add_sample(runs.name, labels, figures.runs)
        yield requests
        yield runs
        for name, more, bounds, counts, total in _HISTOGRAMS:
            histogram = Metric(name, "", "histogram")
            for _, labels, figures in series:
                _add_histogram(histogram, {**labels, **more}, bounds, counts(figures), total(figures))
            yield histogram


def counters(models: Registry) -> dict[str, Mapping[tuple[str, int, str], int]]:
    """What only grows, by TensorFlow Serving's own names (with slashes): for each signature of each version
    how many so far, by model, number and signature."""
    series = [
        ((version.name, version.number, name), version, figures)
        for version in models.versions()
        for name, figures in _figures(version)
    ]
    return {
        "/tensorflow/serving/request_count": {
            key: sum(_by_status(figures, version.refuse_with, version.refuse_by_policy_with).values())
            for key, version, figures in series
        },
        "/tensorflow/serving/batching_session/wrapped_run_count": {
            key: figures.runs for key, _, figures in series
        },
    }


class MetricsPage:
    """The page that TensorFlow Serving has at its Prometheus path: its names, and then ours."""

    def __init__(
        self, models: Registry, ready: Callable[[], bool], own: Callable[[], OwnFigures] = of_no_server
    ) -> None:
        """
        Args:
            models: which versions there are.
            ready: are calls answered?
            own: see there.
        """
        self._theirs = TfsCollector(models)
        self._ours = prometheus_registry(models, ready, own)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format; in one thread at a time."""
        return "".join(map(_written, self._theirs.collect())).encode() + generate_latest(self._ours)


def _figures(version: Version) -> Iterator[tuple[str, Figures]]:
    """Of every signature that can be called, those without a call so far included."""
    found = version.statistics.by_signature()
    for name in sorted({*version.signatures, *found}):
        yield name, found.get(name) or Figures()


def _by_status(figures: Figures, refuse_with: str, refuse_by_policy_with: str) -> dict[str, int]:
    """How many calls ended with each status."""
    events = figures.events
    counts = {
        "OK": figures.answered,
        "UNKNOWN": figures.failed,
        "RESOURCE_EXHAUSTED": 0,
        "UNAVAILABLE": events[Event.REFUSED_DRAINING],
        "DEADLINE_EXCEEDED": events[Event.EXPIRED],
        "CANCELLED": events[Event.CANCELLED],
    }
    counts[refuse_with.upper()] += events[Event.REFUSED_FULL] + events[Event.REFUSED_LATE]
    counts[refuse_by_policy_with.upper()] += events[Event.REFUSED_BY_SIZE] + events[Event.TIMED_OUT]
    return counts


def _add_histogram(
    metric: Metric, labels: dict[str, str], bounds: Sequence[float], counts: Sequence[int], total: float
) -> None:
    edges = (*bounds, math.inf)
    for edge, count in zip(edges, accumulate(counts), strict=True):
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": _number(edge)}, count)
    metric.add_sample(f"{metric.name}_count", labels, sum(counts))
    metric.add_sample(f"{metric.name}_sum", labels, total)


def _written(metric: Metric) -> str:
    """A metric as text. prometheus_client's own writer wants every counter to be called ``_total``."""
    lines = [f"# TYPE {metric.name} {metric.type}\n"]
    for sample in metric.samples:
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
        lines.append(f"{sample.name}{{{labels}}} {_number(sample.value)}\n")
    return "".join(lines)


def _number(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
