"""Triton's classification extension: the largest values of an output in place of all of them. Pure.

Each row of an output becomes `k` strings, the largest value first: ``value:index``, and ``value:index:label``
where the model has a label for that index. Floats have six decimals, as C prints them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hotgraph_server.tensors import STRING, Array


def can_be_classified(dtype: np.dtype[np.generic]) -> bool:
    """Are values of a dtype ordered numbers?"""
    return dtype.kind in "biuf" or dtype.name == "bfloat16"


def classify(array: Array, classes: int, labels: Sequence[str] = (), *, batched: bool) -> Array:
    """The strings for an output.

    Args:
        array: of numbers; any shape.
        classes: how many are wanted of each row, above 0; if there are fewer, all of them.
        labels: of the classes, by index; classes beyond them have none.
        batched: is dimension 0 the rows'? If not, the whole array is one row.

    Returns:
        Strings as bytes, [rows, classes]; without rows [classes]. Equal values come in the order of their
        indices, and NaN after everything else.
    """
    if not array.ndim:
        batched = False
    rows = array.reshape(len(array), -1) if batched and array.size else array.reshape(1, -1)
    if batched and not array.size:
        return np.empty((len(array), 0), STRING)
    wanted = min(classes, rows.shape[1])
    found = np.empty((len(rows), wanted), STRING)
    for row, values in enumerate(rows):
        for place, index in enumerate(_largest(values, wanted)):
            found[row, place] = _described(values[index], int(index), labels)
    return found if batched else found[0]


def _largest(values: Array, count: int) -> Array:
    """Indices of the `count` largest values, the largest first."""
    if values.dtype.kind not in "iuf":
        # Booleans and bfloat16, which float32 holds without loss.
        values = values.astype(np.float32)
    # Sorted from behind, so that among equals the first comes first; and numpy puts NaN last, here first.
    order = len(values) - 1 - np.argsort(values[::-1], kind="stable")[::-1]
    if values.dtype.kind == "f":
        missing = np.isnan(values[order])
        order = np.concatenate([order[~missing], order[missing]])
    return order[:count]


def _described(value: np.generic, index: int, labels: Sequence[str]) -> bytes:
    number = f"{value.item():d}" if value.dtype.kind in "biu" else f"{float(value):f}"
    label = f":{labels[index]}" if index < len(labels) else ""
    return f"{number}:{index}{label}".encode()
