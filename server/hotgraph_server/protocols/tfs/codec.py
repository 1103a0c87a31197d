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
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2

from hotgraph_server.errors import InvalidCall
from hotgraph_server.protocols.wire import (
    LENGTH_DELIMITED,
    WORTH_CUTTING,
    MalformedMessage,
    cut_out,
    fields,
    header,
)
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

# Field numbers of TensorProto.tensor_content and PredictRequest.inputs.
_CONTENT = 4
_INPUTS = 2

# A request of a few bytes may say "this value, a trillion times". No honest caller fills more than this.
_MAX_FILLED_BYTES = 256 * 2**20
# For several values and then the last again and again, which has to be written out while the call waits.
_MAX_COPIED_BYTES = 16 * 2**20
_MAX_RANK = 32
_MAX_BYTES = 2**63 - 1


class LargeValues(NamedTuple):
    """Values that were cut out of a TensorProto: the number of their field, and their bytes."""

    field: int
    memory: memoryview


def parse_request(message: bytes) -> Any:
    """Bytes to PredictRequest.

    Raises:
        InvalidCall: they are none.
    """
    try:
        return predict_pb2.PredictRequest.FromString(message)
    except DecodeError as error:
        raise InvalidCall(f"the message is no PredictRequest: {error}") from error


def read_request(message: bytes) -> tuple[Any, dict[str, LargeValues]]:
    """A PredictRequest, and by alias the large values that were left out of it, as views of `message`.

    Raises:
        InvalidCall: the bytes are no PredictRequest.
    """
    if len(message) < WORTH_CUTTING:
        return parse_request(message), {}
    parts: list[bytes | memoryview] = []
    large: dict[str, LargeValues] = {}
    view = memoryview(message)
    entries = 0
    try:
        for number, wire_type, start, value, end in fields(view):
            cut = None
            if number == _INPUTS and wire_type == LENGTH_DELIMITED:
                entries += 1
                cut = _cut_entry(view[value:end]) if end - value >= WORTH_CUTTING else None
            if cut is None:
                parts.append(view[start:end])
            else:
                entry, alias, values = cut
                parts += (header(_INPUTS, len(entry)), entry)
                large[alias] = values
    except (MalformedMessage, UnicodeDecodeError) as error:
        raise InvalidCall(f"the message is no PredictRequest: {error}") from error
    request = parse_request(b"".join(parts))
    if len(request.inputs) < entries:
        # An alias twice: which one counts is for protobuf to say, and not worth any speed.
        return parse_request(message), {}
    return request, large


def decode_tensor(alias: str, proto: Any, large: LargeValues | None = None) -> Array:
    """A TensorProto as an array; `alias` names it in errors, `large` are values that were cut out of it.

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
    content = large.memory if large and large.field == _CONTENT else proto.tensor_content
    if len(content):
        flat = _from_content(alias, content, dtype, count)
    else:
        # Values in the field of another dtype do not count.
        memory = large.memory if large and large.field == _SPLICED.get(proto.dtype) else None
        flat = _from_field(alias, proto, dtype, count, memory)
        if len(flat) < count:
            return _filled(alias, flat, dtype, shape)
    return flat.reshape(shape)


def encode_response(spec: Any, aliases: Sequence[str], arrays: Sequence[Array]) -> bytes:
    """A PredictResponse's bytes: `spec` is the ModelSpec that was answered."""
    # Messages may be concatenated field by field, so only the spec needs a message of its own.
    parts = [predict_pb2.PredictResponse(model_spec=spec).SerializeToString()]
    for alias, array in zip(aliases, arrays, strict=True):
        key, tensor = alias.encode(), _tensor_parts(array)
        # PredictResponse.outputs = 1 is a map: entries of key = 1 and value = 2.
        entry = (header(1, len(key)), key, header(2, sum(map(len, tensor))), *tensor)
        parts += (header(1, sum(map(len, entry))), *entry)
    return b"".join(parts)


def encode_tensor(array: Array) -> bytes:
    """A TensorProto's bytes, with the values in their typed field."""
    return b"".join(_tensor_parts(array))


