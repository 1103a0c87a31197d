"""Where tensors lie in Predict messages: in one piece, or nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from hotgraph_server.protocols.tfs.spans import tensor_spans
from hotgraph_server.transport.message_fields import MalformedMessage, header

from .predict_messages import typed

VALUES = np.array([1.5, 2.5, 3.5], np.float32)


def request(**inputs: Any) -> Any:
    built = predict_pb2.PredictRequest()
    for alias, array in inputs.items():
        built.inputs[alias].CopyFrom(tf.make_tensor_proto(array))
    return built


def found(message: bytes, built: Any = None) -> dict[str, bytes]:
    places = tensor_spans(message, built or predict_pb2.PredictRequest.FromString(message))
    return {alias: message[span.at : span.end] for alias, span in places.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, np.int16, np.float64])
def test_content_of_any_dtype_is_found(dtype: Any) -> None:
    a, b = VALUES.astype(dtype), (VALUES + 1).astype(dtype)
    assert found(request(a=a, b=b).SerializeToString()) == {"a": a.tobytes(), "b": b.tobytes()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_packed_floats_are_found(dtype: Any) -> None:
    built = predict_pb2.PredictRequest()
    built.inputs["a"].CopyFrom(typed(VALUES.astype(dtype)))
    assert found(built.SerializeToString()) == {"a": VALUES.astype(dtype).tobytes()}


def test_numbers_of_any_length_are_not() -> None:
    built = predict_pb2.PredictRequest()
    built.inputs["a"].CopyFrom(typed(VALUES.astype(np.int64)))
    assert found(built.SerializeToString()) == {}


def test_content_in_several_pieces_is_not() -> None:
    tensor = request(a=VALUES).inputs["a"].SerializeToString()
    content = header(4, 12) + VALUES.tobytes()
    entries = (
        # A field twice, a tensor twice, a key twice.
        (header(1, 1) + b"a", header(2, len(tensor) + 14) + tensor + content),
        (header(1, 1) + b"a", header(2, len(tensor)) + tensor, header(2, 14) + content),
        (header(1, 1) + b"b", header(1, 1) + b"a", header(2, len(tensor)) + tensor),
    )
    for parts in entries:
        entry = b"".join(parts)
        message = header(2, len(entry)) + entry
        assert list(predict_pb2.PredictRequest.FromString(message).inputs) == ["a"]
        assert found(message) == {}


def test_alias_twice_is_nobodys() -> None:
    one, other = (request(a=VALUES + number).SerializeToString() for number in range(2))
    assert found(one + other) == {}


def test_message_cut_short_is_malformed() -> None:
    built = request(a=VALUES)
    with pytest.raises(MalformedMessage):
        tensor_spans(built.SerializeToString()[:-1], built)
