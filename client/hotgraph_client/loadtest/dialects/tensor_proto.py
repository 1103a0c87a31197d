"""TensorProto and arrays, both ways. Pure.

Written as `tensor_content` where a tensor is its memory, strings as `string_val`. Read as TensorFlow reads
them: a typed field that is too short repeats its last value, an empty one is all zeros, what is too long is
ignored, no shape is a scalar.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from hotgraph_protos import tensorflow_serving_calls as tfs
from hotgraph_protos.tensors import BYTES, Array, raw_view, to_bytes_array

from .datatypes import COMPLEX, datatype_of, datatype_of_number, dtype_of, number_of

# The typed field of each datatype, and how its elements lie there.
_FIELDS: dict[str, tuple[str, Any]] = {
    "FP32": ("float_val", np.float32),
    "FP64": ("double_val", np.float64),
    "FP16": ("half_val", np.int32),
    "BF16": ("half_val", np.int32),
    "INT8": ("int_val", np.int32),
    "INT16": ("int_val", np.int32),
    "INT32": ("int_val", np.int32),
    "UINT8": ("int_val", np.int32),
    "UINT16": ("int_val", np.int32),
    "UINT32": ("uint32_val", np.uint32),
    "INT64": ("int64_val", np.int64),
    "UINT64": ("uint64_val", np.uint64),
    "BOOL": ("bool_val", np.bool_),
    "COMPLEX64": ("scomplex_val", np.float32),
    "COMPLEX128": ("dcomplex_val", np.float64),
    BYTES: ("string_val", object),
}

# A message of a few bytes may say "this value, a trillion times".
_MAX_FILLED_BYTES = 256 * 2**20
_MAX_RANK = 32


def fill(proto: tfs.TensorProto, array: Array) -> None:
    """Put an array into an empty TensorProto.

    Raises:
        ValueError: TensorFlow has no datatype for it.
    """
    datatype = datatype_of(array.dtype)
    if datatype is None:
        raise ValueError(f"TensorFlow has no datatype for {array.dtype}")
    proto.dtype = number_of(datatype)  # type: ignore[assignment]
    # also for a scalar: without it the shape is unknown to some readers
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if datatype == BYTES:
        proto.string_val.extend(to_bytes_array(array).ravel())
    elif datatype in COMPLEX:
        little = array.astype(COMPLEX[datatype], copy=False)
        proto.tensor_content = np.ascontiguousarray(little).tobytes()
    else:
        proto.tensor_content = bytes(raw_view(array))


def array_of(proto: tfs.TensorProto) -> Array:
    """A TensorProto as an array; BYTES are object arrays of bytes.

    Raises:
        ValueError: a datatype that no client sends, an impossible shape, or content that does not fit it.
    """
    datatype = datatype_of_number(proto.dtype)
    if datatype not in _FIELDS:
        raise ValueError(f"a tensor of {datatype}, which has no values")
    shape = [dimension.size for dimension in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(not 0 <= size < 2**31 for size in shape):
        raise ValueError(f"shape {shape} is no tensor's")
    if len(shape) > _MAX_RANK:
        raise ValueError(f"{len(shape)} dimensions, at most {_MAX_RANK} are possible")
    dtype = dtype_of(datatype)
    count = math.prod(shape)
    # numpy counts a zero as a one when it looks whether a shape's bytes overflow
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize > sys.maxsize:
        raise ValueError(f"shape {shape} is too large")
    if not count:
        return np.empty(shape, dtype)
    if proto.tensor_content:
        return _from_content(proto.tensor_content, datatype, dtype, count).reshape(shape)
    return _filled(_from_field(proto, datatype, dtype)[:count], datatype, dtype, count).reshape(shape)


def _from_content(content: bytes, datatype: str, dtype: np.dtype[Any], count: int) -> Array:
    if datatype == BYTES:
        return _strings(content, count)
    if len(content) != count * dtype.itemsize:
        raise ValueError(f"expected {count * dtype.itemsize} bytes, got {len(content)}")
    if datatype == "BOOL":
        return np.not_equal(np.frombuffer(content, np.uint8), 0)
    return np.frombuffer(content, dtype)


def _strings(content: bytes, count: int) -> Array:
    """As TensorFlow's C++ writes them into one piece: all lengths as varints, then all bytes."""
    if count > len(content):
        raise ValueError(f"expected {count} strings in {len(content)} bytes")
    lengths, at = [], 0
    for _ in range(count):
        length = shift = 0
        while True:
            if at == len(content) or shift > 63:
                raise ValueError(f"the lengths of {count} strings are cut off")
            byte = content[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(length)
    if sum(lengths) != len(content) - at:
        raise ValueError(f"strings of {sum(lengths)} bytes in {len(content) - at} bytes")
    found = np.empty(count, object)
    for index, length in enumerate(lengths):
        found[index] = content[at : at + length]
        at += length
    return found


def _from_field(proto: tfs.TensorProto, datatype: str, dtype: np.dtype[Any]) -> Array:
    field, element = _FIELDS[datatype]
    values = getattr(proto, field)
    if element is object:
        strings = np.empty(len(values), object)
        strings[:] = list(values)
        return strings
    flat = np.array(values, element)
    if datatype in COMPLEX:
        # half a number at the end is ignored
        return flat[: len(flat) // 2 * 2].view(dtype)
    if datatype in ("FP16", "BF16"):
        return flat.astype(np.uint16).view(dtype)
    return flat.astype(dtype, copy=False)


def _filled(flat: Array, datatype: str, dtype: np.dtype[Any], count: int) -> Array:
    """Too few values: the last one goes on to the end, and without any it is all zeros."""
    if len(flat) == count:
        return flat
    if count * dtype.itemsize > _MAX_FILLED_BYTES:
        raise ValueError(f"{count} elements said, {len(flat)} sent: too many to fill in")
    filled = np.empty(count, dtype)
    filled[: len(flat)] = flat
    filled[len(flat) :] = flat[-1:] if len(flat) else np.array([b"" if datatype == BYTES else 0], dtype)
    return filled
