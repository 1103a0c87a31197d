"""ServerMetadata, ModelMetadata and ModelConfig."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hotgraph_protos import open_inference as pb
from hotgraph_protos import tensors as wire
from hotgraph_protos.version import __version__
from hotgraph_server.models.contract import Contract, TensorContract
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.v2 import codec, models
from hotgraph_server.protocols.v2.tables import Table
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.transport.service import PlainMethod

EXTENSIONS = (
    *("classification", "sequence", "model_repository", "model_repository(unload_dependents)"),
    *("schedule_policy", "model_configuration", "binary_tensor_data", "parameters", "statistics"),
    *("trace", "logging"),
)
"""What Triton calls the extensions that are always there."""

_PLATFORM = "tensorflow_savedmodel"


def methods(registry: Registry, server_name: str, extensions: Sequence[str] = EXTENSIONS) -> Table:
    """The methods over a registry.

    Args:
        server_name: what the server calls itself; some clients want "triton".
        extensions: that it says it has.
    """

    def server_metadata(_: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name=server_name, version=__version__, extensions=extensions)

    def model_metadata(request: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        number = models.requested_number(request.version)
        version = models.find(registry, request.name, number)
        numbers = [version.number] if number is not None else sorted(registry.table[version.name])
        response = pb.ModelMetadataResponse(
            name=version.name,
            versions=[str(number) for number in numbers],
            platform=_PLATFORM,
            properties=_properties(version),
        )
        if version.default_signature is not None:
            _add_tensors(response, version.contract, version.default_signature)
        return response

    def model_config(request: pb.ModelConfigRequest) -> pb.ModelConfigResponse:
        version = models.find(registry, request.name, models.requested_number(request.version))
        return pb.ModelConfigResponse(config=version.contract.config)

    return {
        "ServerMetadata": PlainMethod(pb.ServerMetadataRequest, server_metadata),
        "ModelMetadata": PlainMethod(pb.ModelMetadataRequest, model_metadata),
        "ModelConfig": PlainMethod(pb.ModelConfigRequest, model_config),
    }


def _add_tensors(response: pb.ModelMetadataResponse, contract: Contract, signature: Signature) -> None:
    """As the contract has them, if it is about this signature: it may name fewer, and reshape some."""
    if contract.signature != signature.name:
        response.inputs.extend(_tensor(spec, codec.shape_of(spec)) for spec in signature.inputs)
        response.outputs.extend(_tensor(spec, codec.shape_of(spec)) for spec in signature.outputs)
        return
    for alias, tensor in contract.inputs.items():
        response.inputs.append(_tensor(signature.inputs_by_alias[alias], _shape(contract, tensor)))
    for alias, tensor in contract.outputs.items():
        response.outputs.append(_tensor(signature.outputs_by_alias[alias], _shape(contract, tensor)))


def _shape(contract: Contract, tensor: TensorContract) -> list[int]:
    """With the batch dimension where there is one; an unknown rank is a single -1."""
    if tensor.dims is None:
        return [-1]
    return [*([-1] if contract.batched else []), *tensor.dims]


def _tensor(spec: TensorSpec, shape: Sequence[int]) -> pb.ModelMetadataResponse.TensorMetadata:
    datatype = wire.datatype_of(spec.dtype) or codec.INVALID_DATATYPE
    return pb.ModelMetadataResponse.TensorMetadata(name=spec.alias, datatype=datatype, shape=shape)


def _described(spec: TensorSpec) -> dict[str, Any]:
    """An input as the protocol's own field would have it."""
    datatype = wire.datatype_of(spec.dtype) or codec.INVALID_DATATYPE
    return {"name": spec.alias, "datatype": datatype, "shape": codec.shape_of(spec)}


def _properties(version: Version) -> Mapping[str, str]:
    """What the protocol has no field for: the signatures, what each takes, and which are batched."""
    default = version.default_signature
    properties = {"signatures": ",".join(version.signatures)}
    if default is not None:
        properties["default_signature"] = default.name
    for name, reason in version.unbatched_reasons.items():
        joined = f"batched: {version.joined_because(name)}"
        properties[f"batching.{name}"] = joined if reason is None else f"alone: {reason}"
    for name, signature in version.signatures.items():
        properties[f"inputs.{name}"] = json.dumps([_described(spec) for spec in signature.inputs])
        if signature.writes:
            properties[f"writes.{name}"] = ",".join(sorted(signature.variables | signature.other_state))
    return properties
