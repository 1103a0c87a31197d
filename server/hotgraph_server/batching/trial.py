"""The trial: does a graph give the same answers for rows together as for each row alone?

Shapes cannot tell: a batch-norm that was exported in training mode takes the mean over its neighbours
and has a perfect signature. So three generated rows are run together and one by one before a version
is live, and only if the answers agree may its calls share a batch.

Pure but for `run`, which the executor gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import ml_dtypes
import numpy as np

from hotgraph_server.errors import RunFailed
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array

Run = Callable[[Sequence[Array]], Sequence[Array]]
"""Inputs in the signature's order to outputs in the signature's order; raises RunFailed."""

ROWS = 3
TOLERANCE = 1e-4
"""Kernels for one row and for many differ by some 1e-6 through no fault of anyone."""

# Integers are ids or counts: the widest range that the graph takes shows most of what neighbours can do to
# each other.
_INTEGER_RANGES = (1000, 100, 10, 2)

# Sizes for inner dimensions that are free: some graphs convolve and pool, and fail when too small.
_FREE_SIZES = (8, 32, 224)


def rows_influence_each_other(signature: Signature, run: Run) -> str | None:
    """Why rows of `signature` must not be joined; None: three rows answered alike together and alone.

    The first size of the free inner dimensions at which the graph runs is the one that counts.
    """
    refusal = "no generated input could be tried"
    for inputs in generated_inputs(signature, ROWS):
        try:
            together = run(inputs)
            alone = [run([array[row : row + 1] for array in inputs]) for row in range(ROWS)]
        except RunFailed as error:
            refusal = f"the graph refuses generated inputs, so it could not be tried: {_first_line(error)}"
            continue
        return _difference(signature, together, alone)
    return refusal


def generated_inputs(signature: Signature, rows: int) -> Iterator[list[Array]]:
    """Inputs of varied content, for one size of the free inner dimensions after the other, and for each
    with integers from one range after the other, the widest first.

    The rows differ in what they hold: each has integers from a smaller range than the one before.
    """
    free = any(None in (spec.shape or (None,))[1:] for spec in signature.inputs)
    integers = any(spec.dtype.kind in "iu" for spec in signature.inputs)
    for size in _FREE_SIZES if free else _FREE_SIZES[:1]:
        for below in _INTEGER_RANGES if integers else _INTEGER_RANGES[:1]:
            random = np.random.default_rng(20_240_229)
            yield [_generate(spec, rows, size, below, random) for spec in signature.inputs]


def _generate(spec: TensorSpec, rows: int, size: int, below: int, random: np.random.Generator) -> Array:
    if spec.shape is None:
        shape: tuple[int, ...] = (rows,)
    else:
        inner = (size if dimension is None else dimension for dimension in spec.shape[1:])
        outer = (rows if dimension is None else dimension for dimension in spec.shape[:1])
        shape = (*outer, *inner)
    if spec.dtype == STRING:
        # As different in length as in content.
        texts = [b"x" * int(length) for length in random.integers(1, 9, int(np.prod(shape)))]
        return np.array(texts, object).reshape(shape)
    if spec.dtype.kind == "b":
        return random.integers(0, 2, shape).astype(spec.dtype)
    if spec.dtype.kind in "iu":
        limits = np.maximum(
            min(below, np.iinfo(spec.dtype).max) // 3 ** np.arange(shape[0] if shape else 1), 2
        )
        per_row = limits.reshape((-1,) + (1,) * (len(shape) - 1)) if shape else limits[0]
        return np.asarray(random.integers(0, per_row, shape), spec.dtype)
    if spec.dtype.kind == "c":
        return (random.standard_normal(shape) + 1j * random.standard_normal(shape)).astype(spec.dtype)
    # bfloat16 is of kind V, and is cast to like any other float.
    return random.standard_normal(shape).astype(spec.dtype)


def _difference(
    signature: Signature, together: Sequence[Array], alone: Sequence[Sequence[Array]]
) -> str | None:
    for index, spec in enumerate(signature.outputs):
        whole = together[index]
        parts = [answer[index] for answer in alone]
        if any(part.ndim == 0 or part.shape[0] != 1 for part in parts) or whole.shape[:1] != (ROWS,):
            return f"output {spec.alias!r} does not have the rows that go in"
        joined = np.concatenate(parts) if len({part.shape for part in parts}) == 1 else None
        if joined is None or joined.shape != whole.shape:
            return f"the shape of output {spec.alias!r} depends on the neighbours"
        if not alike(whole, joined):
            return f"output {spec.alias!r} of a row changes with its neighbours"
    return None


def alike(one: Array, other: Array) -> bool:
    """Are these the same answer? Floats within TOLERANCE of the largest among them, or within what their own
    digits allow; others exactly."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind not in "fcV":
        return bool(np.array_equal(one, other))
    tolerance = TOLERANCE
    if one.dtype.kind != "c":
        # Half floats have fewer digits than the tolerance asks for.
        digits = float(ml_dtypes.finfo(one.dtype).eps)  # type: ignore[no-untyped-call]
        tolerance = max(tolerance, 4 * digits)
    wide = np.complex128 if one.dtype.kind == "c" else np.float64
    left, right = one.astype(wide), other.astype(wide)
    # Probabilities over many classes are all small: what counts is the scale that they have themselves.
    finite = np.abs(left[np.isfinite(left)])
    scale = float(finite.max()) if finite.size else 0.0
    return bool(np.allclose(left, right, rtol=tolerance, atol=tolerance * scale, equal_nan=True))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
