"""grpc.health.v1: overall, per service and per model; Check, List and Watch.

Answered from a table, by whatever thread asks; so it does not matter how busy the server is. The same table
is asked at the port for calls and at the health port (health_port.py). Its names:

* empty, and ``readiness``: calls are answered, by all processes that there are; not while models load, and
  not from the beginning of a drain on.
* ``liveness``: the threads that all others wait for make progress (observability/vitals.py). While models
  load and while the server drains it says so too, and never that there is much to do: who restarts a server
  for that only gives the others more.
* each service of gRPC, and each model. A model that is called as one of the first three is not shown.

A name that is not known is NOT_FOUND for Check, and SERVICE_UNKNOWN for Watch, which goes on watching: a
model may come.

The service is ours, and not that of grpcio-health-checking: the package's sends to watchers while it holds a
lock, and one watcher that leaves at the wrong moment stops its whole server; and it has no List. Here sending
never waits (service.OpenStream).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, cast

from hotgraph_protos import health as pb
from hotgraph_server.errors import NotFound
from hotgraph_server.transport.service import (
    OpenStream,
    PlainMethod,
    Receiver,
    Service,
    StreamingMethod,
    parsed,
)

_Response = pb.HealthCheckResponse

SERVICE = "grpc.health.v1.Health"
LIST = f"/{SERVICE}/List"
"""The path of the one method that tells which names there are."""

OVERALL = ""
READINESS = "readiness"
LIVENESS = "liveness"
_RESERVED = frozenset((OVERALL, READINESS, LIVENESS))


class Health:
    """What the health service says. Nothing is healthy until `serving` says so, but for liveness, which is
    until `live` says otherwise.

    Attributes:
        service: Check, List and Watch.
    """

    def __init__(self) -> None:
        # Guards what follows. Watchers are told under it, so that what is told last is what is true last;
        # telling does not wait.
        self._lock = threading.Lock()
        self._statuses: dict[str, int] = {
            OVERALL: _Response.NOT_SERVING,
            READINESS: _Response.NOT_SERVING,
            LIVENESS: _Response.SERVING,
        }
        # With the name that each asked for; None: it has not asked yet.
        self._watchers: dict[OpenStream, str | None] = {}
        self._drained = False
        self._held = False
        self.service = Service(
            name=SERVICE,
            descriptor=pb.DESCRIPTOR,
            plain={
                "Check": PlainMethod(pb.HealthCheckRequest, self._check),
                "List": PlainMethod(pb.HealthListRequest, self._list),
            },
            streaming={"Watch": StreamingMethod(self._watch, one_request=True)},
            early=("Check", "List", "Watch"),
        )

    def serving(self, names: Iterable[str]) -> None:
        """From now on these names, and the server as a whole, are healthy; not after a drain."""
        with self._lock:
            if not self._drained:
                ours = {OVERALL, READINESS, *names} - {LIVENESS}
                self._change(dict.fromkeys(ours, _Response.SERVING))

    def not_serving(self, names: Iterable[str]) -> None:
        """From now on these names are not healthy."""
        with self._lock:
            self._change(dict.fromkeys(set(names) - _RESERVED, _Response.NOT_SERVING))

    def live(self, live: bool) -> None:
        """Do the threads of this process make progress?"""
        with self._lock:
            self._change({LIVENESS: _Response.SERVING if live else _Response.NOT_SERVING})

    def of_all(self, ready: bool) -> None:
        """Of a server that is one of several: do all of them answer calls? As long as they do not, nothing is
        shown as healthy, whatever is said of this one, but its liveness."""
        with self._lock:
            before = {name: self._shown(name) for name in self._statuses}
            self._held = not ready
            self._tell(before)

    def drain(self) -> None:
        """From now on nothing is healthy, for good, but liveness, which stays as it is. Watchers of all else
        are told, and their streams ended: there will be no more news."""
        with self._lock:
            self._drained = True
            self._change(dict.fromkeys(self._statuses.keys() - {LIVENESS}, _Response.NOT_SERVING))
            left: dict[OpenStream, str | None] = {}
            for watcher, name in self._watchers.items():
                if name is None or name == LIVENESS:
                    left[watcher] = name
                else:
                    watcher.end()
            self._watchers = left

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
        held = self._held and name != LIVENESS
        return _Response.NOT_SERVING if held and status is not None else status

    def _check(self, request: Any) -> Any:
        with self._lock:
            status = self._shown(request.service)
        if status is None:
            raise NotFound(f"unknown service '{request.service}'")
        return _message(status)

    def _list(self, request: Any) -> Any:
        with self._lock:
            statuses = {name: self._shown(name) for name in self._statuses}
        return pb.HealthListResponse(statuses={name: _message(status) for name, status in statuses.items()})

    def _watch(self, watcher: OpenStream) -> Receiver:
        def receive(message: bytes | None) -> None:
            if message is not None:
                self._add(watcher, parsed(pb.HealthCheckRequest, message).service)

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
            if self._drained and name != LIVENESS:
                watcher.end()
                del self._watchers[watcher]
            else:
                self._watchers[watcher] = name

    def _remove(self, watcher: OpenStream) -> None:
        with self._lock:
            self._watchers.pop(watcher, None)


def _message(status: int | None) -> pb.HealthCheckResponse:
    return _Response(status=cast(_Response.ServingStatus, status))


def _response(status: int) -> bytes:
    return bytes(_message(status).SerializeToString())
