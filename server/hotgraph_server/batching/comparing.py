"""Are two answers the same? Within what rounding may do, and no further. Pure.

Kernels add in another order for many rows than for one. That changes the last digits, and where a row is
such that its last digits decide (a value that overflows, a sine of a large number, a tie of two classes) it
may change everything, through no fault of anyone. So what such a row is answered itself counts only as far as
its last digits do not decide (`excused`); what happens to its neighbours always counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median_low

import ml_dtypes
import numpy as np

from hotgraph_server.errors import RunFailed
from hotgraph_server.tensors import Array

TOLERANCE = 1e-4
"""Kernels for one row and for many differ by some 1e-6 through no fault of anyone."""

OF_PROVEN = 1e-3
"""Where rows are proven to be independent only rounding is left, which long chains of steps make more of: a
row of a text generator (two LSTMs over 40 letters) moves by up to 8.6e-4 of its largest number when it shares
TensorFlow's kernels with others."""

# Beyond these, and beyond these powers of what a dtype can hold, squares and products of squares overflow, or
# get so small that one thread takes them for zero and another does not.
_LARGE, _SMALL = 1e15, 1e-15
_POWER_OF_LARGE, _POWER_OF_SMALL = 0.4, 0.5

_FLOATS = "fcV"
_PERTURBED = 2
# Inputs are changed by so many of their last digits; what an answer changes by then is an estimate only.
_LAST_DIGITS = 4
_ESTIMATE = 10.0


def alike(one: Array, other: Array, scale: float = 0.0, tolerance: float = TOLERANCE) -> bool:
    """Are these the same answer? Floats within `tolerance` of the largest among them, or of `scale` if that
    is larger, or within what their own digits allow; others exactly."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind not in _FLOATS:
        return bool(np.array_equal(one, other))
    smallest = 0.0
    if one.dtype.kind != "c":
        # Half floats have fewer digits than the tolerance asks for.
        info = ml_dtypes.finfo(one.dtype)  # type: ignore[no-untyped-call]
        tolerance = max(tolerance, 4 * float(info.eps))
        # What is smaller, some threads take for zero.
        smallest = float(info.tiny)
    left, right = _wide(one), _wide(other)
    # Probabilities over many classes are all small: what counts is the scale that they have themselves.
    scale = max(scale, _scale(left))
    return bool(np.allclose(left, right, rtol=tolerance, atol=tolerance * scale + smallest, equal_nan=True))


def alike_by_row(one: Array, other: Array, usual: float = 0.0, tolerance: float = TOLERANCE) -> list[bool]:
    """For each row: is it the same answer, by its own scale? Beside a row of 1e30 any difference of another
    would be small. A row that is next to nothing by chance may differ as rows of scale `usual` / 100 may."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return [False] * len(one)
    return [
        alike(one[row : row + 1], other[row : row + 1], usual / 100, tolerance) for row in range(len(one))
    ]


def alike_in_rows(one: Array, other: Array, tolerance: float = TOLERANCE) -> bool:
    """Are these the same answer, each row by its own scale? A large row of a call must not hide what has
    become of a small one."""
    if one.ndim == 0 or len(one) < 2:
        return alike(one, other, tolerance=tolerance)
    if one.shape != other.shape:
        return False
    usual = median_low([scale_of(other[row : row + 1]) for row in range(len(other))])
    return all(alike_by_row(one, other, usual, tolerance))


def scale_of(array: Array) -> float:
    """The size of the largest number that is finite; 0.0 of what are no floats."""
    return _scale(_wide(array)) if array.dtype.kind in _FLOATS else 0.0


def is_extreme(inputs: Sequence[Array]) -> bool:
    """Do these inputs hold numbers of which it cannot be said what rounding makes of them?"""
    return any(_is_extreme(array) for array in inputs if array.dtype.kind in _FLOATS)


def excused(
    alone: Sequence[Array],
    other: Sequence[Array],
    inputs: Sequence[Array],
    run: Callable[[Sequence[Array]], Sequence[Array]],
    *,
    odd: bool,
) -> bool:
    """May rounding be why answers differ? It may where inputs that differ in their last digits are answered
    as differently; and always where inputs were made to be odd and are extreme, or the answer is not finite.

    Args:
        alone: the answers to `inputs`, of the same shapes as `other`.
        other: the answers that differ from them.
        inputs: what was asked.
        run: answers inputs as they are answered alone; may raise RunFailed, which excuses nothing.
        odd: the inputs were made to be.
    """
    if odd and (is_extreme(inputs) or any(not _is_finite(array) for array in alone)):
        return True
    if not any(array.dtype.kind in _FLOATS for array in inputs):
        return False
    try:
        again = run(inputs)
        answers = [run(_perturbed(inputs, np.random.default_rng(seed))) for seed in range(_PERTURBED)]
    except RunFailed:
        return False
    if not all(alike(one, answer) for one, answer in zip(alone, again, strict=True)):
        # It is not rounding that makes it answer otherwise each time.
        return False
    allowed = [0.0] * len(alone)
    unsure = [False] * len(alone)
    for perturbed in answers:
        for index, (one, answer) in enumerate(zip(alone, perturbed, strict=True)):
            if one.shape != answer.shape:
                return False
            if one.dtype.kind in _FLOATS:
                allowed[index] = max(allowed[index], _distance(one, answer))
            else:
                unsure[index] |= not np.array_equal(one, answer)
    return all(
        alike(one, answer)
        or (
            _distance(one, answer) <= _ESTIMATE * allowed[index]
            if one.dtype.kind in _FLOATS
            else unsure[index]
        )
        for index, (one, answer) in enumerate(zip(alone, other, strict=True))
    )


def _is_extreme(array: Array) -> bool:
    if array.dtype.kind == "c":
        return _is_extreme(array.real) or _is_extreme(array.imag)
    info = ml_dtypes.finfo(array.dtype)  # type: ignore[no-untyped-call]
    sizes = np.abs(_wide(array))
    if not np.isfinite(sizes).all():
        return True
    large = min(_LARGE, float(info.max) ** _POWER_OF_LARGE)
    small = max(_SMALL, float(info.tiny) ** _POWER_OF_SMALL)
    return bool(((sizes > large) | ((sizes > 0) & (sizes < small))).any())


def _perturbed(inputs: Sequence[Array], random: np.random.Generator) -> list[Array]:
    changed = []
    for array in inputs:
        if array.dtype.kind not in _FLOATS:
            changed.append(array)
            continue
        eps = float(ml_dtypes.finfo(array.real.dtype).eps)  # type: ignore[no-untyped-call]
        factors = 1.0 + random.choice([-1.0, 1.0], array.shape) * _LAST_DIGITS * eps
        changed.append(np.asarray(_wide(array) * factors, array.dtype))
    return changed


def _distance(one: Array, other: Array) -> float:
    if one.shape != other.shape:
        return np.inf
    left, right = _wide(one), _wide(other)
    if not np.array_equal(np.isfinite(left), np.isfinite(right)):
        return np.inf
    finite = np.isfinite(left)
    apart = np.abs(left[finite] - right[finite])
    return float(apart.max()) if apart.size else 0.0


def _is_finite(array: Array) -> bool:
    return array.dtype.kind not in _FLOATS or bool(np.isfinite(_wide(array)).all())


def _scale(wide: Array) -> float:
    finite = np.abs(wide[np.isfinite(wide)])
    return float(finite.max()) if finite.size else 0.0


def _wide(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
