"""The JSON of generate, both ways: an object with a member for each tensor. Pure.

A value stands for a tensor of one, a list for its values; the shape follows from how many they are. In the
answer an output of one value stands alone, and others are flat lists. Members that are no inputs are passed
over, as clients send some for other servers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from hotgraph_protos import tensors as wire
from hotgraph_protos.open_inference import ModelInferRequest
from hotgraph_server.rest.v2.infer_answer import Head, Output, head_members
from hotgraph_server.rest.v2.infer_request import Contents, Described, check_count, read_parameters
from hotgraph_server.rest.v2.members import optional, read_object
from hotgraph_server.rest.v2.values import flat, flat_of, read_values, written
from hotgraph_server.signatures import Shape


class Field(NamedTuple):
    """An input that a caller may send.

    Attributes:
        name: the alias.
        datatype: the protocol's; empty: it has none for it.
        shape: as in TensorSpec.
    """

    name: str
    datatype: str
    shape: Shape | None


def read_generate(text: bytes, signatures: Mapping[str, Sequence[Field]]) -> Described:
    """A generate request as infer's would be.

    Args:
        text: JSON.
        signatures: the inputs of each, by its name; those of the default one by the empty name.

    Raises:
        InvalidCall: it is no JSON, or a value is not what its input takes.
    """
    body = read_object(text, "text_input")
    request = ModelInferRequest()
    request.id = optional(body, "id", "string", "")
    read_parameters(body, request)
    contents: list[Contents] = []
    # Looked up without a look it would be one of the request's.
    named = "signature_name" in request.parameters
    signature = request.parameters["signature_name"].string_param if named else ""
    for name, datatype, shape in signatures.get(signature, ()):
        if name not in body:
            continue
        given = flat(body[name], name) if isinstance(body[name], list) else flat_of([body[name]])
        count = len(given.values)
        tensor = request.inputs.add(name=name, datatype=datatype, shape=shape_of(shape, count))
        if not datatype:
            # Refused for that, when the call is checked.
            contents.append(b"")
        elif datatype == wire.BYTES:
            contents.append(wire.encode_strings(read_values(given, datatype, name)))
        else:
            check_count(name, count, tensor.shape)
            contents.append(read_values(given, datatype, name))
    return Described(request.SerializeToString(), contents, (), False)


def write_generate(head: Head, outputs: Sequence[Output]) -> bytes:
    """The JSON of an answer.

    Raises:
        InvalidCall: strings that are no UTF-8.
    """
    answer = head_members(head)
    for output in outputs:
        assert output.values is not None
        values: Any = written(output.name, output.values)
        answer[output.name] = values[0] if len(values) == 1 else values
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def as_event(text: bytes) -> bytes:
    """A JSON text as an event of a stream; it has no line breaks."""
    return b"data: " + text + b"\n\n"


def shape_of(shape: Shape | None, count: int) -> tuple[int, ...]:
    """The shape of so many values: the last size that is free has all of them, the others are 1.

    It may be of another number of values, where no shape is of that one.
    """
    if shape is None:
        return (count,)
    fixed = math.prod(size for size in shape if size is not None)
    sizes = [1 if size is None else size for size in shape]
    free = [index for index, size in enumerate(shape) if size is None]
    if free and fixed:
        sizes[free[-1]] = max(count // fixed, min(count, 1))
    return tuple(sizes)
