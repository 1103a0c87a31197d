"""Every endpoint that runs no model, over the service that gRPC's callers ask: one set of rules, of errors
and of words. A request becomes the method's message, and its response the answer.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from hotgraph_server.errors import Unsupported
from hotgraph_server.rest.json.process_pool import JsonProcessPool
from hotgraph_server.rest.translated_reply import TranslatedReply
from hotgraph_server.rest.v2 import about, repository, settings, shared_memory
from hotgraph_server.rest.v2.paths import Target, What
from hotgraph_server.rest.v2.row import SMALL_BYTES, Row
from hotgraph_server.transport.http import Content, Endpoint, HttpReply
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import Reply, Service

TABLE: Mapping[What, Row] = {**about.TABLE, **repository.TABLE, **shared_memory.TABLE, **settings.TABLE}
"""All of them."""

_LONG = (What.STATISTICS, What.MODEL_CONFIG)
"""Take milliseconds where there are many models, or much to be said of one."""


class Management:
    """
    Args:
        service: inference.GRPCInferenceService.
        most_bytes: of a body that brings a model's files, when it is no longer compressed.
        pool: reads very large JSON in another process; None: that happens here.
    """

    def __init__(self, service: Service, most_bytes: int, pool: JsonProcessPool | None = None) -> None:
        self._inference = service
        self._most_bytes = most_bytes
        self._pool = pool or JsonProcessPool(0)

    def endpoint(self, target: Target) -> Endpoint:
        """What is done with a request for this target, one of `TABLE`."""
        row = TABLE[target.what]
        most_bytes = self._most_bytes if row.brings_files else min(SMALL_BYTES, self._most_bytes)
        if row.method in self._inference.hot:
            return Endpoint(functools.partial(self._ask, target), most_bytes, limited=True)
        return Endpoint(functools.partial(self._answer, target), most_bytes)

    def _answer(self, target: Target, body: Message, reply: HttpReply) -> None:
        row = TABLE[target.what]
        method = self._inference.plain.get(row.method)
        if method is None:
            raise Unsupported("Method not found!")
        request = row.request(target, body)

        def content() -> Content:
            return row.answer(target, method.answer(request))

        if target.what in _LONG:
            reply.aside(content)
        else:
            made = content()
            reply.finish(lambda: made)

    def _ask(self, target: Target, body: Message, reply: Reply) -> None:
        row = TABLE[target.what]
        # What goes to another process is bytes.
        message = self._pool.run(_message, target, body if isinstance(body, bytes) else bytes(body))
        answer: Any = functools.partial(row.answer, target)
        self._inference.hot[row.method](message, TranslatedReply(reply, row.response, answer))


def _message(target: Target, body: bytes) -> bytes:
    return bytes(TABLE[target.what].request(target, body).SerializeToString())
