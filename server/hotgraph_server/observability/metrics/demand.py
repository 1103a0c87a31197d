"""Models that are loaded when they are called, in Prometheus' form; see prometheus.py."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from hotgraph_server.models.demand_figures import WAIT_BOUNDS_S, DemandFigures


def demand_metrics(now: DemandFigures) -> Iterator[Metric]:
    """Everything, metric by metric."""
    calls = CounterMetricFamily(
        "hotgraph_demand_calls",
        "Calls of models that are loaded when they are called, by what they found.",
        labels=("found",),
    )
    calls.add_metric(("live",), now.hits)
    calls.add_metric(("waited",), now.misses)
    calls.add_metric(("refused",), now.refused)
    yield calls
    waits = HistogramMetricFamily(
        "hotgraph_load_wait_seconds", "What calls have waited for loads that went on then."
    )
    waits.add_metric((), _buckets(now), now.waited_s)
    yield waits
    yield GaugeMetricFamily(
        "hotgraph_load_waiting_calls", "Calls that wait for loads now.", value=now.waiting
    )
    yield GaugeMetricFamily(
        "hotgraph_load_waiting_calls_limit",
        "Calls that may: further ones are refused.",
        value=now.most_waiting,
    )
    yield CounterMetricFamily(
        "hotgraph_demand_loads", "Models that were loaded when called.", value=now.loads
    )
    yield CounterMetricFamily(
        "hotgraph_demand_reloads", "Of these, what was given up within the minute before.", value=now.reloads
    )
    yield CounterMetricFamily(
        "hotgraph_evictions", "Models that were given up for others.", value=now.evictions
    )
    yield GaugeMetricFamily(
        "hotgraph_thrash_ratio",
        "Loads of what was given up a moment before, of the last minute.",
        value=now.thrash_share,
    )
    yield GaugeMetricFamily("hotgraph_models_memory_bytes", "What models hold.", value=now.held_bytes)
    yield GaugeMetricFamily(
        "hotgraph_models_memory_bytes_limit", "What they may; 0: there is no limit.", value=now.limit_bytes
    )
    yield GaugeMetricFamily(
        "hotgraph_working_set_bytes",
        "What the models hold that were called in the last minute.",
        value=now.working_set_bytes,
    )


def _buckets(now: DemandFigures) -> list[tuple[str, float]]:
    buckets, total = list[tuple[str, float]](), 0
    for bound, count in zip((*map(str, WAIT_BOUNDS_S), "+Inf"), now.waits, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
