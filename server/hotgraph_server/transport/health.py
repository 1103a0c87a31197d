"""grpc.health.v1: overall, per service and per model; Check and Watch.

Answered from a table by threads that do nothing else, so it does not matter how busy the server is.
The empty name is the server as a whole. A name that nobody knows is NOT_FOUND for Check, and
SERVICE_UNKNOWN for Watch, which goes on watching: a model may come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

from hotgraph_server.errors import NotFound
from hotgraph_server.transport.service import PlainMethod, Service

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
        self._watchers: set[_Watcher] = set()
        self._watching = threading.Lock()  # guards the set

    def service(self) -> Service:
        """Check alone, as a service of ours: what the fast lane answers without any thread."""
        return Service(
            name=SERVICE,
            descriptor=health_pb2.DESCRIPTOR,
            plain={"Check": PlainMethod(health_pb2.HealthCheckRequest, self._check)},
        )

    def add_to(self, server: grpc.Server) -> None:
        """Register Check and Watch as grpc's handlers."""
        # Functions of our own, because the package keeps its pool on the class: two servers in one
        # process would run in each other's, and the first to stop would take both down.

        def check(request: Any, context: grpc.ServicerContext) -> Any:
            return self._servicer.Check(request, context)

        def watch(request: Any, context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
            self._watch(request, context, send)

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
        """From now on nothing is healthy, for good. Watchers are told, and their streams ended: there will
        be no more news."""
        self._servicer.enter_graceful_shutdown()
        with self._watching:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher.send(None)

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False)

    def _check(self, request: Any) -> Any:
        context = _StatusContext()
        response = self._servicer.Check(request, context)
        if context.code is not None:
            raise NotFound(f"unknown service '{request.service}'")
        return response

    def _watch(self, request: Any, context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
        watcher = _Watcher(send)
        with self._watching:
            self._watchers.add(watcher)

        def forget() -> None:
            with self._watching:
                self._watchers.discard(watcher)

        if not context.add_callback(forget):
            forget()
            return
        self._servicer.Watch(request, context, watcher.send)


class _Watcher:
    """An open Watch. Both a drain and the end of the stream send None for its end: only one may."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send
        self._ended = threading.Lock()  # taken once, by whoever ends the stream

    def send(self, response: Any) -> None:
        if response is not None or self._ended.acquire(blocking=False):
            self._send(response)


class _StatusContext:
    """As much of a context as the package's Check uses."""

    code: grpc.StatusCode | None = None

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code
