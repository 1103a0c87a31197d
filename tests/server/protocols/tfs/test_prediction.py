"""PredictionService over models without TensorFlow: answers, and refusals in TensorFlow Serving's words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

from hotgraph_server.errors import (
    CallError,
    InvalidCall,
    NotFound,
    WrongMethod,
    WrongSignature,
)
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.tfs import prediction
from hotgraph_server.settings import PredictionSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.transport.service import Service

from ..fakes import (
    FakeGraph,
    FakeReply,
    Models,
    add_and_subtract,
    float_signature,
    identity,
    identity_signature,
    refuse_666,
)


@pytest.fixture
def graph() -> FakeGraph:
    return FakeGraph(
        (float_signature(), refuse_666),
        (identity_signature(np.int64, None, name="other"), identity),
        unusable={"broken": "input 'r' is a resource"},
        signature_defs={
            "serving_default": meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict"),
            "broken": meta_graph_pb2.SignatureDef(),
        },
    )


@pytest.fixture
def version(models: Models, graph: FakeGraph) -> Version:
    """Version 3 of model "m": floats by default, `other` for integers."""
    return models.add("m", 3, graph)


@pytest.fixture
def service(models: Models, version: Version) -> Service:
    return prediction.service(models.registry)


def request(
    x: float = 1,
    y: float = 2,
    *,
    model: str = "m",
    signature: str = "",
    inputs: Mapping[str, Array] | None = None,
) -> Any:
    """A call of a model with `x` and `y` of one row, or with other inputs."""
    built = predict_pb2.PredictRequest()
    built.model_spec.name = model
    built.model_spec.signature_name = signature
    if inputs is None:
        inputs = {"x": np.full((1, 2), x, np.float32), "y": np.full((1, 2), y, np.float32)}
    for alias, array in inputs.items():
        built.inputs[alias].CopyFrom(tf.make_tensor_proto(array))
    return built


def hand_in(service: Service, message: Any, deadline: float = math.inf) -> FakeReply:
    reply = FakeReply(deadline)
    service.hot["Predict"](message.SerializeToString(), reply)
    return reply


def predict(service: Service, message: Any) -> Any:
    return predict_pb2.PredictResponse.FromString(hand_in(service, message).answer())


class TestPredict:
    def test_answer_holds_all_outputs_in_typed_fields_and_names_what_answered(self, service: Service) -> None:
        response = predict(service, request(5, 3))
        assert response.model_spec.name == "m"
        assert response.model_spec.version.value == 3
        assert response.model_spec.signature_name == "serving_default"
        assert list(response.outputs["sum"].float_val) == [8, 8]
        assert tf.make_ndarray(response.outputs["difference"]).tolist() == [[2, 2]]
        assert not any(output.tensor_content for output in response.outputs.values())

    def test_answer_is_in_tensor_content_where_the_settings_say_so(
        self, models: Models, version: Version
    ) -> None:
        service = prediction.service(models.registry, PredictionSettings(tensor_content=True))
        outputs = predict(service, request(5, 3)).outputs
        assert outputs["sum"].tensor_content == np.array([8, 8], np.float32).tobytes()
        assert not outputs["sum"].float_val
        assert tf.make_ndarray(outputs["difference"]).tolist() == [[2, 2]]

    def test_signature_of_no_known_method_is_refused_where_the_settings_say_so(
        self, models: Models, version: Version
    ) -> None:
        """The fakes' signatures have no method name at all."""
        service = prediction.service(models.registry, PredictionSettings(check_method_names=True))
        with pytest.raises(WrongMethod) as raised:
            hand_in(service, request())
        assert raised.value.status is grpc.StatusCode.INTERNAL
        assert str(raised.value) == (
            "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
            "tensorflow/serving/classify, tensorflow/serving/regress}. Was: "
        )

    def test_signature_may_be_named(self, service: Service) -> None:
        response = predict(service, request(signature="other", inputs={"x": np.array([7], np.int64)}))
        assert response.model_spec.signature_name == "other"
        assert list(response.outputs["x"].int64_val) == [7]

    def test_filter_chooses_outputs(self, service: Service) -> None:
        asked = request()
        asked.output_filter.append("difference")
        assert set(predict(service, asked).outputs) == {"difference"}

    def test_left_out_input_takes_its_default(self, models: Models, service: Service) -> None:
        signature = float_signature(defaults={"y": np.full((1, 2), 40, np.float32)})
        models.add("d", 1, FakeGraph((signature, add_and_subtract)))
        response = predict(service, request(model="d", inputs={"x": np.full((1, 2), 2, np.float32)}))
        assert list(response.outputs["sum"].float_val) == [42, 42]

    def test_shape_that_contradicts_the_signature_reaches_the_graph(self, service: Service) -> None:
        """TensorFlow Serving takes what the graph takes, whatever the signature says."""
        three = np.ones((1, 3), np.float32)
        response = predict(service, request(inputs={"x": three, "y": three}))
        assert list(response.outputs["sum"].float_val) == [2, 2, 2]

    def test_error_of_the_run_keeps_tensorflows_code_and_text(self, service: Service) -> None:
        with pytest.raises(CallError) as raised:
            hand_in(service, request(666)).answer()
        assert raised.value.status is grpc.StatusCode.INVALID_ARGUMENT
        assert str(raised.value) == "666 is not a number\n\t[[{{node x}}]]"


