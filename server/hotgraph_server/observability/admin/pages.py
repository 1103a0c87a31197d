"""What the admin port answers, path by path.

/healthz      200 as long as this process can answer anything
/readyz       200 while calls are answered; 503 while models load and while the server drains
/metrics      the figures, as Prometheus takes them (OpenMetrics for who asks for it)
/api/status   the figures as JSON, for the page
/api/state    what is kept of models' variables; see state.py
/             the page
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from http import HTTPStatus
from pathlib import Path

from prometheus_client.exposition import choose_encoder

from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.observability.admin.http import HTML, JSON, Request, Response, text
from hotgraph_server.observability.admin.state import PREFIX, answer_state
from hotgraph_server.observability.admin.status import status
from hotgraph_server.observability.metrics.prometheus import (
    OwnFigures,
    of_no_server,
    prometheus_registry,
    versions_of_packages,
)
from hotgraph_server.observability.metrics.triton import TritonCollector

_PAGE = Path(__file__).with_name("live.html")

# The page is one file: whatever would be loaded from elsewhere, or sent elsewhere, is not meant.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


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
        page = self._pages.get(request.path)
        if page is None:
            return text(HTTPStatus.NOT_FOUND, f"no such page; there is {' '.join(self._pages)}")
        if request.method not in ("GET", "HEAD"):
            refusal = text(HTTPStatus.METHOD_NOT_ALLOWED, "the admin port is for reading")
            return Response(refusal.status, refusal.body, refusal.kind, {"Allow": "GET, HEAD"})
        return page(request)

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
            self._models, self._names(), self._state(), self._packages, now=now, uptime_s=now - self._started
        )
        return Response(HTTPStatus.OK, json.dumps(found, separators=(",", ":")).encode(), JSON)

    def _page(self, _: Request) -> Response:
        return Response(HTTPStatus.OK, _PAGE.read_bytes(), HTML, _PAGE_HEADERS)
