"""What watches the calls of a server, put together: traces, spans, the lines of the log."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from functools import partial

from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.observability.logs.call_log import CallLog, Facts
from hotgraph_server.observability.metrics.prometheus import OwnFigures, prometheus_registry
from hotgraph_server.observability.otlp.opening import Otlp
from hotgraph_server.observability.request_log import records
from hotgraph_server.observability.tracing.tracing import Tracing
from hotgraph_server.settings import ServerSettings
from hotgraph_server.threads.time_left import TimeLeft
from hotgraph_server.transport.service import Failure, HotMethod, Service


class Watching:
    """`start` and `stop` belong to one thread.

    Args:
        settings: of the whole server.
        registry: of the versions whose calls are watched.
        facts_of: what is known of a call that has failed.
        state: of the server.
        own: the server's figures.

    Attributes:
        tracing: see there.
        tell: is told of calls that fail.

    Raises:
        StartError: what the settings ask for needs packages that are not installed.
    """

    def __init__(
        self,
        settings: ServerSettings,
        registry: Registry,
        facts_of: Callable[[Failure], Facts],
        state: Callable[[], State],
        own: Callable[[], OwnFigures],
    ) -> None:
        self._call_log = CallLog(settings.logging.log_failed_calls, facts_of)
        self._otlp = Otlp(
            settings.otlp,
            os.environ,
            prometheus_registry(registry, lambda: state() is State.LIVE, own).collect,
        )
        access = self._call_log if settings.logging.access_log else None
        self.tracing = Tracing(settings.tracing, registry, self._otlp.spans, access)
        self.tell = self._call_log.tell

    def start(self) -> None:
        """Begin to write and to send.

        Raises:
            StartError: the file for traces cannot be written.
        """
        self.tracing.start()
        self._call_log.start()
        self._otlp.start()

    def stop(self, left: TimeLeft) -> None:
        """Write and send what waits, and end; once no more calls come. What depends on another machine is the
        last, so that it takes no time from the others."""
        self.tracing.stop(left.seconds())
        self._call_log.stop_writing(left.seconds())
        self._otlp.stop(left)

    def around(self, method: HotMethod, name: str) -> HotMethod:
        """A method of the Open Inference Protocol's that runs models, with every call looked at."""
        return self.tracing.around(method, f"/inference.GRPCInferenceService/{name}")

    def around_prediction(self, service: Service) -> Service:
        """TensorFlow Serving's PredictionService, likewise; over gRPC, for what
        comes over HTTP is watched at its own door."""
        hot = {
            name: self.tracing.around_others(
                method, f"/{service.name}/{name}", partial(records.model_name, name)
            )
            for name, method in service.hot.items()
        }
        return dataclasses.replace(service, hot=hot)

    @property
    def lost(self) -> Mapping[str, int]:
        """How much was not written or sent so far, by what it is."""
        return {"trace": self.tracing.lost, "span": self._otlp.lost, "call_line": self._call_log.lost}