ONE = np.ones((1, 2), np.float32)


@pytest.mark.parametrize(
    ("message", "error", "text"),
    [
        (
            request(model="x"),
            NotFound,
            "Servable not found for request: Latest(x)",
        ),
        (
            request(signature="nonesuch"),
            WrongSignature,
            'Serving signature key "nonesuch" not found.',
        ),
        (
            request(signature="broken"),
            WrongSignature,
            "Serving signature key \"broken\" not found. It cannot be called: input 'r' is a resource.",
        ),
        (
            request(inputs={"x": ONE}),
            InvalidCall,
            "input size does not match signature: 1!=2 len({x}) != len({x,y}). Sent extra: {}. "
            "Missing but required: {y}.",
        ),
        (
            request(inputs=dict.fromkeys("xyab", ONE)),
            InvalidCall,
            "input size does not match signature: 4!=2 len({a,b,x,y}) != len({x,y}). Sent extra: {a,b}. "
            "Missing but required: {}.",
        ),
        (
            request(inputs={"x": ONE, "z": ONE}),
            InvalidCall,
            "Signature input alias: y(feed name: y:0) not found in request and no default value provided. "
            "Inputs expected to be in the request {x,z}, or default input alias set: ",
        ),
        (
            request(inputs={"x": ONE, "y": ONE.astype(np.float64)}),
            InvalidCall,
            "Type mismatch for input y: actual double vs. expect float",
        ),
        (
            request(inputs={"x": np.array([[b"a"]], object), "y": ONE}),
            InvalidCall,
            "Type mismatch for input x: actual string vs. expect float",
        ),
    ],
)
def test_call_is_refused_in_tensorflow_servings_words(
    service: Service, message: Any, error: type[CallError], text: str
) -> None:
    with pytest.raises(error) as raised:
        hand_in(service, message)
    assert type(raised.value) is error
    assert str(raised.value) == text


