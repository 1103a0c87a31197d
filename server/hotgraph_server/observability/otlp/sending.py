"""OpenTelemetry's exporters, with what they send: spans by a thread (export.py), metrics by another.

The metrics are what /metrics shows, read anew for each export; one that fails is not tried again, since the
next one holds all of it.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http import metric_exporter, trace_exporter
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from prometheus_client.core import Metric

from hotgraph_protos.version import __version__
from hotgraph_server.observability.otlp import environment
from hotgraph_server.observability.otlp.export import Batching, SpanExport
from hotgraph_server.observability.otlp.figures import metrics_data
from hotgraph_server.observability.otlp.spans import SpanMaker
from hotgraph_server.observability.otlp.telling import Reach
from hotgraph_server.threads.periodic import PeriodicThread

_UNNAMED = "unknown_service"


def resource_of(attributes: Mapping[str, str]) -> Resource:
    """Who sends: what OpenTelemetry finds in the environment, with `attributes` over it."""
    found = Resource.create(dict(attributes))
    if str(found.attributes.get("service.name", _UNNAMED)).startswith(_UNNAMED):
        found = found.merge(Resource({"service.name": "hotgraph"}))
    # What is said wins; merging lets the later one.
    return Resource({"service.version": __version__}).merge(found)


def span_export(url: str, resource: Resource, environ: Mapping[str, str]) -> SpanExport:
    """What sends spans to `url`; not started."""
    exporter = trace_exporter.OTLPSpanExporter(endpoint=url)

    def export(spans: Sequence[ReadableSpan]) -> bool:
        return exporter.export(spans) is SpanExportResult.SUCCESS

    maker = SpanMaker(resource, os.urandom(16), lambda: random.getrandbits(64) or 1)
    reach = Reach("spans", "calls", url, logging.getLogger(trace_exporter.__name__))
    return SpanExport(maker, export, exporter.shutdown, reach, Batching(*environment.batching(environ)))


class MetricExport:
    """Sends figures again and again, from a thread that `start` starts; see the head of this file.

    Args:
        read: the figures of now; in the thread.
        url: where to.
        every_s: seconds between two exports.
    """

    def __init__(
        self, read: Callable[[], Iterable[Metric]], url: str, resource: Resource, every_s: float
    ) -> None:
        self._read = read
        self._resource = resource
        self._every_s = every_s
        self._exporter = metric_exporter.OTLPMetricExporter(endpoint=url)
        self._reach = Reach("metrics", "exports", url, logging.getLogger(metric_exporter.__name__))
        self._since_ns = time.time_ns()
        self._given_up = False
        self._thread = PeriodicThread("metrics", self._tick)

    def start(self) -> None:
        """Begin to send, now."""
        self._thread.start()

    def give_up(self) -> None:
        """Send no more, and try nothing again that is under way; returns at once."""
        self._given_up = True
        self._exporter.shutdown()

    def stop(self, timeout_s: float) -> None:
        """End the thread; behind `give_up`."""
        self._thread.stop(timeout_s)

    def _tick(self) -> float:
        due = time.monotonic() + self._every_s
        data = metrics_data(self._read(), self._resource, self._since_ns, time.time_ns())
        if self._exporter.export(data) is MetricExportResult.SUCCESS:
            self._reach.arrived()
        elif not self._given_up:
            self._reach.failed(1)
        return due
