"""tensorflow_serving_json.py: Predict as JSON, in rows and in columns."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.dialects.description import SERVING_HTTP, TargetError
from hotgraph_client.loadtest.dialects.tensorflow_serving_json import ServingJson
from hotgraph_client.loadtest.load import Answer, Payload

from ..described import Tensor, description
from .samples import SAMPLES, assert_same


def dialect(
    inputs: Sequence[Tensor], outputs: Sequence[Tensor], rows: bool | None = None, version: str = ""
) -> ServingJson:
    described = description(*inputs, outputs=outputs, protocol=SERVING_HTTP)
    return ServingJson(described, version=version, rows=rows)


def body_of(payload: Payload) -> Any:
    return json.loads(payload.body)


def answered(**body: Any) -> Answer:
    return Answer(0, (), json.dumps(body).encode(), 1)


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("datatype", SAMPLES)
def test_every_datatype_goes_there_and_back(datatype: str, rows: bool) -> None:
    tensor = ("x", datatype, (-1, 2))
    both = dialect([tensor], [("y", datatype, (-1, 2))], rows)
    sent = body_of(both.payload({"x": SAMPLES[datatype]}))
    values = sent["instances"] if rows else sent["inputs"]["x"]
    answer = answered(predictions=values) if rows else answered(outputs=values)
    outputs = both.read(answer)
    assert list(outputs) == ["y"]
    assert_same(outputs["y"], SAMPLES[datatype])


def test_floats_have_no_more_digits_than_they_need() -> None:
    x = np.array([0.1, 1e-7, 16777216], np.float32)
    payload = dialect([("x", "FP32", (-1,))], [("y", "FP32", (-1,))]).payload({"x": x})
    assert body_of(payload)["instances"] == [0.1, 1e-7, 16777216]
    assert b"0.1," in payload.body


def test_bytes_that_are_no_text_are_base64() -> None:
    x = np.empty(2, object)
    x[:] = ["na\u00efve".encode(), b"\xff"]
    payload = dialect([("x", "BYTES", (-1,))], [("y", "FP32", (-1,))]).payload({"x": x})
    assert body_of(payload)["instances"] == ["na\u00efve", {"b64": "/w=="}]


def test_path_has_version_or_label() -> None:
    tensors: list[Tensor] = [("x", "FP32", (-1,))]
    for version, path in (
        ("", "/v1/models/m:predict"),
        ("3", "/v1/models/m/versions/3:predict"),
        ("best", "/v1/models/m/labels/best:predict"),
    ):
        payload = dialect(tensors, tensors, version=version).payload({"x": np.zeros(2, np.float32)})
        assert payload.path == path
        assert payload.headers == (("content-type", "application/json"),)
        assert body_of(payload)["signature_name"] == "s"


def test_several_inputs_in_rows_have_names_in_each_row() -> None:
    tensors: list[Tensor] = [("a", "INT32", (-1,)), ("b", "FP32", (-1, 2))]
    inputs = {"a": np.array([1, 2], np.int32), "b": np.array([[0, 1], [2, 3]], np.float32)}
    payload = dialect(tensors, tensors).payload(inputs)
    assert body_of(payload)["instances"] == [{"a": 1, "b": [0, 1]}, {"a": 2, "b": [2, 3]}]
    assert payload.rows == 2
    outputs = dialect(tensors, tensors).read(answered(predictions=body_of(payload)["instances"]))
    for name, array in inputs.items():
        assert_same(outputs[name], array)


@pytest.mark.parametrize(
    "tensors",
    [
        [("a", "INT32", (-1,)), ("b", "FP32", ())],
        [("a", "INT32", (2,)), ("b", "FP32", (-1,))],
    ],
)
def test_what_has_no_rows_goes_in_columns(tensors: list[Tensor]) -> None:
    inputs = {"a": np.array([1, 2], np.int32), "b": np.zeros([2] * len(tensors[1][2]), np.float32)}
    sent = body_of(dialect(tensors, [("y", "FP32", (-1,))]).payload(inputs))
    assert sent["inputs"] == {name: array.tolist() for name, array in inputs.items()}
    assert "instances" not in sent


def test_no_rows_at_all_go_in_columns() -> None:
    """TensorFlow Serving refuses an empty list of instances."""
    tensors: list[Tensor] = [("x", "FP32", (-1, 2))]
    assert body_of(dialect(tensors, tensors).payload({"x": np.zeros((0, 2), np.float32)}))["inputs"] == {
        "x": []
    }


def test_outputs_in_columns_have_names_where_there_are_several() -> None:
    one = dialect([], [("y", "FP32", ())])
    assert one.read(answered(outputs=2.5))["y"] == np.float32(2.5)
    two = dialect([], [("y", "FP32", ()), ("z", "INT64", (-1,))])
    outputs = two.read(answered(outputs={"z": [1, 2], "y": 0.5}))
    assert_same(outputs["z"], np.array([1, 2]))
    assert_same(outputs["y"], np.array(0.5, np.float32))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"outputs": {"other": 1, "y": 1}}, "'other' is none of the signature's"),
        ({"outputs": {"y": [[1], [1, 2]], "z": 1}}, "unequal length"),
        ({"outputs": {"y": "word", "z": 1}}, "no number"),
        ({"outputs": {"y": 1, "z": 300}}, "output 'z'"),
        ({"outputs": [1]}, "without a name, of 2"),
        ({"predictions": 1}, "not a list"),
        ({"predictions": [{"y": 1}, {"z": 1}]}, "same names"),
        ({"error": "no"}, "neither"),
    ],
)
def test_answers_that_make_no_sense_are_refused(answer: dict[str, Any], why: str) -> None:
    two = dialect([], [("y", "FP32", (-1,)), ("z", "UINT8", ())])
    with pytest.raises(ValueError, match=why):
        two.read(answered(**answer))


def test_complex_numbers_have_no_form() -> None:
    with pytest.raises(TargetError, match="JSON has no form for COMPLEX64: call over gRPC"):
        dialect([("x", "COMPLEX64", (-1,))], []).payload({"x": np.zeros(1, np.complex64)})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["y", "z", "b64"]), inner),
    max_leaves=8,
)


@given(
    st.sampled_from(["outputs", "predictions", "x"]), JSON, st.sampled_from(["FP32", "INT8", "BYTES", "BOOL"])
)
def test_whatever_json_is_answered_there_is_one_kind_of_error(key: str, value: Any, datatype: str) -> None:
    for outputs in ([("y", datatype, (-1,))], [("y", datatype, (-1,)), ("z", datatype, (-1,))]):
        with contextlib.suppress(ValueError):
            dialect([], outputs).read(Answer(0, (), json.dumps({key: value}).encode(), 1))


@given(st.binary(max_size=40))
def test_whatever_bytes_are_answered_there_is_one_kind_of_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        dialect([], [("y", "FP32", (-1,))]).read(Answer(0, (), body, 1))
