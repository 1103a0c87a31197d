"""The stubs of PyPI's tensorflow-serving-api, as TensorFlow Serving's callers use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from ..saved_models import DTYPES, SavedModels

FLOAT = np.float32


class Stubs(NamedTuple):
    prediction: Any
    model: Any


@pytest.fixture(scope="module")
def serving(address: str) -> Iterator[Stubs]:
    # the answers here are megabytes too, and a caller has to allow for that
    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        yield Stubs(
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        )


def request_for(model: str, signature: str = "", /, **inputs: Any) -> Any:
    """A PredictRequest; an input is a TensorProto, or what ``tf.make_tensor_proto`` takes."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for alias, value in inputs.items():
        proto = value if isinstance(value, TensorProto) else tf.make_tensor_proto(value)
        request.inputs[alias].CopyFrom(proto)
    return request


def outputs_of(response: Any) -> dict[str, Any]:
    return {alias: tf.make_ndarray(proto) for alias, proto in response.outputs.items()}


def predict(serving: Stubs, model: str, signature: str = "", /, **inputs: Any) -> dict[str, Any]:
    return outputs_of(serving.prediction.Predict(request_for(model, signature, **inputs)))


def typed(dtype: Any, shape: list[int], **values: Any) -> Any:
    """A TensorProto with its values in typed fields, as given."""
    proto = TensorProto(dtype=dtype.as_datatype_enum, **values)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


