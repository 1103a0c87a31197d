"""``tensorflow.serving.ModelService``: GetModelStatus."""

from __future__ import annotations

import functools
from typing import Any

from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2

from hotgraph_server.errors import InvalidCall, NotFound
from hotgraph_server.model import State, Version
from hotgraph_server.registry import Registry
from hotgraph_server.transport.service import PlainMethod, Service

NAME = "tensorflow.serving.ModelService"

_VersionStatus = get_model_status_pb2.ModelVersionStatus
_STATES = {
    State.LOADING: _VersionStatus.LOADING,
    State.LIVE: _VersionStatus.AVAILABLE,
    State.DRAINING: _VersionStatus.UNLOADING,
    State.CLOSED: _VersionStatus.END,
    State.FAILED: _VersionStatus.END,
}


def service(registry: Registry) -> Service:
    """The service over a registry."""
    return Service(
        name=NAME,
        descriptor=model_service_pb2.DESCRIPTOR,
        plain={
            "GetModelStatus": PlainMethod(
                get_model_status_pb2.GetModelStatusRequest, functools.partial(_status, registry)
            )
        },
    )


def _status(registry: Registry, request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise InvalidCall("Missing ModelSpec")
    spec = request.model_spec
    versions = registry.table.get(spec.name, {})
    if not versions:
        raise NotFound(f"Could not find any versions of model {spec.name}")
    # A label in the spec is ignored here, as TensorFlow Serving's handler does.
    number = int(spec.version.value) if spec.HasField("version") else None
    if number == 0 and 0 not in versions:
        number = None
    if number is None:
        chosen = list(versions.values())
    elif number in versions:
        chosen = [versions[number]]
    else:
        raise NotFound(f"Could not find version {number} of model {spec.name}")
    return get_model_status_pb2.GetModelStatusResponse(model_version_status=map(_version_status, chosen))


def _version_status(version: Version) -> Any:
    # Set even when it is OK, so that a reader sees that all is well and not that nothing was said.
    message = _VersionStatus(version=version.number, state=_STATES[version.state])
    message.status.SetInParent()
    return message
