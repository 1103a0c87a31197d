"""A page of figures of GPUs, made by the server's own code from a driver that there is not."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Driver:
    """NVML, of one GPU."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self._answer(name, arguments)

    def _answer(self, name: str, arguments: tuple[Any, ...]) -> int:
        if name == "nvmlDeviceGetUUID":
            arguments[1].value = b"GPU-0"
        elif name not in ("nvmlInit_v2", "nvmlDeviceGetHandleByIndex_v2"):
            told = arguments[-1]._obj
            if isinstance(told, ctypes.Structure):
                for field, _ in told._fields_:
                    setattr(told, field, 40)
            else:
                told.value = 1
        return 0


@contextlib.contextmanager
def gpu_page() -> Iterator[int]:
    """The port of a page that Prometheus can scrape; gone at the end."""
    from prometheus_client import CollectorRegistry, generate_latest

    from hotgraph_server.observability.metrics.gpus import Gpus

    class Shown:
        def collect(self) -> Iterator[Any]:
            return Gpus(_Driver).metrics()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Shown())  # type: ignore[arg-type]

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