class TestPredict:
    def test_answer_names_model_version_and_signature(self, serving: Stubs) -> None:
        response = serving.prediction.Predict(request_for("versioned", x=np.ones((2, 16), FLOAT)))
        spec = response.model_spec
        assert (spec.name, spec.version.value, spec.signature_name) == ("versioned", 7, "serving_default")
        assert tf.make_ndarray(response.outputs["scores"]).sum(axis=1) == pytest.approx([1, 1])

    def test_answer_is_in_typed_fields(self, serving: Stubs) -> None:
        response = serving.prediction.Predict(request_for("tf2_mlp", x=np.ones((1, 16), FLOAT)))
        assert len(response.outputs["scores"].float_val) == 4
        assert not response.outputs["scores"].tensor_content

    def test_version_zero_in_the_request_means_the_latest(self, serving: Stubs) -> None:
        request = request_for("versioned", x=np.ones((1, 16), FLOAT))
        request.model_spec.version.value = 0
        assert serving.prediction.Predict(request).model_spec.version.value == 7

    @pytest.mark.parametrize("name", DTYPES)
    def test_every_dtype_comes_back_as_it_went(self, serving: Stubs, name: str) -> None:
        dtype = tf.as_dtype(name)
        values = np.array([[0, 1], [1, 3]]).astype(dtype.as_numpy_dtype)
        if name == "string":
            values = np.array([[b"", b"a\0"], [b"\xff", b"b"]], object)
        if dtype.is_complex:
            values = values * (1 - 2j)
        echoed = predict(serving, "every_dtype", f"echo_{name}", x=tf.make_tensor_proto(values, dtype))["y"]
        assert echoed.dtype == values.dtype
        assert echoed.tolist() == values.tolist()

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("bool", {"bool_val": [True, False]}),
            ("int8", {"int_val": [-128, 127]}),
            ("int16", {"int_val": [-(2**15), 2**15 - 1]}),
            ("int32", {"int_val": [-(2**31), 2**31 - 1]}),
            ("int64", {"int64_val": [-(2**63), 2**63 - 1]}),
            ("uint8", {"int_val": [0, 255]}),
            ("uint16", {"int_val": [0, 2**16 - 1]}),
            ("uint32", {"uint32_val": [0, 2**32 - 1]}),
            ("uint64", {"uint64_val": [0, 2**64 - 1]}),
            ("half", {"half_val": [0x3E00, 0xC000]}),
            ("bfloat16", {"half_val": [0x3FC0, 0xC000]}),
            ("float32", {"float_val": [-1.5, 2.0]}),
            ("float64", {"double_val": [-1e-300, 1e300]}),
            ("complex64", {"scomplex_val": [1, -2, 3, -4]}),
            ("complex128", {"dcomplex_val": [1, -2, 3, -4]}),
            ("string", {"string_val": [b"", b"a\0"]}),
        ],
    )
    def test_typed_fields_are_read_and_written(
        self, serving: Stubs, name: str, values: dict[str, list[Any]]
    ) -> None:
        sent = typed(tf.as_dtype(name), [1, 2], **values)
        response = serving.prediction.Predict(request_for("every_dtype", f"echo_{name}", x=sent))
        assert response.outputs["y"] == sent

    def test_tensor_content_is_read(self, serving: Stubs) -> None:
        content = np.array([[1, -2]], "<i8").tobytes()
        sent = typed(tf.int64, [1, 2], tensor_content=content)
        assert predict(serving, "every_dtype", "echo_int64", x=sent)["y"].tolist() == [[1, -2]]

    @pytest.mark.parametrize(
        ("sent", "read"),
        [([5.0], [[5, 5], [5, 5]]), ([1.0, 2.0], [[1, 2], [2, 2]]), ([], [[0, 0], [0, 0]])],
        ids=["one", "two", "none"],
    )
    def test_short_typed_field_repeats_its_last_value(
        self, serving: Stubs, sent: list[float], read: list[list[float]]
    ) -> None:
        x = typed(tf.float32, [2, 2], float_val=sent)
        assert predict(serving, "every_dtype", "echo_float32", x=x)["y"].tolist() == read

    def test_surplus_of_a_typed_field_is_ignored(self, serving: Stubs) -> None:
        x = typed(tf.float32, [1, 2], float_val=[1, 2, 3])
        assert predict(serving, "every_dtype", "echo_float32", x=x)["y"].tolist() == [[1, 2]]

    def test_tensor_without_a_shape_is_a_scalar(self, serving: Stubs) -> None:
        x = TensorProto(dtype=tf.float64.as_datatype_enum, double_val=[3])
        found = predict(serving, "scalars", x=x)
        assert (found["y"].shape, float(found["y"]), found["word"].item()) == ((), 9.0, b"square")

    def test_output_filter_picks_outputs(self, serving: Stubs) -> None:
        request = request_for("two_in_two_out", a=np.ones((1, 3), FLOAT), b=np.ones((1, 3), np.int32))
        request.output_filter.append("product")
        assert set(serving.prediction.Predict(request).outputs) == {"product"}

    def test_tf_examples_are_parsed_by_the_graph(self, serving: Stubs) -> None:
        feature = tf.train.Feature(float_list=tf.train.FloatList(value=[1, 2, 3, 4]))
        example = tf.train.Example(features=tf.train.Features(feature={"x": feature})).SerializeToString()
        assert predict(serving, "example_scores", "predict", examples=[example])["scores"].tolist() == [
            [3, 3, 4]
        ]
        # a signature of the kind classify is a signature like any other to Predict
        found = predict(serving, "example_scores", inputs=[example, example])
        assert found["scores"].tolist() == [[3, 3, 4]] * 2
        assert found["classes"].tolist() == [[b"left", b"middle", b"right"]] * 2

    def test_strings_and_tables(self, serving: Stubs) -> None:
        assert predict(serving, "strings", text=[b"a\0b"])["upper"].tolist() == [b"A\0B"]
        for model in ("vocabulary", "tf1_vocabulary"):
            assert predict(serving, model, word=[b"birch", b"zinc"])["id"].tolist() == [1, -1]

    def test_unbatched_and_scalar_tensors(self, serving: Stubs) -> None:
        found = predict(serving, "unbatched_output", x=np.ones((2, 3), FLOAT))
        assert (found["doubled"].tolist(), float(found["total"])) == ([[2, 2, 2]] * 2, 6)
        found = predict(serving, "scalar_input", x=np.ones((2, 2), FLOAT), factor=FLOAT(4))
        assert found["scaled"].tolist() == [[4, 4]] * 2
        found = predict(serving, "square_output", x=np.ones((3, 3), FLOAT))
        assert found["transition"].shape == (3, 3)

    def test_sparse_tensor_goes_in_and_comes_out_in_its_parts(self, serving: Stubs) -> None:
        sent = {
            "sp/indices": np.array([[0, 1], [1, 4]]),
            "sp/values": np.array([1, 2], FLOAT),
            "sp/dense_shape": np.array([2, 5]),
        }
        answer = predict(serving, "tf1_composites", **sent)
        assert {alias: array.tolist() for alias, array in answer.items()} == {
            "total": [1, 2],
            "doubled/indices": [[0, 1], [1, 4]],
            "doubled/values": [2, 4],
            "doubled/dense_shape": [2, 5],
        }

    @pytest.mark.parametrize("wanted", [["doubled"], ["sparse/values"], ["sparse/values", "doubled"]])
    def test_output_filter_picks_parts_and_what_is_beside_them(
        self, serving: Stubs, wanted: list[str]
    ) -> None:
        request = request_for("ragged_and_sparse", x=np.array([[0, 2]], FLOAT))
        request.output_filter.extend(wanted)
        answer = outputs_of(serving.prediction.Predict(request))
        values = {"doubled": [[0, 4]], "sparse/values": [2]}
        assert {alias: array.tolist() for alias, array in answer.items()} == {
            alias: values[alias] for alias in wanted
        }

    def test_keras_model_that_was_saved_and_not_exported_is_answered(
        self, serving: Stubs, saved_models: SavedModels
    ) -> None:
        word = np.array([[b"coral"], [b"?"]], object)
        loaded = tf.saved_model.load(str(saved_models["keras_saved"])).signatures["serving_default"]
        expected = loaded(inputs=tf.constant(word))["output_0"].numpy()
        assert predict(serving, "keras_saved", inputs=word)["output_0"] == pytest.approx(expected, abs=1e-6)

    def test_default_fills_an_input_that_is_left_out(self, serving: Stubs) -> None:
        assert predict(serving, "default_input", x=np.ones((1, 2), FLOAT))["scaled"].tolist() == [[3, 3]]

    def test_shape_that_only_the_signature_forbids_is_answered(self, serving: Stubs) -> None:
        # TensorFlow Serving's callers do this to models that declare [1, 4]
        found = predict(serving, "fixed_batch", x=np.ones((3, 4), FLOAT))
        assert found["y"].tolist() == [[3, 3, 3, 3]] * 3

    def test_no_rows_are_answered_with_no_rows(self, serving: Stubs) -> None:
        assert predict(serving, "strings", text=np.empty(0, object))["upper"].shape == (0,)

    def test_megabytes_in_and_out(self, serving: Stubs) -> None:
        x = np.random.default_rng(7).normal(size=(1000, 1000, 3)).astype(FLOAT)
        assert np.array_equal(predict(serving, "unknown_rank", x=x)["y"], x + FLOAT(1))


