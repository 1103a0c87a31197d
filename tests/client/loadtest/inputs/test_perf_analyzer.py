"""perf_analyzer.py: inputs from JSON in its form."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.inputs.items import InputError
from hotgraph_client.loadtest.inputs.perf_analyzer import Calls, parse, read_json
from hotgraph_protos.tensors import Array, encode_raw

from ..described import Tensor, description
from ..dialects.samples import SAMPLES, assert_same


def calls(body: Any, *inputs: Tensor, outputs: Any = (), shapes: Any = None) -> Calls:
    model = description(*(inputs or (("x", "INT32", (-1, 2, 2)),)), outputs=outputs)
    return parse(json.dumps(body).encode(), "f.json", model, shapes or {})


def only(value: Any, *shape: int, datatype: str = "INT32", shapes: Any = None) -> Array:
    return calls({"data": [{"x": value}]}, ("x", datatype, shape), shapes=shapes).inputs[0]["x"]


def b64(raw: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(raw).decode()}


@pytest.mark.parametrize(
    ("value", "shape", "right"),
    [
        ([1, 2, 3, 4], (-1, 2, 2), [[[1, 2], [3, 4]]]),
        ([1, 2, 3, 4, 5, 6, 7, 8], (-1, 2, 2), [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]),
        ([[1, 2], [3, 4]], (-1, 2, 2), [[[1, 2], [3, 4]]]),
        ({"content": [1, 2, 3, 4], "shape": [2, 2]}, (-1, 2, 2), [[[1, 2], [3, 4]]]),
        ({"content": [1, 2, 3, 4], "shape": [1, 2, 2]}, (-1, 2, 2), [[[1, 2], [3, 4]]]),
        ({"content": [1, 2, 3, 4]}, (2, 2), [[1, 2], [3, 4]]),
        ({"content": [1, 2, 3, 4], "shape": [4, 1]}, (-1, -1), [[1], [2], [3], [4]]),
        ([1, 2, 3, 4], (-1, -1), [[1, 2, 3, 4]]),
        ([1, 2, 3, 4], (2, -1), [[1, 2], [3, 4]]),
        ([1, 2], (-1,), [1, 2]),
        (7, (-1,), [7]),
        ({"content": 7, "shape": []}, (), 7),
        ([7], (), 7),
    ],
)
def test_shapes_are_given_nested_or_the_models(value: Any, shape: tuple[int, ...], right: Any) -> None:
    assert only(value, *shape).tolist() == right


def test_a_shape_flag_stands_in_for_one_that_is_missing() -> None:
    assert only([1, 2, 3, 4, 5, 6], -1, -1, -1, shapes={"x": (3, 2)}).shape == (1, 3, 2)
    with pytest.raises(InputError, match=r"data\[0\]\.x: the shape of .* is free: .*--shape"):
        only([1, 2, 3, 4, 5, 6], -1, -1, -1)


@pytest.mark.parametrize("datatype", SAMPLES)
def test_raw_contents_come_in_base64(datatype: str) -> None:
    array = SAMPLES[datatype]
    value = b64(encode_raw(array))
    for form in (value, {"content": value}, {"content": value, "shape": [2, 2]}):
        assert_same(only(form, -1, 2, datatype=datatype), array)


@pytest.mark.parametrize("datatype", ["BOOL", "INT8", "UINT64", "FP16", "FP64"])
def test_lists_have_the_models_datatype(datatype: str) -> None:
    values = SAMPLES[datatype][np.isfinite(SAMPLES[datatype].astype(np.float64))]
    assert_same(only(values.tolist(), -1, datatype=datatype), values)


def test_texts_are_strings() -> None:
    assert only(["na\u00efve", ""], -1, datatype="BYTES").tolist() == ["na\u00efve".encode(), b""]


def test_steps_of_sequences_are_calls() -> None:
    found = calls({"data": [[{"x": [1]}, {"x": [2]}], [{"x": [3]}]]}, ("x", "INT32", (-1,)))
    assert [call["x"].tolist() for call in found.inputs] == [[1], [2], [3]]
    assert found.in_sequences
    assert not calls({"data": [{"x": [1]}]}, ("x", "INT32", (-1,))).in_sequences


def test_right_outputs_go_with_their_calls() -> None:
    body = {"data": [{"x": [1]}, {"x": [2]}], "validation_data": [{"y": [0.5]}, {"y": [1.5]}]}
    found = calls(body, ("x", "INT32", (-1,)), outputs=[("y", "FP32", (-1, 1))])
    assert found.outputs is not None
    assert [answer["y"].tolist() for answer in found.outputs] == [[[0.5]], [[1.5]]]
    with pytest.raises(InputError, match="2 calls in 'data', but 1 in 'validation_data'"):
        calls(
            {**body, "validation_data": [{"y": [0.5]}]},
            ("x", "INT32", (-1,)),
            outputs=[("y", "FP32", (-1, 1))],
        )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ([], "expected an object"),
        ({}, "'data' is no list"),
        ({"data": []}, "has no calls"),
        ({"data": [1]}, r"data\[0\] is no object"),
        ({"data": [{"z": [1]}]}, r"data\[0\]\.z: the model has no such tensor; there are x \(INT32"),
        ({"data": [{"x": [1, 2, 3]}]}, r"data\[0\]\.x: 3 values do not fill"),
        ({"data": [{"x": [1.5] * 4}]}, r"data\[0\]\.x: INT32 cannot hold a float"),
        ({"data": [{"x": [2**40] * 4}]}, "out of range"),
        ({"data": [{"x": [[1, 2], [3]]}]}, r"data\[0\]\.x: "),
        ({"data": [{"x": {"b64": "?"}}]}, r"data\[0\]\.x: "),
        ({"data": [{"x": {"b64": "AAA="}}]}, "2 bytes are no whole number of INT32"),
        ({"data": [{"x": {"base64": ""}}]}, "expected a list"),
        ({"data": [{"x": {"content": [1], "shape": [-1]}}]}, "no list of sizes"),
        ({"data": [{"x": {"content": [1], "shape": [3]}}]}, r"data\[0\]\.x: "),
        ({"data": [{"x": {"content": [1, 2], "shape": [2, 1]}}]}, "is not what the input"),
    ],
)
def test_what_makes_no_sense_says_where_it_is(body: Any, why: str) -> None:
    with pytest.raises(InputError, match=f"f.json: .*{why}"):
        calls(body)


def test_a_file_that_is_no_json_or_not_there_is_told(tmp_path: Path) -> None:
    model = description(("x", "INT32", (-1,)))
    with pytest.raises(InputError, match="No such file"):
        read_json(tmp_path / "nix.json", model, {})
    for text in (b"{", b"\xff", b"[" * 100_000):
        (tmp_path / "x.json").write_bytes(text)
        with pytest.raises(InputError, match="is no JSON"):
            read_json(tmp_path / "x.json", model, {})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["x", "content", "shape", "b64"]), inner)
    ),
    max_leaves=8,
)


@given(VALUES, st.sampled_from(["INT32", "FP32", "BYTES", "BOOL", "FP16", "COMPLEX64", "DT_RESOURCE"]))
def test_whatever_json_comes_there_is_one_kind_of_error(value: Any, datatype: str) -> None:
    for body in (
        {"data": value},
        {"data": [{"x": value}]},
        {"data": [{"x": {"content": value, "shape": [1]}}]},
    ):
        with contextlib.suppress(InputError):
            calls(body, ("x", datatype, (-1, 2)))


@given(st.binary(max_size=40))
def test_whatever_base64_holds_there_is_one_kind_of_error(raw: bytes) -> None:
    for datatype in ("BYTES", "FP32"):
        with contextlib.suppress(InputError):
            only(b64(raw), -1, datatype=datatype)
