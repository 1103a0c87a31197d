"""TensorFlow Serving over gRPC, and what a model's signatures are by its metadata. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from hotgraph_protos import tensorflow_serving_calls as tfs
from hotgraph_protos.tensors import Array

from ...descriptions import TensorMetadata
from ..load import Answer, Payload
from .datatypes import datatype_of_number
from .description import Description, TargetError
from .tensor_proto import array_of, fill

PREDICT = "/tensorflow.serving.PredictionService/Predict"
GET_MODEL_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
SIGNATURE_FIELD = "signature_def"
"""Of metadata, the only one that there is."""

_DEFAULT = "serving_default"


def model_spec(model: str, version: str, signature: str) -> tfs.ModelSpec:
    """Which model a call is for.

    Args:
        version: a number, or a label; empty: the server's choice.
        signature: empty: the default one.
    """
    spec = tfs.ModelSpec(name=model, signature_name=signature)
    if _is_number(version):
        spec.version.value = int(version)
    elif version:
        spec.version_label = version
    return spec


def model_path(model: str, version: str) -> str:
    """The path of a model in URLs; `version` as `model_spec` takes it."""
    path = f"/v1/models/{quote(model, safe='')}"
    if not version:
        return path
    return f"{path}/{'versions' if _is_number(version) else 'labels'}/{quote(version, safe='')}"


def describe(
    signatures: tfs.SignatureDefMap, protocol: str, *, model: str, version: str, signature: str
) -> Description:
    """A signature of a model by its metadata.

    Args:
        signature: empty: the default one, or the only one that there is.

    Raises:
        TargetError: there is no such signature, or none can be called.
    """
    callable_ = {name: one for name, one in signatures.signature_def.items() if _can_be_called(one)}
    wanted = signature or (_DEFAULT if len(callable_) != 1 else next(iter(callable_)))
    found = callable_.get(wanted)
    if found is None:
        there = ", ".join(sorted(callable_)) or "none that can be called"
        way_out = "say which with --signature" if callable_ else "nothing can be sent to it"
        raise TargetError(f"'{model}' has no signature '{wanted}'; there are: {there}: {way_out}")
    return Description(
        protocol,
        model,
        version,
        wanted,
        _tensors(found.inputs),
        _tensors(found.outputs),
        optional=frozenset(found.defaults),
    )


def signatures_of_json(metadata: Mapping[str, object]) -> tfs.SignatureDefMap:
    """The signatures in the metadata that `GET /v1/models/NAME/metadata` answers with.

    Raises:
        TargetError: they make no sense.
    """
    inner = metadata.get("metadata")
    found = inner.get(SIGNATURE_FIELD) if isinstance(inner, dict) else None
    try:
        return json_format.ParseDict(
            found if isinstance(found, dict) else {}, tfs.SignatureDefMap(), ignore_unknown_fields=True
        )
    except (json_format.ParseError, ValueError, RecursionError) as error:
        raise TargetError(f"the model's metadata makes no sense: {error}") from None


class Serving:
    """Predict over gRPC.

    Args:
        version: that calls ask for, a number or a label; empty: the server's choice.
    """

    def __init__(self, description: Description, *, version: str) -> None:
        self.description = description
        self._version = version

    def payload(self, inputs: Mapping[str, Array]) -> Payload:
        """See Dialect."""
        request = tfs.PredictRequest(
            model_spec=model_spec(self.description.model, self._version, self.description.signature)
        )
        for name, array in inputs.items():
            try:
                fill(request.inputs[name], array)
            except ValueError as error:
                raise TargetError(f"input '{name}': {error}") from None
        # the order of a map is protobuf's own, and the same bytes are the same call to a cache
        body = request.SerializeToString(deterministic=True)
        return Payload(PREDICT, (), body, self.description.rows_of(inputs))

    def read(self, answer: Answer) -> dict[str, Array]:
        """See Dialect."""
        try:
            response = tfs.PredictResponse.FromString(answer.body)
        except DecodeError as error:
            raise ValueError(f"it is no PredictResponse: {error}") from None
        outputs = {}
        for name in sorted(response.outputs):
            try:
                outputs[name] = array_of(response.outputs[name])
            except ValueError as error:
                raise ValueError(f"output '{name}': {error}") from None
        return outputs


def _can_be_called(signature: tfs.SignatureDef) -> bool:
    # SavedModels keep the operation that initialises them as a signature, whose output has no dtype
    return any(output.dtype != tfs.DT_INVALID for output in signature.outputs.values())


def _tensors(infos: Mapping[str, tfs.TensorInfo]) -> tuple[TensorMetadata, ...]:
    return tuple(
        TensorMetadata(name, datatype_of_number(info.dtype), _shape(info.tensor_shape))
        for name, info in sorted(infos.items())
    )


def _shape(shape: tfs.TensorShapeProto) -> tuple[int, ...]:
    return (-1,) if shape.unknown_rank else tuple(dimension.size for dimension in shape.dim)


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdecimal() and int(version) < 2**63
