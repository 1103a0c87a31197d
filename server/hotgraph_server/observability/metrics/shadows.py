"""What comes of versions that answer in the shadow of others, in Prometheus' form; see models/shadows.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hotgraph_server.models.version import Version

_OF_VERSION = ("model", "version")


def shadow_metrics(versions: Sequence[Version]) -> Iterator[Metric]:
    """Everything, metric by metric; of versions in no shadow nothing."""
    calls = CounterMetricFamily(
        "hotgraph_shadow_calls",
        "Calls that this version was to answer after the one in service, by what came of it.",
        labels=(*_OF_VERSION, "outcome"),
    )
    slower = GaugeMetricFamily(
        "hotgraph_shadow_slower_ratio",
        "So many times as long as the version in service takes for a run, the median of the last calls.",
        labels=_OF_VERSION,
    )
    largest = GaugeMetricFamily(
        "hotgraph_shadow_largest_difference_ratio",
        "The largest difference of floats so far, of the largest number of their output.",
        labels=_OF_VERSION,
    )
    for version in versions:
        if (figures := version.shadowing) is None:
            continue
        told, labels = figures.told(), (version.name, str(version.number))
        calls.add_metric((*labels, "alike"), told.compared - told.differed)
        calls.add_metric((*labels, "differed"), told.differed)
        calls.add_metric((*labels, "failed"), told.failed)
        calls.add_metric((*labels, "dropped"), told.dropped)
        if told.slower is not None:
            slower.add_metric(labels, told.slower)
        largest.add_metric(labels, told.largest)
    yield from (calls, slower, largest)
