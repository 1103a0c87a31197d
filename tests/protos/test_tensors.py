"""tensors.py: every value survives, every other byte sequence is a ValueError."""

from __future__ import annotations

import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hotgraph_protos.tensors import (
    Array,
    datatype_of,
    decode_raw,
    decode_strings,
    dtype_of,
    element_count,
    encode_raw,
    encode_strings,
    to_bytes_array,
)

UNSIGNED = ["UINT8", "UINT16", "UINT32", "UINT64"]
SIGNED = ["INT8", "INT16", "INT32", "INT64"]
FIXED = ["BOOL", *UNSIGNED, *SIGNED, "FP16", "BF16", "FP32", "FP64"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)

# value and bytes, read both ways
TABLE = [
    ("BOOL", [True, False], b"\1\0"),
    ("UINT8", [0, 255], b"\0\xff"),
    ("UINT16", [1, 65535], b"\1\0\xff\xff"),
    ("UINT32", [1, 2**32 - 1], b"\1\0\0\0\xff\xff\xff\xff"),
    ("UINT64", [2**64 - 1], b"\xff" * 8),
    ("INT8", [-1, 127], b"\xff\x7f"),
    ("INT16", [-2], b"\xfe\xff"),
    ("INT32", [-2], b"\xfe\xff\xff\xff"),
    ("INT64", [1], b"\1\0\0\0\0\0\0\0"),
    ("FP16", [1.0, -2.0], b"\x00\x3c\x00\xc0"),
    ("BF16", [1.0, -2.0], b"\x80\x3f\x00\xc0"),
    ("FP32", [1.0], b"\0\0\x80\x3f"),
    ("FP64", [1.0], b"\0\0\0\0\0\0\xf0\x3f"),
    ("BYTES", [b"ab", b"", b"\0"], b"\2\0\0\0ab\0\0\0\0\1\0\0\0\0"),
]


@pytest.mark.parametrize(("datatype", "values", "raw"), TABLE, ids=[row[0] for row in TABLE])
class TestTable:
    def test_value_becomes_these_bytes_and_these_bytes_the_value(
        self, datatype: str, values: list[Any], raw: bytes
    ) -> None:
        array = np.array(values, dtype_of(datatype))
        assert encode_raw(array) == raw
        decoded = decode_raw(datatype, [len(values)], raw)
        assert decoded.dtype == array.dtype
        assert decoded.tolist() == array.tolist()

    def test_bytes_cut_anywhere_are_refused(self, datatype: str, values: list[Any], raw: bytes) -> None:
        for end in range(len(raw)):
            with pytest.raises(ValueError, match=r"expected|incomplete"):
                decode_raw(datatype, [len(values)], raw[:end])

    def test_trailing_bytes_are_refused(self, datatype: str, values: list[Any], raw: bytes) -> None:
        for extra in (b"\0", b"\0\0\0\0", raw):
            with pytest.raises(ValueError, match=r"expected|unexpected"):
                decode_raw(datatype, [len(values)], raw + extra)

    def test_memoryview_is_as_good_as_bytes(self, datatype: str, values: list[Any], raw: bytes) -> None:
        view = memoryview(b"??" + raw)[2:]
        assert decode_raw(datatype, [len(values), 1], view).tolist() == [
            [value] for value in np.array(values, dtype_of(datatype)).tolist()
        ]


@given(st.data(), st.sampled_from(FIXED), SHAPES)
def test_every_bit_pattern_of_every_fixed_size_datatype_survives(
    data: st.DataObject, datatype: str, shape: tuple[int, ...]
) -> None:
    """NaN payloads and negative zeros included, hence bytes are compared and not values."""
    size = element_count(shape) * dtype_of(datatype).itemsize
    raw = data.draw(st.binary(min_size=size, max_size=size))
    if datatype == "BOOL":
        raw = bytes(byte & 1 for byte in raw)
    array = decode_raw(datatype, shape, raw)
    assert (array.shape, array.dtype) == (shape, dtype_of(datatype))
    assert datatype_of(array.dtype) == datatype
    assert encode_raw(array) == raw


@given(hnp.arrays(hnp.scalar_dtypes(), SHAPES))
def test_array_of_any_dtype_and_byte_order_survives_or_is_refused(array: Array) -> None:
    datatype = datatype_of(array.dtype)
    if datatype is None:
        with pytest.raises(ValueError, match="no datatype"):
            encode_raw(array)
        return
    if datatype == "BYTES":
        return  # numpy's own string dtypes lose trailing zeros before we see them: tested below
    decoded = decode_raw(datatype, array.shape, encode_raw(array))
    assert decoded.dtype == array.dtype.newbyteorder("<")
    np.testing.assert_array_equal(decoded, array)


