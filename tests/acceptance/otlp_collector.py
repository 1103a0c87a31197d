"""An OpenTelemetry collector that keeps what it is sent: OTLP over HTTP, by opentelemetry's messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_PATIENCE_S = 60.0


class Collector:
    """
    Attributes:
        spans: with their attributes by name, as `attributes_of` has them.
        resources: attributes of those who have sent spans.
        metrics: by name, the last that came.
    """

    def __init__(self, port: int = 0) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.metrics: dict[str, Any] = {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                (collector.take_spans if self.path == "/v1/traces" else collector.take_metrics)(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="collector")
        self._thread.start()

    def take_spans(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(attributes_of(resource.resource))
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]

    def take_metrics(self, body: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            self.metrics |= {one.name: one for scope in resource.scope_metrics for one in scope.metrics}

    def wait_for(self, found: Callable[[Any], bool], count: int = 1) -> list[Any]:
        """The spans of which that is true, once there are so many."""
        until = time.monotonic() + _PATIENCE_S
        while len(spans := [span for span in list(self.spans) if found(span)]) < count:
            assert time.monotonic() < until, f"{len(spans)} of {count} spans have come"
            time.sleep(0.02)
        return spans

    def wait_for_metric(self, name: str) -> None:
        """Returns when it has come."""
        until = time.monotonic() + _PATIENCE_S
        while name not in self.metrics:
            assert time.monotonic() < until, f"{name} has not come"
            time.sleep(0.02)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    try:
        yield collector
    finally:
        collector.close()


@contextmanager
def useless(said: bytes = b"", then: bytes = b"") -> Iterator[str]:
    """The address of a collector that says the same whatever comes, then something else every 50 ms."""
    ends = threading.Event()

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.recv(1 << 16)
                self.request.sendall(said)
                while not ends.wait(0.05):
                    self.request.sendall(then)

    class Server(ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="useless collector")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            ends.set()
            server.shutdown()
            thread.join()


def attributes_of(holder: Any) -> dict[str, Any]:
    """The attributes of a span, a link or a resource as plain values."""
    return {
        one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value")
        for one in holder.attributes
    }
