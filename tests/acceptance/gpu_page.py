"""A page of figures of GPUs, made by the server's own code from a driver that there is not."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ..server.observability.metrics.test_gpus import Driver


@contextlib.contextmanager
def gpu_page() -> Iterator[int]:
    """The port of a page that Prometheus can scrape; gone at the end."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    from hotgraph_server.observability.metrics.gpus import Gpus

    class Shown(Collector):
        def collect(self) -> Iterator[Any]:
            return Gpus(Driver).metrics()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Shown())

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = generate_latest(registry)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, name="GPU page")
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