class TestRefused:
    def test_call_without_a_spec(self, service: Service) -> None:
        with pytest.raises(InvalidCall, match="Missing ModelSpec"):
            hand_in(service, predict_pb2.PredictRequest())

    def test_tensor_that_cannot_be_read_is_named(self, service: Service) -> None:
        asked = request()
        asked.inputs["y"].ClearField("float_val")
        asked.inputs["y"].tensor_content = b"abc"
        with pytest.raises(InvalidCall, match="tensor parsing error: y: expected 8 bytes, got 3"):
            hand_in(service, asked)

    @pytest.mark.parametrize(
        ("output_filter", "text"),
        [
            (
                ["sum", "z"],
                "output tensor alias not found in signature: z "
                "Outputs expected to be in the set {difference,sum}.",
            ),
            (["sum", "sum"], "duplicate output tensor alias: sum"),
        ],
    )
    def test_filter_with_an_unknown_or_repeated_output(
        self, service: Service, output_filter: list[str], text: str
    ) -> None:
        asked = request()
        asked.output_filter.extend(output_filter)
        with pytest.raises(InvalidCall) as raised:
            hand_in(service, asked)
        assert str(raised.value) == text

    def test_unknown_input_where_there_are_defaults(self, models: Models, service: Service) -> None:
        signature = float_signature(defaults={"y": ONE})
        models.add("d", 1, FakeGraph((signature, add_and_subtract)))
        with pytest.raises(InvalidCall) as raised:
            hand_in(service, request(model="d", inputs={"x": ONE, "z": ONE}))
        assert str(raised.value) == (
            "Inputs contains invalid name. Used request inputs: {x,y}, request input: {x,z}"
        )

    def test_left_out_input_that_has_no_default_while_others_have(
        self, models: Models, service: Service
    ) -> None:
        signature = float_signature(defaults={"y": ONE})
        models.add("d", 1, FakeGraph((signature, add_and_subtract)))
        with pytest.raises(InvalidCall) as raised:
            hand_in(service, request(model="d", inputs={"y": ONE}))
        assert str(raised.value) == (
            "Signature input alias: x(feed name: x:0) not found in request and no default value provided. "
            "Inputs expected to be in the request {y}, or default input alias set: y"
        )


def metadata(service: Service, message: Any) -> Any:
    plain = service.plain["GetModelMetadata"]
    return plain.answer(plain.request.FromString(message.SerializeToString()))


def metadata_request(*fields: str, name: str = "m") -> Any:
    built = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    built.model_spec.name = name
    return built


class TestGetModelMetadata:
    def test_signatures_come_as_saved_those_that_cannot_be_called_included(
        self, graph: FakeGraph, service: Service
    ) -> None:
        response = metadata(service, metadata_request("signature_def"))
        assert response.model_spec.name == "m"
        assert response.model_spec.version.value == 3
        assert not response.model_spec.signature_name
        signatures = get_model_metadata_pb2.SignatureDefMap()
        assert response.metadata["signature_def"].Unpack(signatures)
        assert dict(signatures.signature_def) == graph.signature_defs

    @pytest.mark.parametrize(
        ("message", "error", "text"),
        [
            (get_model_metadata_pb2.GetModelMetadataRequest(), InvalidCall, "Missing ModelSpec"),
            (
                metadata_request(),
                InvalidCall,
                "GetModelMetadataRequest must specify at least one metadata_field",
            ),
            (metadata_request("graph"), InvalidCall, "Metadata field graph is not supported"),
            (
                metadata_request("signature_def", "x"),
                InvalidCall,
                "Metadata field x is not supported",
            ),
            (metadata_request("signature_def", name=""), InvalidCall, "ModelSpec has no name specified."),
            (
                metadata_request("signature_def", name="x"),
                NotFound,
                "Servable not found for request: Latest(x)",
            ),
        ],
    )
    def test_request_is_refused_in_tensorflow_servings_words(
        self, service: Service, message: Any, error: type[CallError], text: str
    ) -> None:
        with pytest.raises(error) as raised:
            metadata(service, message)
        assert str(raised.value) == text


def test_only_methods_of_the_descriptor_are_answered(service: Service) -> None:
    described = service.descriptor.services_by_name["PredictionService"]
    assert described.full_name == service.name
    assert {*service.hot, *service.plain} <= set(described.methods_by_name)


def test_model_that_takes_nothing_is_called_with_nothing(models: Models, service: Service) -> None:
    constant = Signature("serving_default", (), identity_signature(np.float32, 1).outputs)
    models.add("c", 1, FakeGraph((constant, lambda: {"x": np.array([4], np.float32)})))
    asked = predict_pb2.PredictRequest()
    asked.model_spec.name = "c"
    assert list(predict(service, asked).outputs["x"].float_val) == [4]
