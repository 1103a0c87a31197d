"""Inputs from nothing but a model's metadata. Pure; the same seed always gives the same ones.

Floats are in [0, 1), whole numbers 0 or 1 (an id or an index that is too large is an error in many a graph),
unless a range is given; texts are words, or lines of a file. Free dimensions beside the rows are 1, unless a
shape is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hotgraph_protos.tensors import BYTES, Array

from ...descriptions import TensorMetadata
from ..dialects.datatypes import dtype_of
from ..dialects.description import is_free
from .items import InputError

_WORDS = (
    *("the", "a", "not", "very", "good", "bad", "red", "house", "42", "and", "it", "was", "never", "worse"),
    *("service", "great", "film", "too", "long", "short"),
)
_MOST_WORDS = 12

# Of a text, its length included: about what sentences have.
_MEAN_TEXT_BYTES = 40


class Generator:
    """Random arrays for a model's inputs.

    Args:
        shapes: of inputs, without their rows; free dimensions are 1 otherwise.
        ranges: of numbers, by input.
        lines: for texts; empty: words.
    """

    def __init__(
        self,
        seed: int,
        *,
        shapes: Mapping[str, Sequence[int]],
        ranges: Mapping[str, tuple[float, float]],
        lines: Sequence[bytes] = (),
    ) -> None:
        self._random = np.random.default_rng(seed)
        self._shapes = shapes
        self._ranges = ranges
        self._lines = lines

    def array(self, tensor: TensorMetadata, rows: int) -> Array:
        """Values for an input.

        Args:
            rows: the size of dimension 0, where that is free.

        Raises:
            InputError: the shape or range that was given cannot be this input's, or its datatype is none that
                could be sent.
        """
        shape = shape_of(tensor, rows, self._shapes.get(tensor.name))
        return (
            self._texts(shape) if tensor.datatype == BYTES else self._numbers(tensor, _dtype(tensor), shape)
        )

    def nbytes(self, tensor: TensorMetadata, rows: int) -> int:
        """About as many does `array` take.

        Raises:
            InputError: as `array`.
        """
        elements = math.prod(shape_of(tensor, rows, self._shapes.get(tensor.name)))
        return elements * (_MEAN_TEXT_BYTES if tensor.datatype == BYTES else _dtype(tensor).itemsize)

    def _numbers(self, tensor: TensorMetadata, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        low, high = self._ranges.get(tensor.name, (0.0, 1.0))
        if dtype.kind == "b":
            return self._random.integers(0, 2, shape).astype(np.bool_)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            first, last = math.ceil(low), math.floor(high)
            if not limits.min <= first <= last <= limits.max:
                raise InputError(
                    f"--range {tensor.name}={low:g}..{high:g}: no such whole numbers in {tensor.datatype}"
                    f" ({limits.min} to {limits.max})"
                )
            return self._random.integers(first, last, shape, dtype, endpoint=True)
        if dtype.kind == "c":
            real, imaginary = self._random.uniform(low, high, (2, *shape))
            return np.asarray(real + 1j * imaginary, dtype)
        return np.asarray(low + (high - low) * self._random.random(shape), dtype)

    def _texts(self, shape: tuple[int, ...]) -> Array:
        count = math.prod(shape)
        texts = np.empty(count, object)
        if self._lines:
            texts[:] = [self._lines[index] for index in self._random.integers(0, len(self._lines), count)]
        else:
            texts[:] = [self._sentence() for _ in range(count)]
        return texts.reshape(shape)

    def _sentence(self) -> bytes:
        chosen = self._random.integers(0, len(_WORDS), self._random.integers(1, _MOST_WORDS + 1))
        return " ".join(_WORDS[index] for index in chosen).encode()


def _dtype(tensor: TensorMetadata) -> np.dtype[Any]:
    try:
        return dtype_of(tensor.datatype)
    except ValueError as error:
        raise InputError(f"input {tensor}: {error}") from None


def shape_of(tensor: TensorMetadata, rows: int, given: Sequence[int] | None) -> tuple[int, ...]:
    """The shape of an input.

    Args:
        rows: the size of dimension 0, where that is free.
        given: the other sizes, or all of them; None: those that are free are 1.

    Raises:
        InputError: it cannot be this input's.
    """
    stated = tensor.shape
    free = is_free(tensor)
    if given is None:
        inner = stated[1:] if free else stated
        return (*([rows] if free else []), *(1 if size < 0 else size for size in inner))
    sizes = (rows, *given) if free and (len(given) == len(stated) - 1 or stated == (-1,)) else tuple(given)
    # an unknown rank is told as a single free dimension
    fits = stated == (-1,) or (
        len(sizes) == len(stated)
        and all(said in (size, -1) for said, size in zip(stated, sizes, strict=True))
    )
    if not fits:
        raise InputError(f"--shape {tensor.name}={'x'.join(map(str, given))}: the input is {tensor}")
    return sizes
