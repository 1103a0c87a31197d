"""What the admin port answers, path by path.

/healthz      200 as long as this process can answer anything
/readyz       200 while calls are answered; 503 while models load and while the server drains
/metrics      the figures, as Prometheus takes them (OpenMetrics for who asks for it)
/api/status   the figures as JSON, for the page
/api/state    what is kept of models' variables; see state.py
/             the page, and /live/NAME what it is made of (page.py)
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from http import HTTPStatus

from prometheus_client.exposition import choose_encoder

from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.observability.admin.http import JSON, Request, Response, text
from hotgraph_server.observability.admin.page import FOLDER, asset, page
from hotgraph_server.observability.admin.state import PREFIX, answer_state
from hotgraph_server.observability.admin.status import status
from hotgraph_server.observability.admin.window import Window
from hotgraph_server.observability.metrics.prometheus import (
    OwnFigures,
    of_no_server,
    prometheus_registry,
    versions_of_packages,
)
from hotgraph_server.observability.metrics.triton import TritonCollector


class Pages:
    """Answers requests; in one thread.

    Args:
        models: which versions there are.
        names: the models that shall be served; what of them is not there yet is loading.
        state: of the server: loading, live, draining or closed.
        clock: monotonic seconds.
        lost: see observability/metrics/prometheus.py.
    """

    def __init__(
        self,
        models: Registry,
        names: Callable[[], Sequence[str]],
        state: Callable[[], State],
        clock: Callable[[], float] = time.monotonic,
        own: Callable[[], OwnFigures] = of_no_server,
    ) -> None:
        self._models = models
        self._names = names
        self._state = state
        self._clock = clock
        self._started = clock()
        self._packages = versions_of_packages()
        self._window = Window()
        self._metrics = prometheus_registry(models, lambda: state() is State.LIVE, own)
        self._metrics.register(TritonCollector(models))
        self._pages: Mapping[str, Callable[[Request], Response]] = {
            "/": self._page,
            "/api/status": self._status,
            "/healthz": self._healthz,
            "/metrics": self._prometheus,
            "/readyz": self._readyz,
        }

    def answer(self, request: Request) -> Response | Future[Response]:
        """The response to a request, whatever it asks for; what takes longer comes when it is there."""
        if request.path == PREFIX or request.path.startswith(f"{PREFIX}/"):
            return answer_state(self._models, request)
        shown = self._pages.get(request.path)
        if request.path.startswith(FOLDER):
            shown = self._asset
        if shown is None:
            return text(HTTPStatus.NOT_FOUND, f"no such page; there is {' '.join(self._pages)}")
        if request.method not in ("GET", "HEAD"):
            refusal = text(HTTPStatus.METHOD_NOT_ALLOWED, "the admin port is for reading")
            return Response(refusal.status, refusal.body, refusal.kind, {"Allow": "GET, HEAD"})
        return shown(request)

    def _healthz(self, _: Request) -> Response:
        return text(HTTPStatus.OK, "ok")

    def _readyz(self, _: Request) -> Response:
        state = self._state()
        return text(HTTPStatus.OK if state is State.LIVE else HTTPStatus.SERVICE_UNAVAILABLE, state.value)

    def _prometheus(self, request: Request) -> Response:
        encode, kind = choose_encoder(request.accept)
        return Response(HTTPStatus.OK, encode(self._metrics), kind)

    def _status(self, _: Request) -> Response:
        now = self._clock()
        found = status(
            self._models,
            self._names(),
            self._state(),
            self._packages,
            now=now,
            wall_s=time.time(),
            uptime_s=now - self._started,
        )
        told = self._window.told(found)
        return Response(HTTPStatus.OK, json.dumps(told, separators=(",", ":")).encode(), JSON)

    def _page(self, _: Request) -> Response:
        return page()

    def _asset(self, request: Request) -> Response:
        return asset(request.path.removeprefix(FOLDER)) or text(HTTPStatus.NOT_FOUND, "no such file")
