"""Predict in TensorFlow Serving's protocol: what a call of a signature looks like. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hotgraph_server.rest.openapi.description import SignatureDescription, Tensor
from hotgraph_server.rest.openapi.examples import as_json
from hotgraph_server.rest.openapi.schemas import (
    Schema,
    an_object,
    answered_value,
    any_of,
    flat,
    nested,
    nested_loosely,
    value,
)
from hotgraph_server.tensors import Array


def why_not(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> str:
    """Why a signature cannot be called; empty: it can."""
    if not inputs:
        return "it has no inputs, and Predict needs one"
    for kind, tensors in (("input", inputs), ("output", outputs)):
        for tensor in tensors:
            # One that a call may leave out needs no form.
            if tensor.datatype is None and not tensor.optional:
                return f"{kind} '{tensor.name}' is {tensor.dtype}, which JSON has no form for"
    return ""


def example(signature: str, arrays: Mapping[str, Array], *, rows: bool) -> Mapping[str, Any]:
    """The body of a call.

    Args:
        signature: its name; empty: calls that name none mean it.
        arrays: of one row, by alias.
        rows: has every tensor rows?
    """
    named = {"signature_name": signature} if signature else {}
    arrays = {alias: array for alias, array in arrays.items() if array.dtype.kind != "c"}
    if rows:
        row = {alias: as_json(array)[0] for alias, array in arrays.items()}
        return {**named, "instances": [_alone(row)]}
    return {**named, "inputs": _alone({alias: as_json(array) for alias, array in arrays.items()})}


def request(description: SignatureDescription) -> Schema:
    """The schema of a call's body."""
    form = description.v1
    tensors = [tensor for tensor in form.inputs if tensor.datatype is not None]
    columns = {tensor.name: _sent(tensor, tensor.shape) for tensor in tensors}
    rows = {tensor.name: _sent(tensor, tensor.shape and tensor.shape[1:]) for tensor in tensors}
    required = [tensor.name for tensor in tensors if not tensor.optional]
    forms = [an_object(columns, required)], [an_object(rows, required)]
    if len(form.inputs) == 1:
        forms[0].append(columns[tensors[0].name])
        forms[1].append(rows[tensors[0].name])
    instances = {"type": "array", "minItems": 1, "items": any_of(forms[1]), "description": "row by row"}
    inputs = {**any_of(forms[0]), "description": "input by input"}
    named: Schema = {"signature_name": {"const": description.name, "type": "string"}}
    name_required = [] if description.v1_default else ["signature_name"]
    return {
        "title": description.name,
        "anyOf": [
            an_object({**named, "instances": instances}, [*name_required, "instances"]),
            an_object({**named, "inputs": inputs}, [*name_required, "inputs"]),
        ],
    }


def response(description: SignatureDescription) -> Schema:
    """The schema of an answer's body."""
    outputs = description.v1.outputs
    columns = {tensor.name: _got(tensor, tensor.shape) for tensor in outputs}
    rows = {tensor.name: _got(tensor, tensor.shape and tensor.shape[1:]) for tensor in outputs}
    names = [tensor.name for tensor in outputs]
    one = names[0] if len(names) == 1 else None
    return {
        "title": description.name,
        "anyOf": [
            an_object(
                {"predictions": flat(rows[one] if one is not None else an_object(rows, names))},
                ["predictions"],
                closed=True,
            ),
            an_object(
                {"outputs": columns[one] if one is not None else an_object(columns, names)},
                ["outputs"],
                closed=True,
            ),
        ],
    }


def _alone(values: Mapping[str, Any]) -> Any:
    """A single value without its name."""
    return next(iter(values.values())) if len(values) == 1 else values


def _sent(tensor: Tensor, shape: Sequence[int | None] | None) -> Schema:
    assert tensor.datatype is not None
    return {} if shape is None else nested_loosely(value(tensor.datatype), shape)


def _got(tensor: Tensor, shape: Sequence[int | None] | None) -> Schema:
    if shape is None or tensor.datatype is None:
        return {}
    return nested(answered_value(tensor.datatype), shape)
