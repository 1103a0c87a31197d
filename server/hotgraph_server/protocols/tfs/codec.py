"""TensorProto to array and back, as TensorFlow Serving reads and writes them. Pure.

Reading follows TensorFlow: a tensor is in ``tensor_content`` or in the typed field of its dtype; a
typed field that is too short repeats its last value, an empty one is all zeros, what is too long is
ignored; no shape is a scalar. TensorFlow's own ``make_ndarray`` does the same a hundred times slower.

Writing uses the typed fields, which is what TensorFlow Serving's clients read. Where a packed field is
byte for byte the array's memory (floats, complex numbers, booleans) the bytes are spliced in; others
go through protobuf.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2

from hotgraph_server.errors import InvalidCall
from hotgraph_server.tensors import DT_STRING, STRING, Array, dtype_of, number_of

_DT_HALF, _DT_BFLOAT16 = 19, 14

# Typed field by dtype number: its name, and the dtype of its elements where numpy needs to be told.
_FIELDS: dict[int, tuple[str, Any]] = {
    1: ("float_val", np.float32),
    2: ("double_val", np.float64),
    3: ("int_val", np.int32),
    4: ("int_val", np.int32),
    5: ("int_val", np.int32),
    6: ("int_val", np.int32),
    DT_STRING: ("string_val", object),
    8: ("scomplex_val", np.float32),
    9: ("int64_val", np.int64),
    10: ("bool_val", np.bool_),
    _DT_BFLOAT16: ("half_val", np.int32),
    17: ("int_val", np.int32),
    18: ("dcomplex_val", np.float64),
    _DT_HALF: ("half_val", np.int32),
    22: ("uint32_val", np.uint32),
    23: ("uint64_val", np.uint64),
}
_COMPLEX = {8: np.complex64, 18: np.complex128}

# Field numbers of TensorProto whose packed form is the array's little-endian memory.
_SPLICED = {1: 5, 2: 6, 8: 9, 10: 11, 18: 12}

# A request of a few bytes may say "this value, a trillion times". No honest caller fills more than this.
_MAX_FILLED_BYTES = 256 * 2**20
_MAX_RANK = 32
_MAX_BYTES = 2**63 - 1


def parse_request(message: bytes) -> Any:
    """Bytes to PredictRequest.

    Raises:
        InvalidCall: they are none.
    """
    try:
        return predict_pb2.PredictRequest.FromString(message)
    except DecodeError as error:
        raise InvalidCall(f"the message is no PredictRequest: {error}") from error


def decode_tensor(alias: str, proto: Any) -> Array:
    """A TensorProto as an array; `alias` names it in errors.

    Raises:
        InvalidCall: unknown dtype, impossible shape, or content that does not fit it.
    """
    # References to variables come out of graphs, and never in.
    dtype = dtype_of(proto.dtype) if proto.dtype in _FIELDS else None
    if dtype is None:
        raise _unreadable(alias, f"no tensor can have dtype {proto.dtype}")
    shape = [dimension.size for dimension in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(not 0 <= size < 2**31 for size in shape):
        raise _unreadable(alias, f"shape {shape} is not a tensor's")
    if len(shape) > _MAX_RANK:
        raise _unreadable(alias, f"{len(shape)} dimensions, at most {_MAX_RANK} are possible")
    # numpy counts a zero as a one when it looks whether a shape's bytes overflow.
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize > _MAX_BYTES:
        raise _unreadable(alias, f"shape {shape} is too large")
    count = math.prod(shape)
    if proto.tensor_content:
        flat = _from_content(alias, proto.tensor_content, dtype, count)
    else:
        flat = _from_field(alias, proto, dtype, count)
    return flat.reshape(shape)


def encode_response(spec: Any, aliases: Sequence[str], arrays: Sequence[Array]) -> bytes:
    """A PredictResponse's bytes: `spec` is the ModelSpec that was answered."""
    # Messages may be concatenated field by field, so only the spec needs a message of its own.
    parts = [predict_pb2.PredictResponse(model_spec=spec).SerializeToString()]
    for alias, array in zip(aliases, arrays, strict=True):
        key, tensor = alias.encode(), encode_tensor(array)
        # PredictResponse.outputs = 1 is a map: entries of key = 1 and value = 2.
        entry = b"".join((_header(1, len(key)), key, _header(2, len(tensor)), tensor))
        parts += (_header(1, len(entry)), entry)
    return b"".join(parts)


def encode_tensor(array: Array) -> bytes:
    """A TensorProto's bytes, with the values in their typed field."""
    number = number_of(array.dtype)
    proto = _TensorProto(dtype=number)
    # Also for a scalar: a tensor without a shape message would be of unknown shape to some readers.
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if number in _SPLICED and array.size:
        memory = np.ascontiguousarray(array).tobytes()
        return b"".join((proto.SerializeToString(), _header(_SPLICED[number], len(memory)), memory))
    flat = array.ravel()
    if number in (_DT_HALF, _DT_BFLOAT16):
        flat = np.ascontiguousarray(flat).view(np.uint16)
    if number not in _SPLICED:
        getattr(proto, _FIELDS[number][0]).extend(flat.tolist())
    return proto.SerializeToString()  # type: ignore[no-any-return]


def _from_content(alias: str, content: bytes, dtype: np.dtype[Any], count: int) -> Array:
    if dtype == STRING:
        raise _unreadable(alias, "strings travel in string_val, not in tensor_content")
    if len(content) != count * dtype.itemsize:
        raise _unreadable(alias, f"expected {count * dtype.itemsize} bytes, got {len(content)}")
    if dtype == np.bool_:
        # Compiled code takes a bool's byte at its word: what a 2 would do is anyone's guess.
        return np.not_equal(np.frombuffer(content, np.uint8), 0)
    return np.frombuffer(content, dtype)


def _from_field(alias: str, proto: Any, dtype: np.dtype[Any], count: int) -> Array:
    field, element = _FIELDS[proto.dtype]
    values = getattr(proto, field)
    if element is object:
        flat = np.empty(len(values), object)
        flat[:] = values
    else:
        flat = np.array(values, element)
    if proto.dtype in _COMPLEX:
        # Real and imaginary parts in turn; half a number at the end is ignored.
        flat = flat[: len(flat) // 2 * 2].view(_COMPLEX[proto.dtype])
    elif proto.dtype in (_DT_HALF, _DT_BFLOAT16):
        flat = flat.astype(np.uint16).view(dtype)
    else:
        flat = flat.astype(dtype, copy=False)
    return flat[:count] if len(flat) >= count else _filled(alias, flat, dtype, count)


def _filled(alias: str, flat: Array, dtype: np.dtype[Any], count: int) -> Array:
    if count * dtype.itemsize > _MAX_FILLED_BYTES:
        raise _unreadable(alias, f"{count} elements said, {len(flat)} sent; too many to fill in")
    filled = np.empty(count, dtype)
    filled[: len(flat)] = flat
    # As an array: a bare string would lose the zeros at its end in numpy's hands.
    filled[len(flat) :] = flat[-1:] if len(flat) else np.array([b"" if dtype == STRING else 0], dtype)
    return filled


def _unreadable(alias: str, why: str) -> InvalidCall:
    return InvalidCall(f"tensor parsing error: {alias}: {why}")


def _header(field: int, length: int) -> bytes:
    """Tag and length of a length-delimited field with a number below 16."""
    return bytes((field << 3 | 2,)) + _varint(length)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# The class of PredictRequest.inputs' values: TensorFlow's, without importing TensorFlow for it here.
_TensorProto = type(predict_pb2.PredictRequest().inputs[""])