def _tensor_parts(array: Array) -> Sequence[bytes | memoryview]:
    number = number_of(array.dtype)
    proto = _TensorProto(dtype=number)
    # Also for a scalar: a tensor without a shape message would be of unknown shape to some readers.
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if number in _SPLICED and array.size:
        memory = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        return (proto.SerializeToString(), header(_SPLICED[number], len(memory)), memory)
    flat = array.ravel()
    if number in (_DT_HALF, _DT_BFLOAT16):
        flat = np.ascontiguousarray(flat).view(np.uint16)
    if number not in _SPLICED:
        getattr(proto, _FIELDS[number][0]).extend(flat.tolist())
    return (proto.SerializeToString(),)


def _cut_entry(entry: memoryview) -> tuple[bytes, str, LargeValues] | None:
    """An entry of the inputs without its tensor's large values, their alias and they themselves; None where
    that is not simple: several keys, tensors or pieces of a field."""
    keys: list[memoryview] = []
    values: list[memoryview] = []
    others: list[memoryview] = []
    for number, wire_type, start, value, end in fields(entry):
        kind = {1: keys, 2: values}.get(number, others) if wire_type == LENGTH_DELIMITED else others
        kind.append(entry[value:end] if kind is not others else entry[start:end])
    if len(keys) != 1 or len(values) != 1 or others:
        return None
    for field in (_CONTENT, *_SPLICED.values()):
        tensor, pieces = cut_out(values[0], field)
        if pieces and max(map(len, pieces)) >= WORTH_CUTTING:
            if len(pieces) > 1:
                return None
            rest = b"".join((header(1, len(keys[0])), keys[0], header(2, len(tensor)), tensor))
            return rest, str(keys[0], "utf-8"), LargeValues(field, pieces[0])
    return None


def _from_content(alias: str, content: bytes | memoryview, dtype: np.dtype[Any], count: int) -> Array:
    if dtype == STRING:
        raise _unreadable(alias, "strings travel in string_val, not in tensor_content")
    if len(content) != count * dtype.itemsize:
        raise _unreadable(alias, f"expected {count * dtype.itemsize} bytes, got {len(content)}")
    if dtype == np.bool_:
        # Compiled code takes a bool's byte at its word: what a 2 would do is anyone's guess.
        return np.not_equal(np.frombuffer(content, np.uint8), 0)
    return np.frombuffer(content, dtype)


def _from_field(alias: str, proto: Any, dtype: np.dtype[Any], count: int, memory: memoryview | None) -> Array:
    field, element = _FIELDS[proto.dtype]
    values = getattr(proto, field)
    if memory is not None:
        flat = _from_memory(alias, memory, np.dtype(element))
    elif element is object:
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
    return flat[:count]


def _from_memory(alias: str, memory: memoryview, element: np.dtype[Any]) -> Array:
    """The values of a packed field whose bytes are the array's memory."""
    if len(memory) % element.itemsize:
        raise _unreadable(alias, f"{len(memory)} bytes are no whole number of values")
    if element == np.bool_:
        return np.not_equal(np.frombuffer(memory, np.uint8), 0)
    return np.frombuffer(memory, element)


def _filled(alias: str, flat: Array, dtype: np.dtype[Any], shape: Sequence[int]) -> Array:
    """Too few values in a shape: the last one goes on to the end, and without any it is all zeros."""
    count = math.prod(shape)
    if count * dtype.itemsize > _MAX_FILLED_BYTES:
        raise _unreadable(alias, f"{count} elements said, {len(flat)} sent; too many to fill in")
    # As an array: a bare string would lose the zeros at its end in numpy's hands.
    last = flat[-1:] if len(flat) else np.array([b"" if dtype == STRING else 0], dtype)
    if len(flat) <= 1:
        # One value for all takes no memory until the call is run.
        return np.broadcast_to(last.reshape([1] * len(shape)), shape)
    if count * dtype.itemsize > _MAX_COPIED_BYTES:
        raise _unreadable(alias, f"{count} elements said, {len(flat)} sent; too many to fill in")
    filled = np.empty(count, dtype)
    filled[: len(flat)] = flat
    filled[len(flat) :] = last
    return filled.reshape(shape)


def _unreadable(alias: str, why: str) -> InvalidCall:
    return InvalidCall(f"tensor parsing error: {alias}: {why}")


# The class of PredictRequest.inputs' values: TensorFlow's, without importing TensorFlow for it here.
_TensorProto = type(predict_pb2.PredictRequest().inputs[""])
