from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hotgraph_server.errors import CallError, InvalidCall, Unsupported
from hotgraph_server.rest.json import text as json_text
from hotgraph_server.rest.json.tensors import check_tensor, is_finite, plain, read_b64, read_tensor
from hotgraph_server.tensors import STRING, Array

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
NUMERIC = [np.dtype(name) for name in ("f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")]
SHAPES = npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


def shape_in_json(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A list says nothing of the dimensions inside of it if it is empty."""
    return shape[: shape.index(0) + 1] if 0 in shape else shape


def through_json(array: Array, alias: str = "x") -> Any:
    return json_text.read(json_text.write({"v": plain(alias, array)}, finite=is_finite(array)))["v"]


@given(st.data(), st.sampled_from(NUMERIC))
def test_numbers_come_back_as_they_went(data: st.DataObject, dtype: np.dtype[Any]) -> None:
    array = data.draw(npst.arrays(dtype, SHAPES))
    found = read_tensor(through_json(array), dtype)
    assert (found.dtype, found.shape) == (dtype, shape_in_json(array.shape))
    np.testing.assert_array_equal(found, array.reshape(found.shape))


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("value", [1, [1, 2, 3], [[0, -5], [2.5, 256]], [[]]])
def test_whole_numbers_are_read_for_every_float(name: str, value: Any) -> None:
    dtype = np.dtype(name)
    found = read_tensor(value, dtype)
    assert found.dtype == dtype
    assert found.astype(np.float64).tolist() == np.array(value, np.float64).tolist()


@pytest.mark.parametrize(
    ("name", "largest", "too_large"),
    [
        ("float16", 65504, 65520.0),
        ("float32", 3.4028235e38, 3.4028236e38),
        ("bfloat16", 3.3895314e38, 3.4e38),
    ],
)
def test_float_is_refused_only_if_it_would_become_infinite(
    name: str, largest: float, too_large: float
) -> None:
    assert np.isfinite(read_tensor([largest], np.dtype(name)).astype(np.float64)).all()
    with pytest.raises(InvalidCall, match="without loss of precision"):
        read_tensor([too_large], np.dtype(name))


@given(npst.arrays(np.float32, SHAPES))
def test_bfloat16_comes_back_as_it_went(array: Array) -> None:
    narrow = array.astype(BFLOAT16)
    found = read_tensor(through_json(narrow), BFLOAT16)
    np.testing.assert_array_equal(found.astype(np.float32), narrow.astype(np.float32).reshape(found.shape))


@given(st.lists(st.binary(max_size=5), max_size=4), st.sampled_from(["x", "x_bytes"]))
def test_strings_come_back_as_they_went_whatever_bytes_they_are(values: list[bytes], alias: str) -> None:
    array = np.empty(len(values), object)
    array[:] = values
    assert read_tensor(through_json(array, alias), STRING).tolist() == values


def test_strings_are_text_unless_their_name_or_their_bytes_say_otherwise() -> None:
    strings = np.array([["é".encode(), b"\xff"]], object)
    assert plain("x", strings) == [["é", {"b64": "/w=="}]]
    assert plain("x_bytes", strings) == [[{"b64": "w6k="}, {"b64": "/w=="}]]
    assert plain("x", np.array(b"a", object)) == "a"
    # Constants of a graph may hold str.
    assert plain("x", np.array("a", object)) == "a"


def test_array_in_another_order_is_written_in_its_own() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert json.loads(json_text.write(plain("x", array))) == array.tolist()


def test_complex_numbers_have_no_form() -> None:
    with pytest.raises(InvalidCall) as error:
        plain("x", np.zeros(1, np.complex64))
    assert str(error.value) == "Failed to write JSON value for tensor type: complex64"
    with pytest.raises(Unsupported) as refused:
        read_tensor([1], np.dtype(np.complex64))
    assert str(refused.value) == "Conversion of JSON Value: 1 to type: complex64"


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-300, 300)
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=3)
    | st.just({"b64": "AA=="})
    | st.just({"b64": "?"})
    | st.just({"b64": 1})
    | st.just({"b64": "", "c": ""})
)
TENSORS = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=8)
UNIFORM = st.sampled_from(
    [st.integers(-300, 300), st.floats(), st.booleans(), st.text(max_size=3), st.just({"b64": "AA=="})]
).flatmap(lambda leaf: st.lists(st.lists(leaf, min_size=2, max_size=2), max_size=3))


@given(TENSORS | UNIFORM, st.sampled_from([*NUMERIC, BFLOAT16, STRING, np.dtype(np.complex64)]))
@example(16777216, np.dtype(np.float32))
@example([0.5, 16777217], np.dtype(np.float32))
@example([-(2**63)], np.dtype(np.float64))
@example([300], np.dtype(np.uint8))
@example([[1], 2], np.dtype(np.int32))
@example([1, [2]], np.dtype(np.int32))
@example([[], [1]], np.dtype(np.int32))
@example("\ud800", STRING)
def test_both_ways_through_a_value_have_the_same_opinion(value: Any, dtype: np.dtype[Any]) -> None:
    def opinion(read: Callable[[Any, np.dtype[Any]], Any]) -> Any:
        try:
            return read(value, dtype)
        except CallError as error:
            return type(error), str(error)

    found, shape = opinion(read_tensor), opinion(check_tensor)
    assert (found.shape if isinstance(found, np.ndarray) else found) == shape


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (True, "f4", "JSON Value: true Type: True is not of expected type: float"),
        (None, "f8", "JSON Value: null Type: Null is not of expected type: double"),
        ("1", "f4", 'JSON Value: "1" Type: String is not of expected type: float'),
        (1.0, "i4", "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        (2**31, "i4", "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        (-1, "u4", "JSON Value: -1 Type: Number is not of expected type: uint32"),
        (300, "u1", "JSON Value: 300 Type: Number is not of expected type: uint8"),
        (1, "?", "JSON Value: 1 Type: Number is not of expected type: bool"),
        (1, "O", "JSON Value: 1 Type: Number is not of expected type: string"),
        ({"a": 1}, "f4", 'JSON Value: {\n    "a": 1\n} Type: Object is not of expected type: float'),
        ({"a": 1}, "O", 'JSON Value: {\n    "a": 1\n} not formatted correctly for base64 data'),
        ({"b64": "?"}, "O", "Unable to base64 decode"),
        (2**24, "f4", "Cannot convert JSON value: 16777216 to float without loss of precision."),
        (1e39, "f4", "Cannot convert JSON value: 1e+39 to float without loss of precision."),
        (2**53, "f8", "Cannot convert JSON value: 9007199254740992 to double without loss of precision."),
        (
            [[1, 2], [3]],
            "f4",
            "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
        ),
        ([1, [2]], "f4", "Encountered list at unexpected level: 1 expected < 1"),
        (
            [[1], 2],
            "f4",
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
    ],
)
def test_errors_are_in_the_words_that_clients_know(value: Any, dtype: str, text: str) -> None:
    with pytest.raises(InvalidCall) as error:
        read_tensor(value, np.dtype(dtype))
    assert str(error.value) == text


def test_numbers_that_a_float_holds_are_taken() -> None:
    values = [2**24 - 1, -(2**24 - 1), 0.1, 1e-50, math.inf, -math.inf, math.nan]
    found = read_tensor(values, np.dtype(np.float32))
    np.testing.assert_array_equal(found, np.array(values, np.float64).astype(np.float32))


@given(st.binary(max_size=20))
def test_base64_may_have_blanks_and_lack_its_padding(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert read_b64({"b64": text}) == data
    assert read_b64({"b64": text.rstrip("=")}) == data
    assert read_b64({"b64": "\n ".join(text)}) == data


@pytest.mark.parametrize("text", ["A", "A=", "A-_=", "é", "AA=A"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidCall, match="Unable to base64 decode"):
        read_b64({"b64": text})


@pytest.mark.parametrize("depth", [65, 300, 900])
@pytest.mark.parametrize("inner", [1, None, [], [1, 2], [[1], 2]])
def test_more_dimensions_than_an_array_has_are_refused(depth: int, inner: Any) -> None:
    value = inner
    for _ in range(depth):
        value = [value]
    for read in (read_tensor, check_tensor):
        with pytest.raises(InvalidCall, match="has more dimensions than a tensor can have here"):
            read(value, np.dtype(np.float32))


def test_as_many_dimensions_as_an_array_has_are_read() -> None:
    value: Any = 1
    for _ in range(32):
        value = [value]
    assert read_tensor(value, np.dtype(np.float32)).shape == (1,) * 32
    value = None
    for _ in range(32):
        value = [value, 1]
    with pytest.raises(InvalidCall, match="Type: Null is not of expected type"):
        read_tensor(value, np.dtype(np.float32))
