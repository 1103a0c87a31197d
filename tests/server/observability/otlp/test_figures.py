"""figures.py: families of Prometheus' as OpenTelemetry's metrics."""

from __future__ import annotations

from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import Gauge, Histogram, Metric, Sum
from opentelemetry.sdk.resources import Resource
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.core import Metric as Family

from hotgraph_server.observability.otlp.figures import metrics_data


def one(family: Family) -> Metric:
    data = metrics_data([family], Resource({}), 5, 9)
    assert encode_metrics(data).SerializeToString()
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    return metric


def counter() -> CounterMetricFamily:
    family = CounterMetricFamily("hotgraph_busy_seconds", "Busy.", labels=["model"])
    family.add_metric(["m"], 2.5)
    return family


def test_counter_is_a_growing_sum_under_its_name_without_the_ending() -> None:
    metric = one(counter())
    assert (metric.name, metric.description, metric.unit) == ("hotgraph_busy_seconds", "Busy.", "s")
    assert isinstance(metric.data, Sum)
    assert metric.data.is_monotonic
    (point,) = metric.data.data_points
    assert (point.attributes, point.value) == ({"model": "m"}, 2.5)
    assert (point.start_time_unix_nano, point.time_unix_nano) == (5, 9)


def test_gauge_and_info_are_gauges() -> None:
    assert isinstance(one(GaugeMetricFamily("g", "G.", value=3.0)).data, Gauge)
    info = one(InfoMetricFamily("b", "B.", value={"version": "1"}))
    points: Any = info.data.data_points
    assert (info.name, points[0].attributes) == ("b_info", {"version": "1"})


def test_buckets_hold_what_is_in_them_and_not_what_is_below() -> None:
    family = HistogramMetricFamily("h", "H.", labels=["model"])
    family.add_metric(["m"], [("0.1", 2.0), ("1", 5.0), ("+Inf", 6.0)], 4.5)
    data = one(family).data
    assert isinstance(data, Histogram)
    (point,) = data.data_points
    assert (point.bucket_counts, point.explicit_bounds) == ([2, 3, 1], [0.1, 1.0])
    assert (point.count, point.sum, point.attributes) == (6, 4.5, {"model": "m"})


def test_family_without_figures_is_left_out() -> None:
    families = [CounterMetricFamily("c", "C.", labels=["model"]), counter()]
    data = metrics_data(families, Resource({}), 5, 9)
    assert [metric.name for metric in data.resource_metrics[0].scope_metrics[0].metrics] == [
        "hotgraph_busy_seconds"
    ]
