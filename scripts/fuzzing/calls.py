"""Calls in which nothing is wrong, of every kind that the server knows; cases are made from them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from fuzzing.models import GOOD, NAMES
from hotgraph_protos import open_inference as pb

V2 = "/inference.GRPCInferenceService/"
PREDICTION = "/tensorflow.serving.PredictionService/"
MODELS = "/tensorflow.serving.ModelService/"

REGION = "region"
"""A name of shared memory that is registered in between, of this many bytes:"""
REGION_BYTES = 4096

_SUM_IN = np.arange(6, dtype=np.float32).reshape(2, 3)
_OTHER = np.arange(1, 7, dtype=np.int32).reshape(2, 3)

WORDS = (
    *NAMES,
    *("x", "a", "b", "by", "text", "factor", "sum", "product", "y", "classes", "scores", "doubled", "total"),
    *("serving_default", "echo_float16", "echo_string", "regress", "wide", REGION),
    *("signature_name", "timeout", "priority", "sequence_id", "sequence_start", "sequence_end"),
    *("classification", "shared_memory_region", "shared_memory_offset", "shared_memory_byte_size"),
    *("triton_enable_empty_final_response", "binary_data_output", "config", "file:1/model.savedmodel/x"),
    *("trace_level", "trace_rate", "trace_count", "log_frequency", "TIMESTAMPS", "TENSORS", "OFF"),
    *("log_verbose_level", "log_error", "log_format", "ISO8601", "{}", '{"max_batch_size": 4}'),
)


@dataclass(frozen=True)
class Kind:
    """Calls of one method.

    Attributes:
        method: its full name.
        messages: valid ones.
        streamed: do they travel in streams?
    """

    method: str
    messages: Sequence[Any]
    streamed: bool = False


def good_call() -> Any:
    """One that always works; see `is_right`."""
    request = _infer(GOOD, {"a": _SUM_IN, "b": _OTHER})
    request.id = "good"
    return request


def is_right(response: Any) -> bool:
    """Is this the answer to `good_call`?"""
    found = {
        output.name: (output.datatype, list(output.shape), raw)
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }
    return response.id == "good" and found == {
        "sum": ("FP32", [2, 3], (_SUM_IN + _OTHER.astype(np.float32)).tobytes()),
        "product": ("INT32", [2, 3], (_SUM_IN.astype(np.int32) * _OTHER).tobytes()),
    }


def inference() -> list[Kind]:
    """ModelInfer, alone and in streams."""
    messages = _inferences()
    return [Kind(V2 + "ModelInfer", messages), Kind(V2 + "ModelStreamInfer", messages, streamed=True)]


def prediction() -> list[Kind]:
    """TensorFlow Serving's calls."""
    example = tf.train.Example(
        features=tf.train.Features(
            feature={"x": tf.train.Feature(float_list=tf.train.FloatList(value=[1, 2, 3, 4]))}
        )
    )
    predict = [_predict(GOOD, {"a": _SUM_IN, "b": _OTHER}), _predict("strings", {"text": _words()})]
    typed = predict_pb2.PredictRequest()
    typed.model_spec.name, typed.model_spec.version.value = "unknown_rank", 1
    typed.inputs["x"].CopyFrom(tf.make_tensor_proto(1.5))
    predict += [typed, _predict("embedding", {"id": np.array([1, 2], np.int32)})]
    predict[0].output_filter.append("sum")
    classify = classification_pb2.ClassificationRequest()
    regress = regression_pb2.RegressionRequest()
    multi = inference_pb2.MultiInferenceRequest()
    for request in (classify, regress, multi):
        request.input.example_list.examples.extend([example, example])
    with_context = classification_pb2.ClassificationRequest()
    with_context.input.example_list_with_context.examples.add()
    with_context.input.example_list_with_context.context.CopyFrom(example)
    for request, signature in ((classify, ""), (with_context, "elsewhere"), (regress, "regress")):
        request.model_spec.name, request.model_spec.signature_name = "example_tasks", signature
    for method, signature in (("classify", "serving_default"), ("regress", "regress")):
        task = multi.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = "example_tasks", signature
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = GOOD
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = GOOD
    return [
        Kind(PREDICTION + "Predict", predict),
        Kind(PREDICTION + "Classify", [classify, with_context]),
        Kind(PREDICTION + "Regress", [regress]),
        Kind(PREDICTION + "MultiInference", [multi]),
        Kind(PREDICTION + "GetModelMetadata", [metadata]),
        Kind(MODELS + "GetModelStatus", [status]),
    ]


