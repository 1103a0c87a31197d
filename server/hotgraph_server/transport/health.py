"""grpc.health.v1: overall, per service and per model; Check and Watch.

Answered from a table, by whatever thread asks; so it does not matter how busy the server is.
The empty name is the server as a whole. A name that is not known is NOT_FOUND for Check, and
SERVICE_UNKNOWN for Watch, which goes on watching: a model may come.

The messages are grpcio's, the service is ours: the package's own sends to watchers while it holds a lock,
and one watcher that leaves at the wrong moment stops its whole server. Here sending never waits
(service.OpenStream).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from grpc_health.v1 import health, health_pb2

from hotgraph_server.errors import NotFound
from hotgraph_server.transport.service import (
    OpenStream,
    PlainMethod,
    Receiver,
    Service,
    StreamingMethod,
    parsed,
)

_Response = health_pb2.HealthCheckResponse

SERVICE = health.SERVICE_NAME
OVERALL = ""


class Health:
    """What the health service says. Nothing is healthy until `serving` says so.

    Attributes:
        service: Check and Watch.
    """

    def __init__(self) -> None:
        # Guards what follows. Watchers are told under it, so that what is told last is what is true last;
        # telling does not wait.
        self._lock = threading.Lock()
        self._statuses: dict[str, int] = {OVERALL: _Response.NOT_SERVING}
        # With the name that each asked for; None: it has not asked yet.
        self._watchers: dict[OpenStream, str | None] = {}
        self._drained = False
        self._held = False
        self.service = Service(
            name=SERVICE,
            descriptor=health_pb2.DESCRIPTOR,
            plain={"Check": PlainMethod(health_pb2.HealthCheckRequest, self._check)},
            streaming={"Watch": StreamingMethod(self._watch, one_request=True)},
            early=("Check", "Watch"),
        )

    def serving(self, names: Iterable[str]) -> None:
        """From now on these names, and the server as a whole, are healthy; not after a drain."""
        with self._lock:
            if not self._drained:
                self._change(dict.fromkeys((*names, OVERALL), _Response.SERVING))

    def not_serving(self, names: Iterable[str]) -> None:
        """From now on these names are not healthy."""
        with self._lock:
            self._change(dict.fromkeys(names, _Response.NOT_SERVING))

    def of_all(self, ready: bool) -> None:
        """Of a server that is one of several: do all of them answer calls? As long as they do not, nothing is
        shown as healthy, whatever is said of this one."""
        with self._lock:
            before = {name: self._shown(name) for name in self._statuses}
            self._held = not ready
            self._tell(before)

    def drain(self) -> None:
        """From now on nothing is healthy, for good. Watchers are told, and their streams ended: there will
        be no more news."""
        with self._lock:
            self._drained = True
            self._change(dict.fromkeys(self._statuses, _Response.NOT_SERVING))
            for watcher, name in self._watchers.items():
                if name is not None:
                    watcher.end()
            self._watchers = {watcher: None for watcher, name in self._watchers.items() if name is None}

    def _change(self, statuses: dict[str, int]) -> None:
        """Requires the lock."""
        assert self._lock.locked()
        before = {name: self._shown(name) for name in statuses}
        self._statuses.update(statuses)
        self._tell(before)

    def _tell(self, before: Mapping[str, int | None]) -> None:
        """Watchers of these names hear what has changed. Requires the lock."""
        changed = {name: now for name in before if (now := self._shown(name)) != before[name]}
        for watcher, name in self._watchers.items():
            if name is not None and (status := changed.get(name)) is not None:
                watcher.send(_response(status))

    def _shown(self, name: str) -> int | None:
        """What is said of a name; None: it is not known. Requires the lock."""
        status = self._statuses.get(name)
        return _Response.NOT_SERVING if self._held and status is not None else status

    def _check(self, request: Any) -> Any:
        with self._lock:
            status = self._shown(request.service)
        if status is None:
            raise NotFound(f"unknown service '{request.service}'")
        return _Response(status=status)

    def _watch(self, watcher: OpenStream) -> Receiver:
        def receive(message: bytes | None) -> None:
            if message is not None:
                self._add(watcher, parsed(health_pb2.HealthCheckRequest, message).service)

        with self._lock:
            self._watchers[watcher] = None
        watcher.when_gone(lambda: self._remove(watcher))
        return receive

    def _add(self, watcher: OpenStream, name: str) -> None:
        with self._lock:
            if watcher not in self._watchers:
                return  # it left before it was heard
            status = self._shown(name)
            watcher.send(_response(_Response.SERVICE_UNKNOWN if status is None else status))
            if self._drained:
                watcher.end()
                del self._watchers[watcher]
            else:
                self._watchers[watcher] = name

    def _remove(self, watcher: OpenStream) -> None:
        with self._lock:
            self._watchers.pop(watcher, None)


def _response(status: int) -> bytes:
    return bytes(_Response(status=status).SerializeToString())
