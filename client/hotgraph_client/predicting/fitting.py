"""What was given as what the model takes, by its metadata. Pure.

Every step that a person may not expect (a picture resized and scaled, a row put around a value, a table's
columns) leaves a note, which the command shows: nothing is guessed silently.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hotgraph_protos.tensors import BYTES, Array, dtype_of

from ..descriptions import TensorMetadata
from ..errors import InvalidCall
from ..images import ImageError, Scale, as_bytes, as_pixels, is_image_input, layout_of
from ..signatures import listed, not_an_input
from .documents import signature_of, take_apart, with_bytes
from .reading import KINDS, Given, Json, Raw, Zeros
from .tables import Table, inputs_of_table

# Of a message of protobuf.
_MOST_BYTES = 2**31


@dataclass(frozen=True)
class Fitting:
    """How values are made to fit.

    Attributes:
        scale: what the pixels of an image become where an input takes floats; None: 0..1, and a note says so.
        casts: round floats of files to the model's precision.
    """

    scale: Scale | None = None
    casts: bool = False


def needs_tensors(given: Sequence[Given], fitting: Fitting) -> bool:
    """Has the model to be asked what it takes? Arrays with names are sent as they are."""
    return fitting.casts or any(
        not isinstance(one.value, np.ndarray) or one.name is None for one in given if not _brings_names(one)
    )


def signature_in(given: Sequence[Given]) -> str | None:
    """The signature that a request in JSON asks for; None: none does."""
    found = (
        signature_of(one.value.value) for one in given if isinstance(one.value, Json) and one.name is None
    )
    return next(filter(None, found), None)


def fitted(
    given: Sequence[Given], tensors: Sequence[TensorMetadata], model: str, fitting: Fitting
) -> tuple[dict[str, Any], list[str]]:
    """The call's inputs by name, and notes of what was done to them.

    Raises:
        InvalidCall: a name that is no input's, or none where there are several inputs.
        ValueError: a value that cannot be its input's; the text says which, and the way out.
    """
    inputs: dict[str, Any] = {}
    notes: list[str] = []
    stacked: dict[str, int] = {}
    for one in given:
        for name, value in _by_name(one, tensors, model, notes).items():
            tensor = next((tensor for tensor in tensors if tensor.name == name), None)
            if tensor is None:
                raise not_an_input(name, tensors, model)
            array = _value(value, tensor, one.where, fitting, notes)
            if name not in inputs:
                inputs[name] = array
                stacked[name] = 1 if isinstance(value, Raw) else 0
            elif isinstance(value, Raw) and stacked[name]:
                inputs[name] = _joined(inputs[name], array, tensor, one.where)
                stacked[name] += 1
            else:
                raise ValueError(f"input '{name}' is given twice")
    notes += [f"{count} files as {count} rows of '{name}'" for name, count in stacked.items() if count > 1]
    return inputs, notes


def named_arrays(given: Sequence[Given]) -> dict[str, Array]:
    """The inputs of arrays that have names, where the model need not be asked.

    Raises:
        ValueError: a name is given twice.
    """
    inputs: dict[str, Array] = {}
    for one in given:
        arrays = _of_npz(one) if isinstance(one.value, Mapping) else {str(one.name): np.asarray(one.value)}
        for name, array in arrays.items():
            if name in inputs:
                raise ValueError(f"input '{name}' is given twice")
            inputs[name] = array
    return inputs


def check_names(given: Sequence[Given]) -> None:
    """What can be said of them before a server is asked.

    Raises:
        ValueError: one of several has no name, and brings none.
    """
    files = all(isinstance(one.value, Raw) for one in given)
    for one in given:
        brings = _brings_names(one) or isinstance(one.value, Table)
        brings = brings or (isinstance(one.value, Json) and isinstance(one.value.value, (dict, list)))
        lone_array = isinstance(one.value, Json) and isinstance(one.value.value, list)
        if one.name is None and len(given) > 1 and not files and (not brings or lone_array):
            raise ValueError(f"--input {one.where} has no name, but there are several: use NAME=VALUE")
        if one.name is not None and isinstance(one.value, Mapping):
            _of_npz(one)
        if isinstance(one.value, Json):
            _check_bytes(one)
    named = [one.name for one in given if one.name is not None and not isinstance(one.value, Raw)]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"input '{twice}' is given twice")


def _check_bytes(one: Given) -> None:
    """Raises ValueError: what can be nothing but the value of one input is none."""
    value = one.value.value if isinstance(one.value, Json) else None
    first = value[0] if isinstance(value, list) and value else value
    if one.name is not None or not isinstance(first, dict) or set(first) == {"b64"}:
        with_bytes(value)


def _brings_names(one: Given) -> bool:
    return one.name is None and isinstance(one.value, Mapping)


def _of_npz(one: Given) -> dict[str, Array]:
    assert isinstance(one.value, Mapping)
    if one.name is None:
        return dict(one.value)
    if len(one.value) != 1:
        raise ValueError(
            f"{one.where} holds {len(one.value)} arrays ({', '.join(one.value)}): give it without"
            f" '{one.name}=' to use their own names"
        )
    return {one.name: next(iter(one.value.values()))}


def _by_name(
    one: Given, tensors: Sequence[TensorMetadata], model: str, notes: list[str]
) -> Mapping[str, Any]:
    """The values of one --input by the names of inputs."""
    value = one.value
    if isinstance(value, Mapping):
        return _of_npz(one)
    if isinstance(value, Table):
        chosen = [tensor for tensor in tensors if one.name in (None, tensor.name)]
        if one.name is not None and not chosen:
            raise not_an_input(one.name, tensors, model)
        if one.name in value.names and len(value.names) > 1:
            raise ValueError(
                f"{one.where}: give it without '{one.name}=', and each column becomes the input of its name"
            )
        arrays, note = inputs_of_table(value, chosen, one.where)
        notes.append(note)
        return arrays
    if isinstance(value, Json):
        if one.name is not None:
            return {one.name: with_bytes(value.value)}
        found = take_apart(value.value, tensors, model)
        if found.inputs is not None:
            return {name: with_bytes(inner) for name, inner in found.inputs.items()}
        return {_only(tensors, model): with_bytes(found.only)}
    if one.name is not None:
        return {one.name: value}
    if isinstance(value, Raw) and value.is_image and len(tensors) > 1:
        taking = [tensor for tensor in tensors if tensor.datatype != BYTES and is_image_input(tensor)]
        if len(taking) == 1:
            notes.append(f"{one.where}: taken as '{taking[0].name}', the only input that is an image")
            return {taking[0].name: value}
    return {_only(tensors, model): value}


def _only(tensors: Sequence[TensorMetadata], model: str) -> str:
    if len(tensors) != 1:
        raise InvalidCall(
            f"say which input, as in --input NAME=VALUE; the inputs of '{model}': {listed(tensors)}",
            model=model,
        )
    return tensors[0].name


def _value(value: Any, tensor: TensorMetadata, where: str, fitting: Fitting, notes: list[str]) -> Any:
    """What goes into the call for one input."""
    if isinstance(value, Raw):
        return _from_file(value, tensor, where, fitting, notes)
    if isinstance(value, Zeros):
        shape = value.shape if value.shape is not None else tuple(max(size, 1) for size in tensor.shape)
        dtype = dtype_of(tensor.datatype)
        if math.prod(shape) * dtype.itemsize > _MOST_BYTES:
            sizes = "x".join(map(str, shape))
            raise ValueError(f"zeros:{sizes} is more than the 2 GiB that a call may hold")
        zeros: Array = np.zeros(shape, dtype)
        if tensor.datatype == BYTES:
            zeros[...] = b""
        return zeros
    if isinstance(value, np.ndarray):
        value = _cast(value, tensor, where, fitting, notes)
    return _with_row(value, tensor, notes)


def _from_file(file: Raw, tensor: TensorMetadata, where: str, fitting: Fitting, notes: list[str]) -> Array:
    if tensor.datatype == BYTES:
        return as_bytes(file.data, tensor, where)
    if not file.is_image:
        raise ValueError(f"{where}: the input {tensor} takes numbers: give {KINDS}")
    try:
        layout = layout_of(tensor)
    except ImageError as error:
        raise ValueError(f"{where}: {error}") from None
    scale = fitting.scale or "0..1"
    pixels = as_pixels(file.data, tensor, layout, scale, where)
    colours = {1: "grey", 3: "RGB", 4: "RGBA"}[layout.channels]
    steps = [f"decoded as {colours}"]
    if pixels.size != pixels.found:
        steps.append(f"resized from {pixels.found[0]}x{pixels.found[1]} to {pixels.size[0]}x{pixels.size[1]}")
    if pixels.array.dtype.kind in "iu":
        steps.append(f"pixels 0..255 as {tensor.datatype}")
    else:
        others = " (--scale -1..1 or 0..255 if the model was trained so)" if fitting.scale is None else ""
        steps.append(f"pixels scaled to {scale} as {tensor.datatype}{others}")
    notes.append(f"{where}: {', '.join(steps)}")
    return pixels.array


def _joined(first: Array, second: Array, tensor: TensorMetadata, where: str) -> Array:
    if not tensor.shape or tensor.shape[0] >= 0:
        raise ValueError(
            f"input '{tensor.name}' is given twice, and its dimension 0 holds one call's rows only"
        )
    if first.shape[1:] != second.shape[1:]:
        raise ValueError(
            f"{where}: shape {list(second.shape[1:])} is not that of the files before it,"
            f" {list(first.shape[1:])}: rows of one call have one shape"
        )
    return np.concatenate([first, second])


def _cast(array: Array, tensor: TensorMetadata, where: str, fitting: Fitting, notes: list[str]) -> Array:
    wanted = dtype_of(tensor.datatype) if fitting.casts and tensor.datatype != BYTES else array.dtype
    if wanted == array.dtype or array.dtype.kind not in "fiub" or wanted.kind in "b":
        return array
    if wanted.kind in "iu" and array.dtype.kind == "f":
        raise ValueError(
            f"{where}: {array.dtype} is not rounded to {tensor.datatype}, which '{tensor.name}' takes"
        )
    if wanted.kind in "iu":
        # whole numbers are the client's to convert, which wraps none around
        return array
    notes.append(f"{where}: {array.dtype} rounded to {tensor.datatype}")
    return array.astype(wanted)


def _with_row(value: Any, tensor: TensorMetadata, notes: list[str]) -> Any:
    """A value that lacks the dimension of rows, with it."""
    shape = value.shape if isinstance(value, np.ndarray) else _shape(value)
    if shape is None or not tensor.shape or tensor.shape[0] >= 0 or len(shape) != len(tensor.shape) - 1:
        return value
    if not all(said in (-1, size) for said, size in zip(tensor.shape[1:], shape, strict=True)):
        return value
    notes.append(f"'{tensor.name}': taken as one row, of shape {[1, *shape]}")
    return value[np.newaxis] if isinstance(value, np.ndarray) else [value]


def _shape(value: Any) -> tuple[int, ...] | None:
    """The shape of nested lists, as their first elements have it; None: they are not alike."""
    shape = []
    level = [value]
    while level and isinstance(level[0], list):
        sizes = {len(one) if isinstance(one, list) else -1 for one in level}
        if len(sizes) != 1 or -1 in sizes:
            return None
        shape.append(sizes.pop())
        level = [inner for one in level for inner in one]
    return None if any(isinstance(one, list) for one in level) else tuple(shape)
