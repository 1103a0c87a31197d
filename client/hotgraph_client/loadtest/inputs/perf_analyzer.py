"""Inputs, and right outputs, from JSON as perf_analyzer takes it with --input-data. Pure but for the file.

https://github.com/triton-inference-server/perf_analyzer (docs/input_data.md): `data` is a list of calls, each
an object of inputs; or of lists of such objects, the steps of a sequence. A tensor is a flat list,
{"b64": ...} with its raw contents (strings each with their length), or {"content": one of these,
"shape": [...]}. The batch dimension is left away, and may be there. `validation_data` has the right outputs
in the same form and order.

More is taken than perf_analyzer takes: nested lists have their own shape, a bare value is a list of one.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hotgraph_protos.tensors import BYTES, Array, decode_raw, decode_strings

from ...arrays import from_python
from ...descriptions import TensorMetadata
from ..dialects.datatypes import COMPLEX, dtype_of
from ..dialects.description import Description, is_free, listed
from .fitting import fitted
from .items import InputError

_MAX_BYTES = 2**30


class Calls(NamedTuple):
    """What a file holds.

    Attributes:
        inputs: of each call.
        outputs: that are right, of each call; None: the file has none.
        in_sequences: were they steps of sequences?
    """

    inputs: list[dict[str, Array]]
    outputs: list[dict[str, Array]] | None
    in_sequences: bool


def read_json(path: Path, description: Description, shapes: Mapping[str, Sequence[int]]) -> Calls:
    """The calls of a file.

    Args:
        shapes: of inputs, without their rows, where the file has none.

    Raises:
        InputError: it cannot be read, or is not in this form, or not what the model takes.
    """
    return parse(read_text(path), str(path), description, shapes)


def read_text(path: Path) -> bytes:
    """The bytes of a file that is not too large.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: a JSON file of more than {_MAX_BYTES >> 20} MiB: save arrays as .npz")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def parse(text: bytes, where: str, description: Description, shapes: Mapping[str, Sequence[int]]) -> Calls:
    """The calls of a JSON text; `where` names it in errors.

    Raises:
        InputError: as `read_json`.
    """
    body = _object(text, where)
    calls, in_sequences = _steps(body.get("data"), where, "data")
    if not calls:
        raise InputError(f"{where}: 'data' has no calls")
    known = listed(description.inputs)
    inputs = [
        {
            name: _tensor(
                value,
                description.input(name),
                f"{where}: data[{at}].{name}",
                known,
                shapes,
            )
            for name, value in call.items()
        }
        for at, call in enumerate(calls)
    ]
    outputs = None
    if "validation_data" in body:
        outputs = validation(text, where, description)
        if len(outputs) != len(inputs):
            raise InputError(
                f"{where}: {len(inputs)} calls in 'data', but {len(outputs)} in 'validation_data'"
            )
    return Calls(inputs, outputs, in_sequences)


def validation(text: bytes, where: str, description: Description) -> list[dict[str, Array]]:
    """The right outputs of `validation_data`, call by call.

    Raises:
        InputError: it has none, or not in this form.
    """
    answers, _ = _steps(_object(text, where).get("validation_data"), where, "validation_data")
    return [
        {
            name: _tensor(
                value,
                description.output(name),
                f"{where}: validation_data[{at}].{name}",
                listed(description.outputs),
                {},
            )
            for name, value in answer.items()
        }
        for at, answer in enumerate(answers)
    ]


def _object(text: bytes, where: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is no JSON: {error}") from None
    if not isinstance(body, dict):
        raise InputError(f"{where}: expected an object with 'data', as perf_analyzer takes it")
    return body


def _steps(found: Any, where: str, key: str) -> tuple[list[dict[str, Any]], bool]:
    if not isinstance(found, list):
        raise InputError(f"{where}: '{key}' is no list of calls, as perf_analyzer takes it")
    in_sequences = any(isinstance(one, list) for one in found)
    steps = [step for one in found for step in (one if isinstance(one, list) else [one])]
    for at, step in enumerate(steps):
        if not isinstance(step, dict):
            raise InputError(f"{where}: {key}[{at}] is no object of tensors")
    return steps, in_sequences


def _tensor(
    value: Any,
    tensor: TensorMetadata | None,
    where: str,
    known: str,
    shapes: Mapping[str, Sequence[int]],
) -> Array:
    if tensor is None:
        raise InputError(f"{where}: the model has no such tensor; there are {known}")
    try:
        content, shape = _parts(value)
        array = _array(content, tensor, shape, shapes.get(tensor.name))
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{where}: {error}") from None
    return fitted(array, tensor, where)


def _parts(value: Any) -> tuple[Any, list[int] | None]:
    """The content of a tensor, and its shape where it has one."""
    if not (isinstance(value, dict) and "content" in value):
        return value, None
    shape = value.get("shape")
    if shape is None:
        return value["content"], None
    if not (isinstance(shape, list) and all(type(size) is int and 0 <= size < 2**31 for size in shape)):
        raise ValueError("its shape is no list of sizes")
    return value["content"], shape


def _array(
    content: Any, tensor: TensorMetadata, shape: Sequence[int] | None, given: Sequence[int] | None
) -> Array:
    if isinstance(content, dict):
        flat = _of_base64(content, tensor)
    elif tensor.datatype in COMPLEX:
        raise ValueError(f"JSON has no form for {tensor.datatype}")
    else:
        flat = from_python(content if isinstance(content, list) else [content], tensor.datatype)
    if shape is None and flat.ndim > 1:
        return flat
    return flat.reshape(shape if shape is not None else _guessed(flat.size, tensor, given))


def _of_base64(content: Mapping[str, Any], tensor: TensorMetadata) -> Array:
    text = content.get("b64")
    if set(content) != {"b64"} or not isinstance(text, str):
        raise ValueError('expected a list, {"b64": "..."} or {"content": ..., "shape": [...]}')
    raw = base64.b64decode(text, validate=True)
    if tensor.datatype == BYTES:
        return decode_strings(raw, _count_strings(raw))
    dtype = dtype_of(tensor.datatype)
    if tensor.datatype in COMPLEX:
        return np.frombuffer(raw, dtype)
    if len(raw) % dtype.itemsize:
        raise ValueError(f"{len(raw)} bytes are no whole number of {tensor.datatype}")
    return decode_raw(tensor.datatype, [len(raw) // dtype.itemsize], raw)


def _count_strings(raw: bytes) -> int:
    count = at = 0
    while at < len(raw):
        at += 4 + int.from_bytes(raw[at : at + 4], "little")
        count += 1
    return count


def _guessed(count: int, tensor: TensorMetadata, given: Sequence[int] | None) -> tuple[int, ...]:
    """The shape of a flat list: the model's, with what is left for the one dimension that is free.

    Raises:
        ValueError: several are free beside the rows, or it does not go.
    """
    stated = tensor.shape
    if stated == (-1,):
        return (count,)
    inner = tuple(given) if given is not None else stated[1:] if is_free(tensor) else stated
    free = [size for size in inner if size < 0]
    known = math.prod(size for size in inner if size >= 0)
    if len(free) > 1:
        raise ValueError(f"the shape of {tensor} is free: give it as 'shape', or by --shape")
    if free:
        filled = tuple(count // max(known, 1) if size < 0 else size for size in inner)
        shape = (1, *filled) if is_free(tensor) else filled
    elif is_free(tensor) and len(inner) == len(stated) - 1:
        shape = (count // max(known, 1), *inner)
    else:
        shape = inner
    if math.prod(shape) != count:
        raise ValueError(f"{count} values do not fill {tensor}")
    return shape
