"""``tensorflow.serving.PredictionService``: Predict and GetModelMetadata."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2, prediction_service_pb2

from hotgraph_server.batching.slot import Outcome, Slot
from hotgraph_server.errors import CallError, InvalidCall, WrongSignature
from hotgraph_server.model import Version
from hotgraph_server.protocols.tfs import codec, models
from hotgraph_server.registry import Registry
from hotgraph_server.signatures import DEFAULT_SIGNATURE, Signature
from hotgraph_server.tensors import Array, tensorflow_name
from hotgraph_server.transport.service import PlainMethod, Reply, Service

NAME = "tensorflow.serving.PredictionService"


def service(registry: Registry) -> Service:
    """The service over a registry."""
    return Service(
        name=NAME,
        descriptor=prediction_service_pb2.DESCRIPTOR,
        hot={"Predict": _Predict(registry)},
        plain={
            "GetModelMetadata": PlainMethod(
                get_model_metadata_pb2.GetModelMetadataRequest, functools.partial(_metadata, registry)
            )
        },
    )


class _Predict:
    """Predict: bytes in, a call into the version's queue, bytes out when its slot ends."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def __call__(self, message: bytes, reply: Reply) -> None:
        request, large = codec.read_request(message)
        version = models.find(self._registry, request)
        signature = _signature(version, request.model_spec.signature_name or DEFAULT_SIGNATURE)
        inputs = _inputs(request, large, signature)
        outputs = _outputs(request.output_filter, signature)
        spec = _answered_spec(version)
        spec.signature_name = signature.name
        slot = Slot(functools.partial(self._deliver, reply, spec, outputs))
        call = version.call(signature, inputs, outputs, slot, deadline=reply.deadline)
        reply.when_gone(functools.partial(version.leave, call))

    @staticmethod
    def _deliver(reply: Reply, spec: Any, outputs: tuple[str, ...], outcome: Outcome) -> None:
        def encode() -> bytes:
            if isinstance(outcome, CallError):
                raise outcome
            return codec.encode_response(spec, outputs, outcome)

        reply.finish(encode)


def _signature(version: Version, name: str) -> Signature:
    signature = version.signatures.get(name)
    if signature is None:
        why = f" It cannot be called: {version.unusable[name]}." if name in version.unusable else ""
        raise WrongSignature(f'Serving signature key "{name}" not found.{why}')
    return signature


def _inputs(request: Any, large: Mapping[str, codec.LargeValues], signature: Signature) -> Sequence[Array]:
    """The arrays in the signature's order. Shapes are the graph's concern on this protocol: TensorFlow
    Serving takes what the graph takes, whatever the signature says."""
    sent, known, defaults = request.inputs, signature.inputs_by_alias, signature.defaults
    if len(sent) > len(known) or (len(sent) < len(known) and not defaults):
        extra = ",".join(sorted(set(sent) - set(known)))
        missing = ",".join(sorted(set(known) - set(sent)))
        raise InvalidCall(
            f"input size does not match signature: {len(sent)}!={len(known)} "
            f"len({{{','.join(sorted(sent))}}}) != len({{{','.join(sorted(known))}}}). "
            f"Sent extra: {{{extra}}}. Missing but required: {{{missing}}}."
        )
    for alias in sent:
        if alias not in known and defaults:
            raise InvalidCall(
                f"Inputs contains invalid name. Used request inputs: {{{','.join(sorted(known))}}}, "
                f"request input: {{{','.join(sorted(sent))}}}"
            )
    arrays: list[Array] = []
    for spec in signature.inputs:
        if spec.alias in sent:
            array = codec.decode_tensor(spec.alias, sent[spec.alias], large.get(spec.alias))
        elif spec.alias in defaults:
            array = defaults[spec.alias]
        else:
            raise InvalidCall(
                f"Signature input alias: {spec.alias}(feed name: {spec.tensor}) not found in request and no "
                f"default value provided. Inputs expected to be in the request {{{','.join(sorted(sent))}}}, "
                f"or default input alias set: {','.join(sorted(defaults))}"
            )
        if array.dtype != spec.dtype:
            raise InvalidCall(
                f"Type mismatch for input {spec.alias}: actual {tensorflow_name(array.dtype)} "
                f"vs. expect {tensorflow_name(spec.dtype)}"
            )
        arrays.append(array)
    return arrays


def _outputs(output_filter: Sequence[str], signature: Signature) -> tuple[str, ...]:
    if not output_filter:
        return signature.output_aliases
    known = signature.outputs_by_alias
    for index, alias in enumerate(output_filter):
        if alias not in known:
            raise InvalidCall(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{','.join(sorted(known))}}}."
            )
        if alias in output_filter[:index]:
            raise InvalidCall(f"duplicate output tensor alias: {alias}")
    return tuple(output_filter)


def _metadata(registry: Registry, request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise InvalidCall("Missing ModelSpec")
    if not request.metadata_field:
        raise InvalidCall("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != "signature_def":
            raise InvalidCall(f"Metadata field {field} is not supported")
    version = models.find(registry, request)
    signature_map = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in version.signature_defs.items():
        signature_map.signature_def[name].CopyFrom(definition)
    packed = AnyMessage()
    packed.Pack(signature_map)
    response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=_answered_spec(version))
    response.metadata["signature_def"].CopyFrom(packed)
    return response


def _answered_spec(version: Version) -> Any:
    spec = model_pb2.ModelSpec(name=version.name)
    spec.version.value = version.number
    return spec
