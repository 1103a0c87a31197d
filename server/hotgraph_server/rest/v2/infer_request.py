"""An infer request's body to what ModelInfer takes: a ModelInferRequest, and the tensors' raw contents. Pure.

    body:  JSON | contents of a tensor | contents of a tensor | ...

How long the JSON is, a header says (`header_length`). It becomes the request, without contents; what follows
it are the contents of those inputs that have the parameter ``binary_data_size``, in their order, and become
views of the body. Values in the JSON are read by the datatype that the request names for them, and become
contents as well: so all that is checked of a request is checked by what checks gRPC's.

Of a member that an object has twice the last one counts. Members that are not known are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hotgraph_protos import tensors as wire
from hotgraph_protos.open_inference import ModelInferRequest
from hotgraph_server.errors import InvalidCall
from hotgraph_server.rest.v2.members import (
    absent,
    brief,
    check_unicode,
    member,
    of_kind,
    optional,
    read_object,
    wrong,
)
from hotgraph_server.rest.v2.values import flat, read_values
from hotgraph_server.tensors import Array
from hotgraph_server.transport.message_fields import Message, Span

LENGTH_HEADER = "inference-header-content-length"
"""The header that says how many bytes of a body are JSON."""

# No model has as many tensors, and each of them takes its time.
_MAX_MEMBERS = 10_000

_SHOWN_HEADER = "Inference-Header-Content-Length"

BINARY_SIZE = "binary_data_size"
_REGION = "shared_memory_region"
_SHARED = (_REGION, "shared_memory_offset", "shared_memory_byte_size")
_CLASSES = "classification"

# What protobuf's integers hold.
_LOWEST, _HIGHEST, _HIGHEST_UNSIGNED = -(2**63), 2**63 - 1, 2**64 - 1

# What errors show of a parameter's name.
_MAX_SHOWN = 256

_TRUTHS = ("sequence_start", "sequence_end", "binary_data_output")
_UNSIGNED = ("priority", "timeout")

Contents = Array | bytes | int | None
"""Of an input: the values that the JSON holds, for BYTES as raw contents; how many bytes behind the JSON are
its; or None: it lies in shared memory."""


class Described(NamedTuple):
    """What the JSON of a request says; it can be sent to another process.

    Attributes:
        request: a ModelInferRequest, serialised, without the model's name and version and without contents.
        contents: for each of its inputs.
        binary: for each output that it asks for, shall that come as bytes?
        all_binary: if it asks for none, shall all?
    """

    request: bytes
    contents: Sequence[Contents]
    binary: Sequence[bool]
    all_binary: bool


def header_length(headers: Mapping[str, str]) -> int | None:
    """How many bytes of a body are JSON, as a request's headers say it; None: all. May be too many, or
    negative.

    Raises:
        InvalidCall: what they say is no number.
    """
    said = headers.get(LENGTH_HEADER)
    if said is None:
        return None
    digits = said.strip().removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 18):
        raise InvalidCall(
            f"the header {_SHOWN_HEADER} must be the number of bytes of the JSON, got {brief(said)}"
        )
    return int(said)


def check_length(length: int, body: Message) -> None:
    """
    Raises:
        InvalidCall: a body cannot have so many bytes of JSON.
    """
    if not 0 <= length <= len(body):
        raise InvalidCall(f"inference header size should be in range (0, {len(body)}), got: {length}")


def read_json(text: bytes, *, with_length: bool) -> Described:
    """
    Args:
        text: the JSON of a request.
        with_length: did a header say where it ends?

    Raises:
        InvalidCall: it is no JSON, or no infer request.
    """
    hint = ""
    if not with_length and BINARY_SIZE.encode() in text:
        hint = f". If tensors follow the JSON, the header {_SHOWN_HEADER} has to say how long it is"
    body = read_object(text, "inputs", hint)
    for name in ("inputs", "outputs", "parameters"):
        found = body.get(name)
        if isinstance(found, list | dict) and len(found) > _MAX_MEMBERS:
            raise InvalidCall(f"'{name}' has {len(found)} members; a request may have {_MAX_MEMBERS}")
    request = ModelInferRequest()
    request.id = optional(body, "id", "string", "")
    all_binary = read_parameters(body, request)
    contents = [
        _read_input(one, request.inputs.add(), f"inputs[{index}]")
        for index, one in enumerate(member(body, "inputs", "array"))
    ]
    binary = [
        _read_output(one, request, f"outputs[{index}]", all_binary)
        for index, one in enumerate(optional(body, "outputs", "array", []))
    ]
    return Described(request.SerializeToString(), contents, binary, all_binary)


def tails(
    names: Sequence[str], contents: Sequence[Contents], body: Message, at: int, model: str, *, hint: bool
) -> dict[str, Span]:
    """Where the contents of inputs lie behind a body's JSON, by the inputs' names.

    Args:
        names: of all inputs.
        contents: see Described.
        at: where the JSON ends.
        model: its name, for errors.
        hint: did no header say where it ends?

    Raises:
        InvalidCall: there are more bytes, or fewer.
    """
    found: dict[str, Span] = {}
    for name, one in zip(names, contents, strict=True):
        if type(one) is int:
            missing = one - (len(body) - at)
            if missing > 0:
                why = f"; no header {_SHOWN_HEADER} says how long the JSON is" if hint else ""
                raise InvalidCall(
                    f"unexpected size for input '{name}', expecting {missing} additional bytes "
                    f"for model '{model}'{why}"
                )
            found[name] = Span(at, one)
            at += one
    if at < len(body):
        raise InvalidCall(
            f"unexpected additional input data for model '{model}': {len(body) - at} bytes are left"
        )
    return found


def raw_contents(
    names: Sequence[str], contents: Sequence[Contents], body: Message, places: Mapping[str, Span]
) -> list[bytes | memoryview]:
    """The contents of all inputs that do not lie in shared memory, as codec.decode_inputs takes them; those
    that are in the body are views of it.

    Args:
        places: see `tails`.
    """
    view = memoryview(body)
    raw: list[bytes | memoryview] = []
    for name, one in zip(names, contents, strict=True):
        if type(one) is int:
            raw.append(view[places[name].at : places[name].end])
        elif isinstance(one, np.ndarray):
            raw.append(one.reshape(-1).view(np.uint8).data)
        elif isinstance(one, bytes):
            raw.append(one)
    return raw


def _read_input(one: Any, tensor: Any, where: str) -> Contents:
    if not isinstance(one, dict):
        raise absent("name", f"{where} is {brief(one)}")
    name = tensor.name = member(one, "name", "string", where)
    datatype = member(one, "datatype", "string", where)
    shape = _shape(member(one, "shape", "array", where), where)
    parameters = one.get("parameters")
    if not isinstance(parameters, dict):
        parameters = {}
    _check_source(name, one, parameters)
    try:
        wire.dtype_of(datatype)
    except ValueError:
        raise InvalidCall(f"invalid datatype for input {name}: got {brief(datatype)}") from None
    tensor.datatype = datatype
    tensor.shape.extend(shape)
    if _REGION in parameters:
        _copy(tensor.parameters, parameters, _SHARED)
        return None
    if BINARY_SIZE in parameters:
        size: int = of_kind(parameters[BINARY_SIZE], BINARY_SIZE, "unsigned-integer", f"{where}.parameters")
        return size
    given = flat(one["data"], where)
    if datatype == wire.BYTES:
        return wire.encode_strings(read_values(given, datatype, where))
    check_count(name, len(given.values), shape)
    return read_values(given, datatype, where)


def _check_source(name: str, one: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    sources = [
        source
        for source, there in (
            ("'data'", "data" in one),
            (f"'{BINARY_SIZE}'", BINARY_SIZE in parameters),
            (f"'{_REGION}'", _REGION in parameters),
        )
        if there
    ]
    if len(sources) != 1:
        found = f"But set {', '.join(sources)}" if sources else "But no field is set"
        raise InvalidCall(
            f"Input must set only one of the following fields: 'data', '{BINARY_SIZE}' in 'parameters', "
            f"'{_REGION}' in 'parameters'. {found} (input '{name}')"
        )


def _shape(sizes: Sequence[Any], where: str) -> Sequence[int]:
    for size in sizes:
        of_kind(size, "shape", "unsigned-integer", where)
    if sizes and max(sizes) > _HIGHEST:
        raise wrong("shape", "unsigned-integer", max(sizes), f"{where}.shape")
    return sizes


def check_count(name: str, count: int, shape: Sequence[int]) -> None:
    """
    Raises:
        InvalidCall: the input of that name has another number of values than its shape.
    """
    expected = 0 if 0 in shape else 1
    for size in shape:
        expected *= size
        # A product of many large sizes would be a number of as many digits.
        if expected > count:
            break
    if expected != count:
        raise InvalidCall(
            "Unable to parse 'data': Shape does not match true shape of 'data' field "
            f"(input '{name}' has {count} values for the shape {brief(list(shape))})"
        )


def _read_output(one: Any, request: Any, where: str, binary: bool) -> bool:
    if not isinstance(one, dict):
        raise absent("name", f"{where} is {brief(one)}")
    output = request.outputs.add()
    output.name = member(one, "name", "string", where)
    parameters = one.get("parameters")
    if not isinstance(parameters, dict):
        return binary
    inside = f"{where}.parameters"
    if "binary_data" in parameters:
        binary = of_kind(parameters["binary_data"], "binary_data", "boolean", inside)
        if binary and _REGION in parameters:
            raise InvalidCall(f"Output can't set both '{_REGION}' and 'binary_data' (output '{output.name}')")
    if _CLASSES in parameters:
        classes = parameters[_CLASSES]
        if type(classes) is not int or classes < 0:
            raise wrong(_CLASSES, "unsigned-integer", classes, f"{inside}.{_CLASSES}", "set")
        if classes:
            # None has more, and protobuf's integer holds no more.
            output.parameters[_CLASSES].int64_param = min(classes, _HIGHEST)
    _copy(output.parameters, parameters, _SHARED)
    return binary


def read_parameters(body: Mapping[str, Any], request: ModelInferRequest) -> bool:
    """Put the parameters of a request into its message. Returns whether all outputs shall be bytes.

    Raises:
        InvalidCall: one is of the wrong kind.
    """
    if "parameters" not in body:
        return False
    parameters = body["parameters"]
    if not isinstance(parameters, dict):
        raise InvalidCall(
            "failed to get request params.: attempt to get members for non-object "
            f"(parameters is {brief(parameters)})"
        )
    for name, value in parameters.items():
        check_unicode(name, "parameters")
        if name in _TRUTHS:
            of_kind(value, name, "boolean", "parameters")
        elif name in _UNSIGNED or (name == "sequence_id" and not isinstance(value, str)):
            of_kind(value, name, "unsigned-integer", "parameters")
        wide = name in ("priority", "sequence_id")
        if name != "binary_data_output" and not _set(request.parameters[name], value, wide=wide):
            raise InvalidCall(
                f"parameter '{name[:_MAX_SHOWN]}' has invalid type."
                " It should be either 'int', 'bool', or 'string'."
            )
    return bool(parameters.get("binary_data_output", False))


def _copy(to: Any, parameters: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in names:
        if name in parameters:
            # Of the wrong kind it stays empty, and is refused as that.
            _set(to[name], parameters[name])


def _set(parameter: Any, value: Any, *, wide: bool = False) -> bool:
    """Put a value into a parameter of a message. Returns whether messages have one of that kind.

    Args:
        wide: an integer that only an unsigned one holds becomes that; if not, a float, as in Triton.
    """
    match value:
        case bool():
            parameter.bool_param = value
        case int() if _LOWEST <= value <= _HIGHEST:
            parameter.int64_param = value
        case int() if wide and value <= _HIGHEST_UNSIGNED:
            parameter.uint64_param = value
        case int() | float() if math.isfinite(value):
            parameter.double_param = value
        case str():
            check_unicode(value, "parameters")
            parameter.string_param = value
        case _:
            return False
    return True
