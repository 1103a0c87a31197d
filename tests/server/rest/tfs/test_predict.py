from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import CallError, InvalidCall
from hotgraph_server.rest.tfs.predict import read_inputs, write_outputs
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array

FLOAT32, INT64 = np.dtype(np.float32), np.dtype(np.int64)


def signature(defaults: dict[str, Array] | None = None, **dtypes: np.dtype[Any]) -> Signature:
    specs = tuple(TensorSpec(alias, f"{alias}:0", dtype, None) for alias, dtype in dtypes.items())
    return Signature("s", specs, (), defaults=defaults or {})


ONE = signature(x=FLOAT32)
TEXT = signature(x=STRING)
TWO = signature(x=FLOAT32, n=STRING)
OPTIONAL = signature({"t": np.array(7, INT64)}, x=FLOAT32, t=INT64)


def lists(arrays: Any) -> list[Any]:
    return [array.tolist() for array in arrays]


@pytest.mark.parametrize(
    ("body", "of", "arrays"),
    [
        ({"instances": [1, 2]}, ONE, [[1.0, 2.0]]),
        ({"instances": [[1, 2], [3, 4]]}, ONE, [[[1.0, 2.0], [3.0, 4.0]]]),
        ({"instances": [{"x": [1]}, {"x": [2]}]}, ONE, [[[1.0], [2.0]]]),
        ({"instances": ["a", {"b64": "Yg=="}]}, TEXT, [[b"a", b"b"]]),
        ({"instances": [{"b64": "Yg=="}, "a"]}, TEXT, [[b"b", b"a"]]),
        ({"instances": [{"x": {"b64": "Yg=="}}]}, TEXT, [[b"b"]]),
        ({"instances": [{"n": "a", "x": 1}, {"x": 2, "n": "b"}]}, TWO, [[1.0, 2.0], [b"a", b"b"]]),
        ({"instances": [[]]}, ONE, [[[]]]),
        ({"inputs": [1, 2]}, ONE, [[1.0, 2.0]]),
        ({"inputs": 1}, ONE, [1.0]),
        ({"inputs": {"x": [[1]]}}, ONE, [[[1.0]]]),
        ({"inputs": {"b64": "Yg=="}}, TEXT, [b"b"]),
        ({"inputs": {"x": {"b64": "Yg=="}}}, TEXT, [b"b"]),
        ({"inputs": {"x": [1, 2], "n": "a", "unknown": None}}, TWO, [[1.0, 2.0], b"a"]),
        ({"inputs": {"x": [1]}}, OPTIONAL, [[1.0], 7]),
        ({"inputs": {"x": [1], "t": 3}}, OPTIONAL, [[1.0], 3]),
        ({"instances": [{"x": 1}, {"x": 2}]}, OPTIONAL, [[1.0, 2.0], 7]),
        ({"instances": [{"x": 1, "t": 2}]}, OPTIONAL, [[1.0], [2]]),
    ],
)
def test_inputs_in_rows_and_columns(body: dict[str, Any], of: Signature, arrays: list[Any]) -> None:
    found, rows = read_inputs(body, of)
    assert lists(found) == arrays
    assert [array.dtype for array in found] == [spec.dtype for spec in of.inputs]
    assert rows == ("instances" in body)


PLAIN_LIST = (
    "instances is a plain list, but expecting list of objects as multiple input tensors required as per"
    " tensorinfo_map"
)
ELEMENT = "of 'instances' list. Error: INVALID_ARGUMENT:"


@pytest.mark.parametrize(
    ("body", "of", "text"),
    [
        ({}, ONE, "Missing 'inputs' or 'instances' key"),
        (
            {"instances": [1], "inputs": 1},
            ONE,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        ),
        ({"instances": 1}, ONE, "Excepting 'instances' to be an list/array"),
        ({"instances": []}, ONE, "No values in 'instances' array"),
        ({"instances": [1]}, TWO, PLAIN_LIST),
        ({"instances": [{"b64": ""}]}, TWO, PLAIN_LIST),
        ({"instances": [1]}, signature(), "Failed to get input map for signature: s"),
        (
            {"instances": [1, "2"]},
            ONE,
            f'Failed to process element: 1 {ELEMENT} JSON Value: "2" Type: String'
            " is not of expected type: float",
        ),
        (
            {"instances": [[1, 2], [3]]},
            ONE,
            f"Failed to process element: 1 {ELEMENT} Expecting tensor size: 2 but got: 1",
        ),
        (
            {"instances": [[[1, 2]], [[3], [4]]]},
            ONE,
            f"Failed to process element: 1 {ELEMENT} Expecting shape [1,2] but got: [2,1]",
        ),
        (
            {"instances": [{"x": 1, "y": 2}]},
            ONE,
            f"Failed to process element: 0 key: y {ELEMENT} JSON object: does not have named input: y",
        ),
        (
            {"instances": [{"x": 1, "n": "a"}, {"x": 1}]},
            TWO,
            "Failed to process element: 1 of 'instances' list. JSON object: {\n"
            '    "x": 1\n} keys must be equal to: n,x',
        ),
        (
            {"instances": [{"x": 1, "t": 1}, {"x": 1}]},
            OPTIONAL,
            "Failed to process element: 1 of 'instances' list. JSON object: {\n"
            '    "x": 1\n} keys must be equal to: t,x',
        ),
        (
            {"instances": ["a", {"b64": "?"}]},
            TEXT,
            f"Failed to process element: 1 {ELEMENT} Unable to base64 decode",
        ),
        ({"instances": [{"x": 1}, 2]}, ONE, "Expecting object but got list at item 1 of input list"),
        (
            {"instances": [1, {"x": 2}]},
            ONE,
            "Expecting value/list but got object at item 1 of input list",
        ),
        (
            {"inputs": [1]},
            TWO,
            "inputs is a plain value/list, but expecting an object as multiple input tensors required as per"
            " tensorinfo_map",
        ),
        ({"inputs": {"x": 1}}, TWO, "Missing named input: n in 'inputs' object."),
        (
            {"inputs": {"x": 1, "T": 1}},
            OPTIONAL,
            "Inputs contains invalid name. Used request inputs: {t,x}, request input: {T,x}",
        ),
    ],
)
def test_wrong_inputs_are_refused_in_known_words(body: dict[str, Any], of: Signature, text: str) -> None:
    with pytest.raises(InvalidCall) as error:
        read_inputs(body, of)
    assert str(error.value).endswith(text)


