"""TensorProto both ways: as TensorFlow itself reads and writes it, and any other bytes are an InvalidCall."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import model_pb2, predict_pb2

from hotgraph_server.errors import CallError, InvalidCall
from hotgraph_server.protocols.tfs.codec import decode_tensor, encode_response, encode_tensor, parse_request
from hotgraph_server.tensors import STRING, Array, dtype_of
from hotgraph_server.transport.service import Answered, joined

from ..fakes import strings

BFLOAT16 = ml_dtypes.bfloat16

# Value and bytes of a vector of two: dtype, values, typed field's name, and its bytes behind dtype and shape.
TABLE: list[tuple[Any, list[Any], str, bytes]] = [
    (np.float32, [1.0, -2.0], "float_val", b"\x2a\x08\0\0\x80\x3f\0\0\0\xc0"),
    (np.float64, [1.0, -2.0], "double_val", b"\x32\x10\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\xc0"),
    (np.int32, [1, -1], "int_val", b"\x3a\x0b\1" + b"\xff" * 9 + b"\1"),
    (np.uint8, [1, 255], "int_val", b"\x3a\3\1\xff\1"),
    (np.int16, [1, 300], "int_val", b"\x3a\3\1\xac\2"),
    (np.int8, [1, -1], "int_val", b"\x3a\x0b\1" + b"\xff" * 9 + b"\1"),
    (object, [b"a\0", b""], "string_val", b"\x42\2a\0\x42\0"),
    (
        np.complex64,
        [1 - 2j, 0j],
        "scomplex_val",
        b"\x4a\x10\0\0\x80\x3f\0\0\0\xc0\0\0\0\0\0\0\0\0",
    ),
    (np.int64, [1, 300], "int64_val", b"\x52\3\1\xac\2"),
    (np.bool_, [True, False], "bool_val", b"\x5a\2\1\0"),
    (BFLOAT16, [1.0, -2.0], "half_val", b"\x6a\5\x80\x7f\x80\x80\3"),
    (np.uint16, [1, 65535], "int_val", b"\x3a\4\1\xff\xff\3"),
    (
        np.complex128,
        [1 - 2j, 0j],
        "dcomplex_val",
        b"\x62\x20\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\xc0" + b"\0" * 16,
    ),
    (np.float16, [1.0, -2.0], "half_val", b"\x6a\5\x80\x78\x80\x80\3"),
    (np.uint32, [1, 2**32 - 1], "uint32_val", b"\x82\1\6\1\xff\xff\xff\xff\x0f"),
    (np.uint64, [1, 2**64 - 1], "uint64_val", b"\x8a\1\x0b\1" + b"\xff" * 9 + b"\1"),
]
DTYPES = [np.dtype(dtype) for dtype, *_ in TABLE]
NUMBERS = {
    np.dtype(dtype): tf.as_dtype(tf.string if dtype is object else dtype).as_datatype_enum
    for dtype, *_ in TABLE
}
FIELD_OF = {np.dtype(dtype): field for dtype, _, field, _ in TABLE}
IDS = [dtype.name for dtype in DTYPES]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def proto(dtype: Any, shape: Sequence[int], **fields: Any) -> Any:
    """A TensorProto."""
    built = tensor_pb2.TensorProto(dtype=NUMBERS[np.dtype(dtype)], **fields)
    built.tensor_shape.SetInParent()
    for size in shape:
        built.tensor_shape.dim.add(size=size)
    return built


def vector_of(dtype: Any, values: list[Any]) -> Array:
    return strings(*values) if dtype is object else np.array(values, dtype)


def same(one: Array, other: Array) -> bool:
    """Equal in dtype, shape and every bit."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype == STRING:
        return one.ravel().tolist() == other.ravel().tolist()
    return one.tobytes() == other.tobytes()


def arrays(dtype: np.dtype[Any]) -> st.SearchStrategy[Array]:
    """Any array of a dtype; floats of every bit pattern, but for the signalling NaNs that a way through a
    C double makes quiet."""
    if dtype == STRING:
        return hnp.arrays(object, SHAPES, elements=st.binary(max_size=5), fill=st.nothing())
    if dtype.name in ("float16", "bfloat16"):
        return hnp.arrays(np.uint16, SHAPES).map(lambda array: array.view(dtype))
    return hnp.arrays(dtype, SHAPES)


