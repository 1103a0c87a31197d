"""A request over HTTP and its answer, without a transport between them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from hotgraph_server.errors import CallError
from hotgraph_server.transport.http import Content, Endpoint, Request

from .v2.http_calls import FakeHttpReply


def request(method: str, path: str, headers: Mapping[str, str] | None = None) -> Request:
    """A request as the transport gives it; a query may be behind the path."""
    path, _, query = path.partition("?")
    return Request(method, path, query, headers or {}, "127.0.0.1:1")


class Answer:
    """What a caller sees of a Content.

    Attributes:
        code: the status.
        headers: with the media type as the transport writes it.
        body: in one piece.
    """

    def __init__(self, content: Content) -> None:
        self.code = content.status
        self.headers = {**dict(content.headers), "content-type": content.kind}
        self.body = b"".join(content)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The text of an error; anything else fails the test."""
        assert self.code >= 400, self.body
        assert self.headers["content-type"] == "application/json"
        return str(self.json["error"])


def asked(
    endpoint_of: Callable[[Request], Endpoint],
    error_of: Callable[[Request, CallError], Content],
    request: Request,
    body: bytes = b"",
) -> Answer:
    """The answer to a request, as the transport would have it."""
    try:
        endpoint = endpoint_of(request)
        assert len(body) <= endpoint.most_bytes, "the transport refuses this"
        reply = FakeHttpReply(request)
        endpoint.begin(body, reply)
        return Answer(reply.content())
    except CallError as error:
        return Answer(error_of(request, error))
