"""Messages of Predict, one of each form, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from hotgraph_server.protocols.tfs import decode, prediction
from hotgraph_server.protocols.tfs.predict import Predict
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import STRING, Array

from ..fakes import RecordingVersion, float_signature, spec, strings
from ..hot_methods import Case

DEFAULT_Y = np.array([[7, 8]], np.float32)
MIXED = Signature(
    "mixed",
    (
        spec("flags", np.bool_, None, 2),
        spec("training", np.bool_),
        spec("doubles", np.float64, None),
        spec("longs", np.int64, None),
        spec("words", STRING, None),
    ),
    (spec("words", STRING, None), spec("count", np.int64)),
)


def typed(array: Any) -> Any:
    """A TensorProto with its values in their field, as clients in other languages write them."""
    proto = tf.make_tensor_proto(array)
    proto.ClearField("tensor_content")
    field = {1: "float_val", 2: "double_val", 9: "int64_val"}[proto.dtype]
    getattr(proto, field).extend(np.ravel(array).tolist())
    return proto


def version(number: int = 3, **more: Any) -> RecordingVersion:
    """Model "m": floats with a default by default, `mixed` for the rest."""
    return RecordingVersion("m", number, float_signature(defaults={"y": DEFAULT_Y}), MIXED, **more)


def request(inputs: Mapping[str, Any], *, signature: str = "", model: str = "m") -> Any:
    """A call with these arrays, or TensorProtos."""
    built = predict_pb2.PredictRequest()
    built.model_spec.name = model
    built.model_spec.signature_name = signature
    for alias, value in inputs.items():
        is_array = isinstance(value, np.ndarray)
        built.inputs[alias].CopyFrom(tf.make_tensor_proto(value) if is_array else value)
    return built


def floats(x: float = 1, *, rows: int = 1, y: float | None = 2, model: str = "m") -> Any:
    """A good call of the floats."""
    values = {"x": x} if y is None else {"x": x, "y": y}
    arrays = {alias: np.full((rows, 2), value, np.float32) for alias, value in values.items()}
    return request(arrays, model=model)


def mixed(words: Array) -> Any:
    """A good call of `mixed`: booleans, a typed flag, typed doubles, integers, strings."""
    return request(
        {
            "flags": np.array([[True, False], [False, True]]),
            "training": np.array(True),
            "doubles": typed(np.array([1, 2], np.float64)),
            "longs": np.array([-1, 2]),
            "words": words,
        },
        signature="mixed",
    )


def good_messages() -> dict[str, bytes]:
    """One of each form that callers send."""
    chosen = floats()
    chosen.model_spec.version.value = 3
    chosen.output_filter.extend(["difference", "sum"])
    latest = floats()
    latest.model_spec.version.value = 0
    repeated = floats()
    repeated.inputs["y"].ClearField("tensor_content")
    repeated.inputs["y"].float_val.append(5)
    empty = floats()
    empty.inputs["y"].ClearField("tensor_content")
    requests = {
        "content": floats(),
        "default": floats(y=None),
        "typed": request({name: typed(np.full((1, 2), 3, np.float32)) for name in "xy"}),
        "typed double": request({name: typed(np.full((1, 2), 3, np.float64)) for name in "xy"}),
        "chosen": chosen,
        "version 0": latest,
        "last value repeated": repeated,
        "zeros": empty,
        "mixed": mixed(strings(b"a", b"bcd")),
        "many rows": floats(rows=8),
        "any shape": request({name: np.zeros((3, 1), np.float32) for name in "xy"}),
    }
    return {name: built.SerializeToString(deterministic=True) for name, built in requests.items()}


GOOD = good_messages()


def _floats(
    x: float = 1, *, rows: int = 1, y: float | None = 2, model: str = "m", number: int | None = None
) -> bytes:
    built = floats(x, rows=rows, y=y, model=model)
    if number is not None:
        built.model_spec.version.value = number
    return bytes(built.SerializeToString(deterministic=True))


PREDICT = Case(
    "Predict",
    prediction.service,
    Predict,
    version,
    GOOD,
    "typed double",
    _floats,
    lambda words: bytes(mixed(words).SerializeToString(deterministic=True)),
    (None, 0, 1, 2),
    decode,
    DEFAULT_Y,
)
