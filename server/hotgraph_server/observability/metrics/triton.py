"""The figures under Triton's names, for dashboards, alerts and load generators that know no others.

Names, units and labels (`model`, `version`, and the metric_tags of a model's configuration) are Triton's.
What differs:

* All protocols count, and all signatures of a version together.
* Every call that gets no answer is a failure: REJECTED if the queue refused it or let go of it, CANCELED if
  its caller left or its deadline passed, BACKEND if its run failed, OTHER if the version was leaving.
* Counters have no type in the text, because their names lack the ending that prometheus_client wants of one.
* Of Triton's histograms there is the one for the time to the first response, which here is the only one;
  waits and runs have histograms under our own names.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from hotgraph_server.models.registry import Registry
from hotgraph_server.models.version import Version
from hotgraph_server.observability.metrics.gpus import Gpus
from hotgraph_server.statistics import DURATION_BOUNDS_S, Event, Snapshot

REASONS: Mapping[Event, str] = {
    Event.REFUSED_FULL: "REJECTED",
    Event.REFUSED_LATE: "REJECTED",
    Event.REFUSED_BY_SIZE: "REJECTED",
    Event.TIMED_OUT: "REJECTED",
    Event.EXPIRED: "CANCELED",
    Event.CANCELLED: "CANCELED",
    Event.REFUSED_DRAINING: "OTHER",
}
"""Why a call failed that no run has ended."""

_COUNTER = "unknown"
_NS_IN_US = 1e3
_MS = 1e3
# Of a label; "__" is Prometheus' own.
_LABEL = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")
_HISTOGRAM = "nv_inference_first_response_histogram_ms"

_Counter = tuple[str, str, Callable[[Snapshot], float]]
_COUNTERS: Sequence[_Counter] = (
    ("nv_inference_request_success", "Calls that were answered.", lambda now: now.success.count),
    ("nv_inference_count", "Rows that were answered by runs.", lambda now: now.rows),
    ("nv_inference_exec_count", "Runs of the graph.", lambda now: now.runs),
    (
        "nv_inference_request_duration_us",
        "From arrival to the end, summed over calls.",
        lambda now: (now.success.ns + now.fail.ns) / _NS_IN_US,
    ),
    (
        "nv_inference_queue_duration_us",
        "From arrival to the run, summed over calls.",
        lambda now: now.queue.ns / _NS_IN_US,
    ),
    (
        "nv_inference_compute_input_duration_us",
        "Joining of batches, summed over calls.",
        lambda now: now.run_input.ns / _NS_IN_US,
    ),
    (
        "nv_inference_compute_infer_duration_us",
        "Inside the graph, summed over calls.",
        lambda now: (now.run.ns - now.run_input.ns - now.run_output.ns) / _NS_IN_US,
    ),
    (
        "nv_inference_compute_output_duration_us",
        "Cutting of answers, summed over calls.",
        lambda now: now.run_output.ns / _NS_IN_US,
    ),
    ("nv_cache_num_hits_per_model", "Answers that were kept.", lambda now: now.cache_hit.count),
    ("nv_cache_num_misses_per_model", "Calls for which none was kept.", lambda now: now.cache_miss.count),
    (
        "nv_cache_hit_duration_per_model",
        "Time for answers that were kept, microseconds.",
        lambda now: now.cache_hit.ns / _NS_IN_US,
    ),
    (
        "nv_cache_miss_duration_per_model",
        "Time for looking in vain and for keeping, microseconds.",
        lambda now: now.cache_miss.ns / _NS_IN_US,
    ),
)
_GAUGES: Sequence[tuple[str, str, Callable[[Version], float]]] = (
    ("nv_inference_pending_request_count", "Calls that wait now.", lambda version: version.waiting),
    (
        "nv_model_load_duration_secs",
        "How long the version took to load and warm up.",
        lambda version: version.load_s,
    ),
)


class TritonCollector(Collector):
    """Reads models and their figures at each scrape.

    Args:
        models: which versions there are.
        processor: where the machine's figures come from; see Processor.
        give_way: called between metrics, with seconds to sleep (see prometheus.py).
        gpus: where the figures of GPUs come from.
    """

    def __init__(
        self,
        models: Registry,
        processor: Processor | None = None,
        give_way: Callable[[float], object] = time.sleep,
        gpus: Gpus | None = None,
    ) -> None:
        self._models = models
        self._gpus = gpus or Gpus()
        self._processor = processor or Processor()
        self._give_way = give_way

    def collect(self) -> Iterator[Metric]:
        """Everything, metric by metric."""
        shown = [
            (version, _labels(version), version.statistics.snapshot()) for version in self._models.versions()
        ]
        for metric in self._metrics(shown):
            yield metric
            self._give_way(1e-4)

    def _metrics(self, shown: Sequence[tuple[Version, dict[str, str], Snapshot]]) -> Iterator[Metric]:
        for name, help, count in _COUNTERS:
            counter = Metric(name, help, _COUNTER)
            for _, labels, now in shown:
                counter.add_sample(name, labels, count(now))
            yield counter
        failures = Metric("nv_inference_request_failure", "Calls that were not answered.", _COUNTER)
        for _, labels, now in shown:
            for reason, failed in failures_by_reason(now).items():
                failures.add_sample(failures.name, {**labels, "reason": reason}, failed)
        yield failures
        for name, help, value in _GAUGES:
            gauge = Metric(name, help, "gauge")
            for version, labels, _ in shown:
                gauge.add_sample(name, labels, value(version))
            yield gauge
        yield _first_responses(shown)
        yield from self._processor.metrics()
        yield from self._gpus.metrics()


def failures_by_reason(now: Snapshot) -> dict[str, int]:
    """How many calls got no answer, for each of Triton's reasons."""
    counts = {"REJECTED": 0, "CANCELED": 0, "BACKEND": now.fail.count, "OTHER": 0}
    for event, reason in REASONS.items():
        counts[reason] += now.events[event]
    return counts


