"""Calls over HTTP without a port: an endpoint of an API, a body, and what comes of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hotgraph_server.rest.json.process_pool import JsonProcessPool
from hotgraph_server.rest.v2.infer_request import LENGTH_HEADER
from hotgraph_server.transport.http import JSON, Content, Endpoint, Request

from ...protocols.fakes import PATIENCE_S, FakeReply

MOST_BYTES = 2**20


class FakeHttpReply(FakeReply):
    """transport.http.HttpReply for one call, whose answer the test waits for.

    Attributes:
        json_bytes_out: what the giver has said; -1: nothing.
    """

    def __init__(self, request: Request, deadline: float = math.inf) -> None:
        super().__init__(deadline)
        self.request = request
        self.json_bytes_out = -1

    def content(self) -> Content:
        """What would have been sent; raises what would have been translated."""
        assert self._finished.wait(PATIENCE_S), "never finished"
        self.cancel = None
        assert self._encode is not None
        answer = self._encode()
        return answer if isinstance(answer, Content) else Content((bytes(answer),))


@dataclass(frozen=True)
class Got:
    """An answer as a client sees it.

    Attributes:
        tails: what follows the JSON.
    """

    kind: str
    headers: Mapping[str, str]
    text: bytes
    tails: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.text, parse_constant=_refuse)

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs by name, in the answer's order."""
        return {output["name"]: output for output in self.json["outputs"]}


def _refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is no JSON")


class Method(Protocol):
    """What makes endpoints of a request for a model."""

    def endpoint(self, request: Request, model: str, version: str) -> Endpoint: ...


def infer_body(inputs: Sequence[Mapping[str, Any]], tails: bytes = b"", **more: Any) -> tuple[bytes, int]:
    """A body, and how long its JSON is."""
    text = json.dumps({**more, "inputs": inputs}).encode()
    return text + tails, len(text)


def begin(
    method: Method,
    body: bytes | memoryview,
    length: int | str | None = None,
    *,
    model: str = "m",
    version: str = "",
    headers: Mapping[str, str] | None = None,
) -> FakeHttpReply:
    """Begin a call.

    Args:
        length: what the header says of the JSON's; None: there is none.
    """
    said = {} if length is None else {LENGTH_HEADER: str(length)}
    request = Request("POST", f"/v2/models/{model}/infer", "", {**said, **(headers or {})}, "127.0.0.1:1")
    endpoint = method.endpoint(request, model, version)
    assert endpoint.most_bytes == MOST_BYTES
    assert endpoint.limited
    reply = FakeHttpReply(request)
    endpoint.begin(body, reply)
    return reply


def ask(method: Method, body: Any, length: int | str | None = None, **more: Any) -> Got:
    """One call; what is no bytes is sent as JSON."""
    if not isinstance(body, bytes | memoryview):
        body = json.dumps(body).encode()
    return got(begin(method, body, length, **more).content())


def got(content: Content) -> Got:
    """An answer as it is sent."""
    assert content.status == 200
    body = b"".join(content)
    headers = dict(content.headers)
    if LENGTH_HEADER not in headers:
        assert content.kind != "application/octet-stream"
        return Got(content.kind, headers, body, b"")
    assert content.kind != JSON
    at = int(headers[LENGTH_HEADER])
    return Got(content.kind, headers, body[:at], body[at:])


def no_pool() -> JsonProcessPool:
    """JSON is read where it is wanted."""
    return JsonProcessPool(0)
