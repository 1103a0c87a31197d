"""Values of every datatype through JSON, both ways."""

from __future__ import annotations

import json
import re
from typing import Any

import ml_dtypes
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st

from hotgraph_protos import tensors as wire
from hotgraph_server.errors import InvalidCall
from hotgraph_server.rest.v2.values import flat, flat_of, json_bytes_of, read_values, written

FIXED = [*(name for name in wire.CONTENTS_FIELDS if name != "BYTES"), "FP16", "BF16"]
INTEGERS = [name for name in FIXED if "INT" in name]
FLOATS = [name for name in FIXED if "F" in name]


def arrays() -> st.SearchStrategy[tuple[str, Any]]:
    """A datatype and a vector of it, with every pattern of bits that it has."""

    def of(datatype: str) -> st.SearchStrategy[tuple[str, Any]]:
        dtype = wire.dtype_of(datatype)
        if datatype == "BYTES":
            vectors = st.lists(st.text().map(str.encode), max_size=5).map(strings)
        elif datatype == "BOOL":
            vectors = numpy_st.arrays(np.bool_, st.integers(0, 5))
        else:
            unsigned = np.dtype(f"u{dtype.itemsize}")
            vectors = numpy_st.arrays(unsigned, st.integers(0, 5)).map(lambda bits: bits.view(dtype))
        return vectors.map(lambda vector: (datatype, vector))

    return st.sampled_from([*FIXED, "BYTES"]).flatmap(of)


def strings(values: list[bytes]) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def read(values: Any, datatype: str) -> Any:
    return read_values(flat(values, "inputs[0]"), datatype, "inputs[0]")


@given(arrays())
def test_whatever_is_written_is_read_again_and_is_json(case: tuple[str, Any]) -> None:
    datatype, array = case
    text = orjson.dumps(written("x", array), option=orjson.OPT_SERIALIZE_NUMPY)
    values = json.loads(text, parse_constant=lambda constant: pytest.fail(constant))
    found = read(values, datatype)
    assert found.dtype == array.dtype
    if array.dtype.kind in "fV":
        wide, again = array.astype(np.float64), found.astype(np.float64)
        np.testing.assert_array_equal(wide, again)
        real = ~np.isnan(wide)
        assert (np.signbit(wide) == np.signbit(again))[real].all()
    else:
        assert found.tolist() == array.tolist()


@given(
    st.recursive(st.integers(), lambda inner: st.lists(inner, max_size=4), max_leaves=20).filter(
        lambda x: isinstance(x, list)
    )
)
def test_lists_of_any_nesting_are_their_values_in_order(nested: Any) -> None:
    def leaves(value: Any) -> list[int]:
        return [value] if isinstance(value, int) else [leaf for one in value for leaf in leaves(one)]

    found = flat(nested, "inputs[0]")
    assert found.values == leaves(nested)
    assert found.kinds == set(map(type, found.values))


def test_uneven_nesting_costs_no_more_than_its_length() -> None:
    """Level by level it would be 10,000,000 steps."""
    deep: Any = 1
    for _ in range(1000):
        deep = [deep]
    assert len(flat([*range(100_000), deep], "inputs[0]").values) == 100_001


@pytest.mark.parametrize("data", [1, None, "abc", {"b64": "YQ=="}, True])
def test_data_is_a_list(data: Any) -> None:
    with pytest.raises(
        InvalidCall, match=r"Unable to parse 'data': attempt to access JSON non-array as array"
    ):
        flat(data, "inputs[0]")


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_are_exact_and_in_range(datatype: str) -> None:
    limits = np.iinfo(wire.dtype_of(datatype))
    lowest, highest = int(limits.min), int(limits.max)
    assert read([lowest, 0, highest], datatype).tolist() == [lowest, 0, highest]
    for beyond in (lowest - 1, highest + 1):
        # A whole number of more than 64 bits is a float to every reader.
        shown = beyond if -(2**63) <= beyond < 2**64 else float(beyond)
        with pytest.raises(InvalidCall, match=re.escape(f"{shown} is out of the range of {datatype} ")):
            read([0, beyond if type(shown) is int else shown], datatype)


@pytest.mark.parametrize("value", [1.0, "1", True, None, {}])
@pytest.mark.parametrize(("datatype", "kind"), [("INT32", "signed-integer"), ("UINT8", "unsigned-integer")])
def test_only_whole_numbers_are_integers(value: Any, datatype: str, kind: str) -> None:
    text = f"Unable to parse 'data': attempt to access JSON non-{kind} as {kind} (inputs[0].data has "
    with pytest.raises(InvalidCall, match=re.escape(text)) as refused:
        read([0, value], datatype)
    assert str(refused.value).endswith("at 1)")


