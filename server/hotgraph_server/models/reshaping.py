"""Shapes that clients see, and shapes that the model takes: ``reshape`` in a model's configuration. Pure.

Both have the same number of elements. Where sizes are free (-1), both have as many free ones, and between two
of them as many elements; the n-th free size of one is the n-th of the other. So ``dims: [-1, 4]`` may be
reshaped to ``[-1, 2, 2]``, and nothing else follows from the two than that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

FREE = -1


def fits(dims: Sequence[int], reshape: Sequence[int]) -> bool:
    """May a tensor of `dims` be given the shape `reshape`, whatever its free sizes are?"""
    return _between_free(dims) == _between_free(reshape)


def reshaped(
    shape: Sequence[int], given: Sequence[int], wanted: Sequence[int], *, batched: bool
) -> tuple[int, ...]:
    """The shape of a tensor of `shape`, which is of the kind `given`, in the kind `wanted`.

    Args:
        shape: of a tensor, dimension 0 included where it is the batch's.
        given: dims, -1 where free, without the batch dimension.
        wanted: the same, which `fits`.
        batched: is dimension 0 of `shape` the batch's?

    Raises:
        ValueError: `shape` is not of the kind `given`.
    """
    rows, inner = (tuple(shape[:1]), tuple(shape[1:])) if batched else ((), tuple(shape))
    if (batched and not shape) or not matches(inner, given):
        batch = "batch, then " if batched else ""
        raise ValueError(f"expected shape [{batch}{', '.join(map(str, given))}], got {list(shape)}")
    free = iter(size for size, kind in zip(inner, given, strict=True) if kind == FREE)
    return (*rows, *(next(free) if kind == FREE else kind for kind in wanted))


def matches(shape: Sequence[int], dims: Sequence[int]) -> bool:
    """Has a tensor of `shape` these dims, -1 where any size will do?"""
    return len(shape) == len(dims) and all(
        kind in (FREE, size) for size, kind in zip(shape, dims, strict=True)
    )


def _between_free(dims: Sequence[int]) -> list[int]:
    """The number of elements before the first free size, between it and the second, and so on."""
    ends = [index for index, size in enumerate(dims) if size == FREE]
    starts = [0, *(end + 1 for end in ends)]
    return [math.prod(dims[start:end]) for start, end in zip(starts, [*ends, len(dims)], strict=True)]
