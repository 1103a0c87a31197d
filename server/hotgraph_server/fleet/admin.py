"""What the driver's admin port answers. Pure; the port itself is the servers' (observability/admin/).

/healthz      200 while the driver looks at its fleet
/metrics      the fleet, as Prometheus takes it
/api/status   the status document (status.py)
/             the page; /fleet/NAME and /live/NAME what it is made of
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from prometheus_client.exposition import choose_encoder

from hotgraph_server.fleet.metrics import fleet_registry
from hotgraph_server.observability.admin.http import HTML, JSON, Request, Response, text
from hotgraph_server.observability.admin.page import FOLDER, POLICY, asset

STALE_S = 10.0
"""A driver that has not looked for so long is not well."""

OWN = "/fleet/"
ASSETS: Mapping[str, str] = {
    "fleet.css": "text/css; charset=utf-8",
    "fleet.js": "text/javascript; charset=utf-8",
}
"""Files of the page's own, and their media types."""

_FILES = Path(__file__).with_name("page")


class FleetPages:
    """Answers requests; in one thread.

    Args:
        document: the latest; None: there is none yet.
        wall_clock: seconds since the epoch.
    """

    def __init__(
        self, document: Callable[[], Mapping[str, Any] | None], wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._document = document
        self._wall_clock = wall_clock
        self._metrics = fleet_registry(document, wall_clock)
        self._pages: Mapping[str, Callable[[Request], Response]] = {
            "/": self._page,
            "/api/status": self._status,
            "/healthz": self._healthz,
            "/metrics": self._prometheus,
        }

    def answer(self, request: Request) -> Response:
        """The response to a request, whatever it asks for."""
        found = self._asset(request.path)
        shown = self._pages.get(request.path)
        if found is None and shown is None:
            return text(HTTPStatus.NOT_FOUND, f"no such page; there is {' '.join(self._pages)}")
        if request.method not in ("GET", "HEAD"):
            refusal = text(HTTPStatus.METHOD_NOT_ALLOWED, "the admin port is for reading")
            return Response(refusal.status, refusal.body, refusal.kind, {"Allow": "GET, HEAD"})
        if found is not None:
            return found
        assert shown is not None
        return shown(request)

    def _asset(self, path: str) -> Response | None:
        if path.startswith(FOLDER):
            return asset(path.removeprefix(FOLDER))
        name = path.removeprefix(OWN)
        if not path.startswith(OWN) or name not in ASSETS:
            return None
        return Response(HTTPStatus.OK, stored(name), ASSETS[name])

    def _page(self, _: Request) -> Response:
        headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
        return Response(HTTPStatus.OK, stored("fleet.html"), HTML, headers)

    def _status(self, _: Request) -> Response:
        document = self._document()
        if document is None:
            return text(HTTPStatus.SERVICE_UNAVAILABLE, "the driver has not looked yet")
        return Response(HTTPStatus.OK, json.dumps(document, separators=(",", ":")).encode(), JSON)

    def _healthz(self, _: Request) -> Response:
        document = self._document()
        if document is None:
            return text(HTTPStatus.OK, "the driver begins")
        age_s = self._wall_clock() - document["at_s"]
        if age_s > STALE_S:
            return text(HTTPStatus.SERVICE_UNAVAILABLE, f"the driver has not looked for {age_s:.0f} s")
        return text(HTTPStatus.OK, "ok")

    def _prometheus(self, request: Request) -> Response:
        encode, kind = choose_encoder(request.accept)
        return Response(HTTPStatus.OK, encode(self._metrics), kind)


@functools.cache
def stored(name: str) -> bytes:
    """A file as it lies here; of `ASSETS`, or the page itself."""
    return (_FILES / name).read_bytes()