@pytest.mark.parametrize(("dtype", "values", "field", "tail"), TABLE, ids=IDS)
class TestTable:
    def test_bytes_are_these_values(self, dtype: Any, values: list[Any], field: str, tail: bytes) -> None:
        array = decode_tensor("x", tensor_pb2.TensorProto.FromString(head_of(dtype) + tail))
        assert array.dtype == np.dtype(dtype)
        assert array.tolist() == values

    def test_these_values_become_these_bytes(
        self, dtype: Any, values: list[Any], field: str, tail: bytes
    ) -> None:
        assert encode_tensor(vector_of(dtype, values)) == head_of(dtype) + tail

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

    def test_tensorflow_reads_what_we_write(
        self, dtype: Any, values: list[Any], field: str, tail: bytes
    ) -> None:
        for array in (
            vector_of(dtype, values),
            vector_of(dtype, values[:1]).reshape(()),
            vector_of(dtype, []),
        ):
            written = tensor_pb2.TensorProto.FromString(encode_tensor(array))
            assert same(in_our_form(tf.make_ndarray(written), dtype), array)
            # What TensorFlow's kernels see, and not only its Python.
            assert same(in_our_form(parsed_by_tensorflow(written), dtype), array)


def head_of(dtype: Any, size: int = 2) -> bytes:
    """TensorProto's dtype and a shape [size], as bytes."""
    return bytes((0x08, NUMBERS[np.dtype(dtype)], 0x12, 4, 0x12, 2, 0x08, size))


def in_our_form(array: Array, dtype: Any) -> Array:
    """TensorFlow's Python returns strings in several forms; here they are objects."""
    if np.dtype(dtype) != STRING:
        return array
    return strings(*array.ravel().tolist()).reshape(array.shape)


def parsed_by_tensorflow(message: Any) -> Array:
    number = types_pb2.DataType.Name(message.dtype)
    tensor = tf.io.parse_tensor(message.SerializeToString(), getattr(tf, TENSORFLOW_NAMES[number]))
    value = tensor.numpy()
    # A scalar string comes as bytes, which numpy would strip of the zeros at their end.
    return strings(value).reshape(()) if isinstance(value, bytes) else np.asarray(value)


TENSORFLOW_NAMES = {types_pb2.DataType.Name(number): tf.as_dtype(number).name for number in NUMBERS.values()}


@given(st.data(), st.sampled_from(DTYPES))
def test_every_array_that_tensorflow_writes_is_read(data: st.DataObject, dtype: np.dtype[Any]) -> None:
    array = data.draw(arrays(dtype))
    assert same(decode_tensor("x", tf.make_tensor_proto(array, NUMBERS[dtype], array.shape)), array)


@given(st.data(), st.sampled_from([dtype for dtype in DTYPES if dtype != STRING]))
def test_every_array_survives_as_tensor_content(data: st.DataObject, dtype: np.dtype[Any]) -> None:
    array = data.draw(arrays(dtype))
    assert same(decode_tensor("x", proto(dtype, array.shape, tensor_content=array.tobytes())), array)


@given(st.data(), st.sampled_from(DTYPES))
def test_every_array_that_we_write_is_read_by_tensorflow_and_by_us(
    data: st.DataObject, dtype: np.dtype[Any]
) -> None:
    array = data.draw(arrays(dtype))
    written = tensor_pb2.TensorProto.FromString(encode_tensor(array))
    assert not written.tensor_content
    assert same(in_our_form(parsed_by_tensorflow(written), dtype), array)
    assert same(decode_tensor("x", written), array)


def response_of(answer: Answered) -> Any:
    """A PredictResponse from its bytes, or from pieces of them."""
    return predict_pb2.PredictResponse.FromString(joined(answer))


@given(st.data())
def test_response_is_what_protobuf_would_have_written(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 4))
    aliases = data.draw(st.lists(st.text(max_size=40), min_size=count, max_size=count, unique=True))
    outputs = [data.draw(arrays(data.draw(st.sampled_from(DTYPES)))) for _ in aliases]
    spec = model_pb2.ModelSpec(name="m", signature_name="s")
    spec.version.value = data.draw(st.sampled_from((7, 0)))
    version = spec.version.value
    response = response_of(encode_response("m", version, "s", aliases, outputs))
    assert response.model_spec == spec
    assert set(response.outputs) == set(aliases)
    for alias, array in zip(aliases, outputs, strict=True):
        assert response.outputs[alias] == tensor_pb2.TensorProto.FromString(encode_tensor(array))
        assert same(decode_tensor(alias, response.outputs[alias]), array)


