"""grpc.health.v1: overall, per service and per model; Check and Watch.

Answered from a table by threads that do nothing else, so it does not matter how busy the server is.
The empty name is the server as a whole. A name that nobody knows is NOT_FOUND for Check, and
SERVICE_UNKNOWN for Watch, which goes on watching: a model may come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

SERVICE = health.SERVICE_NAME
OVERALL = ""

# Watch is answered without holding a thread, so two are plenty.
_THREADS = 2


class Health:
    """What the health service says."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, "health")
        self._servicer = health.HealthServicer()
        self._servicer.set(OVERALL, _NOT_SERVING)

    def add_to(self, server: grpc.Server) -> None:
        """Register the service."""
        # Functions of our own, because the package keeps its pool on the class: two servers in one
        # process would run in each other's, and the first to stop would take both down.
        servicer = self._servicer

        def check(request: Any, context: grpc.ServicerContext) -> Any:
            return servicer.Check(request, context)

        def watch(request: Any, context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
            servicer.Watch(request, context, send)

        check.experimental_thread_pool = self._pool  # type: ignore[attr-defined]
        watch.experimental_thread_pool = self._pool  # type: ignore[attr-defined]
        watch.experimental_non_blocking = True  # type: ignore[attr-defined]
        messages = {
            "request_deserializer": health_pb2.HealthCheckRequest.FromString,
            "response_serializer": health_pb2.HealthCheckResponse.SerializeToString,
        }
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(check, **messages),
            "Watch": grpc.unary_stream_rpc_method_handler(watch, **messages),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))

    def serving(self, names: Iterable[str]) -> None:
        """From now on these names, and the server as a whole, are healthy."""
        for name in (*names, OVERALL):
            self._servicer.set(name, _SERVING)

    def drain(self) -> None:
        """From now on nothing is healthy, for good; watchers are told."""
        self._servicer.enter_graceful_shutdown()

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False)
