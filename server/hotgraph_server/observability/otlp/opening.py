"""What is sent by OTLP, by the settings and OpenTelemetry's environment variables. The one module here that
may be imported where OpenTelemetry's packages are not installed."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import Metric

from hotgraph_server.errors import StartError
from hotgraph_server.observability.otlp import environment
from hotgraph_server.observability.tracing.followed import Sink
from hotgraph_server.observability.tracing.sampling import Sampler
from hotgraph_server.observability.tracing.tracing import Spans
from hotgraph_server.settings import OtlpSettings
from hotgraph_server.threads.time_left import TimeLeft

_LOG = logging.getLogger(__name__)

_NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
_MISSING = "sending to an OpenTelemetry collector needs: pip install 'hotgraph[otel]'"


def check(settings: OtlpSettings) -> None:
    """Is there what these settings need?

    Raises:
        StartError: packages are not installed.
    """
    if settings.otlp_endpoint and not all(map(_is_there, _NEEDED)):
        raise StartError(f"--otlp-endpoint: {_MISSING}")


class Otlp:
    """What a server sends. `start` and `stop` belong to one thread.

    Args:
        settings: see there.
        environ: the process's environment.
        figures: reads all metrics of now.

    Attributes:
        spans: which calls become spans, and who takes them; None: none do.

    Raises:
        StartError: the settings ask for it, and its packages are not installed.
    """

    def __init__(
        self,
        settings: OtlpSettings,
        environ: Mapping[str, str],
        figures: Callable[[], Iterable[Metric]],
    ) -> None:
        self.spans: Spans | None = None
        self._span_export = self._metric_export = None
        where = environment.destination(settings, environ)
        if where is None:
            return
        check(settings)
        try:
            from hotgraph_server.observability.otlp import sending
        except ModuleNotFoundError:
            _LOG.warning("OTEL_EXPORTER_OTLP_ENDPOINT is set, and nothing is sent: %s", _MISSING)
            return
        resource = sending.resource_of(settings.resource)
        for what, url in (("traces", where.traces), ("metrics", where.metrics)):
            if url and (protocol := environment.other_protocol(environ, what)):
                _LOG.warning("%s are sent by http/protobuf to %s: %s is not spoken here", what, url, protocol)
        if where.traces:
            share, remark = environment.share(settings, environ)
            if remark:
                _LOG.warning("%s", remark)
            self._span_export = sending.span_export(where.traces, resource, environ)
            sink: Sink = self._span_export
            self.spans = Spans(Sampler(share), sink)
            _LOG.info("spans go to %s: as callers say, and %g of the other calls", where.traces, share)
        if where.metrics:
            every_s = environment.metrics_every_s(environ)
            self._metric_export = sending.MetricExport(figures, where.metrics, resource, every_s)
            _LOG.info("metrics go to %s every %g s", where.metrics, every_s)

    @property
    def lost(self) -> int:
        """Calls whose spans were not sent so far."""
        return self._span_export.lost if self._span_export is not None else 0

    def start(self) -> None:
        """Begin to send."""
        if self._span_export is not None:
            self._span_export.start()
        if self._metric_export is not None:
            self._metric_export.start()

    def stop(self, left: TimeLeft) -> None:
        """Send what waits, and end; once no more calls come. What a slow collector has not taken by then is
        lost."""
        if self._metric_export is not None:
            # First, so that both may hang at the same time.
            self._metric_export.give_up()
        if self._span_export is not None:
            self._span_export.stop(left.seconds())
        if self._metric_export is not None:
            self._metric_export.stop(left.seconds())


def _is_there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False
