"""Infer in the Open Inference Protocol: what a call of a signature looks like. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hotgraph_server.rest.openapi.description import SignatureDescription, Tensor
from hotgraph_server.rest.openapi.examples import as_json
from hotgraph_server.rest.openapi.schemas import (
    Schema,
    an_object,
    any_of,
    any_value,
    flat,
    nested,
    ref,
    shape_schema,
    shape_text,
)
from hotgraph_server.tensors import Array

_FREE: Schema = {"type": "integer", "minimum": 0}
_PARAMETER: Schema = {"type": ["string", "number", "boolean"]}


def components() -> dict[str, Schema]:
    """What all calls have in common."""
    return {
        "RequestParameters": an_object(
            {
                "signature_name": {"type": "string", "description": "which signature is called"},
                "binary_data_output": {"type": "boolean", "description": "all outputs as binary data"},
                "priority": _FREE,
                "timeout": {**_FREE, "description": "microseconds"},
                "sequence_id": {"anyOf": [_FREE, {"type": "string", "maxLength": 128}]},
                "sequence_start": {"type": "boolean"},
                "sequence_end": {"type": "boolean"},
            },
            additionalProperties=_PARAMETER,
        ),
        "InputParameters": an_object({"binary_data_size": _FREE, **_SHARED_MEMORY}),
        "OutputParameters": an_object(
            {
                "binary_data": {"type": "boolean"},
                "classification": {**_FREE, "description": "the so many best classes, as text"},
                **_SHARED_MEMORY,
            }
        ),
        "Classes": an_object(
            {
                "name": {"type": "string"},
                "datatype": {"const": "BYTES"},
                "shape": shape_schema(None),
                "data": flat({"type": "string", "description": "value:index or value:index:label"}),
            },
            ["name", "datatype", "shape", "data"],
            title="classification",
        ),
        "ElsewhereOutput": an_object(
            {"name": {"type": "string"}, "datatype": {"type": "string"}, "shape": shape_schema(None)},
            ["name", "datatype", "shape", "parameters"],
            title="an output that is binary, or in shared memory",
            description="Its `parameters` say which. There is no `data`.",
        ),
    }


_SHARED_MEMORY = {
    "shared_memory_region": {"type": "string"},
    "shared_memory_byte_size": _FREE,
    "shared_memory_offset": _FREE,
}


def why_not(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> str:
    """Why a signature cannot be called; empty: it can."""
    for tensor in inputs:
        if tensor.datatype is None and not tensor.optional:
            return f"input '{tensor.name}' is {tensor.dtype}, which the protocol cannot carry"
    if outputs and all(tensor.datatype is None for tensor in outputs):
        return f"output '{outputs[0].name}' is {outputs[0].dtype}, which the protocol cannot carry"
    return ""


def example(
    signature: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    arrays: Mapping[str, Array],
    *,
    sequence: bool,
) -> Mapping[str, Any]:
    """The body of a call.

    Args:
        signature: its name; empty: calls that name none mean it.
        arrays: of one row, by the names of the inputs.
        sequence: must it be of a sequence?
    """
    parameters: dict[str, Any] = {"signature_name": signature} if signature else {}
    if sequence:
        parameters |= {"sequence_id": 1, "sequence_start": True, "sequence_end": True}
    body: dict[str, Any] = {"parameters": parameters} if parameters else {}
    body["inputs"] = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(arrays[tensor.name].shape),
            "data": as_json(arrays[tensor.name].ravel()),
        }
        for tensor in inputs
        if tensor.datatype is not None
    ]
    if any(tensor.datatype is None for tensor in outputs):
        body["outputs"] = [{"name": tensor.name} for tensor in outputs if tensor.datatype is not None]
    return body


def request(description: SignatureDescription, *, sequences: bool) -> Schema:
    """The schema of a call's body."""
    form = description.v2
    sent = [tensor for tensor in form.inputs if tensor.datatype is not None]
    inputs: Schema = {
        "type": "array",
        "items": any_of([_input(tensor) for tensor in sent]),
        "minItems": sum(not tensor.optional for tensor in sent),
        "maxItems": len(sent),
    }
    outputs = flat(
        an_object(
            {
                "name": {"enum": [tensor.name for tensor in form.outputs]},
                "parameters": ref("OutputParameters"),
            },
            ["name"],
        )
    )
    properties = {
        "id": {"type": "string", "description": "comes back with the answer"},
        "parameters": _parameters(description, sequences),
        "inputs": inputs,
        "outputs": {**outputs, "description": "which outputs are wanted, and how; without it all are"},
    }
    required = ["inputs"]
    if not description.v2_default or sequences:
        required.append("parameters")
    return an_object(properties, required, title=description.name)


def response(model: str, number: int, description: SignatureDescription) -> Schema:
    """The schema of an answer's body."""
    outputs = [_output(tensor) for tensor in description.v2.outputs if tensor.datatype is not None]
    return an_object(
        {
            "id": {"type": "string"},
            "model_name": {"const": model},
            "model_version": {"const": str(number)},
            "parameters": {"type": "object"},
            "outputs": flat(any_of([*outputs, ref("Classes"), ref("ElsewhereOutput")])),
        },
        ["model_name", "model_version", "outputs"],
        title=description.name,
    )


def _parameters(description: SignatureDescription, sequences: bool) -> Schema:
    required = []
    named: Schema = {}
    if description.v2_default:
        if sequences:
            required.append("sequence_id")
    else:
        required.append("signature_name")
        named = {"signature_name": {"const": description.name}}
    if not required:
        return ref("RequestParameters")
    return {"allOf": [ref("RequestParameters"), an_object(named, required)]}


def _input(tensor: Tensor) -> Schema:
    assert tensor.datatype is not None
    found = an_object(
        {
            **_said(tensor),
            "data": _data(any_value(tensor.datatype), tensor),
            "parameters": ref("InputParameters"),
        },
        ["name", "datatype", "shape"],
        title=_title(tensor),
        # Values here, or behind the JSON, or in shared memory.
        anyOf=[{"required": ["data"]}, {"required": ["parameters"]}],
    )
    if tensor.content:
        found["description"] = f"Holds {tensor.content}."
    return found


def _output(tensor: Tensor) -> Schema:
    assert tensor.datatype is not None
    return an_object(
        {**_said(tensor), "data": flat(any_value(tensor.datatype))},
        ["name", "datatype", "shape", "data"],
        title=_title(tensor),
    )


def _said(tensor: Tensor) -> Schema:
    return {
        "name": {"const": tensor.name},
        "datatype": {"const": tensor.datatype},
        "shape": shape_schema(tensor.shape),
    }


def _title(tensor: Tensor) -> str:
    return f"{tensor.name}: {tensor.datatype} {shape_text(tensor.shape)}"


def _data(item: Schema, tensor: Tensor) -> Schema:
    """Flat or nested; what lies between is taken too, and nobody should write it."""
    if tensor.shape is None or len(tensor.shape) < 2:
        return flat(item)
    return {"anyOf": [flat(item), nested(item, tensor.shape)]}