@pytest.mark.parametrize("value", [1, 0, "true", None])
def test_only_true_and_false_are_booleans(value: Any) -> None:
    assert read([True, False], "BOOL").tolist() == [True, False]
    with pytest.raises(InvalidCall, match="attempt to access JSON non-boolean as boolean"):
        read([value], "BOOL")


@pytest.mark.parametrize("datatype", FLOATS)
def test_floats_are_any_number_and_the_three_names(datatype: str) -> None:
    found = read([1, 0.5, -2, "NaN", "Infinity", "-Infinity", float("nan"), float("-inf")], datatype)
    assert found.dtype == wire.dtype_of(datatype)
    assert repr(found.astype(np.float64).tolist()) == "[1.0, 0.5, -2.0, nan, inf, -inf, nan, -inf]"


@pytest.mark.parametrize("value", ["nan", "Inf", "1", "", True, None, {"b64": ""}])
def test_nothing_else_is_a_float(value: Any) -> None:
    with pytest.raises(InvalidCall, match="attempt to access JSON non-number as double"):
        read([1.5, value], "FP32")


def test_whole_numbers_that_a_float_rounds_are_taken_as_other_numbers_are() -> None:
    assert read([2**24 + 1, 2**64 - 1], "FP32").tolist() == [2.0**24, 2.0**64]


@pytest.mark.parametrize(
    ("datatype", "largest", "beyond"),
    [("FP16", 65504.0, 65520), ("FP32", 3.4028235e38, 3.5e38), ("BF16", 3.38e38, 3.4e38)],
)
def test_number_beyond_its_float_is_refused_and_not_infinite(
    datatype: str, largest: float, beyond: float
) -> None:
    assert np.isfinite(read([largest], datatype).astype(np.float64)).all()
    with pytest.raises(InvalidCall, match=f"is out of the range of {datatype} .*at 1"):
        read([float("inf"), beyond], datatype)


def test_strings_are_their_utf_8_or_any_bytes_in_base64() -> None:
    found = read(["é\0", {"b64": "/w=="}, ""], "BYTES")
    assert found.tolist() == ["é\0".encode(), b"\xff", b""]


@pytest.mark.parametrize("value", [1, None, True, {"b65": ""}, {"b64": 1}, {"b64": "", "more": 1}])
def test_nothing_else_is_a_string(value: Any) -> None:
    text = "Unable to parse JSON bytes array: attempt to access JSON non-string as string"
    with pytest.raises(InvalidCall, match=text):
        read(["a", value], "BYTES")


def test_broken_base64_and_half_a_surrogate_pair_are_refused() -> None:
    with pytest.raises(InvalidCall, match="is no base64"):
        read([{"b64": "a"}], "BYTES")
    with pytest.raises(InvalidCall, match="surrogate"):
        read(["\ud800"], "BYTES")


def test_strings_that_are_no_text_are_not_written() -> None:
    with pytest.raises(InvalidCall, match=r"output 'words' holds bytes that are no UTF-8, .*'binary_data'"):
        written("words", strings([b"a", b"\xff"]))


def test_text_that_tensorflow_keeps_as_such_is_written() -> None:
    assert written("words", strings([b"a", "é"])) == ["a", "é"]  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array([[0.1, 1], [1e-7, 16777216]], np.float32), "[0.1,1.0,1e-7,16777216.0]"),
        (np.array([0.1, np.nan, -np.inf], np.float32), '[0.1,"NaN","-Infinity"]'),
        (np.array([0.1, np.inf]), '[0.1,"Infinity"]'),
        (np.array([0.1], np.float16), "[0.099975586]"),
        (np.array([1.5, np.nan], ml_dtypes.bfloat16), '[1.5,"NaN"]'),
        (np.array([2**63 - 1, -(2**63)]), "[9223372036854775807,-9223372036854775808]"),
        (np.array(2**64 - 1, np.uint64), "[18446744073709551615]"),
        (np.zeros((0, 3), np.float32), "[]"),
        (np.array([[1, 2], [3, 4]], np.int8).T, "[1,3,2,4]"),
        (np.array([True, False]), "[true,false]"),
    ],
)
def test_values_are_one_flat_list_of_few_digits(array: Any, text: str) -> None:
    assert orjson.dumps(written("x", array), option=orjson.OPT_SERIALIZE_NUMPY).decode() == text


def test_600000_values_are_read_and_none_of_them_is_lost() -> None:
    """Which crash a Triton, as strings of one byte."""
    assert len(read(["a"] * 600_000, "BYTES")) == 600_000
    assert read_values(flat_of([1] * 600_000), "INT8", "inputs[0]").sum() == 600_000


def test_size_of_json_is_guessed_by_size_and_width() -> None:
    assert json_bytes_of(np.zeros(0)) == 0
    assert 9 * 1000 < json_bytes_of(np.zeros(1000, np.float32)) < 20 * 1000
    assert json_bytes_of(np.zeros(1000)) > json_bytes_of(np.zeros(1000, np.int8)) > 1000
