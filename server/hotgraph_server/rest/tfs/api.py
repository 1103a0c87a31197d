"""TensorFlow Serving's REST API for the transport: from a request line to what is done with the body."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from hotgraph_server.access import groups
from hotgraph_server.access.groups import Method
from hotgraph_server.access.rules import Header
from hotgraph_server.errors import LOADING, CallError, Draining, NotReady, Unauthenticated
from hotgraph_server.models.status import State
from hotgraph_server.observability.tracing.tracing import Tracing
from hotgraph_server.rest.codes import error_body, http_code
from hotgraph_server.rest.tfs.methods import Methods
from hotgraph_server.rest.tfs.paths import Target, What, read_path
from hotgraph_server.transport.http import Content, Elsewhere, Endpoint, HttpError, HttpReply, Request
from hotgraph_server.transport.message_fields import Message

Admit = Callable[[Method, Header], CallError | None]
"""Why a request may not be made; None: it may."""

_CHALLENGE = (("www-authenticate", "Bearer"),)


class TfsApi:
    """Any thread may call it.

    Args:
        methods: what can be asked of models.
        state: of the server.
        admit: None: every request may be made.
        most_bytes: of a body.
        tracing: follows what runs models; None: nothing does.
        elsewhere: for models that are not here; None: all is answered here.
    """

    def __init__(
        self,
        methods: Methods,
        state: Callable[[], State],
        admit: Admit | None,
        most_bytes: int,
        tracing: Tracing | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._elsewhere = elsewhere
        self._tracing = tracing
        self._methods = methods
        self._state = state
        self._admit = admit
        self._most_bytes = most_bytes

    def endpoint(self, request: Request) -> Endpoint:
        """See transport.http.Api."""
        method = "GET" if request.method == "HEAD" else request.method
        target = read_path(method, request.path)
        # Before anything of a body is read.
        if self._admit is not None:
            refusal = self._admit(groups.REST[target.what.value], request.headers.get)
            if refusal is not None:
                raise refusal
        state = self._state()
        if state is State.LOADING and target.what not in (What.MODELS, What.STATUS):
            raise NotReady(LOADING)
        if self._elsewhere is not None and target.name and state is State.LIVE:
            endpoint = self._elsewhere(request, target.name)
            if endpoint is not None:
                return endpoint
        if target.what in self._methods.about:
            return Endpoint(functools.partial(self._about, target), self._most_bytes)
        if state is not State.LIVE:
            raise Draining("this server")
        begin = self._methods.calls[target.what]

        def call(body: Message, reply: HttpReply) -> None:
            begin(target, body, reply)

        if self._tracing is None:
            return Endpoint(call, self._most_bytes, limited=True)
        route = f"/v1/models/{{model}}:{target.what.value}"
        watched = self._tracing.around_begin(call, target.name, route, http_code)
        return Endpoint(watched, self._most_bytes, limited=True)

    def error(self, request: Request, error: CallError) -> Content:
        """See transport.http.Api."""
        headers: Sequence[tuple[str, str]] = ()
        if isinstance(error, HttpError):
            headers = error.headers
        elif isinstance(error, Unauthenticated):
            headers = _CHALLENGE
        return Content([error_body(str(error))], status=http_code(error), headers=headers)

    def _about(self, target: Target, body: Message, reply: HttpReply) -> None:
        answer = self._methods.about[target.what](target)
        reply.finish(lambda: answer)
