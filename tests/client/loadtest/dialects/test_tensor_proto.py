"""tensor_proto.py: TensorProto and arrays."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.dialects.datatypes import number_of
from hotgraph_client.loadtest.dialects.tensor_proto import array_of, fill
from hotgraph_protos import tensorflow_serving_calls as tfs
from hotgraph_protos.tensors import Array

from .samples import COMPLEX, SAMPLES, assert_same

ALL = {**SAMPLES, **COMPLEX}


def of_datatype(number: int, **fields: Any) -> tfs.TensorProto:
    """One of that datatype, which need not be one."""
    made: Any = tfs.TensorProto
    proto: tfs.TensorProto = made(dtype=number, **fields)
    return proto


@pytest.mark.parametrize("datatype", ALL)
def test_every_datatype_goes_there_and_back(datatype: str) -> None:
    proto = tfs.TensorProto()
    fill(proto, ALL[datatype])
    assert proto.dtype == number_of(datatype)
    assert_same(array_of(tfs.TensorProto.FromString(proto.SerializeToString())), ALL[datatype])


@pytest.mark.parametrize(
    ("datatype", "field", "values"),
    [
        ("FP32", "float_val", [1.5, 2.5]),
        ("FP64", "double_val", [1.5, 2.5]),
        ("INT8", "int_val", [-128, 127]),
        ("UINT16", "int_val", [0, 65535]),
        ("UINT32", "uint32_val", [0, 2**32 - 1]),
        ("INT64", "int64_val", [-(2**63), 2**63 - 1]),
        ("UINT64", "uint64_val", [0, 2**64 - 1]),
        ("BOOL", "bool_val", [True, False]),
        ("BYTES", "string_val", [b"a", b""]),
        ("FP16", "half_val", [0x3C00, 0xC000]),
        ("BF16", "half_val", [0x3F80, 0xC000]),
        ("COMPLEX64", "scomplex_val", [1, 2, 3, 4]),
        ("COMPLEX128", "dcomplex_val", [1, 2, 3, 4]),
    ],
)
def test_typed_fields_are_read_and_their_last_value_goes_on(
    datatype: str, field: str, values: list[object]
) -> None:
    right: Any = {"FP16": [1.0, -2.0], "BF16": [1.0, -2.0]}.get(datatype, values)
    if datatype.startswith("COMPLEX"):
        right = [1 + 2j, 3 + 4j]
    for size, expected in ((2, right), (1, right[:1]), (4, [*right, right[-1], right[-1]])):
        proto = of_datatype(number_of(datatype), **{field: values})
        proto.tensor_shape.dim.add(size=size)
        found = array_of(proto)
        assert found.dtype == ALL[datatype].dtype
        assert found.tolist() == expected


@pytest.mark.parametrize("datatype", ALL)
def test_a_tensor_without_values_is_all_zeros(datatype: str) -> None:
    proto = of_datatype(number_of(datatype))
    proto.tensor_shape.dim.add(size=3)
    assert array_of(proto).tolist() == [b"" if datatype == "BYTES" else 0] * 3
    proto.tensor_shape.dim[0].size = 0
    assert array_of(proto).shape == (0,)


def test_scalars_keep_their_shape() -> None:
    proto = tfs.TensorProto()
    fill(proto, np.array(2.5, np.float32))
    assert proto.HasField("tensor_shape")
    assert array_of(proto).shape == ()


def test_strings_of_one_piece_are_read() -> None:
    """As TensorFlow's C++ writes them: lengths as varints, then bytes."""
    proto = tfs.TensorProto(dtype=tfs.DT_STRING, tensor_content=b"\x01\x80\x01a" + b"b" * 128)
    proto.tensor_shape.dim.add(size=2)
    assert array_of(proto).tolist() == [b"a", b"b" * 128]
    for cut in range(len(proto.tensor_content)):
        broken = tfs.TensorProto()
        broken.CopyFrom(proto)
        broken.tensor_content = proto.tensor_content[:cut]
        if cut:
            with pytest.raises(ValueError, match="string"):
                array_of(broken)


@pytest.mark.parametrize(
    ("proto", "why"),
    [
        (tfs.TensorProto(), "DT_INVALID"),
        (of_datatype(20), "DT_RESOURCE"),
        (of_datatype(1, tensor_shape={"unknown_rank": True}), "no tensor's"),
        (of_datatype(1, tensor_shape={"dim": [{"size": -1}]}), "no tensor's"),
        (of_datatype(1, tensor_shape={"dim": [{"size": 2**30}] * 3}), "too large"),
        (of_datatype(1, tensor_shape={"dim": [{"size": 1}] * 40}), "40 dimensions"),
        (
            of_datatype(1, tensor_shape={"dim": [{"size": 2**31 - 1}]}, float_val=[1]),
            "too many to fill",
        ),
        (of_datatype(1, tensor_content=b"abc"), "expected 4 bytes, got 3"),
    ],
)
def test_impossible_tensors_are_refused(proto: tfs.TensorProto, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        array_of(proto)


def test_arrays_that_tensorflow_has_no_datatype_for_are_refused() -> None:
    with pytest.raises(ValueError, match="datetime64"):
        fill(tfs.TensorProto(), np.zeros(1, "datetime64[s]"))


@given(
    st.integers(0, 25),
    st.lists(st.integers(-2, 2**40), max_size=3),
    st.binary(max_size=40),
    st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
)
def test_whatever_a_message_says_there_is_one_kind_of_error(
    dtype: int, sizes: list[int], content: bytes, values: list[int]
) -> None:
    proto = of_datatype(dtype, tensor_content=content, int_val=values, half_val=values)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    try:
        found: Array = array_of(proto)
    except ValueError:
        return
    assert list(found.shape) == sizes


@given(st.binary(max_size=60))
def test_whatever_bytes_come_there_is_one_kind_of_error(data: bytes) -> None:
    with contextlib.suppress(ValueError, DecodeError):
        array_of(tfs.TensorProto.FromString(data))
