"""TensorProtos for tests: every dtype with its field and its bytes, and any others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2

from hotgraph_server.tensors import STRING, Array

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


def varint(value: int) -> bytes:
    out = bytearray()
    value &= 2**64 - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


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
