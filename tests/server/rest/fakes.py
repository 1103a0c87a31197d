"""A request over HTTP and its answer, without a transport between them."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any

from hotgraph_server.call_observer import CallObserver
from hotgraph_server.errors import CallError
from hotgraph_server.transport.http import Content, Endpoint, Request

# Nothing in these tests takes long; a test that waits this long has failed.
PATIENCE_S = 60.0


def request(
    method: str, path: str, headers: Mapping[str, str] | None = None, peer: str = "127.0.0.1:1"
) -> Request:
    """A request as the transport gives it; a query may be behind the path."""
    path, _, query = path.partition("?")
    return Request(method, path, query, headers or {}, peer)


class FakeHttpReply:
    """transport.http.HttpReply for one request, whose answer the test waits for.

    Attributes:
        expires: when the call ends on its own, monotonic seconds; None if nobody said so.
        cancel: what ends the call when its caller goes.
    """

    def __init__(self, request: Request, deadline: float = math.inf) -> None:
        self.request = request
        self.deadline = deadline
        self.peer = request.peer
        self.observer: CallObserver | None = None
        self.json_bytes_out = 0
        self.expires: float | None = None
        self.cancel: Callable[[], object] | None = None
        self._encode: Callable[[], Any] | None = None
        self._finished = threading.Event()

    @property
    def finished(self) -> bool:
        """Is there an answer?"""
        return self._finished.is_set()

    def finish(self, encode: Callable[[], Any]) -> None:
        assert not self._finished.is_set(), "finished twice"
        self._encode = encode
        self._finished.set()

    def when_gone(self, cancel: Callable[[], object]) -> None:
        self.cancel = cancel

    def expire_at(self, deadline: float) -> None:
        self.expires = deadline

    def answer(self) -> Content:
        """What would be sent; raises what would be put into words."""
        assert self._finished.wait(PATIENCE_S), "never finished"
        self.cancel = None
        assert self._encode is not None
        found = self._encode()
        return found if isinstance(found, Content) else Content([found])


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
        return Answer(reply.answer())
    except CallError as error:
        return Answer(error_of(request, error))
