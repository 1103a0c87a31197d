"""A response of the Open Inference Protocol's REST face as what gRPC would have answered. Pure.

The contents of tensors are views of the body, whether they follow the JSON or stand in it. Statuses are read
as docs/rest.md says that they are made; what a proxy on the way says is told apart where it can be.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from http.client import responses as _REASONS
from typing import Any

import grpc
import numpy as np
from google.protobuf import json_format

from hotgraph_protos.tensors import BYTES, encode_raw

from ..arrays import from_python
from ..descriptions import TensorMetadata
from ..errors import HotgraphError, ServerFault, from_status
from ..protocol import InferAnswer, Method
from .requests import HEADER_LENGTH

_Code = grpc.StatusCode

_CODES = {
    400: _Code.INVALID_ARGUMENT,
    401: _Code.UNAUTHENTICATED,
    403: _Code.PERMISSION_DENIED,
    404: _Code.NOT_FOUND,
    405: _Code.UNIMPLEMENTED,
    408: _Code.DEADLINE_EXCEEDED,
    409: _Code.ABORTED,
    411: _Code.INVALID_ARGUMENT,
    413: _Code.INVALID_ARGUMENT,
    414: _Code.INVALID_ARGUMENT,
    415: _Code.INVALID_ARGUMENT,
    422: _Code.INVALID_ARGUMENT,
    429: _Code.RESOURCE_EXHAUSTED,
    431: _Code.INVALID_ARGUMENT,
    499: _Code.CANCELLED,
    500: _Code.INTERNAL,
    501: _Code.UNIMPLEMENTED,
    502: _Code.UNAVAILABLE,
    503: _Code.UNAVAILABLE,
    504: _Code.DEADLINE_EXCEEDED,
}

# A server that is not ready says so with the second (KServe, hotgraph) or the first (Triton), which is an
# answer here and no failure.
_NOT_READY = (400, 503)
_READINESS = {"ServerLive": "live", "ServerReady": "ready", "ModelReady": "ready"}

_PUSHBACK = "grpc-retry-pushback-ms"

# What an error shows of a text that is not in the protocol's form.
_SHOWN = 200


def read_response(
    method: Method[Any, Any],
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    address: str,
    model: str,
) -> Any:
    """The message that `method` answers with; an InferAnswer for ModelInfer.

    Args:
        headers: names in lower case.

    Raises:
        HotgraphError: what the server says against the call.
        ServerFault: the response makes no sense.
    """
    ready = _READINESS.get(method.name)
    if ready is not None and status in _NOT_READY:
        return method.response()
    if not 200 <= status < 300:
        raise _refusal(status, headers, body, address, model)
    try:
        coding = headers.get("content-encoding", "identity")
        if coding != "identity":
            raise ValueError(f"it is compressed ({coding[:_SHOWN]}), which was not asked for")
        if ready is not None:
            return method.response(**{ready: _says_ready(body, ready)})
        if method.name == "ModelInfer":
            return _infer_answer(headers, body, model)
        said = {"models": _index(body)} if method.name == "RepositoryIndex" else _object(body)
        return json_format.ParseDict(said, method.response(), ignore_unknown_fields=True)
    except (ValueError, json_format.ParseError) as error:
        raise ServerFault(
            f"the server's answer makes no sense: {error}", address=address, model=model
        ) from error


def _says_ready(body: bytes, field: str) -> bool:
    # Triton's have no body
    return not body or _object(body).get(field, True) is not False


def _refusal(status: int, headers: Mapping[str, str], body: bytes, address: str, model: str) -> HotgraphError:
    pushback_ms = _pushback_ms(headers)
    trailers = () if pushback_ms is None else ((_PUSHBACK, pushback_ms),)
    details = _error_text(headers, body)
    if not details:
        details = f"HTTP {status} {_REASONS.get(status, '')}".rstrip()
        if "location" in headers:
            details += f", to {headers['location'][:_SHOWN]}"
    return from_status(_CODES.get(status, _Code.UNKNOWN), details, trailers, address=address, model=model)


def _error_text(headers: Mapping[str, str], body: bytes) -> str:
    """What a body says, in the protocol's form or as plain text; empty: a page for a browser, or nothing."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        plain = headers.get("content-type", "").startswith("text/plain")
        return " ".join(body[:_SHOWN].decode("utf-8", "replace").split()) if plain else ""
    text = said.get("error") if isinstance(said, dict) else None
    # half a surrogate pair can be printed nowhere
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else ""


