"""How an array travels to each kind of server, and how its answer is read. Pure.

Every request carries `workload.INPUT`, float32 [rows, ...]; every answer `workload.OUTPUT`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.workload import INPUT, OUTPUT
from hotgraph_protos.open_inference import ModelInferRequest, ModelInferResponse

Floats = NDArray[np.float32]

FRAME_BYTES = 5
"""What gRPC puts before a message."""

_HEAD_LENGTH = "inference-header-content-length"
_GRPC_HEADERS = ("content-type: application/grpc", "te: trailers")


class BadAnswer(Exception):
    """An answer that cannot be read, or that is wrong; the text says how."""


@dataclass(frozen=True)
class Protocol:
    """A way to call.

    Attributes:
        path: of the URL, with ``{model}`` where a model's name stands.
        grpc: over HTTP/2 with gRPC's frame around a message; otherwise HTTP/1.1 with a plain body.
        headers: that every request needs, as ``name: value``.
        encode: model name and array to a message or body.
        decode: a message or body, and the shape of the expected answer, to an array; raises BadAnswer.
        json_head: model name and array to the JSON that a body begins with, where a header tells its length.
    """

    name: str
    path: str
    grpc: bool
    headers: tuple[str, ...]
    encode: Callable[[str, Floats], bytes]
    decode: Callable[[bytes, tuple[int, ...]], Floats]
    json_head: Callable[[str, Floats], bytes] | None = None

    def path_of(self, model: str) -> str:
        """Of the URL, for a model."""
        return self.path.format(model=model)

    def headers_of(self, model: str, array: Floats) -> tuple[str, ...]:
        """That a request needs, as ``name: value``."""
        if self.json_head is None:
            return self.headers
        return (*self.headers, f"{_HEAD_LENGTH}: {len(self.json_head(model, array))}")

    def body(self, model: str, array: Floats) -> bytes:
        """What h2load sends."""
        message = self.encode(model, array)
        return grpc_frame(message) if self.grpc else message


def grpc_frame(message: bytes) -> bytes:
    """A message as it lies in an HTTP/2 stream: not compressed, its length, itself."""
    return struct.pack(">BI", 0, len(message)) + message


def v2_response(model: str, answer: Floats) -> ModelInferResponse:
    """The answer of a plain v2 server; hotgraph's has the same size."""
    response = ModelInferResponse(model_name=model, model_version="1")
    response.outputs.add(name=OUTPUT, datatype="FP32", shape=answer.shape)
    response.raw_output_contents.append(answer.astype("<f4", copy=False).tobytes())
    return response


def _v2_request(model: str, array: Floats) -> bytes:
    request = ModelInferRequest(model_name=model)
    request.inputs.add(name=INPUT, datatype="FP32", shape=array.shape)
    request.raw_input_contents.append(array.astype("<f4").tobytes())
    return request.SerializeToString()


def _v2_answer(message: bytes, shape: tuple[int, ...]) -> Floats:
    response = ModelInferResponse.FromString(message)
    names = [output.name for output in response.outputs]
    if names != [OUTPUT] or len(response.raw_output_contents) != 1:
        raise BadAnswer(f"outputs {names} with {len(response.raw_output_contents)} contents")
    answer: Floats = np.frombuffer(response.raw_output_contents[0], "<f4").reshape(response.outputs[0].shape)
    return answer


def _predict_request(model: str, array: Floats) -> bytes:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.inputs[INPUT].CopyFrom(tf.make_tensor_proto(array))
    message: bytes = request.SerializeToString()
    return message


def _predict_answer(message: bytes, shape: tuple[int, ...]) -> Floats:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    response = predict_pb2.PredictResponse.FromString(message)
    if list(response.outputs) != [OUTPUT]:
        raise BadAnswer(f"outputs {list(response.outputs)}")
    answer: Floats = tf.make_ndarray(response.outputs[OUTPUT])
    return answer


def _raw_request(model: str, array: Floats) -> bytes:
    return array.astype("<f4").tobytes()


