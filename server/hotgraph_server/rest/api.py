"""All that is answered over HTTP, by its path: each protocol's API, the figures, and what pages may ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from hotgraph_server.access import groups
from hotgraph_server.access.groups import Method
from hotgraph_server.access.rules import Header
from hotgraph_server.errors import CallError, Unauthenticated
from hotgraph_server.models.status import State
from hotgraph_server.rest.codes import error_body, http_code
from hotgraph_server.rest.tfs.api import TfsApi
from hotgraph_server.rest.tfs.methods import Methods
from hotgraph_server.settings import RestSettings
from hotgraph_server.transport.http import Content, Endpoint, HttpError, HttpReply, Request
from hotgraph_server.transport.message_fields import Message

Admit = Callable[[Method, Header], CallError | None]
"""Why a request of that group and protocol may not be made; None: it may."""

TEXT = "text/plain; version=0.0.4; charset=utf-8"

_CORS = (
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "POST, GET"),
    ("access-control-allow-headers", "Content-Type"),
)
_CORS_WITH_KEYS = (*_CORS[:2], ("access-control-allow-headers", "Content-Type, Authorization"))
_CHALLENGE = [("www-authenticate", "Bearer")]


class RestApi:
    """See transport.http.Api. Any thread may call everything.

    Args:
        methods: what can be asked of models in TensorFlow Serving's way; closed by `close`.
        state: of the server.
        metrics: the text at `prometheus_path`; called in one thread at a time.
        admit: None: every request may have everything.
    """

    def __init__(
        self,
        settings: RestSettings,
        methods: Methods,
        state: Callable[[], State],
        metrics: Callable[[], bytes],
        admit: Admit | None = None,
    ) -> None:
        self._pool = methods.pool
        self._metrics = metrics
        self._metrics_path = settings.prometheus_path if settings.prometheus else ""
        self._scraping = threading.Lock()  # one page at a time
        self._admit = admit
        self._cors: Sequence[tuple[str, str]] = ()
        if settings.rest_cors:
            self._cors = _CORS if admit is None else _CORS_WITH_KEYS
        self._tfs = TfsApi(methods, state, self._check, settings.rest_max_body_mb * 2**20)

    def endpoint(self, request: Request) -> Endpoint:
        """See transport.http.Api."""
        if request.path == self._metrics_path and request.method in ("GET", "HEAD"):
            self._check(groups.PROMETHEUS, request)
            return Endpoint(self._show_metrics, 0)
        if request.method == "OPTIONS" and self._cors:
            return Endpoint(_nothing, 0)
        return self._tfs.endpoint(request)

    def error(self, request: Request, error: CallError) -> Content:
        """See transport.http.Api."""
        headers: Sequence[tuple[str, str]] = ()
        if isinstance(error, HttpError):
            headers = error.headers
        elif isinstance(error, Unauthenticated):
            headers = _CHALLENGE
        return Content([error_body(str(error))], status=http_code(error), headers=headers)

    def headers(self, request: Request) -> Sequence[tuple[str, str]]:
        """See transport.http.Api."""
        return self._cors

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
