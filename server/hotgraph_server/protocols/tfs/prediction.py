"""``tensorflow.serving.PredictionService``: its methods, and GetModelMetadata."""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from tensorflow_serving.apis import get_model_metadata_pb2, prediction_service_pb2

from hotgraph_server.errors import InvalidCall
from hotgraph_server.models.registry import Registry
from hotgraph_server.protocols.tfs import model_spec
from hotgraph_server.protocols.tfs.inference import CLASSIFY, REGRESS, Inference
from hotgraph_server.protocols.tfs.multi_inference import MultiInference
from hotgraph_server.protocols.tfs.predict import Predict
from hotgraph_server.settings import PredictionSettings
from hotgraph_server.transport.service import PlainMethod, Service

NAME = "tensorflow.serving.PredictionService"


def service(registry: Registry, settings: PredictionSettings | None = None) -> Service:
    """The service over a registry."""
    settings = settings or PredictionSettings()
    check = settings.check_method_names
    return Service(
        name=NAME,
        descriptor=prediction_service_pb2.DESCRIPTOR,
        hot={
            "Predict": Predict(registry, settings),
            "Classify": Inference(registry, CLASSIFY, check_method_names=check),
            "Regress": Inference(registry, REGRESS, check_method_names=check),
            "MultiInference": MultiInference(registry, check_method_names=check),
        },
        plain={
            "GetModelMetadata": PlainMethod(
                get_model_metadata_pb2.GetModelMetadataRequest, functools.partial(_metadata, registry)
            )
        },
    )


def _metadata(registry: Registry, request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise InvalidCall("Missing ModelSpec")
    if not request.metadata_field:
        raise InvalidCall("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != "signature_def":
            raise InvalidCall(f"Metadata field {field} is not supported")
    version = model_spec.find_for(registry, request)
    signature_map = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in version.signature_defs.items():
        signature_map.signature_def[name].CopyFrom(definition)
    packed = AnyMessage()
    packed.Pack(signature_map)
    response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=model_spec.answered(version))
    response.metadata["signature_def"].CopyFrom(packed)
    return response