def _labels(version: Version) -> dict[str, str]:
    config = version.contract.config
    tags = dict(config.metric_tags) if config is not None else {}
    fitting = {name: value for name, value in tags.items() if _LABEL.fullmatch(name)}
    return {**fitting, "model": version.name, "version": str(version.number)}


def _first_responses(shown: Sequence[tuple[Version, dict[str, str], Snapshot]]) -> Metric:
    histogram = Metric(
        _HISTOGRAM, "From a call's arrival to the end of its run, answered or failed.", "histogram"
    )
    edges = [*(floatToGoString(round(bound * _MS, 6)) for bound in DURATION_BOUNDS_S), "+Inf"]  # type: ignore[no-untyped-call]
    for version, labels, _ in shown:
        figures = version.statistics.by_signature().values()
        counts = [0] * len(edges)
        for one in figures:
            counts = [total + count for total, count in zip(counts, one.call_durations, strict=True)]
        for edge, count in zip(edges, accumulate(counts), strict=True):
            histogram.add_sample(f"{_HISTOGRAM}_bucket", {**labels, "le": edge}, count)
        histogram.add_sample(f"{_HISTOGRAM}_count", labels, sum(counts))
        took_s = sum(one.answered_s + one.failed_s for one in figures)
        histogram.add_sample(f"{_HISTOGRAM}_sum", labels, took_s * _MS)
    return histogram


class Processor:
    """What the machine's processor and memory do, as far as the system tells; in one thread.

    Args:
        folder: where the kernel shows it; elsewhere than on Linux there is none, and nothing is shown.
    """

    def __init__(self, folder: Path = Path("/proc")) -> None:
        self._folder = folder
        self._times = self._read_times()

    def metrics(self) -> Iterator[Metric]:
        """Utilization since the last time, 0 to 1, and memory in bytes."""
        before, self._times = self._times, self._read_times()
        if self._times is not None and before is not None:
            idle, all_of_it = (now - then for now, then in zip(self._times, before, strict=True))
            busy = 1 - idle / all_of_it if all_of_it > 0 else 0.0
            yield _gauge("nv_cpu_utilization", "Busy share of all processors since the last look.", busy)
        total, available = self._read_memory()
        if total:
            yield _gauge("nv_cpu_memory_total_bytes", "Memory of the machine.", total)
            yield _gauge("nv_cpu_memory_used_bytes", "What of it is in use.", total - available)

    def _read_times(self) -> tuple[int, int] | None:
        """Idle and all time of all processors, in the kernel's ticks."""
        try:
            first = (self._folder / "stat").read_text().partition("\n")[0].split()
        except OSError:
            return None
        # user nice system idle iowait irq softirq steal; what follows is in user and nice already.
        ticks = [int(word) for word in first[1:9]]
        return ticks[3] + ticks[4], sum(ticks)

    def _read_memory(self) -> tuple[int, int]:
        """Bytes of memory, and how many are to be had."""
        try:
            lines = (self._folder / "meminfo").read_text().splitlines()
        except OSError:
            return 0, 0
        kib = {line.partition(":")[0]: int(line.split()[1]) for line in lines if ":" in line}
        return kib.get("MemTotal", 0) * 1024, kib.get("MemAvailable", 0) * 1024


def _gauge(name: str, help: str, value: float) -> Metric:
    gauge = Metric(name, help, "gauge")
    gauge.add_sample(name, {}, value)
    return gauge