def _raw_answer(body: bytes, shape: tuple[int, ...]) -> Floats:
    if len(body) != 4 * int(np.prod(shape)):
        raise BadAnswer(f"{len(body)} bytes for shape {list(shape)}")
    return np.frombuffer(body, "<f4").reshape(shape)


def _json_request(model: str, array: Floats) -> bytes:
    # numpy writes as few digits as give the same float32 back: what a careful client would send.
    return b'{"%s":%s}' % (INPUT.encode(), _json_list(array.astype(np.str_).tolist()).encode())


def _json_list(texts: Any) -> str:
    if isinstance(texts[0], str):
        return "[" + ",".join(texts) + "]"
    return "[" + ",".join(map(_json_list, texts)) + "]"


def _json_answer(body: bytes, shape: tuple[int, ...]) -> Floats:
    parsed = json.loads(body)
    return np.array(parsed[OUTPUT] if isinstance(parsed, dict) else parsed, np.float32)


def _binary_head(model: str, array: Floats) -> bytes:
    given = {**_v2_input(array), "parameters": {"binary_data_size": 4 * array.size}}
    wanted = {"name": OUTPUT, "parameters": {"binary_data": True}}
    return json.dumps({"inputs": [given], "outputs": [wanted]}, separators=(",", ":")).encode()


def _binary_request(model: str, array: Floats) -> bytes:
    return _binary_head(model, array) + array.astype("<f4").tobytes()


def _binary_answer(body: bytes, shape: tuple[int, ...]) -> Floats:
    size = 4 * int(np.prod(shape))
    output = _v2_output(body[: len(body) - size])
    if output.get("parameters") != {"binary_data_size": size}:
        raise BadAnswer(f"{output.get('parameters')} in place of {size} bytes for shape {list(shape)}")
    answer: Floats = np.frombuffer(body[len(body) - size :], "<f4").reshape(output["shape"])
    return answer


def _v2_json_request(model: str, array: Floats) -> bytes:
    # Flat, as tritonclient sends it; the digits as in _json_request.
    head = json.dumps({"inputs": [{**_v2_input(array), "data": []}]}, separators=(",", ":")).encode()
    return head.replace(b"[]", _json_list(array.ravel().astype(np.str_).tolist()).encode())


def _v2_json_answer(body: bytes, shape: tuple[int, ...]) -> Floats:
    output = _v2_output(body)
    return np.array(output["data"], np.float32).reshape(output["shape"])


def _v2_input(array: Floats) -> dict[str, Any]:
    return {"name": INPUT, "shape": list(array.shape), "datatype": "FP32"}


def _v2_output(text: bytes) -> dict[str, Any]:
    """The one output of an answer. Raises BadAnswer, ValueError: it is no such answer."""
    outputs: list[dict[str, Any]] = json.loads(text)["outputs"]
    named = [(output["name"], output["datatype"]) for output in outputs]
    if named != [(OUTPUT, "FP32")]:
        raise BadAnswer(f"outputs {named}")
    return outputs[0]


V2 = Protocol(
    "Open Inference (ModelInfer)",
    "/inference.GRPCInferenceService/ModelInfer",
    True,
    _GRPC_HEADERS,
    _v2_request,
    _v2_answer,
)
PREDICT = Protocol(
    "TensorFlow Serving (Predict)",
    "/tensorflow.serving.PredictionService/Predict",
    True,
    _GRPC_HEADERS,
    _predict_request,
    _predict_answer,
)
RAW = Protocol(
    "HTTP/1.1, raw float32",
    "/inference",
    False,
    ("content-type: application/octet-stream",),
    _raw_request,
    _raw_answer,
)
JSON = Protocol(
    "HTTP/1.1, JSON", "/predict", False, ("content-type: application/json",), _json_request, _json_answer
)
V2_BINARY = Protocol(
    "Open Inference over HTTP/1.1, binary tensors both ways",
    "/v2/models/{model}/infer",
    False,
    ("content-type: application/octet-stream",),
    _binary_request,
    _binary_answer,
    _binary_head,
)
V2_JSON = Protocol(
    "Open Inference over HTTP/1.1, JSON both ways",
    "/v2/models/{model}/infer",
    False,
    ("content-type: application/json",),
    _v2_json_request,
    _v2_json_answer,
)
