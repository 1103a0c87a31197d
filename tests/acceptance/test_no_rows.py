"""A call of no rows means the same on both protocols: the graph's own answer, or its own error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from .triton_tensors import tensor

FLOAT = np.float32
NO_TEXT = np.empty(0, object)


@pytest.fixture(scope="module")
def serving(address: str) -> Iterator[Any]:
    with grpc.insecure_channel(address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def predict(serving: Any, model: str, inputs: dict[str, Any]) -> dict[str, Any]:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    for alias, array in inputs.items():
        dtype = tf.string if array.dtype == object else array.dtype
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(array, dtype))
    outputs = serving.Predict(request).outputs
    return {alias: tf.make_ndarray(proto) for alias, proto in outputs.items()}


def infer(client: InferenceServerClient, model: str, inputs: dict[str, Any]) -> dict[str, Any]:
    answer = client.infer(model, [tensor(alias, array) for alias, array in inputs.items()])
    return {one.name: answer.as_numpy(one.name) for one in answer.get_response().outputs}


@pytest.mark.parametrize(
    ("model", "inputs", "shapes"),
    [
        # Those that share batches,
        ("keras_dense", {"x": np.empty((0, 8), FLOAT)}, {"output_0": (0, 3)}),
        ("embedding", {"id": np.empty(0, np.int32)}, {"vector": (0, 3)}),
        ("variable_length", {"x": np.empty((0, 7), FLOAT)}, {"total": (0,), "nothing": (0, 0)}),
        ("scalar_input", {"x": np.empty((0, 2), FLOAT), "factor": np.array(4, FLOAT)}, {"scaled": (0, 2)}),
        # and those that run alone.
        ("padded_text", {"text": NO_TEXT}, {"mean_code": (0,)}),
        ("batch_statistics", {"x": np.empty((0, 4), FLOAT)}, {"y": (0, 4)}),
        ("unbatched_output", {"x": np.empty((0, 3), FLOAT)}, {"doubled": (0, 3), "total": ()}),
        ("square_output", {"x": np.empty((0, 3), FLOAT)}, {"doubled": (0, 3), "transition": (3, 3)}),
    ],
)
def test_no_rows_are_answered_by_the_graph(
    client: InferenceServerClient, serving: Any, model: str, inputs: dict[str, Any], shapes: Any
) -> None:
    found, other = infer(client, model, inputs), predict(serving, model, inputs)
    assert found.keys() == other.keys()
    for alias, array in found.items():
        np.testing.assert_array_equal(array, other[alias])
    assert {alias: array.shape for alias, array in found.items()} == shapes


def test_graph_that_needs_a_row_says_so_on_both(client: InferenceServerClient, serving: Any) -> None:
    inputs = {"id": np.empty((0, 2), np.int32)}
    with pytest.raises(grpc.RpcError) as refused:
        predict(serving, "lookups", inputs)
    with pytest.raises(InferenceServerException) as other:
        infer(client, "lookups", inputs)
    told = refused.value.details() or ""
    assert "slice index 0 of dimension 0 out of bounds" in told
    assert told == other.value.message()


def test_rows_that_do_not_agree_are_refused_as_ever(client: InferenceServerClient) -> None:
    inputs = {"a": np.empty((0, 3), FLOAT), "b": np.ones((1, 3), np.int32)}
    with pytest.raises(InferenceServerException, match="batch size does not match other inputs"):
        infer(client, "two_in_two_out", inputs)
