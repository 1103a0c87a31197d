"""What this process takes of the machine, beside the usual figures, for Prometheus; see prometheus.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_KINDS = ("serving", "executors", "others")


def processor_metrics(figures: Mapping[str, Any]) -> Iterator[Metric]:
    """Everything, metric by metric.

    Args:
        figures: see process_figures.py.
    """
    yield GaugeMetricFamily(
        "hotgraph_processors", "Processors that the process may use.", value=figures["processors"]
    )
    limit = GaugeMetricFamily("hotgraph_memory_limit_bytes", "Memory that the process's container may take.")
    if figures["memory_limit_bytes"] is not None:
        limit.add_metric((), figures["memory_limit_bytes"])
    yield limit
    times = CounterMetricFamily(
        "hotgraph_thread_cpu_seconds", "Processor time of Python's threads.", labels=("threads",)
    )
    for kind in _KINDS:
        # Elsewhere than on Linux the system does not tell.
        if (spent_s := figures[f"{kind}_cpu_s"]) is not None:
            times.add_metric((kind,), spent_s)
    yield times
