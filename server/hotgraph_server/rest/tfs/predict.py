"""Predict's requests and responses as JSON, in rows and in columns. Pure.

In rows (``instances`` in, ``predictions`` out) the outermost list is of rows, each a value, a list, or an
object with a value for each tensor. In columns (``inputs`` in, ``outputs`` out) there is one value for each
tensor. Where there is one tensor its value stands alone, without its name.

Of an input that has a default in the signature a request need say nothing, in rows that is in none of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hotgraph_server.errors import InvalidCall
from hotgraph_server.protocols.input_shapes import check_shape, with_inner_dimensions
from hotgraph_server.rest.json.tensors import (
    Mismatch,
    check_tensor,
    convert_tensor,
    is_b64,
    is_finite,
    plain,
    read_tensor,
)
from hotgraph_server.rest.json.text import Text, read, shown, signature_name, write
from hotgraph_server.signatures import DEFAULT_SIGNATURE, Signature, TensorSpec
from hotgraph_server.tensors import Array


class Request(NamedTuple):
    """What a Predict request asks for.

    Attributes:
        signature: its name.
        inputs: one array for each input, in its order; None: there is no such signature.
        rows: did they come in rows?
    """

    signature: str
    inputs: Sequence[Array] | None
    rows: bool


def read_request(body: Text, signatures: Mapping[str, Signature], *, strict_shapes: bool = True) -> Request:
    """A Predict request from its body.

    Args:
        body: JSON.
        signatures: those that can be called.
        strict_shapes: refuse inputs whose shape contradicts the signature?

    Raises:
        InvalidCall: it is no JSON, or not what its signature takes.
        Unsupported: the signature has an input of a type that JSON cannot give.
    """
    request = read(body)
    name = signature_name(request) or DEFAULT_SIGNATURE
    signature = signatures.get(name)
    if signature is None:
        return Request(name, None, False)
    inputs, rows = read_inputs(request, signature, strict_shapes=strict_shapes)
    return Request(name, inputs, rows)


def read_inputs(
    body: Mapping[str, Any], signature: Signature, *, strict_shapes: bool = True
) -> tuple[Sequence[Array], bool]:
    """The arrays of a Predict request.

    Args:
        body: the request, read.
        signature: what it calls.
        strict_shapes: see `read_request`.

    Returns:
        The arrays in the signature's order, with its dtypes; and whether they came in rows.

    Raises:
        InvalidCall: they are not what the signature takes.
        Unsupported: it has an input of a type that JSON cannot give.
    """
    if not signature.inputs:
        raise InvalidCall(f"Failed to get input map for signature: {signature.name}")
    if "instances" not in body:
        if "inputs" not in body:
            raise InvalidCall("Missing 'inputs' or 'instances' key")
        return _in_order(_columns(body["inputs"], signature), signature, strict_shapes), False
    if "inputs" in body:
        raise InvalidCall(
            f"JSON Value: {shown(body)} Not formatted correctly expecting only one of 'inputs' or 'instances'"
            " keys to exist "
        )
    instances = body["instances"]
    if not isinstance(instances, list):
        raise InvalidCall(f"JSON Value: {shown(body)} Excepting 'instances' to be an list/array")
    if not instances:
        raise InvalidCall(f"JSON Value: {shown(body)} No values in 'instances' array")
    return _in_order(_rows(instances, signature), signature, strict_shapes), True


def write_outputs(aliases: Sequence[str], arrays: Sequence[Array], *, rows: bool) -> bytes:
    """The JSON of a Predict response.

    Args:
        aliases: the names of the outputs.
        arrays: one for each.
        rows: in rows, or in columns?

    Raises:
        InvalidCall: they have no rows in common, or a type that JSON has no form for.
    """
    finite = all(map(is_finite, arrays))
    values = [plain(alias, array) for alias, array in zip(aliases, arrays, strict=True)]
    if not rows:
        outputs = values[0] if len(values) == 1 else dict(zip(aliases, values, strict=True))
        return write({"outputs": outputs}, finite=finite)
    _check_rows(aliases, arrays)
    if len(values) == 1:
        return write({"predictions": values[0]}, finite=finite)
    predictions = [dict(zip(aliases, row, strict=True)) for row in zip(*values, strict=True)]
    return write({"predictions": predictions}, finite=finite)


def _in_order(found: Mapping[str, Array], signature: Signature, strict_shapes: bool) -> Sequence[Array]:
    found = {
        alias: with_inner_dimensions(signature.inputs_by_alias[alias], array)
        for alias, array in found.items()
    }
    if strict_shapes:
        for alias, array in found.items():
            check_shape(signature.inputs_by_alias[alias], array)
    return [
        found[spec.alias] if spec.alias in found else signature.defaults[spec.alias]
        for spec in signature.inputs
    ]


def _columns(inputs: Any, signature: Signature) -> dict[str, Array]:
    known = signature.inputs_by_alias
    if not isinstance(inputs, dict) or is_b64(inputs):
        if len(known) > 1:
            raise InvalidCall(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as"
                " per tensorinfo_map"
            )
        (spec,) = signature.inputs
        return {spec.alias: read_tensor(inputs, spec.dtype)}
    for alias in known:
        if alias not in inputs and alias not in signature.defaults:
            raise InvalidCall(f"Missing named input: {alias} in 'inputs' object.")
    if signature.defaults and not inputs.keys() <= known.keys():
        # Unknown names are passed over, but here one could be a mistyped name with a default.
        raise InvalidCall(
            f"Inputs contains invalid name. Used request inputs: {{{','.join(sorted(known))}}}, "
            f"request input: {{{','.join(sorted(inputs))}}}"
        )
    return {alias: read_tensor(inputs[alias], spec.dtype) for alias, spec in known.items() if alias in inputs}


def _rows(instances: Sequence[Any], signature: Signature) -> dict[str, Array]:
    known = signature.inputs_by_alias
    objects = _is_object(instances[0])
    if len(known) > 1 and not objects:
        raise InvalidCall(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as"
            " per tensorinfo_map"
        )
    try:
        return _converted(instances, signature, objects)
    except (Mismatch, InvalidCall):
        # By halves, for row by row is slow; all that another row has to do with it is the first.
        good, bad = 0, len(instances)
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                _converted([instances[0], *instances[good:middle]], signature, objects)
                good = middle
            except (Mismatch, InvalidCall):
                bad = middle
        _check_instances({0: instances[0], good: instances[good]}, signature, objects)
        raise InvalidCall(f"JSON Value: {shown(instances)} is not what the inputs take") from None


def _converted(instances: Sequence[Any], signature: Signature, objects: bool) -> dict[str, Array]:
    """All rows, the fast way. Raises Mismatch, or InvalidCall for a string that is none."""
    known = signature.inputs_by_alias
    if not objects:
        if any(map(_is_object, instances)):
            raise Mismatch
        (spec,) = signature.inputs
        return {spec.alias: convert_tensor(instances, spec.dtype)}
    names = instances[0].keys()
    if not all(isinstance(row, dict) and row.keys() == names for row in instances):
        raise Mismatch
    if not _required(signature) <= names <= known.keys():
        raise Mismatch
    return {name: convert_tensor([row[name] for row in instances], known[name].dtype) for name in names}


def _required(signature: Signature) -> set[str]:
    return signature.inputs_by_alias.keys() - signature.defaults.keys()


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_b64(value)


def _check_instances(instances: Mapping[int, Any], signature: Signature, objects: bool) -> None:
    """Raise what is wrong with the first of these rows that something is wrong with, by their places."""
    shapes: dict[str, tuple[int, ...]] = {}
    for index, row in instances.items():
        where = f"Failed to process element: {index}"
        if not objects:
            if _is_object(row):
                raise InvalidCall(f"Expecting value/list but got object at item {index} of input list")
            _check_item(row, signature.inputs[0], shapes, where)
            continue
        if not _is_object(row):
            raise InvalidCall(f"Expecting object but got list at item {index} of input list")
        _check_object(row, signature, shapes, where)
        # A caller that leaves out what has a default leaves it out of every row.
        if index and row.keys() != instances[0].keys():
            raise _wrong_keys(row, instances[0].keys(), where)


def _check_object(
    row: Mapping[str, Any], signature: Signature, shapes: dict[str, tuple[int, ...]], where: str
) -> None:
    known = signature.inputs_by_alias
    for name, value in row.items():
        if name not in known:
            raise InvalidCall(
                f"{where} key: {name} of 'instances' list. Error: INVALID_ARGUMENT: "
                f"JSON object: does not have named input: {name}"
            )
        _check_item(value, known[name], shapes, f"{where} key: {name}")
    if not _required(signature) <= row.keys():
        raise _wrong_keys(row, known, where)


def _wrong_keys(row: Any, keys: Collection[str], where: str) -> InvalidCall:
    return InvalidCall(
        f"{where} of 'instances' list. JSON object: {shown(row)}"
        f" keys must be equal to: {','.join(sorted(keys))}"
    )


def _check_item(value: Any, spec: TensorSpec, shapes: dict[str, tuple[int, ...]], where: str) -> None:
    try:
        shape = check_tensor(value, spec.dtype)
        first = shapes.setdefault(spec.alias, shape)
        sizes = [int(np.prod(one, dtype=object)) for one in (first, shape)]
        if sizes[0] != sizes[1]:
            raise InvalidCall(f"Expecting tensor size: {sizes[0]} but got: {sizes[1]}")
        if first != shape:
            raise InvalidCall(f"Expecting shape {_listed(first)} but got: {_listed(shape)}")
    except InvalidCall as error:
        raise InvalidCall(f"{where} of 'instances' list. Error: INVALID_ARGUMENT: {error}") from None


def _listed(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _check_rows(aliases: Sequence[str], arrays: Sequence[Array]) -> None:
    rows = None
    for alias, array in zip(aliases, arrays, strict=True):
        if not array.ndim:
            raise InvalidCall(f"Tensor name: {alias} has no shape information ")
        if rows is not None and len(array) != rows:
            raise InvalidCall(
                f"Tensor name: {alias} has inconsistent batch size: {len(array)} expecting: {rows}"
            )
        rows = len(array)
