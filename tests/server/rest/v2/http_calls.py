"""Calls over HTTP without a port: an endpoint of an API, a body, and what comes of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hotgraph_protos import tensors as wire
from hotgraph_server.batching.call import Call
from hotgraph_server.batching.request import Request as CallRequest
from hotgraph_server.models.contract import Contract
from hotgraph_server.protocols.v2.regions import Regions
from hotgraph_server.rest.json.process_pool import JsonProcessPool
from hotgraph_server.rest.v2.infer import HttpInfer
from hotgraph_server.rest.v2.infer_request import LENGTH_HEADER
from hotgraph_server.settings import SharedMemorySettings
from hotgraph_server.signatures import Signature
from hotgraph_server.transport.http import JSON, Content, Endpoint, Request
from hotgraph_server.transport.service import failing, joined

from ...protocols.fakes import PATIENCE_S, FakeReply, RecordingVersion
from ...protocols.hot_methods import registry_of

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

    def aside(self, make: Callable[[], Any]) -> None:
        """See HttpReply; at once."""
        try:
            made = make()
        except Exception as error:
            self.finish(failing(error))
        else:
            self.finish(lambda: made)

    def content(self) -> Content:
        """What would have been sent; raises what would have been translated."""
        assert self._finished.wait(PATIENCE_S), "never finished"
        self.cancel = None
        assert self._encode is not None
        answer = self._encode()
        return answer if isinstance(answer, Content) else Content((joined(answer),))


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


def endpoint_of(
    method: Method,
    length: int | str | None = None,
    model: str = "m",
    version: str = "",
    headers: Mapping[str, str] | None = None,
) -> Endpoint:
    """Where a request leads.

    Args:
        length: what the header says of the JSON's; None: there is none.
    """
    return method.endpoint(_request(length, model, headers), model, version)


def _request(length: int | str | None, model: str, headers: Mapping[str, str] | None) -> Request:
    said = {} if length is None else {LENGTH_HEADER: str(length)}
    return Request("POST", f"/v2/models/{model}/infer", "", {**said, **(headers or {})}, "127.0.0.1:1")


def begin(
    method: Method,
    body: bytes | memoryview,
    length: int | str | None = None,
    *,
    model: str = "m",
    version: str = "",
    headers: Mapping[str, str] | None = None,
) -> FakeHttpReply:
    """Begin a call."""
    request = _request(length, model, headers)
    endpoint = method.endpoint(request, model, version)
    assert endpoint.most_bytes == MOST_BYTES
    assert endpoint.limited
    reply = FakeHttpReply(request)
    endpoint.begin(body, reply)
    return reply


def ask(method: Method, body: Any, length: int | str | None = None, **more: Any) -> Got:
    """One call; what is no bytes is sent as JSON."""
    return got(begin(method, as_bytes(body), length, **more).content())


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


class Scene:
    """Model m version 3, whose answers the test gives, called over HTTP.

    Attributes:
        requests: those that the version was asked to take.
        contract: what the model promises.
    """

    def __init__(
        self,
        *signatures: Signature,
        folder: Path | None = None,
        contract: Contract | None = None,
        **more: Any,
    ) -> None:
        """
        Args:
            folder: in place of /dev/shm; None: tensors may not lie in shared memory.
        """
        requests: list[CallRequest] = []

        class Recording(RecordingVersion):
            def record(self, request: CallRequest) -> Call:
                requests.append(request)
                return super().record(request)

        self.requests = requests
        self.version = Recording("m", 3, *signatures, **more)
        self.version.contract = contract or Contract(None)
        self.registry = registry_of(self.version)
        self.regions: Regions | None = None
        if folder is not None:
            self.regions = Regions(SharedMemorySettings(allow_client_shm=True), str(folder))
        self.infer = HttpInfer(self.registry, no_pool(), MOST_BYTES, self.regions)

    def ask(self, body: Any, length: int | str | None = None, *arrays: Any, **more: Any) -> Got:
        """One call, answered with these arrays; if there are none, with its inputs."""
        reply = self.begin(body, length, **more)
        call = self.version.calls.pop()
        call.completion.finish(list(arrays) or call.inputs)
        return got(reply.content())

    def begin(self, body: Any, length: int | str | None = None, **more: Any) -> FakeHttpReply:
        """A call that is not answered yet."""
        return begin(self.infer, as_bytes(body), length, **more)


def as_bytes(body: Any) -> Any:
    """What is no bytes as JSON."""
    return body if isinstance(body, bytes | bytearray | memoryview) else json.dumps(body).encode()


def json_input(array: Any, name: str = "x", **members: Any) -> dict[str, Any]:
    """A tensor in a request, its values in JSON."""
    datatype = wire.datatype_of(array.dtype)
    if datatype == "BYTES":
        values = [one.decode() for one in array.ravel()]
    else:
        values = (array.astype(np.float64) if datatype == "BF16" else array).tolist()
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": values, **members}


def binary_input(array: Any, name: str = "x") -> tuple[dict[str, Any], bytes]:
    """A tensor in a request, and its contents behind the JSON."""
    contents = wire.encode_raw(array)
    described = {"name": name, "datatype": wire.datatype_of(array.dtype), "shape": list(array.shape)}
    return {**described, "parameters": {"binary_data_size": len(contents)}}, contents


def binary_body(arrays: Mapping[str, Any], **more: Any) -> tuple[bytes, int]:
    """A body with all tensors behind the JSON, and that one's length; what is said more comes first in it."""
    inputs, contents = zip(*[binary_input(array, name) for name, array in arrays.items()], strict=True)
    return infer_body(inputs, b"".join(contents), **more)
