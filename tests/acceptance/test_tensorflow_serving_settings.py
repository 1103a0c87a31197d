"""A server with settings that few have: labels, answers in tensor_content, method names that count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from ..saved_models import DTYPES, SavedModels
from .serving_examples import CLASSIFY, ONE, REGRESS, classification, multi_inference, regression, rows


@pytest.fixture(scope="module")
def stub(saved_models: SavedModels, versions: Path) -> Iterator[Any]:
    """Models example_tasks, every_dtype and versioned, whose version 2 is `canary` and 7 `stable`."""
    from hotgraph_server.server import Server
    from hotgraph_server.settings import (
        AdminSettings,
        AllVersions,
        ListenSettings,
        ModelSettings,
        PredictionSettings,
        RestSettings,
        ServerSettings,
    )

    models = (
        ModelSettings("example_tasks", saved_models["example_tasks"]),
        ModelSettings("every_dtype", saved_models["every_dtype"]),
        ModelSettings("versioned", versions, versions=AllVersions(), labels={"canary": 2, "stable": 7}),
    )
    server = Server(
        ServerSettings(
            models,
            ListenSettings(port=0),
            AdminSettings(admin_port=0),
            RestSettings(rest_port=0),
            prediction=PredictionSettings(tensor_content=True, check_method_names=True),
        )
    )
    server.start()
    try:
        with grpc.insecure_channel(server.address) as channel:
            yield prediction_service_pb2_grpc.PredictionServiceStub(channel)
    finally:
        server.stop(0)


def predict(stub: Any, model: str, signature: str = "", *, label: str = "", **inputs: Any) -> Any:
    request = predict_pb2.PredictRequest()
    request.model_spec.CopyFrom(model_pb2.ModelSpec(name=model, signature_name=signature))
    if label:
        request.model_spec.version_label = label
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    return stub.Predict(request)


def refusal(call: Any, request: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    return caught.value.code().name, str(caught.value.details())


class TestLabels:
    @pytest.mark.parametrize(("label", "number", "shape"), [("stable", 7, (1, 16)), ("canary", 2, (1, 784))])
    def test_label_chooses_the_version(
        self, stub: Any, label: str, number: int, shape: tuple[int, ...]
    ) -> None:
        response = predict(stub, "versioned", label=label, x=np.zeros(shape, np.float32))
        assert response.model_spec.version.value == number

    def test_without_a_label_the_latest_is_meant(self, stub: Any) -> None:
        response = predict(stub, "versioned", x=np.zeros((1, 16), np.float32))
        assert response.model_spec.version.value == 7

    def test_label_chooses_for_metadata_too(self, stub: Any) -> None:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name, request.model_spec.version_label = "versioned", "canary"
        assert stub.GetModelMetadata(request).model_spec.version.value == 2

    @pytest.mark.parametrize(("model", "label"), [("versioned", "old"), ("every_dtype", "stable")])
    def test_label_that_nobody_has_is_refused(self, stub: Any, model: str, label: str) -> None:
        request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name=model, version_label=label))
        assert refusal(stub.Predict, request) == (
            "INVALID_ARGUMENT",
            f"Unrecognized servable version label: {label}",
        )


class TestTensorContent:
    @pytest.mark.parametrize("name", [name for name in DTYPES if name != "string"])
    def test_answer_is_in_tensor_content_and_read_as_it_was_sent(self, stub: Any, name: str) -> None:
        values = np.array([[0, 1], [1, 3]]).astype(tf.as_dtype(name).as_numpy_dtype)
        answer = predict(stub, "every_dtype", f"echo_{name}", x=values).outputs["y"]
        assert answer.tensor_content == values.tobytes()
        assert tf.make_ndarray(answer).tolist() == values.tolist()

    def test_strings_stay_where_clients_find_them(self, stub: Any) -> None:
        values = np.array([[b"", b"a\0"]], object)
        answer = predict(stub, "every_dtype", "echo_string", x=values).outputs["y"]
        assert list(answer.string_val) == [b"", b"a\0"]
        assert not answer.tensor_content


class TestMethodNames:
    def test_right_ones_pass(self, stub: Any) -> None:
        assert len(rows(stub.Classify(classification(ONE)).result)) == 1
        assert len(stub.Regress(regression(ONE)).result.regressions) == 1
        assert len(stub.MultiInference(multi_inference(("", CLASSIFY), ("regress", REGRESS))).results) == 2
        examples = [ONE.SerializeToString()]
        assert predict(stub, "example_tasks", inputs=examples).model_spec.signature_name == "serving_default"
        assert predict(stub, "example_tasks", "scores", inputs=examples).outputs["scores"].tensor_content

    def test_wrong_ones_are_refused(self, stub: Any) -> None:
        was = ". Was: tensorflow/serving/"
        assert refusal(stub.Classify, classification(ONE, signature="scores")) == (
            "INVALID_ARGUMENT",
            f"Expected classification signature method_name to be {CLASSIFY}{was}predict",
        )
        assert refusal(stub.Regress, regression(ONE, signature="column")) == (
            "INVALID_ARGUMENT",
            f"Expected regression signature method_name to be {REGRESS}{was}predict",
        )
        assert refusal(stub.MultiInference, multi_inference(("column", REGRESS))) == (
            "INVALID_ARGUMENT",
            f"Expected regression signature method_name to be {REGRESS}{was}predict",
        )
        request = predict_pb2.PredictRequest(
            model_spec=model_pb2.ModelSpec(name="example_tasks", signature_name="odd")
        )
        code, words = refusal(stub.Predict, request)
        assert code == "INTERNAL"
        assert words.startswith("Expected prediction signature method_name to be one of {")
        assert words.endswith(f"{was}other")
