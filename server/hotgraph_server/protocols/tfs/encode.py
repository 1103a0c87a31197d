"""Array to TensorProto, as TensorFlow Serving writes them. Pure.

Writing uses the typed fields, which is what TensorFlow Serving's clients read. Where a packed field is
byte for byte the array's memory (floats, complex numbers, booleans) the bytes are spliced in; others
go through protobuf. Where the settings say so, all but strings are written as ``tensor_content``, which is
always the memory. (TensorFlow Serving then writes strings so too, in a form that none of its clients in
Python can read.)
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from tensorflow_serving.apis import predict_pb2

from hotgraph_server.protocols.tfs.tensor_proto import (
    CONTENT,
    DT_BFLOAT16,
    DT_HALF,
    FIELDS,
    SPLICED,
    TensorProto,
)
from hotgraph_server.tensors import DT_STRING, Array, number_of
from hotgraph_server.transport.message_fields import (
    header,
    whole_or_pieces,
)

_CONTENTS = {number: CONTENT for number in FIELDS if number != DT_STRING}


def encode_response(
    model: str,
    version: int,
    signature: str,
    aliases: Sequence[str],
    arrays: Sequence[Array],
    *,
    as_content: bool = False,
) -> bytes | list[memoryview]:
    """A PredictResponse's bytes: which model's version and signature was answered, and with what.

    Args:
        as_content: write ``tensor_content`` where there is a choice.
    """
    field_of = _CONTENTS if as_content else SPLICED
    # Messages may be concatenated field by field, so what seldom changes is serialised once.
    parts: list[Any] = [_answered(model, version, signature)]
    for alias, array in zip(aliases, arrays, strict=True):
        number = number_of(array.dtype)
        if number in field_of and array.size:
            parts.append(_entry_of_spliced(alias, number, field_of[number], array.shape, array.nbytes))
            parts.append(_memory(array))
        else:
            tensor = encode_tensor(array)
            parts.append(_entry_of(alias, len(tensor)))
            parts.append(tensor)
    return whole_or_pieces(parts)


def encode_tensor(array: Array) -> bytes:
    """A TensorProto's bytes, with the values in their typed field."""
    number = number_of(array.dtype)
    head = _tensor_head(number, array.shape)
    if not array.size:
        return head
    if number in SPLICED:
        return b"".join((head, header(SPLICED[number], array.nbytes), _memory(array)))
    if number in (DT_HALF, DT_BFLOAT16):
        array = np.ascontiguousarray(array).view(np.uint16)
    values = TensorProto(**{FIELDS[number][0]: array.ravel().tolist()})
    return head + values.SerializeToString()  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=256)
def _answered(model: str, version: int, signature: str) -> bytes:
    response = predict_pb2.PredictResponse()
    response.model_spec.name = model
    # Also if it is 0.
    response.model_spec.version.value = version
    response.model_spec.signature_name = signature
    return response.SerializeToString()  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=1024)
def _tensor_head(number: int, shape: tuple[int, ...]) -> bytes:
    """What a TensorProto says about a tensor, but for its values."""
    proto = TensorProto(dtype=number)
    # Also for a scalar: a tensor without a shape message would be of unknown shape to some readers.
    proto.tensor_shape.SetInParent()
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto.SerializeToString()  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=1024)
def _entry_of(alias: str, length: int) -> bytes:
    """What comes before a TensorProto of that many bytes in PredictResponse.outputs, a map: entries of
    key = 1 and value = 2 in field 1."""
    key = alias.encode()
    entry = b"".join((header(1, len(key)), key, header(2, length)))
    return header(1, len(entry) + length) + entry


@functools.lru_cache(maxsize=1024)
def _entry_of_spliced(alias: str, number: int, field: int, shape: tuple[int, ...], length: int) -> bytes:
    """All that comes before the values of a tensor that has its memory of that many bytes in `field`."""
    head = _tensor_head(number, shape) + header(field, length)
    return _entry_of(alias, len(head) + length) + head


def _memory(array: Array) -> Any:
    """An array as one piece of memory, for joining."""
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)
