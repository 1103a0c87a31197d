"""grpc.health.v1: overall, per service and per model; Check and Watch.

Answered from a table, Check in the serving thread of the fast lane, everything else by threads that do
nothing else; so it does not matter how busy the server is.
The empty name is the server as a whole. A name that nobody knows is NOT_FOUND for Check, and
SERVICE_UNKNOWN for Watch, which goes on watching: a model may come.

The messages are grpcio's, the servicer is not: the package's sends to watchers while it holds the lock
that grpc's serving thread needs when a watcher leaves, and the serving thread is what the sending waits
for. One watcher that leaves at the wrong moment would stop the whole server. Here nothing is sent under
the lock of the table, and each watcher is told by a thread of the pool.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

from hotgraph_server.errors import NotFound
from hotgraph_server.transport.service import PlainMethod, Service
from hotgraph_server.transport.status import code_of, details_of

_Response = health_pb2.HealthCheckResponse

SERVICE = health.SERVICE_NAME
OVERALL = ""

# Two answer everybody. The others are for callers who open a call and never send its message: grpc lets a
# thread wait for that.
_THREADS = 64
# For watchers to be told that the server goes; one whose connection is stuck is not waited for.
_TELLING_S = 1.0


class Health:
    """What the health service says. Nothing is healthy until `serving` says so."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, "health")
        self._lock = threading.Lock()  # guards the three below; nothing is sent under it
        self._statuses: dict[str, int] = {OVERALL: _Response.NOT_SERVING}
        self._watchers: set[_Watcher] = set()
        self._drained = False

    def service(self) -> Service:
        """Check alone, as a service of ours: what the fast lane answers without any thread."""
        return Service(
            name=SERVICE,
            descriptor=health_pb2.DESCRIPTOR,
            plain={"Check": PlainMethod(health_pb2.HealthCheckRequest, self._check)},
        )

    def add_to(self, server: grpc.Server) -> None:
        """Register Check and Watch as grpc's handlers, in threads of their own."""

        def check(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                return self._check(request)
            except NotFound as error:
                context.abort(code_of(error), details_of(error))

        def watch(request: Any, context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
            self._watch(request.service, context, send)

        check.experimental_thread_pool = self._pool  # type: ignore[attr-defined]
        watch.experimental_thread_pool = self._pool  # type: ignore[attr-defined]
        # Watch returns at once and is told through `send` for as long as it is open.
        watch.experimental_non_blocking = True  # type: ignore[attr-defined]
        messages = {
            "request_deserializer": health_pb2.HealthCheckRequest.FromString,
            "response_serializer": _Response.SerializeToString,
        }
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(check, **messages),
            "Watch": grpc.unary_stream_rpc_method_handler(watch, **messages),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))

    def serving(self, names: Iterable[str]) -> None:
        """From now on these names, and the server as a whole, are healthy; not after a drain."""
        with self._lock:
            if self._drained:
                return
            self._statuses.update(dict.fromkeys((*names, OVERALL), _Response.SERVING))
            watchers = list(self._watchers)
        for watcher in watchers:
            self._pool.submit(watcher.tell)

    def drain(self) -> None:
        """From now on nothing is healthy, for good. Watchers are told, and their streams ended: there will
        be no more news."""
        with self._lock:
            self._drained = True
            self._statuses = dict.fromkeys(self._statuses, _Response.NOT_SERVING)
            watchers = list(self._watchers)
        wait([self._pool.submit(watcher.end) for watcher in watchers], _TELLING_S)

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False)

    def _check(self, request: Any) -> Any:
        with self._lock:
            status = self._statuses.get(request.service)
        if status is None:
            raise NotFound(f"unknown service '{request.service}'")
        return _Response(status=status)

    def _watch(self, service: str, context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
        def current() -> int:
            with self._lock:
                return int(self._statuses.get(service, _Response.SERVICE_UNKNOWN))

        watcher = _Watcher(current, send)

        def forget() -> None:
            with self._lock:
                self._watchers.discard(watcher)

        with self._lock:
            self._watchers.add(watcher)
            drained = self._drained
        if not context.add_callback(forget):
            forget()
        elif drained:
            watcher.end()
        else:
            watcher.tell()


class _Watcher:
    """An open Watch: `current` is what there is to tell, `send` sends a response, or None for the end."""

    def __init__(self, current: Callable[[], int], send: Callable[[Any], None]) -> None:
        self._current = current
        self._send = send
        self._sending = threading.Lock()  # what is told last must be what is true last
        self._told: int | None = None
        self._ended = False

    def tell(self) -> None:
        """Send what is true now, unless that was told already; waits until it is on its way."""
        with self._sending:
            self._tell()

    def end(self) -> None:
        """Send what is true now, and that there will be no more."""
        with self._sending:
            self._tell()
            if not self._ended:
                self._ended = True
                self._send(None)

    def _tell(self) -> None:
        """Requires the lock."""
        status = self._current()
        if not self._ended and status != self._told:
            self._told = status
            self._send(_Response(status=status))