def management(key: str, files: Mapping[str, bytes]) -> list[Kind]:
    """What changes or shows the server.

    Args:
        key: of a shared memory object of REGION_BYTES.
        files: of a model, by what a request to load calls them.
    """
    parameter = pb.ModelRepositoryParameter
    load = pb.RepositoryModelLoadRequest(model_name="scalars")
    configured = pb.RepositoryModelLoadRequest(model_name="strings")
    configured.parameters["config"].string_param = '{"max_batch_size": 4, "dynamic_batching": {}}'
    brought = pb.RepositoryModelLoadRequest(model_name="brought")
    brought.parameters["config"].string_param = "{}"
    for name, content in files.items():
        brought.parameters[name].CopyFrom(parameter(bytes_param=content))
    unload = pb.RepositoryModelUnloadRequest(model_name="brought")
    unload.parameters["unload_dependents"].bool_param = True
    trace = pb.TraceSettingRequest(model_name="strings")
    for name, value in (("trace_level", "TIMESTAMPS"), ("trace_rate", "10"), ("trace_count", "5")):
        trace.settings[name].value.append(value)
    log = pb.LogSettingsRequest()
    log.settings["log_info"].bool_param = False
    log.settings["log_verbose_level"].uint32_param = 1
    log.settings["log_format"].string_param = "ISO8601"
    register = pb.SystemSharedMemoryRegisterRequest(name=REGION, key=key, byte_size=REGION_BYTES)
    named = [GOOD, "strings", "running_sum"]
    v2: dict[str, list[Any]] = {
        "ServerLive": [pb.ServerLiveRequest()],
        "ServerMetadata": [pb.ServerMetadataRequest()],
        "ModelReady": [pb.ModelReadyRequest(name=name, version="1") for name in named],
        "ModelMetadata": [pb.ModelMetadataRequest(name=name, version="1") for name in named],
        "ModelConfig": [pb.ModelConfigRequest(name=name, version="1") for name in named],
        "ModelStatistics": [pb.ModelStatisticsRequest(name=name, version="1") for name in named],
        "RepositoryIndex": [pb.RepositoryIndexRequest(ready=True)],
        "RepositoryModelLoad": [load, configured, brought],
        "RepositoryModelUnload": [unload],
        "SystemSharedMemoryStatus": [pb.SystemSharedMemoryStatusRequest(name=REGION)],
        "SystemSharedMemoryRegister": [register],
        "SystemSharedMemoryUnregister": [pb.SystemSharedMemoryUnregisterRequest(name=REGION)],
        "CudaSharedMemoryStatus": [pb.CudaSharedMemoryStatusRequest(name=REGION)],
        "CudaSharedMemoryRegister": [pb.CudaSharedMemoryRegisterRequest(name=REGION, raw_handle=b"x" * 64)],
        "CudaSharedMemoryUnregister": [pb.CudaSharedMemoryUnregisterRequest(name=REGION)],
        "TraceSetting": [trace, pb.TraceSettingRequest()],
        "LogSettings": [log],
    }
    return [Kind(V2 + method, messages) for method, messages in v2.items()]


def registering(key: str) -> bytes:
    """The SystemSharedMemoryRegister request for REGION."""
    request = pb.SystemSharedMemoryRegisterRequest(name=REGION, key=key, byte_size=REGION_BYTES)
    return bytes(request.SerializeToString())


def reloading(folder: str) -> Kind:
    """HandleReloadConfigRequest of a server that serves `folder` as GOOD."""
    request = model_management_pb2.ReloadConfigRequest()
    for name in (GOOD, "another"):
        config = request.config.model_config_list.config.add()
        config.name, config.base_path, config.model_platform = name, folder, "tensorflow"
        config.model_version_policy.specific.versions.append(1)
    config.version_labels["stable"] = 1
    return Kind(MODELS + "HandleReloadConfigRequest", [request])


def restored_models(folder: str) -> list[bytes]:
    """The requests that bring GOOD back: it is waited for only if it was not there before."""
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    nothing = bytes(request.SerializeToString())
    config = request.config.model_config_list.config.add()
    config.name, config.base_path, config.model_platform = GOOD, folder, "tensorflow"
    return [nothing, bytes(request.SerializeToString())]


def restored_logs() -> bytes:
    """The LogSettings request after which the log shows again what goes wrong."""
    request = pb.LogSettingsRequest()
    for name in ("log_info", "log_warning", "log_error"):
        request.settings[name].bool_param = True
    request.settings["log_verbose_level"].uint32_param = 0
    request.settings["log_format"].string_param = "default"
    return bytes(request.SerializeToString())


