"""One JSON value for all of a model's inputs, in the forms that people have it in. Pure.

By name: ``{"a": [1], "b": [2]}``. TensorFlow Serving's: ``{"instances": [...]}``, a value or an object for
each row, and ``{"inputs": ...}``; the Open Inference Protocol's: ``{"inputs": [{"name", "shape", "data"}]}``.
Rows as objects, ``[{"a": 1, "b": 2}, ...]``. Anything else is the value of the only input. Names of the
model's own inputs come first: an input may be called "inputs".

Bytes are text, or the object {"b64": "..."}.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..descriptions import TensorMetadata
from ..signatures import not_an_input

_INSTANCES, _INPUTS, _SIGNATURE = "instances", "inputs", "signature_name"
_OF_REQUESTS = frozenset((_INSTANCES, _INPUTS, _SIGNATURE, "parameters", "id", "outputs"))


# Of numpy's arrays.
_MOST_DIMENSIONS = 64


class Document(NamedTuple):
    """A JSON value, taken apart.

    Attributes:
        inputs: values by input.
        only: the value of the only input, where `inputs` is None.
    """

    inputs: dict[str, Any] | None
    only: Any = None


def signature_of(value: Any) -> str | None:
    """The signature that a request asks for; None: it is no request, or asks for none."""
    if not (isinstance(value, dict) and (_INSTANCES in value or _INPUTS in value)):
        return None
    parameters = value.get("parameters")
    found = value.get(_SIGNATURE)
    if found is None and isinstance(parameters, dict):
        found = parameters.get(_SIGNATURE)
    return found if isinstance(found, str) and found else None


def take_apart(value: Any, tensors: Sequence[TensorMetadata], model: str) -> Document:
    """The inputs of a JSON value that came without a name.

    Args:
        tensors: what the signature takes.

    Raises:
        InvalidCall: a name that is no input's.
        ValueError: rows that are not alike, or a tensor without data.
    """
    names = {tensor.name for tensor in tensors}
    if isinstance(value, list) and value and all(_is_row(row, names) for row in value):
        return Document(_columns(value, tensors, model))
    if not isinstance(value, dict) or _is_bytes(value):
        return Document(None, value)
    if not names & set(value) and (_INSTANCES in value or _INPUTS in value):
        return _request(value, tensors, model)
    if value.keys() - names <= _OF_REQUESTS and _INPUTS in value and isinstance(value[_INPUTS], (dict, list)):
        # an input that is called "inputs", and a request whose only key it is: an object is no value of one
        inner = value[_INPUTS]
        if isinstance(inner, dict) and not _is_bytes(inner):
            return _request(value, tensors, model)
    for name in value:
        if name not in names:
            raise not_an_input(name, tensors, model)
    return Document(dict(value))


def with_bytes(value: Any, depth: int = 0) -> Any:
    """A value with its {"b64": "..."} read.

    Args:
        depth: in lists within lists.

    Raises:
        ValueError: another object, or no base64; or lists deeper than arrays go.
    """
    if isinstance(value, list):
        if depth == _MOST_DIMENSIONS:
            raise ValueError(f"lists within lists, more than {depth} deep, are no array")
        return [with_bytes(element, depth + 1) for element in value]
    if isinstance(value, dict):
        if _is_bytes(value):
            try:
                return base64.b64decode(value["b64"], validate=True)
            except binascii.Error as error:
                raise ValueError(f"{str(value)[:80]}: {error}") from error
        raise ValueError(
            'within a value a JSON object can only be {"b64": "..."}, the bytes of one string; got one with '
            + (", ".join(map(repr, list(value)[:3])) or "nothing")
        )
    return value


def _request(value: Mapping[str, Any], tensors: Sequence[TensorMetadata], model: str) -> Document:
    if _INSTANCES in value:
        rows = value[_INSTANCES]
        if not isinstance(rows, list):
            raise ValueError(f'"instances" is a list, with an element for each row; got {_kind(rows)}')
        if rows and all(isinstance(row, dict) and not _is_bytes(row) for row in rows):
            return Document(_columns(rows, tensors, model))
        return Document(None, rows)
    inner = value[_INPUTS]
    if isinstance(inner, list) and inner and all(isinstance(one, dict) and "name" in one for one in inner):
        return Document({str(one["name"]): _data(one) for one in inner})
    if isinstance(inner, dict) and not _is_bytes(inner):
        for name in inner:
            if name not in {tensor.name for tensor in tensors}:
                raise not_an_input(name, tensors, model)
        return Document(dict(inner))
    return Document(None, inner)


def _data(tensor: Mapping[str, Any]) -> Any:
    """The data of a tensor of the Open Inference Protocol, flat or nested, as nested lists."""
    if "data" not in tensor:
        raise ValueError(f"input '{tensor['name']}' has no \"data\"")
    shape = tensor.get("shape")
    # objects: a truth value, a text and a number stay what they are
    elements = np.array(tensor["data"], object)
    if not (isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)):
        return tensor["data"]
    if elements.ndim == len(shape):
        return tensor["data"]
    try:
        return elements.reshape(shape).tolist()
    except ValueError:
        raise ValueError(
            f"input '{tensor['name']}': {elements.size} values do not fill the shape {shape}"
        ) from None


def _columns(
    rows: Sequence[Mapping[str, Any]], tensors: Sequence[TensorMetadata], model: str
) -> dict[str, list[Any]]:
    names = {tensor.name for tensor in tensors}
    for number, row in enumerate(rows):
        for name in row:
            if name not in names:
                raise not_an_input(name, tensors, model)
        if row.keys() != rows[0].keys():
            raise ValueError(
                f"row {number} has {', '.join(row) or 'nothing'}, and row 0 has"
                f" {', '.join(rows[0]) or 'nothing'}: rows need the same inputs"
            )
    return {name: [row[name] for row in rows] for name in rows[0]}


def _kind(value: Any) -> str:
    return {dict: "an object", str: "a text", type(None): "null"}.get(type(value), "a single value")


def _is_row(row: Any, names: set[str]) -> bool:
    return isinstance(row, dict) and not _is_bytes(row) and bool(names & set(row))


def _is_bytes(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)
