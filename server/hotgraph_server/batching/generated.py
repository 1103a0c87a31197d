"""Inputs made from nothing but a signature, for the runs before a version is live. Pure.

Nobody knows what a graph takes: an id out of range, a text that is no tf.Example or an image too small to
pool is refused. So there is a row of kinds, the most telling first, and whoever asks goes through them
until the graph takes one. The same signature always gets the same inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np

from hotgraph_server.batching.composite_inputs import generate_composites
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array

# Integers are ids or counts: the widest range that the graph takes shows most of what neighbours can do to
# each other.
_INTEGER_RANGES = (1000, 100, 10, 2)

# Sizes for inner dimensions that are free: some graphs convolve and pool, and fail when too small.
_FREE_SIZES = (8, 32, 224)

# With upper case, digits, punctuation and more than one byte a letter, for a graph may treat each in its own
# way.
_WORDS = ("the", "a", "not", "very", "Good", "bad", "red", "42", "x", "house.", "na\u00efve", "it's")

_SEED = 20_240_229
_MAX_SCALAR_CHOICES = 16


@dataclass(frozen=True)
class Kind:
    """What generated inputs are like.

    Attributes:
        size: of inner dimensions that are free.
        below: integers are less than this.
        numerals: strings hold a number each, and no words.
    """

    size: int
    below: int
    numerals: bool = False


def kinds(signature: Signature) -> Iterator[Kind]:
    """The kinds that make a difference to `signature`, the most telling first."""
    free = any(spec.part is not None or None in (spec.shape or (None,))[1:] for spec in signature.inputs)
    integers = any(spec.dtype.kind in "iu" for spec in signature.inputs)
    strings = any(spec.dtype == STRING for spec in signature.inputs)
    for size in _FREE_SIZES if free else _FREE_SIZES[:1]:
        for below in _INTEGER_RANGES if integers else _INTEGER_RANGES[:1]:
            for numerals in (False, True) if strings else (False,):
                yield Kind(size, below, numerals)


def generated_inputs(signature: Signature, rows: int) -> Iterator[list[Array]]:
    """Inputs of varied content, one set for each kind.

    The rows differ in what they hold: each has integers from a smaller range than the one before, and texts
    of another length.
    """
    return (generate(signature, rows, kind) for kind in kinds(signature))


def generate(
    signature: Signature,
    rows: int,
    kind: Kind,
    *,
    seed: int = 0,
    scalars: Sequence[Any] | None = None,
    sizes: Mapping[tuple[int, int], int] | None = None,
) -> list[Array]:
    """One set of inputs, in the signature's order.

    Args:
        signature: whose inputs.
        rows: size of dimension 0 where it is free.
        kind: what they are like.
        seed: another one gives other content.
        scalars: the values of the scalar inputs, see `scalar_choices`; None: drawn like all others.
        sizes: of single free dimensions, by index of the input and dimension; `kind` tells the others.
    """
    random = np.random.default_rng(_SEED + seed)
    given = iter(scalars) if scalars is not None else None
    composites = generate_composites(signature, rows, kind.size, random)
    sizes = {**composites.sizes, **(sizes or {})}
    inputs = []
    for index, spec in enumerate(signature.inputs):
        if index in composites.arrays:
            inputs.append(composites.arrays[index])
        elif spec.shape == () and given is not None:
            inputs.append(np.asarray(next(given), spec.dtype))
        else:
            inputs.append(_generate(spec, _shape(spec, index, rows, kind, sizes), kind, random))
    return inputs


def scalar_choices(signature: Signature) -> Iterator[tuple[Any, ...]]:
    """Values of the scalar inputs that are worth a try: both of a switch, a few of a number."""
    scalars = [spec for spec in signature.inputs if spec.shape == () and spec.dtype != STRING]
    if not scalars or len(scalars) < sum(spec.shape == () for spec in signature.inputs):
        return iter(())
    return islice(
        product(*((False, True) if spec.dtype.kind == "b" else (0, 1, 2) for spec in scalars)),
        _MAX_SCALAR_CHOICES,
    )


def _shape(
    spec: TensorSpec, index: int, rows: int, kind: Kind, sizes: Mapping[tuple[int, int], int]
) -> tuple[int, ...]:
    if spec.shape is None:
        return (rows,)
    return tuple(
        size if size is not None else sizes.get((index, axis), rows if axis == 0 else kind.size)
        for axis, size in enumerate(spec.shape)
    )


def _generate(spec: TensorSpec, shape: tuple[int, ...], kind: Kind, random: np.random.Generator) -> Array:
    if spec.dtype == STRING:
        return _texts(shape, kind, random)
    if spec.dtype.kind == "b":
        return np.asarray(random.integers(0, 2, shape), spec.dtype)
    if spec.dtype.kind in "iu":
        limits = np.maximum(
            min(kind.below, np.iinfo(spec.dtype).max) // 3 ** np.arange(shape[0] if shape else 1), 2
        )
        per_row = limits.reshape((-1,) + (1,) * (len(shape) - 1)) if shape else limits[0]
        return np.asarray(random.integers(0, per_row, shape), spec.dtype)
    if spec.dtype.kind == "c":
        return np.asarray(random.standard_normal(shape) + 1j * random.standard_normal(shape), spec.dtype)
    # bfloat16 is of kind V, and is cast to like any other float.
    return np.asarray(random.standard_normal(shape), spec.dtype)


def _texts(shape: tuple[int, ...], kind: Kind, random: np.random.Generator) -> Array:
    """bytes: no two rows alike in length, and the longest not always first or last."""
    texts = np.empty(shape, STRING)
    longest_words = 4 * random.permutation(shape[0] if shape else 1) + 1
    for place in np.ndindex(shape):
        if kind.numerals:
            text = str(random.integers(0, 10 ** (1 + (place[0] % 6 if place else 0))))
        else:
            words = int(longest_words[place[0] if place else 0]) + int(random.integers(0, 3))
            text = " ".join(_WORDS[choice] for choice in random.integers(0, len(_WORDS), words))
        texts[place] = text.encode()
    return texts
