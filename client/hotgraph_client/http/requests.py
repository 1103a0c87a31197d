"""A method and its message as a request of the Open Inference Protocol's REST face. Pure.

https://github.com/kserve/open-inference-protocol (inference_rest.md), and Triton's extension_binary_data.md:
the contents of tensors follow the JSON as they are, `Inference-Header-Content-Length` says where they begin.
Answers are asked for in the same form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from google.protobuf.message import Message

from ..protocol import InferRequest, Method

HEADER_LENGTH = "inference-header-content-length"


# What may stand in a part of a path as it is (RFC 3986, section 3.3), besides letters, digits and -._~.
# Triton does not decode names, and so finds these alone.
_PLAIN = "!$&'()*+,;=:@"


class HttpRequest(NamedTuple):
    """What is sent.

    Attributes:
        verb: in capitals.
        path: percent-encoded, from ``/v2`` on.
        headers: those that say what the body is, names in lower case.
        body: in pieces; they may be views of the caller's arrays.
    """

    verb: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: tuple[bytes | memoryview, ...] = ()

    @property
    def body_bytes(self) -> int:
        """Length of the body."""
        return sum(map(len, self.body))


def http_request(method: Method[Any, Any], message: Any) -> HttpRequest:
    """The request that asks over HTTP what `message` asks over gRPC: the method's own, or an InferRequest."""
    match method.name:
        case "ServerLive":
            return HttpRequest("GET", "/v2/health/live")
        case "ServerReady":
            return HttpRequest("GET", "/v2/health/ready")
        case "ServerMetadata":
            return HttpRequest("GET", "/v2")
        case "ModelReady":
            return HttpRequest("GET", f"{_model(message.name, message.version)}/ready")
        case "ModelMetadata":
            return HttpRequest("GET", _metadata(message.name, message.version))
        case "ModelStatistics":
            return HttpRequest("GET", f"{_model(message.name, message.version)}/stats")
        case "RepositoryIndex":
            return HttpRequest(
                "POST", "/v2/repository/index", (("content-type", "application/json"),), (b"{}",)
            )
        case "ModelInfer":
            return _infer(message)
    raise AssertionError(f"{method.name} has no form in REST")


def _model(name: str, version: str) -> str:
    path = f"/v2/models/{quote(name, safe=_PLAIN)}" if name else "/v2/models"
    return f"{path}/versions/{quote(version, safe=_PLAIN)}" if version else path


def _metadata(name: str, version: str) -> str:
    # spelt as it is, that path is about the statistics of all models
    return "/v2/models/%73tats" if name == "stats" and not version else _model(name, version)


def _infer(request: InferRequest) -> HttpRequest:
    message, contents = request
    body: dict[str, Any] = {"id": message.id} if message.id else {}
    parameters = _values(message.parameters)
    if not message.outputs:
        # where outputs are listed, Triton heeds what each of them says and this not at all
        parameters.setdefault("binary_data_output", True)
    if parameters:
        body["parameters"] = parameters
    body["inputs"] = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
            "parameters": {"binary_data_size": len(raw)},
        }
        for tensor, raw in zip(message.inputs, contents, strict=True)
    ]
    if message.outputs:
        body["outputs"] = [
            {
                "name": output.name,
                "parameters": {**_values(output.parameters), "binary_data": True},
            }
            for output in message.outputs
        ]
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    path = f"{_model(message.model_name, message.model_version)}/infer"
    if not any(contents):
        return HttpRequest("POST", path, (("content-type", "application/json"),), (text,))
    headers = (("content-type", "application/octet-stream"), (HEADER_LENGTH, str(len(text))))
    return HttpRequest("POST", path, headers, (text, *(raw for raw in contents if raw)))


def _values(parameters: Mapping[str, Message]) -> dict[str, Any]:
    return {key: _value(parameter) for key, parameter in sorted(parameters.items())}


def _value(parameter: Message) -> bool | int | float | str:
    chosen = parameter.WhichOneof("parameter_choice")
    value: bool | int | float | str = getattr(parameter, chosen or "string_param")
    return value
