"""TensorProtos are read as TensorFlow itself reads them, and any other bytes are an InvalidCall."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2

from hotgraph_server.errors import CallError, InvalidCall
from hotgraph_server.protocols.tfs.decode import decode_tensor, parse_request
from hotgraph_server.tensors import STRING, dtype_of

from .tensor_protos import (
    DTYPES,
    FIELD_OF,
    IDS,
    NUMBERS,
    TABLE,
    arrays,
    head_of,
    proto,
    requests,
    same,
    varint,
    vector_of,
)


@pytest.mark.parametrize(("dtype", "values", "field", "tail"), TABLE, ids=IDS)
class TestTable:
    def test_bytes_are_these_values(self, dtype: Any, values: list[Any], field: str, tail: bytes) -> None:
        array = decode_tensor("x", tensor_pb2.TensorProto.FromString(head_of(dtype) + tail))
        assert array.dtype == np.dtype(dtype)
        assert array.tolist() == values

    def test_bytes_cut_anywhere_are_refused_or_read_and_never_break(
        self, dtype: Any, values: list[Any], field: str, tail: bytes
    ) -> None:
        whole = head_of(dtype) + tail
        for end in range(len(whole)):
            try:
                array = decode_tensor("x", tensor_pb2.TensorProto.FromString(whole[:end]))
            except (DecodeError, InvalidCall):
                continue
            assert array.dtype == np.dtype(dtype)
            assert array.size <= 2

    def test_tensor_content_is_these_values(
        self, dtype: Any, values: list[Any], field: str, tail: bytes
    ) -> None:
        array = vector_of(dtype, values)
        content = b"\2\0a\0" if dtype is object else array.tobytes()
        assert same(decode_tensor("x", proto(dtype, [2], tensor_content=content)), array)

    def test_tensor_content_of_any_other_size_is_refused(
        self, dtype: Any, values: list[Any], field: str, tail: bytes
    ) -> None:
        content = b"\2\0a\0" if dtype is object else vector_of(dtype, values).tobytes()
        for wrong in [*(content[:end] for end in range(1, len(content))), content + b"\0", content * 2]:
            if wrong:
                with pytest.raises(InvalidCall, match="tensor parsing error: x"):
                    decode_tensor("x", proto(dtype, [2], tensor_content=wrong))

    def test_last_value_of_a_short_field_is_repeated(
        self, dtype: Any, values: list[Any], field: str, tail: bytes
    ) -> None:
        read = decode_tensor("x", tensor_pb2.TensorProto.FromString(head_of(dtype, size=5) + tail))
        assert same(read, vector_of(dtype, values + values[1:] * 3))

    def test_empty_field_is_zeros(self, dtype: Any, values: list[Any], field: str, tail: bytes) -> None:
        zero = b"" if dtype is object else 0
        assert same(decode_tensor("x", proto(dtype, [3])), vector_of(dtype, [zero] * 3))

    def test_surplus_values_are_ignored(self, dtype: Any, values: list[Any], field: str, tail: bytes) -> None:
        read = decode_tensor("x", tensor_pb2.TensorProto.FromString(head_of(dtype, size=1) + tail))
        assert same(read, vector_of(dtype, values[:1]))

    def test_without_a_shape_it_is_a_scalar(
        self, dtype: Any, values: list[Any], field: str, tail: bytes
    ) -> None:
        message = tensor_pb2.TensorProto.FromString(head_of(dtype)[:2] + tail)
        assert not message.HasField("tensor_shape")
        assert same(decode_tensor("x", message), vector_of(dtype, values[:1]).reshape(()))

    def test_values_in_the_field_of_another_dtype_do_not_count(
        self, dtype: Any, values: list[Any], field: str, tail: bytes
    ) -> None:
        other = {"int64_val": [7]} if field != "int64_val" else {"int_val": [7]}
        zero = b"" if dtype is object else 0
        assert decode_tensor("x", proto(dtype, [1], **other)).tolist() == [zero]


@given(st.data(), st.sampled_from(DTYPES))
def test_every_array_that_tensorflow_writes_is_read(data: st.DataObject, dtype: np.dtype[Any]) -> None:
    array = data.draw(arrays(dtype))
    assert same(decode_tensor("x", tf.make_tensor_proto(array, NUMBERS[dtype], array.shape)), array)


@given(st.data(), st.sampled_from([dtype for dtype in DTYPES if dtype != STRING]))
def test_every_array_survives_as_tensor_content(data: st.DataObject, dtype: np.dtype[Any]) -> None:
    array = data.draw(arrays(dtype))
    assert same(decode_tensor("x", proto(dtype, array.shape, tensor_content=array.tobytes())), array)


def strings_in_content(*strings_: bytes) -> bytes:
    """As TensorFlow's C++ writes them: the lengths first."""
    return b"".join([varint(len(one)) for one in strings_] + list(strings_))


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4))
def test_strings_in_content_are_these_values(values: list[bytes]) -> None:
    sent = proto(object, [len(values)], tensor_content=strings_in_content(*values))
    assert decode_tensor("x", sent).tolist() == values