def _pushback_ms(headers: Mapping[str, str]) -> str | None:
    """For how many milliseconds the server asks us to stay away."""
    if _PUSHBACK in headers:
        return headers[_PUSHBACK]
    # RFC 9110, section 10.2.3; a date instead of seconds is for caches
    seconds = headers.get("retry-after", "").strip()
    return f"{seconds}000" if seconds.isascii() and seconds.isdecimal() and len(seconds) < 7 else None


def _index(body: bytes) -> list[Any]:
    # the only answer of the protocol that is no object
    return _list(_json(body), "the index")


def _object(text: bytes | memoryview) -> dict[str, Any]:
    value = _json(text)
    if not isinstance(value, dict):
        raise ValueError(f"expected an object of JSON, got a {type(value).__name__}")
    return value


def _json(text: bytes | memoryview) -> Any:
    try:
        return json.loads(bytes(text))
    except RecursionError:
        raise ValueError("its JSON lies too deep") from None


def _infer_answer(headers: Mapping[str, str], body: bytes, model: str) -> InferAnswer:
    view = memoryview(body)
    length = headers.get(HEADER_LENGTH, str(len(body))).strip()
    if not (length.isascii() and length.isdecimal() and len(length) < 20 and int(length) <= len(body)):
        raise ValueError(f"{HEADER_LENGTH} is {length[:_SHOWN]}, of a body of {len(body)} bytes")
    answer = _object(view[: int(length)])
    tails = _Tails(view[int(length) :])
    outputs: list[TensorMetadata] = []
    contents: list[bytes | memoryview] = []
    for output in _list(answer.get("outputs"), "outputs"):
        tensor = _tensor(output)
        outputs.append(tensor)
        contents.append(_contents(tensor, output, tails))
    if tails.left:
        raise ValueError(f"{tails.left} bytes belong to no output")
    return InferAnswer(model, outputs, contents)


class _Tails:
    """What follows the JSON, handed out from its beginning."""

    def __init__(self, view: memoryview) -> None:
        self._view = view

    @property
    def left(self) -> int:
        return len(self._view)

    def take(self, size: int) -> memoryview:
        if size > len(self._view):
            raise ValueError(f"{size} bytes expected, {len(self._view)} are left")
        taken, self._view = self._view[:size], self._view[size:]
        return taken


def _tensor(output: Any) -> TensorMetadata:
    if not isinstance(output, dict):
        raise ValueError(f"an output is a {type(output).__name__}")
    name, datatype = output.get("name"), output.get("datatype")
    if not isinstance(name, str) or not isinstance(datatype, str):
        raise ValueError("an output has no name or datatype")
    shape = tuple(_whole(size, f"a dimension of '{name}'") for size in _list(output.get("shape"), "shape"))
    return TensorMetadata(name, datatype, shape)


def _contents(tensor: TensorMetadata, output: dict[str, Any], tails: _Tails) -> bytes | memoryview:
    parameters = output.get("parameters")
    if isinstance(parameters, dict) and "binary_data_size" in parameters:
        return tails.take(_whole(parameters["binary_data_size"], f"binary_data_size of '{tensor.name}'"))
    if "data" not in output:
        raise ValueError(f"output '{tensor.name}' has no data")
    try:
        elements = list(_flat(output["data"]))
        if tensor.datatype == BYTES:
            elements = [_of_base64(element) for element in elements]
        # flat, and the shape is compared with their number by whoever reads them
        return encode_raw(np.asarray(from_python(elements, tensor.datatype)))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"output '{tensor.name}': {error}") from None


def _flat(data: Any) -> Iterator[Any]:
    """The elements of nested lists: servers send them flat, or as the shape has them."""
    if isinstance(data, list):
        for element in data:
            if isinstance(element, list):
                yield from _flat(element)
            else:
                yield element
    else:
        yield data


def _of_base64(element: Any) -> Any:
    if isinstance(element, dict) and isinstance(element.get("b64"), str):
        try:
            return base64.b64decode(element["b64"], validate=True)
        except binascii.Error as error:
            raise ValueError(f"b64: {error}") from None
    return element


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} is a {type(value).__name__}, not a list")
    return value


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{what} is {value!r:.{_SHOWN}}")
    return value
