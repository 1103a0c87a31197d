"""What has come in at the ports for calls, and what of it is inside, for Prometheus; see prometheus.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hotgraph_server.transport.figures import DoorFigures

NO_DOORS = DoorFigures(0, 0, 0, 0, 0, 0, {}, 0)
"""Of a server that has no ports yet, or none any more."""

_PROTOCOLS = ("grpc", "http")
# There from the start, so that the first one is an increase that a rate can see and not a new series.
_STATUSES = (
    *("DEADLINE_EXCEEDED", "INTERNAL", "INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED"),
    *("RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "UNAVAILABLE", "UNIMPLEMENTED"),
)


def door_metrics(now: DoorFigures) -> Iterator[Metric]:
    """Everything, metric by metric."""
    yield GaugeMetricFamily("hotgraph_connections", "Connections that are open.", value=now.connections)
    yield CounterMetricFamily(
        "hotgraph_accepted_connections", "Connections that were opened.", value=now.accepted
    )
    yield GaugeMetricFamily("hotgraph_open_calls", "Calls that are owed an answer.", value=now.open_calls)
    yield GaugeMetricFamily(
        "hotgraph_open_calls_limit", "Calls that may be: further ones are refused.", value=now.max_calls
    )
    yield GaugeMetricFamily(
        "hotgraph_message_bytes", "Bytes of the messages of all calls that are inside.", value=now.held_bytes
    )
    yield GaugeMetricFamily(
        "hotgraph_message_bytes_limit", "Bytes that may be: more are refused.", value=now.max_held_bytes
    )
    errors = CounterMetricFamily(
        "hotgraph_error_answers", "Answers that were an error, at the ports.", labels=("protocol", "status")
    )
    expected = {(protocol, status): 0 for protocol in _PROTOCOLS for status in _STATUSES}
    for labels, count in sorted({**expected, **now.errors}.items()):
        errors.add_metric(labels, count)
    yield errors
    yield CounterMetricFamily(
        "hotgraph_faults", "Error answers for which a bug of the server is to blame.", value=now.faults
    )
    if now.certificate_expiries:
        yield _expiries(now.certificate_expiries)


def _expiries(expiries: Mapping[str, float]) -> Metric:
    metric = GaugeMetricFamily(
        "hotgraph_tls_certificate_expires_seconds",
        "Until when the certificate in use is valid, seconds since 1970.",
        labels=("certificate",),
    )
    for whose, moment in expiries.items():
        metric.add_metric((whose,), moment)
    return metric
