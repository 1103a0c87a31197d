"""What a supervisor knows of its processes, for Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hotgraph_server.observability.metrics.merged import LABEL


@dataclass(frozen=True)
class ProcessFigures:
    """Of one process.

    Attributes:
        live: does it answer calls, and has its page come?
        connections: of gRPC that are open.
        restarts: how often it was started again because it had ended.
    """

    live: bool
    connections: int
    restarts: int


def process_metrics(processes: Sequence[ProcessFigures]) -> list[Metric]:
    """The metrics, of processes in their order."""
    up = GaugeMetricFamily(
        "hotgraph_process_up", "1 while the process answers calls and shows its figures.", labels=(LABEL,)
    )
    connections = GaugeMetricFamily(
        "hotgraph_process_connections", "Connections of gRPC that are open.", labels=(LABEL,)
    )
    restarts = CounterMetricFamily(
        "hotgraph_process_restarts",
        "How often the process was started again because it had ended.",
        labels=(LABEL,),
    )
    for number, one in enumerate(processes):
        label = (str(number),)
        up.add_metric(label, float(one.live))
        connections.add_metric(label, one.connections)
        restarts.add_metric(label, one.restarts)
    return [up, connections, restarts]