@given(hnp.arrays(np.object_, SHAPES, elements=st.binary() | st.text(), fill=st.nothing()))
def test_strings_of_any_content_survive(array: Array) -> None:
    expected = [text.encode() if isinstance(text, str) else text for text in array.ravel()]
    decoded = decode_raw("BYTES", array.shape, encode_raw(array))
    assert decoded.shape == array.shape
    assert all(type(element) is bytes for element in decoded.ravel())
    assert decoded.ravel().tolist() == expected


@pytest.mark.parametrize("dtype", ["S", "U", pytest.param("T", id="StringDType")])
def test_strings_of_numpys_own_dtypes_are_encoded_as_utf8(dtype: str) -> None:
    texts = ["a", "", "bc"] if dtype == "S" else ["ä", "", "bc"]
    if dtype == "T":
        string_dtype = getattr(np.dtypes, "StringDType", None)
        array = np.array(texts, string_dtype() if string_dtype else object)
    else:
        array = np.array(texts, dtype)
    assert datatype_of(array.dtype) == "BYTES"
    assert decode_raw("BYTES", [3], encode_raw(array)).tolist() == [text.encode() for text in texts]


def test_object_array_of_bytes_is_not_copied() -> None:
    array = np.array([b"a", b"b\0"], object)
    assert to_bytes_array(array) is array


@pytest.mark.parametrize("element", [None, 1, 1.5, ["a"], "\udc80"])
def test_element_that_is_no_string_is_refused(element: Any) -> None:
    array = np.empty(2, object)
    array[:] = [b"fine", None]
    array[1] = element
    with pytest.raises(ValueError, match=r"str or bytes|surrogates"):
        encode_strings(array)


@given(
    st.sampled_from([*FIXED, "BYTES", "STRING", ""]),
    st.lists(st.integers(-2, 5) | st.integers(-(2**63), 2**63 - 1), max_size=5),
    st.binary(max_size=100),
)
def test_any_bytes_give_an_array_or_value_error(datatype: str, shape: list[int], data: bytes) -> None:
    try:
        array = decode_raw(datatype, shape, data)
    except ValueError:
        return
    assert array.shape == tuple(shape)
    assert array.dtype == dtype_of(datatype)


@given(st.lists(st.binary(max_size=6), max_size=6), st.data())
def test_strings_cut_or_miscounted_are_refused(texts: list[bytes], data: st.DataObject) -> None:
    raw = encode_strings(np.array([*texts, None], object)[:-1])
    if raw:
        end = data.draw(st.integers(0, len(raw) - 1))
        with pytest.raises(ValueError, match=r"expected|incomplete"):
            decode_strings(raw[:end], len(texts))
    count = data.draw(st.integers(0, 20).filter(lambda count: count != len(texts)))
    with pytest.raises(ValueError, match=r"expected|unexpected"):
        decode_strings(raw, count)


def test_lying_count_or_length_allocates_nothing() -> None:
    with pytest.raises(ValueError, match="string elements, got 1"):
        decode_raw("BYTES", [2**40], b"\0\0\0\0")
    with pytest.raises(ValueError, match="element 0 has 4294967295 bytes, 2 are left"):
        decode_raw("BYTES", [1], struct.pack("<I", 2**32 - 1) + b"ab")


def test_more_dimensions_than_numpy_has_are_refused() -> None:
    for datatype in ("FP32", "BYTES"):
        with pytest.raises(ValueError, match="dimension"):
            decode_raw(datatype, [1] * 100, b"\0\0\0\0")


def test_decoded_numbers_are_a_view_of_the_message() -> None:
    data = bytearray(b"\1\0\0\0")
    array = decode_raw("INT32", [1], memoryview(data))
    data[0] = 2
    assert array.tolist() == [2]


def test_bool_byte_that_is_neither_0_nor_1_is_true() -> None:
    array = decode_raw("BOOL", [2, 2], b"\0\1\2\xff")
    assert array.tolist() == [[False, True], [True, True]]
    assert array.tobytes() == b"\0\1\1\1"


def test_bfloat16_has_a_name_and_others_of_its_kind_have_none() -> None:
    assert dtype_of("BF16") == np.dtype(ml_dtypes.bfloat16)
    assert datatype_of(np.dtype(ml_dtypes.float8_e4m3fn)) is None
    assert datatype_of(np.dtype(np.complex64)) is None


@pytest.mark.parametrize("name", ["", "FP8", "fp32", "STRING"])
def test_unknown_datatype_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is not a datatype"):
        dtype_of(name)
