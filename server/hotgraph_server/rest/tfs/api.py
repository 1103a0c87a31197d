"""TensorFlow Serving's REST API for the transport: from a request line to what is done with the body."""

from __future__ import annotations

import functools
from collections.abc import Callable

from hotgraph_server.access import groups
from hotgraph_server.access.groups import Method
from hotgraph_server.errors import LOADING, Draining, NotReady
from hotgraph_server.models.status import State
from hotgraph_server.rest.tfs.methods import Methods
from hotgraph_server.rest.tfs.paths import Target, What, read_path
from hotgraph_server.transport.http import Endpoint, HttpReply, Request
from hotgraph_server.transport.message_fields import Message

Check = Callable[[Method, Request], None]
"""May a request be made that is of that group and protocol? Raises CallError: why it may not."""


class TfsApi:
    """Any thread may call it.

    Args:
        methods: what can be asked of models.
        state: of the server.
        check: see there.
        most_bytes: of a body.
    """

    def __init__(self, methods: Methods, state: Callable[[], State], check: Check, most_bytes: int) -> None:
        self._methods = methods
        self._state = state
        self._check = check
        self._most_bytes = most_bytes

    def endpoint(self, request: Request) -> Endpoint:
        """See transport.http.Api."""
        method = "GET" if request.method == "HEAD" else request.method
        target = read_path(method, request.path)
        self._check(groups.REST[target.what.value], request)
        state = self._state()
        if state is State.LOADING and target.what not in (What.MODELS, What.STATUS):
            raise NotReady(LOADING)
        if target.what in self._methods.about:
            return Endpoint(functools.partial(self._about, target), self._most_bytes)
        if state is not State.LIVE:
            raise Draining("this server")
        begin = self._methods.calls[target.what]
        return Endpoint(lambda body, reply: begin(target, body, reply), self._most_bytes, limited=True)

    def _about(self, target: Target, body: Message, reply: HttpReply) -> None:
        answer = self._methods.about[target.what](target)
        reply.finish(lambda: answer)
