"""Padding: calls that differ in some inner dimensions are made alike with a value that the owner chose.

SavedModels do not name their dimensions, so the owner does, by input and index: ``pad = {"ids.1": 0}`` lets
calls of 5 and of 9 ids share a batch, the shorter ones followed by zeros. An output that has such a dimension
comes back cut to what its own call would have had alone: ``unpad = {"embeddings.1": "ids.1"}``.

Whether that changes an answer is the model's doing (a mask that is not looked at is enough), so it is tried
before the version is live (warmup/padding_safety.py). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array


@dataclass(frozen=True)
class Padding:
    """What is padded in calls of a signature, and cut back in their answers.

    Attributes:
        values: for each input, in the signature's order, (dimension, value) of those that are padded.
        cuts: for an output's alias, (its dimension, index of an input, that input's dimension).
        dimensions: those in which calls of a batch may differ: alias of an input, and its dimension.
    """

    values: tuple[tuple[tuple[int, Any], ...], ...]
    cuts: Mapping[str, tuple[tuple[int, int, int], ...]]
    dimensions: frozenset[tuple[str, int]]


def padding_of(signature: Signature, pad: Mapping[str, Any], unpad: Mapping[str, str]) -> Padding | None:
    """What the settings `pad` and `unpad` mean for `signature`; None: nothing.

    Raises:
        ValueError: a dimension is not there or not free, or a value is not of the input's dtype.
    """
    wanted: dict[str, list[tuple[int, Any]]] = {}
    for key, value in pad.items():
        alias, axis = _dimension(key)
        if alias in signature.inputs_by_alias:
            spec = signature.inputs_by_alias[alias]
            _assert_free(spec, axis, key)
            wanted.setdefault(alias, []).append((axis, _value(spec, value, key)))
    if not wanted:
        return None
    indices = {spec.alias: index for index, spec in enumerate(signature.inputs)}
    cuts: dict[str, list[tuple[int, int, int]]] = {}
    for key, source in unpad.items():
        alias, axis = _dimension(key)
        of, of_axis = _dimension(source)
        if alias in signature.outputs_by_alias and of in indices:
            _assert_free(signature.outputs_by_alias[alias], axis, key)
            _assert_free(signature.inputs_by_alias[of], of_axis, source)
            cuts.setdefault(alias, []).append((axis, indices[of], of_axis))
    return Padding(
        tuple(tuple(sorted(wanted.get(spec.alias, ()), key=lambda one: one[0])) for spec in signature.inputs),
        {alias: tuple(places) for alias, places in cuts.items()},
        frozenset((alias, axis) for alias, values in wanted.items() for axis, _ in values),
    )


def names_nobody_has(
    signatures: Mapping[str, Signature], pad: Mapping[str, Any], unpad: Mapping[str, str]
) -> list[str]:
    """Those keys and values of the two settings that name no input or output of any signature."""
    inputs = {alias for signature in signatures.values() for alias in signature.inputs_by_alias}
    outputs = {alias for signature in signatures.values() for alias in signature.outputs_by_alias}
    missing = [key for key in (*pad, *unpad.values()) if _dimension(key)[0] not in inputs]
    return missing + [key for key in unpad if _dimension(key)[0] not in outputs]


def longest(arrays: Sequence[Array], values: Sequence[tuple[int, Any]]) -> tuple[int, ...]:
    """The inner shape that all of an input's arrays have once they are padded."""
    shape = list(arrays[0].shape[1:])
    for axis, _ in values:
        shape[axis - 1] = max(array.shape[axis] for array in arrays)
    return tuple(shape)


def place(array: Array, into: Array, values: Sequence[tuple[int, Any]]) -> None:
    """Copy `array` into the first part of `into`, which has its rows, and fill what is left."""
    own: list[slice] = [slice(None)] * into.ndim
    for axis, value in values:
        length = array.shape[axis]
        if length < into.shape[axis]:
            into[(*own[:axis], slice(length, None), *own[axis + 1 :])] = value
        own[axis] = slice(length)
    into[tuple(own)] = array


def cut_back(
    aliases: Sequence[str], inputs: Sequence[Array], answer: Sequence[Array], padding: Padding
) -> list[Array]:
    """The rows of one call, cut to the lengths that its own inputs have; views.

    Args:
        aliases: of the outputs.
        inputs: the call's own, in the signature's order.
        answer: the call's rows of each output.
        padding: how the batch was padded.
    """
    return [
        _cut_back(array, inputs, padding.cuts.get(alias, ()))
        for alias, array in zip(aliases, answer, strict=True)
    ]


def _cut_back(array: Array, inputs: Sequence[Array], places: Sequence[tuple[int, int, int]]) -> Array:
    if not places:
        return array
    own = [slice(None)] * array.ndim
    for axis, index, of_axis in places:
        own[axis] = slice(inputs[index].shape[of_axis])
    return array[tuple(own)]


def _dimension(key: str) -> tuple[str, int]:
    alias, _, axis = key.rpartition(".")
    return alias, int(axis)


def _assert_free(spec: TensorSpec, axis: int, key: str) -> None:
    if spec.shape is None or axis >= len(spec.shape) or spec.shape[axis] is not None:
        shape = "of any rank" if spec.shape is None else [-1 if size is None else size for size in spec.shape]
        raise ValueError(f"{key}: dimension {axis} of {spec.alias!r} is not free, its shape is {shape}")


def _value(spec: TensorSpec, value: Any, key: str) -> Any:
    if spec.dtype == STRING:
        if not isinstance(value, str):
            raise ValueError(f"{key}: {spec.alias!r} holds strings, {value!r} is none")
        return value.encode()
    try:
        fits = not isinstance(value, str) and np.asarray(value).astype(spec.dtype) == value
    except (OverflowError, ValueError):
        fits = False
    if not fits and not (isinstance(value, float) and spec.dtype.kind in "fcV"):
        raise ValueError(f"{key}: {value!r} is no {spec.dtype.name}, which {spec.alias!r} is")
    return spec.dtype.type(value)