@given(st.data(), st.sampled_from(DTYPES), st.text(max_size=200))
def test_output_is_byte_for_byte_what_protobuf_writes_the_first_time_and_later(
    data: st.DataObject, dtype: np.dtype[Any], alias: str
) -> None:
    array = data.draw(arrays(dtype))
    for _ in range(2):
        written = encode_tensor(array)
        assert tensor_pb2.TensorProto.FromString(written).SerializeToString() == written
        spec = predict_pb2.PredictResponse()
        spec.model_spec.name, spec.model_spec.version.value = "m", 1
        outputs = predict_pb2.PredictResponse()
        outputs.outputs[alias].MergeFromString(written)
        expected = spec.SerializeToString() + outputs.SerializeToString()
        assert encode_response("m", 1, "", [alias], [array]) == expected


def test_output_that_is_not_contiguous_is_written_in_its_own_order() -> None:
    for dtype in (np.float32, np.float16, np.int32, np.complex64):
        array = np.arange(12, dtype=np.int32).reshape(3, 4).astype(dtype).T[::2]
        assert same(decode_tensor("x", tensor_pb2.TensorProto.FromString(encode_tensor(array))), array)


def test_output_longer_than_a_short_varint_is_written_right() -> None:
    for size in (31, 32, 127, 128, 5_000, 600_000):
        array = np.arange(size, dtype=np.float32)
        response = response_of(encode_response("m", 1, "s", ["y" * 200], [array]))
        assert same(decode_tensor("y", response.outputs["y" * 200]), array)


@given(st.data())
def test_response_in_content_is_what_tensorflow_reads(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    array = data.draw(arrays(dtype))
    message = encode_response("m", 1, "s", ["y"], [array], as_content=True)
    output = response_of(message).outputs["y"]
    # Strings stay where clients can read them.
    assert bool(output.tensor_content) == bool(array.size and dtype != STRING)
    assert same(in_our_form(parsed_by_tensorflow(output), dtype), array)
    assert same(decode_tensor("y", output), array)


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


def varint(value: int) -> bytes:
    out = bytearray()
    value &= 2**64 - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


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


@pytest.mark.parametrize("dtype", DTYPES, ids=IDS)
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
def test_few_bytes_that_claim_a_huge_shape_allocate_nothing(dtype: np.dtype[Any], shape: list[int]) -> None:
    one = b"a" if dtype == STRING else 1
    for fields in ({}, {FIELD_OF[dtype]: [one]}, {"tensor_content": b"\0" * 16}):
        message = proto(dtype, shape, **fields)
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


# Rows beyond these would be filled in by the gigabyte; that they are refused is tested above.
_SIZES = st.sampled_from([0, 1, 1, 2, 2, 3, 7, -1, 2**31 - 1, 2**31, 2**62])


@st.composite
def requests(draw: st.DrawFn) -> Any:
    """Messages whose parts do not fit each other, and now and then do."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    for alias in draw(st.lists(st.sampled_from(["x", "y", ""]), max_size=3, unique=True)):
        dtype = draw(st.sampled_from(DTYPES))
        shape = draw(st.lists(_SIZES, max_size=4))
        message = proto(dtype, shape)
        for field in draw(
            st.lists(
                st.sampled_from([FIELD_OF[dtype]] * 3 + sorted(set(FIELD_OF.values()))),
                max_size=2,
                unique=True,
            )
        ):
            values: st.SearchStrategy[Any] = {
                "string_val": st.binary(max_size=4),
                "bool_val": st.booleans(),
                "int_val": st.integers(-(2**31), 2**31 - 1),
                "half_val": st.integers(-(2**31), 2**31 - 1),
            }.get(field, st.integers(0, 2**31))
            getattr(message, field).extend(draw(st.lists(values, max_size=8)))
        if not draw(st.integers(0, 3)):
            message.tensor_content = draw(st.binary(max_size=40))
        if not draw(st.integers(0, 9)):
            message.tensor_shape.unknown_rank = True
        request.inputs[alias].CopyFrom(message)
    return request


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