def mlp_request() -> Any:
    return request_for("tf2_mlp", x=np.ones((1, 16), FLOAT))


def spoilt(change: Callable[[Any], None], request: Any = None) -> Any:
    request = request or mlp_request()
    change(request)
    return request


def _label(request: Any) -> None:
    request.model_spec.version_label = "canary"


def _version(request: Any) -> None:
    request.model_spec.version.value = 9


def two_outputs_request(*output_filter: str) -> Any:
    request = request_for("two_in_two_out", a=np.ones((1, 3), FLOAT), b=np.ones((1, 3), np.int32))
    request.output_filter.extend(output_filter)
    return request


BAD_REQUESTS = {
    "no spec": (spoilt(lambda r: r.ClearField("model_spec")), "INVALID_ARGUMENT", "Missing ModelSpec"),
    "no name": (request_for("", x=1.0), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    "unknown model": (
        request_for("nobody", x=1.0),
        "NOT_FOUND",
        "Servable not found for request: Latest(nobody)",
    ),
    "unknown version": (
        spoilt(_version),
        "NOT_FOUND",
        "Servable not found for request: Specific(tf2_mlp, 9)",
    ),
    "unknown label": (
        spoilt(_label),
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: canary",
    ),
    "unknown signature": (
        request_for("tf2_mlp", "other", x=1.0),
        "FAILED_PRECONDITION",
        'Serving signature key "other" not found.',
    ),
    "no default signature": (
        request_for("counter"),
        "FAILED_PRECONDITION",
        'Serving signature key "serving_default" not found.',
    ),
    "missing input": (
        request_for("tf2_mlp"),
        "INVALID_ARGUMENT",
        "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. "
        "Missing but required: {x}.",
    ),
    "extra input": (
        request_for("tf2_mlp", x=1.0, y=1.0),
        "INVALID_ARGUMENT",
        "input size does not match signature: 2!=1 len({x,y}) != len({x}). Sent extra: {y}. "
        "Missing but required: {}.",
    ),
    "wrong alias": (
        request_for("tf2_mlp", y=1.0),
        "INVALID_ARGUMENT",
        "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {y}, or default input alias set: ",
    ),
    "extra alias beside defaults": (
        request_for("default_input", x=np.ones((1, 2), FLOAT), other=FLOAT(1)),
        "INVALID_ARGUMENT",
        "Inputs contains invalid name. Used request inputs: ",
    ),
    "wrong dtype": (request_for("tf2_mlp", x=np.ones((1, 16))), "INVALID_ARGUMENT", "double"),
    "no such dtype": (
        request_for("tf2_mlp", x=TensorProto(dtype=99)),
        "INVALID_ARGUMENT",
        "tensor parsing error: x",
    ),
    "content too short": (
        request_for("tf2_mlp", x=typed(tf.float32, [1, 16], tensor_content=bytes(60))),
        "INVALID_ARGUMENT",
        "tensor parsing error: x",
    ),
    "negative dimension": (
        request_for("tf2_mlp", x=typed(tf.float32, [-1, 16])),
        "INVALID_ARGUMENT",
        "tensor parsing error: x",
    ),
    "wrong inner dimension": (
        request_for("tf2_mlp", x=np.ones((1, 15), FLOAT)),
        "INVALID_ARGUMENT",
        "",  # TensorFlow's own words
    ),
    "unknown output": (
        two_outputs_request("Z"),
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: Z Outputs expected to be in the set {",
    ),
    "duplicate output": (
        two_outputs_request("sum", "sum"),
        "INVALID_ARGUMENT",
        "duplicate output tensor alias: sum",
    ),
    "id out of range": (request_for("embedding", id=np.array([9], np.int32)), "INVALID_ARGUMENT", ""),
    "no tf.Example": (request_for("example_scores", inputs=[b"zzz"]), "INVALID_ARGUMENT", ""),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_bad_request_gets_tensorflow_serving_s_code_and_words(serving: Stubs, case: str) -> None:
    request, code, words = BAD_REQUESTS[case]
    with pytest.raises(grpc.RpcError) as caught:
        serving.prediction.Predict(request)
    assert caught.value.code().name == code
    assert words in str(caught.value.details())


def test_long_error_is_cut_as_tensorflow_serving_cuts_it(serving: Stubs) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        serving.prediction.Predict(request_for("x" * 3000, x=1.0))
    details = str(caught.value.details())
    assert len(details) == 1024 + len("...TRUNCATED")
    assert details.endswith("...TRUNCATED")


def metadata_request(name: str, *fields: str) -> Any:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = name
    return request


class TestGetModelMetadata:
    def test_sparse_tensor_is_one_entry_as_saved(self, serving: Stubs) -> None:
        response = serving.prediction.GetModelMetadata(metadata_request("tf1_composites", "signature_def"))
        signatures = get_model_metadata_pb2.SignatureDefMap()
        assert response.metadata["signature_def"].Unpack(signatures)
        inputs = signatures.signature_def["serving_default"].inputs
        assert {alias: info.coo_sparse.values_tensor_name for alias, info in inputs.items()} == {
            "sp": "sp/values:0"
        }

    def test_gives_all_signatures_as_saved(self, serving: Stubs) -> None:
        response = serving.prediction.GetModelMetadata(metadata_request("keras_dense", "signature_def"))
        spec = response.model_spec
        assert (spec.name, spec.version.value, spec.signature_name) == ("keras_dense", 1, "")
        signatures = get_model_metadata_pb2.SignatureDefMap()
        assert response.metadata["signature_def"].Unpack(signatures)
        assert set(signatures.signature_def) == {"serve", "serving_default"}
        x = signatures.signature_def["serving_default"].inputs["x"]
        assert (x.dtype, [dim.size for dim in x.tensor_shape.dim]) == (tf.float32.as_datatype_enum, [-1, 8])

    @pytest.mark.parametrize(
        ("change", "code", "words"),
        [
            (lambda r: r.ClearField("model_spec"), "INVALID_ARGUMENT", "Missing ModelSpec"),
            (
                lambda r: r.ClearField("metadata_field"),
                "INVALID_ARGUMENT",
                "GetModelMetadataRequest must specify at least one metadata_field",
            ),
            (
                lambda r: r.metadata_field.append("weather"),
                "INVALID_ARGUMENT",
                "Metadata field weather is not supported",
            ),
            (
                lambda r: setattr(r.model_spec, "name", ""),
                "INVALID_ARGUMENT",
                "ModelSpec has no name specified.",
            ),
            (
                lambda r: setattr(r.model_spec, "name", "nobody"),
                "NOT_FOUND",
                "Servable not found for request: Latest(nobody)",
            ),
        ],
        ids=["no spec", "no field", "unknown field", "no name", "unknown model"],
    )
    def test_refuses(self, serving: Stubs, change: Callable[[Any], None], code: str, words: str) -> None:
        request = metadata_request("tf2_mlp", "signature_def")
        change(request)
        with pytest.raises(grpc.RpcError) as caught:
            serving.prediction.GetModelMetadata(request)
        assert caught.value.code().name == code
        assert words in str(caught.value.details())


def status_request(name: str, version: int | None = None) -> Any:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    return request


class TestGetModelStatus:
    @pytest.mark.parametrize("version", [None, 0, 7])
    def test_live_version_is_available(self, serving: Stubs, version: int | None) -> None:
        (status,) = serving.model.GetModelStatus(status_request("versioned", version)).model_version_status
        assert (status.version, status.state) == (7, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
        assert (status.status.error_code, status.status.error_message) == (0, "")

    @pytest.mark.parametrize(
        ("request_", "code", "words"),
        [
            (get_model_status_pb2.GetModelStatusRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
            (status_request("nobody"), "NOT_FOUND", "Could not find any versions of model nobody"),
            (status_request("digits", 9), "NOT_FOUND", "Could not find version 9 of model digits"),
        ],
        ids=["no spec", "unknown model", "unknown version"],
    )
    def test_refuses(self, serving: Stubs, request_: Any, code: str, words: str) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            serving.model.GetModelStatus(request_)
        assert caught.value.code().name == code
        assert words in str(caught.value.details())
