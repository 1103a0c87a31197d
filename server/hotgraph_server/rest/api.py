"""All that is answered over HTTP, by its path: each protocol's API, the figures, and what pages may ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

from hotgraph_server.access import groups
from hotgraph_server.access.groups import Method
from hotgraph_server.errors import CallError
from hotgraph_server.rest.json.process_pool import JsonProcessPool
from hotgraph_server.rest.openapi.api import OpenApi
from hotgraph_server.rest.tfs.api import Admit, TfsApi
from hotgraph_server.rest.v2.api import V2Http
from hotgraph_server.settings import RestSettings
from hotgraph_server.transport.http import Content, Endpoint, HttpReply, Request
from hotgraph_server.transport.message_fields import Message

TEXT = "text/plain; version=0.0.4; charset=utf-8"

_V2 = ("/v2", "/v2/")
_CORS = (
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "POST, GET"),
    ("access-control-allow-headers", "Content-Type, Inference-Header-Content-Length"),
    ("access-control-expose-headers", "Inference-Header-Content-Length"),
)
_KEYS = "Authorization"


class RestApi:
    """See transport.http.Api. Any thread may call everything.

    Args:
        tfs: answers ``/v1``, and what is nobody's.
        v2: answers ``/v2``.
        pool: reads and writes very large JSON; closed by `close`.
        metrics: the text at `prometheus_path`; called in one thread at a time.
        openapi: what can be called, and the page that shows it.
        admit: None: every request may be made.
        load: what answers say of the server's load, by their requests' headers.
    """

    def __init__(
        self,
        settings: RestSettings,
        tfs: TfsApi,
        v2: V2Http,
        pool: JsonProcessPool,
        metrics: Callable[[], bytes],
        openapi: OpenApi,
        admit: Admit | None = None,
        load: Callable[[Mapping[str, str]], Sequence[tuple[str, str]]] = lambda headers: (),
    ) -> None:
        self._tfs = tfs
        self._v2 = v2
        self._pool = pool
        self._metrics = metrics
        self._metrics_path = settings.prometheus_path if settings.prometheus else ""
        self._scraping = threading.Lock()  # one page at a time
        self._openapi = openapi
        self._admit = admit
        self._load = load
        self._cors: Sequence[tuple[str, str]] = ()
        if settings.rest_cors:
            keys = f", {_KEYS}" if admit is not None else ""
            self._cors = [
                (name, value + keys if name.endswith("allow-headers") else value) for name, value in _CORS
            ]

    def endpoint(self, request: Request) -> Endpoint:
        """See transport.http.Api."""
        if request.path == self._metrics_path and request.method in ("GET", "HEAD"):
            self._check(groups.PROMETHEUS, request)
            return Endpoint(self._show_metrics, 0)
        if request.method == "OPTIONS" and self._cors:
            return Endpoint(_nothing, 0)
        if self._openapi.has(request.path):
            self._check(groups.DOCUMENT, request)
            return self._openapi.endpoint(request)
        return self._api(request).endpoint(request)

    def error(self, request: Request, error: CallError) -> Content:
        """See transport.http.Api."""
        return self._api(request).error(request, error)

    def headers(self, request: Request) -> Sequence[tuple[str, str]]:
        """See transport.http.Api."""
        load = self._load(request.headers)
        return [*self._cors, *load] if load else self._cors

    def apart(
        self,
        job: Callable[[], None],
        failed: Callable[[Exception], None],
        nbytes: int,
        caller: str,
        deadline: float,
    ) -> Callable[[], object] | None:
        """See transport.http.Api."""
        if not self._pool.processes:
            return None
        future = self._pool.submit(job, nbytes, caller, deadline)

        def look(done: Future[None]) -> None:
            if not done.cancelled() and isinstance(error := done.exception(), Exception):
                failed(error)

        future.add_done_callback(look)
        return future.cancel

    def close(self, timeout_s: float) -> None:
        """End what was started for requests; after that no call waits for an answer."""
        self._pool.stop()
        self._pool.join(time.monotonic() + timeout_s)

    def _api(self, request: Request) -> TfsApi | V2Http:
        return self._v2 if request.path.startswith(_V2[1]) or request.path == _V2[0] else self._tfs

    def _check(self, method: Method, request: Request) -> None:
        """Before anything of a body is read. Raises CallError."""
        refusal = None if self._admit is None else self._admit(method, request.headers.get)
        if refusal is not None:
            raise refusal

    def _show_metrics(self, body: Message, reply: HttpReply) -> None:
        def page() -> Content:
            with self._scraping:
                return Content([self._metrics()], TEXT)

        reply.aside(page)


def _nothing(body: Message, reply: HttpReply) -> None:
    reply.finish(lambda: Content((), ""))
