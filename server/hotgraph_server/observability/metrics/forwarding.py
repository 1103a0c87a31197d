"""What becomes of calls that are sent on to other servers, for Prometheus; see prometheus.py."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hotgraph_server.forwarding.figures import ForwardingFigures


def forwarding_metrics(now: ForwardingFigures | None) -> Iterator[Metric]:
    """Everything, metric by metric; nothing where no call is sent on."""
    if now is None:
        return
    calls = CounterMetricFamily(
        "hotgraph_forwarded_calls",
        "Calls for models that are not here, sent on to servers that have them.",
        labels=["outcome"],
    )
    for outcome, count in now.ended.items():
        calls.add_metric((outcome.value,), count)
    yield calls
    yield CounterMetricFamily(
        "hotgraph_forwarded_seconds", "Time that those of them took which were answered.", value=now.seconds
    )
    yield GaugeMetricFamily(
        "hotgraph_forwarding_calls", "Calls that are being sent on now.", value=now.under_way
    )
    yield GaugeMetricFamily("hotgraph_forwarding_bytes", "Bytes of their requests.", value=now.held_bytes)
    yield GaugeMetricFamily(
        "hotgraph_forwarding_peers", "Servers with models that calls can be sent on to.", value=now.peers
    )
