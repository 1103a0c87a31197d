"""Metrics in Prometheus' form as OpenTelemetry's. Pure.

Names stay what they are at /metrics, without the ending _total, which a collector that writes Prometheus'
form puts back; docs/metrics.md explains both. Counters and histograms are cumulative, from the start on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.core import Metric as Family
from prometheus_client.samples import Sample

from hotgraph_protos.version import __version__

_CUMULATIVE = AggregationTemporality.CUMULATIVE
_SCOPE = InstrumentationScope("hotgraph", __version__)
# What a name ends in, and UCUM's word for it.
_UNITS = {"_seconds": "s", "_bytes": "By", "_ratio": "1"}


def metrics_data(families: Iterable[Family], resource: Resource, since_ns: int, now_ns: int) -> MetricsData:
    """
    Args:
        families: counters, gauges and histograms; others are left out, but for infos, which are gauges of 1.
        since_ns: when the server has begun to count, epoch.
        now_ns: when the figures were read, epoch.
    """
    metrics = [
        Metric(_name(family), family.documentation, _unit(family.name), data)
        for family in families
        if (data := _data(family, since_ns, now_ns)) is not None
    ]
    scope = ScopeMetrics(_SCOPE, metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _name(family: Family) -> str:
    # Nobody puts this ending back.
    return f"{family.name}_info" if family.type == "info" else family.name


def _unit(name: str) -> str:
    return next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "")


def _data(family: Family, since_ns: int, now_ns: int) -> Gauge | Sum | Histogram | None:
    if family.type == "histogram":
        points = _histograms(family.samples, since_ns, now_ns)
        return Histogram(points, _CUMULATIVE) if points else None
    if family.type == "counter":
        samples = [one for one in family.samples if one.name.endswith("_total")]
        return (
            Sum([_number(one, since_ns, now_ns) for one in samples], _CUMULATIVE, True) if samples else None
        )
    if family.type in ("gauge", "info", "unknown") and family.samples:
        return Gauge([_number(one, since_ns, now_ns) for one in family.samples])
    return None


def _number(sample: Sample, since_ns: int, now_ns: int) -> NumberDataPoint:
    return NumberDataPoint(dict(sample.labels), since_ns, now_ns, float(sample.value))


def _histograms(samples: Sequence[Sample], since_ns: int, now_ns: int) -> list[HistogramDataPoint]:
    by_labels: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        found = by_labels.setdefault(tuple(sorted(labels.items())), {"buckets": []})
        if sample.name.endswith("_bucket"):
            found["buckets"].append((float(sample.labels["le"]), float(sample.value)))
        elif sample.name.endswith(("_sum", "_count")):
            found[sample.name.rpartition("_")[2]] = float(sample.value)
    return [
        _histogram(dict(labels), found, since_ns, now_ns)
        for labels, found in by_labels.items()
        if found["buckets"]
    ]


def _histogram(
    labels: Mapping[str, str], found: Mapping[str, Any], since_ns: int, now_ns: int
) -> HistogramDataPoint:
    buckets = sorted(found["buckets"])
    counts, before = list[int](), 0.0
    for _, count in buckets:
        # Prometheus' buckets hold those below them.
        counts.append(int(count - before))
        before = count
    bounds = [bound for bound, _ in buckets if bound != math.inf]
    if len(bounds) == len(buckets):
        counts.append(int(found.get("count", before) - before))
    return HistogramDataPoint(
        dict(labels),
        since_ns,
        now_ns,
        count=sum(counts),
        sum=found.get("sum", 0.0),
        bucket_counts=counts,
        explicit_bounds=bounds,
        # They are not known, and left out when this is sent.
        min=None,  # type: ignore[arg-type]
        max=None,  # type: ignore[arg-type]
    )