@pytest.mark.parametrize("wrong", range(9))
def test_first_wrong_row_is_found_wherever_it_is(wrong: int) -> None:
    rows: list[Any] = [[[1, 2], [3, 4]] for _ in range(9)]
    rows[wrong] = [[1, 2], [3, None]]
    for row in rows[wrong + 1 :]:
        row[1][1] = "also wrong"
    with pytest.raises(InvalidCall) as error:
        read_inputs({"instances": rows}, ONE)
    assert str(error.value) == (
        f"Failed to process element: {wrong} {ELEMENT} JSON Value: null Type: Null"
        " is not of expected type: float"
    )
    with pytest.raises(InvalidCall, match="JSON Value: null Type: Null"):
        read_inputs({"inputs": rows}, ONE)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=1) | st.just({"b64": ""}),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["x", "n", "t", "b64"]), inner, max_size=2)
    ),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries({}, optional={"instances": ANYTHING, "inputs": ANYTHING}),
    st.sampled_from([ONE, TEXT, TWO, OPTIONAL]),
)
def test_garbage_raises_one_type_of_error(body: dict[str, Any], of: Signature) -> None:
    try:
        found, _ = read_inputs(body, of)
    except CallError:
        return
    assert [array.dtype for array in found] == [spec.dtype for spec in of.inputs]


def strings(*values: bytes) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array


FLOATS = np.array([[0.1, 2], [3, 4]], np.float32)


@pytest.mark.parametrize(
    ("outputs", "rows", "body"),
    [
        ({"y": FLOATS}, True, {"predictions": [[0.1, 2.0], [3.0, 4.0]]}),
        ({"y": FLOATS}, False, {"outputs": [[0.1, 2.0], [3.0, 4.0]]}),
        ({"y": np.array([0.1, np.inf], np.float32)}, True, {"predictions": [0.1, float("inf")]}),
        ({"y": np.array(3, np.int32)}, False, {"outputs": 3}),
        (
            {"y": FLOATS, "s": strings(b"a", b"b")},
            True,
            {"predictions": [{"y": [0.1, 2.0], "s": "a"}, {"y": [3.0, 4.0], "s": "b"}]},
        ),
        (
            {"y": np.array(3, np.int64), "s_bytes": strings(b"a")},
            False,
            {"outputs": {"y": 3, "s_bytes": [{"b64": "YQ=="}]}},
        ),
        ({"y": np.zeros((0, 2), np.float32), "z": np.zeros(0, np.bool_)}, True, {"predictions": []}),
        (
            {"y": np.array([1, np.nan], np.float16), "z": np.array([True, False])},
            True,
            {"predictions": [{"y": 1.0, "z": True}, {"y": float("nan"), "z": False}]},
        ),
    ],
)
def test_outputs_in_rows_and_columns(outputs: dict[str, Array], rows: bool, body: Any) -> None:
    written = write_outputs(list(outputs), list(outputs.values()), rows=rows)
    # repr, for NaN is not itself.
    assert repr(json.loads(written)) == repr(body)


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ({"y": np.array(1, np.float32)}, "Tensor name: y has no shape information "),
        (
            {"y": FLOATS, "z": np.zeros(3, np.float32)},
            "Tensor name: z has inconsistent batch size: 3 expecting: 2",
        ),
    ],
)
def test_outputs_that_have_no_rows_in_common_cannot_be_in_rows(outputs: dict[str, Array], text: str) -> None:
    with pytest.raises(InvalidCall) as error:
        write_outputs(list(outputs), list(outputs.values()), rows=True)
    assert str(error.value) == text
    assert write_outputs(list(outputs), list(outputs.values()), rows=False)
