"""TensorProto to array, as TensorFlow Serving reads them. Pure.

Reading follows TensorFlow: a tensor is in ``tensor_content`` or in the typed field of its dtype; a
typed field that is too short repeats its last value, an empty one is all zeros, what is too long is
ignored; no shape is a scalar. TensorFlow's own ``make_ndarray`` does the same a hundred times slower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2

from hotgraph_server.errors import InvalidCall
from hotgraph_server.protocols.tfs.tensor_proto import (
    COMPLEX,
    CONTENT,
    DT_BFLOAT16,
    DT_HALF,
    FIELDS,
    SPLICED,
)
from hotgraph_server.tensors import MAX_EMPTY, STRING, Array, dtype_of
from hotgraph_server.transport.message_fields import (
    LENGTH_DELIMITED,
    WORTH_CUTTING,
    MalformedMessage,
    Message,
    cut_out,
    fields,
    header,
    read_varint,
)

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


def parse_request(message: Message) -> Any:
    """Bytes to PredictRequest.

    Raises:
        InvalidCall: they are none.
    """
    try:
        # Copies what is no bytes object yet; large tensors are not in it any more (read_request).
        return predict_pb2.PredictRequest.FromString(bytes(message))
    except DecodeError as error:
        raise InvalidCall(f"the message is no PredictRequest: {error}") from error


def read_request(message: Message) -> tuple[Any, dict[str, LargeValues]]:
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
    dtype = dtype_of(proto.dtype) if proto.dtype in FIELDS else None
    if dtype is None:
        raise _unreadable(alias, f"no tensor can have dtype {proto.dtype}")
    shape = [dimension.size for dimension in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(not 0 <= size < 2**31 for size in shape):
        raise _unreadable(alias, f"shape {shape} is not a tensor's")
    if len(shape) > _MAX_RANK:
        raise _unreadable(alias, f"{len(shape)} dimensions, at most {_MAX_RANK} are possible")
    count = math.prod(shape)
    # numpy counts a zero as a one when it looks whether a shape's bytes overflow.
    nonzero = count or math.prod(max(size, 1) for size in shape)
    if nonzero * dtype.itemsize > _MAX_BYTES or (not count and nonzero > MAX_EMPTY):
        raise _unreadable(alias, f"shape {shape} is too large")
    content = large.memory if large and large.field == CONTENT else proto.tensor_content
    if len(content):
        flat = _from_content(alias, content, dtype, count)
    else:
        # Values in the field of another dtype do not count.
        memory = large.memory if large and large.field == SPLICED.get(proto.dtype) else None
        flat = _from_field(alias, proto, dtype, count, memory)
        if len(flat) < count:
            return _filled(alias, flat, dtype, shape)
    return flat.reshape(shape)


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
    for field in (CONTENT, *SPLICED.values()):
        tensor, pieces = cut_out(values[0], field)
        if pieces and max(map(len, pieces)) >= WORTH_CUTTING:
            if len(pieces) > 1:
                return None
            rest = b"".join((header(1, len(keys[0])), keys[0], header(2, len(tensor)), tensor))
            return rest, str(keys[0], "utf-8"), LargeValues(field, pieces[0])
    return None


def _from_content(alias: str, content: bytes | memoryview, dtype: np.dtype[Any], count: int) -> Array:
    if not count:
        # TensorFlow does not look at the content either.
        return np.empty(0, dtype)
    if dtype == STRING:
        return _strings_from_content(alias, memoryview(content), count)
    if len(content) != count * dtype.itemsize:
        raise _unreadable(alias, f"expected {count * dtype.itemsize} bytes, got {len(content)}")
    if dtype == np.bool_:
        # Compiled code takes a bool's byte at its word: what a 2 would do is anyone's guess.
        return np.not_equal(np.frombuffer(content, np.uint8), 0)
    return np.frombuffer(content, dtype)


def _strings_from_content(alias: str, content: memoryview, count: int) -> Array:
    """Strings as TensorFlow's C++ writes them into one piece: all their lengths, then all their bytes."""
    # Each takes a byte at least, so that no caller makes us fill much memory for a small message.
    if count > len(content):
        raise _unreadable(alias, f"expected {count} strings in {len(content)} bytes")
    strings = np.empty(count, STRING)
    lengths = []
    at = 0
    try:
        for _ in range(count):
            length, at = read_varint(content, at)
            lengths.append(length)
    except MalformedMessage as error:
        raise _unreadable(alias, f"expected {count} strings: {error}") from error
    if sum(lengths) != len(content) - at:
        raise _unreadable(alias, f"strings of {sum(lengths)} bytes in {len(content) - at} bytes")
    for index, length in enumerate(lengths):
        strings[index] = bytes(content[at : at + length])
        at += length
    return strings


def _from_field(alias: str, proto: Any, dtype: np.dtype[Any], count: int, memory: memoryview | None) -> Array:
    field, element = FIELDS[proto.dtype]
    values = getattr(proto, field)
    if memory is not None:
        flat = _from_memory(alias, memory, np.dtype(element))
    elif element is object:
        flat = np.empty(len(values), object)
        flat[:] = values
    else:
        flat = np.array(values, element)
    if proto.dtype in COMPLEX:
        # Real and imaginary parts in turn; half a number at the end is ignored.
        flat = flat[: len(flat) // 2 * 2].view(COMPLEX[proto.dtype])
    elif proto.dtype in (DT_HALF, DT_BFLOAT16):
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