@given(st.binary(min_size=1, max_size=12), st.integers(0, 6))
def test_strings_in_any_content_are_read_as_tensorflow_reads_them_or_refused(
    content: bytes, count: int
) -> None:
    sent = proto(object, [count], tensor_content=content)
    try:
        expected: list[bytes] | None = (
            tf.io.parse_tensor(sent.SerializeToString(), tf.string).numpy().tolist()
        )
    except tf.errors.InvalidArgumentError:
        expected = None
    try:
        found = decode_tensor("x", sent).tolist()
    except InvalidCall:
        found = None
    assert found == expected


class TestRefused:
    @pytest.mark.parametrize("number", [0, 11, 12, 13, 15, 16, 20, 21, 101, 107, 999, -1])
    def test_dtype_that_no_call_can_carry(self, number: int) -> None:
        message = tensor_pb2.TensorProto.FromString(b"\x08" + varint(number))
        with pytest.raises(InvalidCall, match=f"tensor parsing error: x: no tensor can have dtype {number}"):
            decode_tensor("x", message)

    @pytest.mark.parametrize("shape", [[-1], [2, -2], [2**31], [2**62], [-(2**63)]])
    def test_shape_that_is_not_a_tensors(self, shape: list[int]) -> None:
        with pytest.raises(InvalidCall, match="tensor parsing error: x: shape"):
            decode_tensor("x", proto(np.float32, shape, float_val=[1.0]))

    def test_unknown_rank(self) -> None:
        message = proto(np.float32, [], float_val=[1.0])
        message.tensor_shape.unknown_rank = True
        with pytest.raises(InvalidCall, match="tensor parsing error: x: shape"):
            decode_tensor("x", message)

    def test_bytes_that_are_no_message(self) -> None:
        with pytest.raises(InvalidCall, match="the message is no PredictRequest"):
            parse_request(b"\xff\xff")


@pytest.mark.parametrize(
    ("dtype", "field", "sent", "taken"),
    [
        (np.int8, "int_val", [-129, 261], [127, 5]),
        (np.uint8, "int_val", [256, -1], [0, 255]),
        (np.uint16, "int_val", [2**16 + 1, -1], [1, 65535]),
        (np.float16, "half_val", [0x13C00, -0x8000 + 0x3C00 - 0x8000], [1.0, 1.0]),
    ],
)
def test_low_bytes_of_small_numbers_count(dtype: Any, field: str, sent: list[int], taken: list[Any]) -> None:
    assert decode_tensor("x", proto(dtype, [2], **{field: sent})).tolist() == taken


def test_half_a_complex_number_at_the_end_is_ignored() -> None:
    assert decode_tensor("x", proto(np.complex64, [2], scomplex_val=[1, 2, 3])).tolist() == [1 + 2j, 1 + 2j]
    assert decode_tensor("x", proto(np.complex64, [2], scomplex_val=[1])).tolist() == [0, 0]


def test_repeated_string_keeps_its_last_zero_bytes() -> None:
    read = decode_tensor("x", proto(object, [3], string_val=[b"a\0\0"]))
    assert read.tolist() == [b"a\0\0"] * 3


def test_bool_content_other_than_one_is_true() -> None:
    read = decode_tensor("x", proto(np.bool_, [3], tensor_content=b"\0\1\2"))
    assert read.view(np.uint8).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    "shape",
    [
        [2**31 - 1],
        [2**31 - 1] * 2,
        [2**31 - 1] * 32,
        [2**20] * 3,
        [0, 2**31 - 1, 2**31 - 1, 2**31 - 1],
        [2**31 - 1, 2**31 - 1, 0, 2**31 - 1],
        [65537, 0],
        [0] * 33,
        [1] * 100,
    ],
    ids=str,
)
def test_few_bytes_that_claim_a_huge_shape_allocate_nothing(shape: list[int]) -> None:
    messages = [
        proto(dtype, shape, **fields)
        for dtype in DTYPES
        for fields in (
            {},
            {FIELD_OF[dtype]: [b"a" if dtype == STRING else 1]},
            {"tensor_content": b"\0" * 16},
        )
    ]
    for message in messages:
        tracemalloc.start()
        with pytest.raises(InvalidCall, match="tensor parsing error: x"):
            decode_tensor("x", message)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2**25


class TestAnyBytes:
    """Whatever arrives: an array of the dtype and shape it says, or an InvalidCall."""

    @given(st.binary(max_size=300))
    def test_any_bytes(self, message: bytes) -> None:
        check(message)

    @settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=400)
    @given(st.data())
    def test_any_message(self, data: st.DataObject) -> None:
        check(data.draw(requests()).SerializeToString())

    @settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=400)
    @given(st.data())
    def test_any_message_cut_and_overwritten_anywhere(self, data: st.DataObject) -> None:
        message = bytearray(data.draw(requests()).SerializeToString())
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(message)))
            till = data.draw(st.integers(at, min(len(message), at + 8)))
            message[at:till] = data.draw(st.binary(max_size=8))
        check(bytes(message))


def check(message: bytes) -> None:
    try:
        request = parse_request(message)
    except CallError:
        return
    refusals: list[str] = []
    for alias, tensor in request.inputs.items():
        try:
            array = decode_tensor(alias, tensor)
        except CallError as error:
            refusals.append(str(error))
            continue
        assert array.dtype == dtype_of(tensor.dtype)
        assert list(array.shape) == [dimension.size for dimension in tensor.tensor_shape.dim]
        assert array.nbytes <= 256 * 2**20
    assert all(text.startswith("tensor parsing error: ") for text in refusals)
