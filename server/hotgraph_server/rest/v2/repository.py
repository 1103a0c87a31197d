"""The model repository: its index, what is served, and models that come and go. Pure.

Loading and unloading answer as KServe's server does; Triton's clients read the status alone.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import InvalidCall
from hotgraph_server.rest.v2.json_body import boolean, members, read_object, string, wrong_type
from hotgraph_server.rest.v2.paths import Target, What
from hotgraph_server.rest.v2.row import Row, json_content
from hotgraph_server.transport.http import Content
from hotgraph_server.transport.message_fields import Message

_FILE = "file:"
# Of the index; the others are of versions that answer nobody.
_SERVED = ("LOADING", "READY", "UNLOADING")


def _index_request(_: Target, body: Message) -> pb.RepositoryIndexRequest:
    # The repository's name in the path says nothing, as in Triton.
    return pb.RepositoryIndexRequest(ready=boolean("ready", read_object(body).get("ready", False)))


def _index(_: Target, response: pb.RepositoryIndexResponse) -> Content:
    return json_content([_index_row(model) for model in response.models])


def _served(_: Target, response: pb.RepositoryIndexResponse) -> Content:
    served = [_index_row(model) for model in response.models if model.state in _SERVED]
    return json_content({"models": served})


def _index_row(model: pb.RepositoryIndexResponse.ModelIndex) -> dict[str, str]:
    said = {"name": model.name, "version": model.version, "state": model.state, "reason": model.reason}
    return {name: text for name, text in said.items() if text}


def _load_request(target: Target, body: Message) -> pb.RepositoryModelLoadRequest:
    request = pb.RepositoryModelLoadRequest(repository_name=target.repository, model_name=target.model)
    for name, value in members("parameters", read_object(body).get("parameters", {})).items():
        parameter = request.parameters[name]
        if name.startswith(_FILE):
            parameter.bytes_param = _from_base64(name, string(name, value))
        else:
            parameter.string_param = string(name, value)
    return request


def _from_base64(name: str, text: str) -> bytes:
    """Raises InvalidCall."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidCall(f"load parameter '{name[:100]}' is no base64: {error}") from error


def _unload_request(target: Target, body: Message) -> pb.RepositoryModelUnloadRequest:
    request = pb.RepositoryModelUnloadRequest(repository_name=target.repository, model_name=target.model)
    for name, value in members("parameters", read_object(body).get("parameters", {})).items():
        _fill(request.parameters[name], name, value)
    return request


def _fill(parameter: Any, name: str, value: Any) -> None:
    """Raises InvalidCall: a parameter has no such type."""
    match value:
        case bool():
            parameter.bool_param = value
        case str():
            parameter.string_param = value
        case int() if -(2**63) <= value < 2**63:
            parameter.int64_param = value
        case _:
            raise wrong_type(name, "string")


def _loaded(target: Target, _: pb.RepositoryModelLoadResponse) -> Content:
    return json_content({"name": target.model, "load": True})


def _unloaded(target: Target, _: pb.RepositoryModelUnloadResponse) -> Content:
    return json_content({"name": target.model, "unload": True})


TABLE = {
    What.MODELS: Row(
        "RepositoryIndex",
        lambda target, body: pb.RepositoryIndexRequest(),
        _served,
        pb.RepositoryIndexResponse,
    ),
    What.INDEX: Row("RepositoryIndex", _index_request, _index, pb.RepositoryIndexResponse),
    What.LOAD: Row(
        "RepositoryModelLoad", _load_request, _loaded, pb.RepositoryModelLoadResponse, brings_files=True
    ),
    What.UNLOAD: Row("RepositoryModelUnload", _unload_request, _unloaded, pb.RepositoryModelUnloadResponse),
}
"""Endpoints of this module."""
