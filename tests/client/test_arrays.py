"""arrays.py: what a list may become, and typed contents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hotgraph_client.arrays import converted, from_contents, from_python
from hotgraph_protos import open_inference as oip
from hotgraph_protos.tensors import dtype_of


@pytest.mark.parametrize(
    ("value", "datatype", "expected"),
    [
        ([1, 2], "FP32", [1.0, 2.0]),
        (0.1, "FP32", np.float32(0.1)),
        ([[0.5], [1]], "FP16", [[0.5], [1.0]]),
        ([1.5, -2], "BF16", [1.5, -2.0]),
        ([float("inf"), 1], "FP32", [np.inf, 1.0]),
        ([2**63, 1], "UINT64", [2**63, 1]),
        ([-(2**63), 2**63 - 1], "INT64", [-(2**63), 2**63 - 1]),
        ([-128, 127], "INT8", [-128, 127]),
        (range(3), "INT32", [0, 1, 2]),
        ([np.int8(1), np.int64(2)], "INT32", [1, 2]),
        ([np.array([1, 2]), np.array([3, 4])], "INT32", [[1, 2], [3, 4]]),
        ([[True, False]], "BOOL", [[True, False]]),
        (["a", b"b\0"], "BYTES", np.array([b"a", b"b\0"], object)),
        ("whole", "BYTES", b"whole"),
        ([], "FP32", []),
        ([], "BOOL", []),
        ([[], []], "INT64", [[], []]),
    ],
)
def test_list_becomes_the_models_datatype_if_it_fits(value: Any, datatype: str, expected: Any) -> None:
    array = from_python(value, datatype)
    assert array.dtype == dtype_of(datatype)
    assert array.shape == np.shape(expected)
    assert array.tolist() == np.asarray(expected).astype(array.dtype).tolist()


@pytest.mark.parametrize(
    ("value", "datatype", "why"),
    [
        ([1.0], "INT32", "cannot hold a float"),
        ([True], "INT32", "cannot hold a bool"),
        ([True], "FP32", "cannot hold a bool"),
        ([1], "BOOL", "cannot hold a int"),
        (["1"], "FP32", "cannot hold a str"),
        ([None], "FP32", "cannot hold a NoneType"),
        ({"b": 1}, "FP32", "cannot hold a dict"),
        ([1], "BYTES", "str or bytes"),
        ([["a"], ["b", "c"]], "BYTES", "str or bytes"),
        ([[1, 2], [3]], "FP32", "lists of unequal length"),
        ([256], "UINT8", "256 is out of range for UINT8"),
        ([-1], "UINT64", "-1 is out of range"),
        ([2**64], "UINT64", "out of range"),
        ([70000.0], "FP16", "out of range for FP16"),
        ([1e39], "FP32", "out of range for FP32"),
        ([10**400], "FP64", "out of range for FP64"),
        (["\udc80"], "BYTES", "surrogates"),
        ([1], "INT5", "INT5"),
    ],
)
def test_list_that_does_not_fit_is_refused(value: Any, datatype: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        from_python(value, datatype)


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.array([0.5, -1, np.nan, np.inf, -0.0, 2**-149], np.float64), "FP32"),
        (np.array([1.5, np.nan], np.float32), "FP64"),
        (np.array([1.5, 65504], np.float32), "FP16"),
        (np.array([256, 1.5], np.float64), "BF16"),
        (np.array([1.5], dtype_of("BF16")), "FP32"),
        (np.array([-(2**31), 2**31 - 1], np.int64), "INT32"),
        (np.array([255], np.uint64), "UINT8"),
        (np.array([0, 2**24], np.int64), "FP32"),
        (np.array([2**53], np.int64), "FP64"),
        (np.empty((0, 3)), "FP32"),
        (np.empty((0, 3), np.int64), "INT8"),
        (np.array(3), "UINT64"),
    ],
)
def test_array_is_converted_where_every_value_stays_what_it_is(array: Any, datatype: str) -> None:
    found = converted(np.asarray(array), datatype)
    assert found is not None
    assert found.dtype == dtype_of(datatype)
    assert found.shape == np.shape(array)
    wide = np.asarray(array).astype(np.float64)
    np.testing.assert_array_equal(found.astype(np.float64), wide)
    np.testing.assert_array_equal(np.signbit(found.astype(np.float64)), np.signbit(wide))


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.array([0.1], np.float64), "FP32"),
        (np.array([1e-50], np.float64), "FP32"),
        (np.array([1e39], np.float64), "FP32"),
        (np.array([1 + 2**-9], np.float32), "BF16"),
        (np.array([1e5], np.float32), "FP16"),
        (np.array([2**31], np.int64), "INT32"),
        (np.array([-1], np.int64), "UINT64"),
        (np.array([2**63], np.uint64), "INT64"),
        (np.array([2**24 + 1], np.int64), "FP32"),
        (np.array([2**63 - 1], np.int64), "FP64"),
        (np.array([2**64 - 1], np.uint64), "FP64"),
        (np.array([1], np.float64), "INT32"),
        (np.array([True]), "INT32"),
        (np.array([1], np.int32), "BOOL"),
        (np.array(["1"]), "INT32"),
        (np.array([1], np.int32), "BYTES"),
    ],
)
def test_array_is_not_converted_where_anything_would_change(array: Any, datatype: str) -> None:
    assert converted(array, datatype) is None


@pytest.mark.parametrize(
    ("datatype", "field", "values"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("INT8", "int_contents", [-128, 127]),
        ("INT16", "int_contents", [-1, 2]),
        ("INT32", "int_contents", [-1, 2]),
        ("INT64", "int64_contents", [-(2**63), 2]),
        ("UINT8", "uint_contents", [0, 255]),
        ("UINT16", "uint_contents", [0, 1]),
        ("UINT32", "uint_contents", [0, 2**32 - 1]),
        ("UINT64", "uint64_contents", [0, 2**64 - 1]),
        ("FP32", "fp32_contents", [0.5, -1.0]),
        ("FP64", "fp64_contents", [0.1, -1.0]),
        ("BYTES", "bytes_contents", [b"", b"a\0"]),
    ],
)
def test_typed_contents_are_read_for_every_datatype(datatype: str, field: str, values: list[Any]) -> None:
    array = from_contents(datatype, [2, 1], oip.InferTensorContents(**{field: values}))
    assert array.dtype == dtype_of(datatype)
    assert array.tolist() == [[value] for value in values]


@pytest.mark.parametrize(
    ("datatype", "shape", "contents", "why"),
    [
        ("INT8", [1], oip.InferTensorContents(int_contents=[128]), "out of range for INT8"),
        ("INT32", [2], oip.InferTensorContents(int_contents=[1]), "expected 2 elements, got 1"),
        ("FP32", [1], oip.InferTensorContents(fp64_contents=[1.0]), "expected 1 elements, got 0"),
        ("FP32", [-1], oip.InferTensorContents(), "negative"),
        ("FP16", [1], oip.InferTensorContents(), "travels raw only"),
    ],
)
def test_typed_contents_that_contradict_themselves_are_refused(
    datatype: str, shape: list[int], contents: oip.InferTensorContents, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        from_contents(datatype, shape, contents)
