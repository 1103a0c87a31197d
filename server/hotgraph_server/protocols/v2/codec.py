"""ModelInfer messages to arrays, and arrays to messages. Pure, but for what lies in shared memory.

`decode_inputs` raises CallError and nothing else, whatever the bytes; the wording is what Triton's clients
know (checks.py).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from hotgraph_protos import tensors as wire
from hotgraph_protos.open_inference import InferTensorContents, ModelInferRequest, ModelInferResponse
from hotgraph_server.errors import InvalidCall, Unsupported
from hotgraph_server.models import reshaping
from hotgraph_server.models.contract import Contract, TensorContract
from hotgraph_server.protocols.v2 import checks
from hotgraph_server.protocols.v2.regions import OFF, Regions
from hotgraph_server.protocols.v2.tensor_parameters import SharedMemory, shared_memory_of
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import Array
from hotgraph_server.transport.message_fields import (
    WORTH_CUTTING,
    MalformedMessage,
    Message,
    cut_out,
    header,
    whole_or_pieces,
)

INVALID_DATATYPE = checks.INVALID_DATATYPE
"""What metadata and errors call a dtype that the protocol cannot carry."""

# numpy counts a dimension of zero as a one when it looks whether a shape's bytes overflow.
_MAX_BYTES = 2**63 - 1

_RAW_OUTPUT = ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER


def parse_request(message: Message) -> ModelInferRequest:
    """Bytes to message.

    Raises:
        InvalidCall: they are none.
    """
    try:
        # Copies what is no bytes object yet; large tensors are not in it any more (read_request).
        return ModelInferRequest.FromString(bytes(message))
    except DecodeError as error:
        raise InvalidCall(f"the message is no ModelInferRequest: {error}") from error


def read_request(message: Message) -> tuple[ModelInferRequest, Sequence[bytes | memoryview]]:
    """A message and its raw input contents; large ones are views of `message` and not in the request.

    Raises:
        InvalidCall: the bytes are no ModelInferRequest.
    """
    if len(message) < WORTH_CUTTING:
        request = parse_request(message)
        return request, request.raw_input_contents
    try:
        rest, raw = cut_out(message, ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER)
    except MalformedMessage as error:
        raise InvalidCall(f"the message is no ModelInferRequest: {error}") from error
    return parse_request(rest), raw


def decode_inputs(
    request: ModelInferRequest,
    signature: Signature,
    model: str,
    *,
    batched: bool,
    raw: Sequence[bytes | memoryview] | None = None,
    contract: Contract | None = None,
    regions: Regions | None = None,
) -> list[Array]:
    """The arrays of a request, in the signature's order; defaults fill what is left out.

    Inputs that the server fills in (`checks.sent_inputs`) are not among them.

    Args:
        raw: the raw input contents where they are not in the request (`read_request`).
        batched: calls of this signature share batches, so their inputs must agree in rows.
        contract: what the model promises to calls of this signature; None: what the signature says.
        regions: shared memory; None: inputs may not lie there.

    Raises:
        InvalidCall: the inputs are not those of the signature, or a tensor is malformed.
        Unsupported: an input lies in shared memory and may not, or its dtype is none of the protocol's.
        CallError: shared memory cannot be read, and why.
    """
    known = checks.sent_inputs(signature, contract)
    checks.check_names([tensor.name for tensor in request.inputs], known, signature.defaults, model)
    raw = request.raw_input_contents if raw is None else raw
    taken = 0
    arrays: dict[str, Array] = dict(signature.defaults)
    for tensor in request.inputs:
        spec = known[tensor.name]
        checks.check_datatype(tensor, spec, model)
        shape = checks.checked_shape(tensor, spec, checks.shape_sent(spec, contract), model)
        place = shared_memory_of(tensor)
        if place is not None:
            array = _read_region(tensor, shape, place, regions, model)
        elif raw:
            if tensor.HasField("contents"):
                raise InvalidCall(
                    f"contents field must not be specified when using raw_input_contents for "
                    f"'{tensor.name}' for model '{model}'"
                )
            if taken >= len(raw):
                raise _no_data(tensor.name, model)
            array = _decode_raw(tensor, shape, raw[taken], model)
            taken += 1
        else:
            array = _decode_contents(tensor, shape, model)
        if contract is not None and tensor.name in contract.inputs:
            array = _as_the_graph_takes_it(array, contract.inputs[tensor.name], contract.batched)
        arrays[tensor.name] = array
    specs = list(known.values())
    ordered = [arrays[spec.alias] for spec in specs]
    most = contract.max_batch_size if contract is not None else 0
    if batched or most:
        checks.check_rows(specs, ordered, model, most)
    return ordered


def encode_response(
    model: str,
    version: int,
    request_id: str,
    specs: Sequence[TensorSpec],
    arrays: Sequence[Array],
    elsewhere: Mapping[str, SharedMemory] | None = None,
) -> bytes | list[memoryview]:
    """The answer's bytes: one output and one raw entry for each array.

    Args:
        elsewhere: by alias, where outputs lie that are not sent: their raw entries are empty.

    Raises:
        Unsupported: the protocol cannot carry an output's dtype.
    """
    # Messages may be concatenated field by field, so what seldom changes is serialised once.
    if len(specs) == 1 and not request_id and not elsewhere:
        spec, array = specs[0], arrays[0]
        begin = _answered_with(model, version, spec.alias, spec.dtype, array.shape)
        contents, length = wire.raw_contents(array)
        return whole_or_pieces((begin, header(_RAW_OUTPUT, length), contents))
    parts: list[Any] = [_answered(model, version)]
    if request_id:
        text = request_id.encode()
        parts += (header(ModelInferResponse.ID_FIELD_NUMBER, len(text)), text)
    raw: list[Any] = []
    for spec, array in zip(specs, arrays, strict=True):
        if elsewhere and spec.alias in elsewhere:
            parts.append(_output_elsewhere(spec, array.shape, elsewhere[spec.alias]))
            raw.append(header(_RAW_OUTPUT, 0))
            continue
        parts.append(_output(spec.alias, spec.dtype, array.shape))
        contents, length = wire.raw_contents(array)
        raw.append(header(_RAW_OUTPUT, length))
        raw.append(contents)
    return whole_or_pieces(parts + raw)


@functools.lru_cache(maxsize=256)
def _answered(model: str, version: int) -> bytes:
    return ModelInferResponse(model_name=model, model_version=str(version)).SerializeToString()


@functools.lru_cache(maxsize=1024)
def _output(alias: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """What a response says about an output, but for its values.

    Raises:
        Unsupported: the protocol cannot carry its dtype.
    """
    datatype = wire.datatype_of(dtype)
    if datatype is None:
        raise Unsupported(f"output '{alias}' is {dtype}, which this protocol cannot carry")
    response = ModelInferResponse()
    response.outputs.add(name=alias, datatype=datatype, shape=shape)
    return response.SerializeToString()


@functools.lru_cache(maxsize=1024)
def _answered_with(
    model: str, version: int, alias: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> bytes:
    """`_answered` and `_output` of an answer with one output, as most have, in one look."""
    return _answered(model, version) + _output(alias, dtype, shape)


def _output_elsewhere(spec: TensorSpec, shape: tuple[int, ...], place: SharedMemory) -> bytes:
    """What a response says about an output that lies in shared memory."""
    response = ModelInferResponse.FromString(_output(spec.alias, spec.dtype, shape))
    parameters = response.outputs[0].parameters
    parameters["shared_memory_region"].string_param = place.region
    parameters["shared_memory_byte_size"].int64_param = place.byte_size
    if place.offset:
        parameters["shared_memory_offset"].int64_param = place.offset
    return response.SerializeToString()


def shape_of(spec: TensorSpec) -> list[int]:
    """A shape as metadata shows it: -1 for what is free; an unknown rank is a single -1."""
    if spec.shape is None:
        return [-1]
    return [-1 if dimension is None else dimension for dimension in spec.shape]


def _as_the_graph_takes_it(array: Array, rules: TensorContract, batched: bool) -> Array:
    if rules.reshape is None or rules.dims is None:
        return array
    return array.reshape(reshaping.reshaped(array.shape, rules.dims, rules.reshape, batched=batched))


def _read_region(
    tensor: Any, shape: tuple[int, ...], place: SharedMemory, regions: Regions | None, model: str
) -> Array:
    where = f"for input '{tensor.name}' for model '{model}'"
    if regions is None:
        raise Unsupported(f"{OFF}; input '{tensor.name}' for model '{model}' lies there")
    if tensor.HasField("contents"):
        raise InvalidCall(f"contents field must not be specified when using shared memory {where}")
    if tensor.datatype != wire.BYTES:
        # Before anything is read: the bytes asked for are what is set aside for them.
        _check_size(tensor, shape, place.byte_size, where)
    return _decode_raw(tensor, shape, regions.view(place.region, place.offset, place.byte_size), model)


def _check_size(tensor: Any, shape: tuple[int, ...], nbytes: int, where: str) -> None:
    expected = wire.element_count(shape) * wire.dtype_of(tensor.datatype).itemsize
    if nbytes != expected:
        raise InvalidCall(f"input byte size mismatch {where}. Expected {expected}, got {nbytes}")


def _decode_raw(tensor: Any, shape: tuple[int, ...], data: bytes | memoryview, model: str) -> Array:
    where = f"for input '{tensor.name}' for model '{model}'"
    if tensor.datatype != wire.BYTES:
        _check_size(tensor, shape, len(data), where)
    try:
        return wire.decode_raw(tensor.datatype, shape, data)
    except ValueError as error:
        raise InvalidCall(f"{error} {where}") from error


def _decode_contents(tensor: Any, shape: tuple[int, ...], model: str) -> Array:
    count = wire.element_count(shape)
    itemsize = wire.dtype_of(tensor.datatype).itemsize
    if not count and math.prod(max(dimension, 1) for dimension in shape) * itemsize > _MAX_BYTES:
        raise InvalidCall(f"shape {list(shape)} of input '{tensor.name}' for model '{model}' is too large")
    if not tensor.HasField("contents"):
        if count:
            raise _no_data(tensor.name, model)
        # An empty tensor has nothing to send.
        return np.empty(shape, wire.dtype_of(tensor.datatype))
    field = wire.CONTENTS_FIELDS.get(tensor.datatype)
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if field is None or any(name != field for name in filled):
        raise InvalidCall(
            f"unexpected explicit tensor data for input tensor '{tensor.name}' for model '{model}': "
            f"{tensor.datatype} travels in {field or 'raw_input_contents'}, got {', '.join(filled)}"
        )
    return _from_field(tensor.contents, field, tensor, shape, model)


def _from_field(
    contents: InferTensorContents, field: str, tensor: Any, shape: tuple[int, ...], model: str
) -> Array:
    values = getattr(contents, field)
    count = wire.element_count(shape)
    dtype = wire.dtype_of(tensor.datatype)
    if len(values) != count:
        where = f"for input '{tensor.name}' for model '{model}'"
        if tensor.datatype == wire.BYTES:
            raise InvalidCall(f"expected {count} string elements {where}, got {len(values)}")
        raise InvalidCall(
            f"input byte size mismatch {where}. "
            f"Expected {count * dtype.itemsize}, got {len(values) * dtype.itemsize}"
        )
    if tensor.datatype == wire.BYTES:
        flat = np.empty(count, object)
        flat[:] = values
    else:
        # Small integers come in 32-bit fields; their low bytes count, without a check of the range.
        wide = {"int_contents": np.int32, "uint_contents": np.uint32}.get(field, dtype)
        flat = np.array(values, wide).astype(dtype, copy=False)
    return flat.reshape(shape)


def _no_data(name: str, model: str) -> InvalidCall:
    return InvalidCall(f"unable to find data for input tensor '{name}' for model '{model}' in request.")