def _inferences() -> list[Any]:
    numbers = {"a": _SUM_IN, "b": _OTHER}
    good, typed = _infer(GOOD, numbers), _infer(GOOD, numbers, typed=True)
    some = _infer(GOOD, numbers)
    some.outputs.add(name="product")
    some.outputs.add(name="sum").parameters["classification"].int64_param = 2
    shared = _infer(GOOD, numbers)
    del shared.raw_input_contents[:]
    for at, tensor in enumerate(shared.inputs):
        _place(tensor, at * 24, 24)
    _place(shared.outputs.add(name="sum"), 1024, 24)
    queued = _infer("queued", numbers)
    queued.parameters["priority"].uint64_param = 1
    queued.parameters["timeout"].int64_param = 500_000
    messages = [good, typed, some, shared, queued, _infer("queued", numbers, typed=True)]
    messages += [_infer("strings", {"text": _words()}), _infer("strings", {"text": _words()}, typed=True)]
    for name in ("bool", "float16", "bfloat16", "float64", "int8", "uint16", "int64", "uint64", "string"):
        values = np.ones((2, 2)).astype(tf.as_dtype(name).as_numpy_dtype)
        if name == "string":
            values = np.array([[b"", b"a"], [b"\0", b"long" * 9]], object)
        echo = _infer("every_dtype", {"x": values}, typed="float16" not in name)
        echo.parameters["signature_name"].string_param = f"echo_{name}"
        messages.append(echo)
    one = np.ones((1, 1), np.float32)
    for model, identity in (("running_sum", 7), ("running_sum", "seven"), ("slot_sums", 8)):
        for flags in ({"sequence_start": True}, {"sequence_end": True}, {}):
            part = _infer(model, {"x": one})
            if isinstance(identity, str):
                part.parameters["sequence_id"].string_param = identity
            else:
                part.parameters["sequence_id"].int64_param = identity
            for flag in flags:
                part.parameters[flag].bool_param = True
            messages.append(part)
    messages += [
        _infer("scalars", {"x": np.array(1.5)}),
        _infer("default_input", {"x": np.ones((2, 2), np.float32)}),
        _infer("embedding", {"id": np.array([1, 2], np.int32)}),
        _infer("unbatched_output", {"x": _SUM_IN}),
        _infer("unknown_rank", {"x": _SUM_IN}),
        _infer("variable_length", {"x": _SUM_IN}),
        # Large enough for the ways of large messages.
        _infer("variable_length", {"x": np.ones((4, 10_000), np.float32)}),
        _infer("strings", {"text": np.array([b"x" * 60] * 500, object)}),
    ]
    return messages


def _infer(model: str, tensors: Mapping[str, Any], *, typed: bool = False) -> Any:
    request = pb.ModelInferRequest(model_name=model, model_version="1")
    for name, array in tensors.items():
        datatype, raw, field = _encoded(array)
        tensor = request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        if typed and field:
            getattr(tensor.contents, field).extend(array.reshape(-1).tolist())
        else:
            request.raw_input_contents.append(raw)
    return request


_FIELDS: dict[str, tuple[str, str]] = {
    "bool": ("BOOL", "bool_contents"),
    "float16": ("FP16", ""),
    "bfloat16": ("BF16", ""),
    "float32": ("FP32", "fp32_contents"),
    "float64": ("FP64", "fp64_contents"),
    "int8": ("INT8", "int_contents"),
    "int32": ("INT32", "int_contents"),
    "int64": ("INT64", "int64_contents"),
    "uint16": ("UINT16", "uint_contents"),
    "uint64": ("UINT64", "uint64_contents"),
    "object": ("BYTES", "bytes_contents"),
}


def _encoded(array: Any) -> tuple[str, bytes, str]:
    """Datatype, raw bytes, and the field of typed contents."""
    datatype, field = _FIELDS[array.dtype.name]
    if datatype == "BYTES":
        raw = b"".join(struct.pack("<I", len(one)) + one for one in array.reshape(-1))
    else:
        raw = array.tobytes()
    return datatype, raw, field


def _place(tensor: Any, offset: int, nbytes: int) -> None:
    tensor.parameters["shared_memory_region"].string_param = REGION
    tensor.parameters["shared_memory_offset"].int64_param = offset
    tensor.parameters["shared_memory_byte_size"].int64_param = nbytes


def _predict(model: str, tensors: Mapping[str, Any]) -> Any:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    for name, array in tensors.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return request


def _words() -> Any:
    return np.array([b"amber", b"", b"b\0"], object)
