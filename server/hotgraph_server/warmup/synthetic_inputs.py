"""Inputs made from nothing but a signature, for the runs before a version is live. Pure.

What a graph takes is not known beforehand: an id out of range, a text that is no tf.Example or an image too
small to pool is refused. So there are kinds of input, from small to large; probing.py finds the widest that a
graph takes. The same signature always gets the same inputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from math import prod
from typing import Any

import numpy as np

from hotgraph_server.batching.joining import is_whole
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.warmup.composite_inputs import generate_composites

RANGES = (2, 10, 100, 1000)
"""Integers are less than these. As ids, a wide range shows most of what neighbours can do to each other; as
sizes, a wide range asks for more memory than there is."""

# Sizes for inner dimensions that are free: some graphs convolve and pool, and fail when too small.
_FREE_SIZES = (8, 32, 224)

# Elements of an input, over all its rows, that free dimensions may make it: three images of 224 x 224 x 3 are
# less, and a volume of four free dimensions stays one that a convolution can take in a moment.
_MAX_ELEMENTS = 2**20

# With upper case, digits, punctuation and more than one byte a letter, for a graph may treat each in its own
# way.
_WORDS = ("the", "a", "not", "very", "Good", "bad", "red", "42", "x", "house.", "na\u00efve", "it's")

# Numbers drawn at random are telling by themselves; how a graph treats texts depends on which they are.
_ROUNDS_OF_TEXTS = 3

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


def described(signature: Signature, kind: Kind) -> str:
    """Words for people: what generated inputs of a kind hold, as far as that was a choice."""
    parts = []
    if any(None in (spec.shape or ())[1:] for spec in signature.inputs):
        parts.append(f"free dimensions of {kind.size}")
    if has_integers(signature):
        parts.append(f"integers below {kind.below}")
    if has_texts(signature):
        parts.append(f"numbers below {kind.below} as text" if kind.numerals else "words")
    parts += [content.name for content in dict.fromkeys(signature.contents.values())]
    return ", ".join(parts)


def size_in(words: str) -> int:
    """The size of free dimensions that `described` has put into words; 1: it has put none."""
    found = re.search(r"free dimensions of (\d+)", words)
    return 1 if found is None else int(found[1])


def has_numerals_in(words: str) -> bool:
    """Do these words of `described` say that texts hold numbers?"""
    return " as text" in words


def sizes(signature: Signature, rows: int) -> list[int]:
    """What free inner dimensions may be given, rising; one size where there are none."""
    if not any(spec.part is not None or None in (spec.shape or ())[1:] for spec in signature.inputs):
        return [_FREE_SIZES[0]]
    most = min(_largest_size(spec, rows) for spec in signature.inputs)
    return sorted({max(min(size, most), 1) for size in _FREE_SIZES})


def has_integers(signature: Signature) -> bool:
    """Do generated inputs hold integers, whose range can be chosen?"""
    return any(spec.dtype.kind in "iu" for spec in signature.inputs)


def has_texts(signature: Signature) -> bool:
    """Does it take strings of which the graph does not tell what they hold?"""
    return any(spec.dtype == STRING and spec.alias not in signature.contents for spec in signature.inputs)


def _largest_size(spec: TensorSpec, rows: int) -> int:
    inner = (spec.shape or ())[1:]
    free = inner.count(None)
    if not free:
        return _FREE_SIZES[-1]
    known = prod(size for size in inner if size is not None)
    return int((_MAX_ELEMENTS / max(rows * known, 1)) ** (1 / free))


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
            content = signature.contents.get(spec.alias)
            samples = content.samples if content is not None else ()
            shape = _shape(spec, index, rows, kind, sizes)
            inputs.append(_generate(spec, shape, kind, random, samples))
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


def varieties(signature: Signature, rows: int, kind: Kind) -> Iterator[list[Array]]:
    """Inputs of so many rows; with two rows that are alike; of other texts; with other scalars."""
    inputs = generate(signature, rows, kind)
    yield inputs
    yield [
        array if is_whole(spec) else array[[0, *range(len(array) - 1)]]
        for spec, array in zip(signature.inputs, inputs, strict=True)
    ]
    if any(spec.dtype == STRING for spec in signature.inputs):
        for seed in range(1, _ROUNDS_OF_TEXTS):
            yield generate(signature, rows, kind, seed=seed)
    for scalars in scalar_choices(signature):
        yield generate(signature, rows, kind, scalars=scalars)


def plain_rows(signature: Signature, kind: Kind) -> Iterator[list[Array]]:
    """An ordinary row, and one of silence, or of a blank image."""
    ordinary = generate(signature, 1, kind)
    yield ordinary
    if any(spec.dtype.kind == "f" and not is_whole(spec) for spec in signature.inputs):
        yield [
            np.zeros_like(array) if array.dtype.kind == "f" and not is_whole(spec) else array
            for spec, array in zip(signature.inputs, ordinary, strict=True)
        ]


def _shape(
    spec: TensorSpec, index: int, rows: int, kind: Kind, sizes: Mapping[tuple[int, int], int]
) -> tuple[int, ...]:
    if spec.shape is None:
        return (rows,)
    return tuple(
        size if size is not None else sizes.get((index, axis), rows if axis == 0 else kind.size)
        for axis, size in enumerate(spec.shape)
    )


def _generate(
    spec: TensorSpec,
    shape: tuple[int, ...],
    kind: Kind,
    random: np.random.Generator,
    samples: Sequence[bytes] = (),
) -> Array:
    if samples:
        return _chosen(shape, samples, random)
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
            text = str(random.integers(0, kind.below))
        else:
            words = int(longest_words[place[0] if place else 0]) + int(random.integers(0, 3))
            text = " ".join(_WORDS[choice] for choice in random.integers(0, len(_WORDS), words))
        texts[place] = text.encode()
    return texts


def _chosen(shape: tuple[int, ...], samples: Sequence[bytes], random: np.random.Generator) -> Array:
    """bytes: `samples` in a random order, again and again, so that neighbours differ."""
    count = prod(shape)
    orders = [random.permutation(len(samples)) for _ in range(-(-count // len(samples)))]
    chosen = np.empty(count, STRING)
    chosen[:] = [samples[index] for order in orders for index in order][:count]
    return chosen.reshape(shape)
