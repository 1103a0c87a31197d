"""Calls of as many rows as are wanted, from data that has some other number of them. Pure.

The data is a circle of rows, in its order: calls take theirs one after another from it, and all of its rows
are sent before the first is sent again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from hotgraph_protos.tensors import Array

from ...descriptions import TensorMetadata
from ..dialects.description import Description, is_free
from .items import InputError, InputSet, Item
from .options import Rows

# Of calls of each number of rows, where the data has very many rows.
_MOST_CALLS = 1024


def with_rows(inputs: InputSet, description: Description, rows: Rows, max_bytes: int) -> InputSet:
    """The same data in calls of so many rows.

    Args:
        max_bytes: of all calls together, about; fewer are made where they would be more.

    Raises:
        InputError: the model's inputs have no rows, the data's parts have different shapes, or a single round
            of calls takes more than `max_bytes`.
    """
    if not description.has_rows:
        raise InputError(
            f"--rows: the inputs of '{description.model}' have no free dimension 0 to put them in"
        )
    circle, length = _circle(inputs, description)
    expected = _expected_circle(inputs, length)
    row_bytes = max(sum(_nbytes(array) for array in circle.values()) // max(length, 1), 1)
    round_bytes = row_bytes * sum(rows.counts)
    if round_bytes > max_bytes:
        raise InputError(
            f"{inputs.source}: one call for each of --rows takes {round_bytes >> 20} MiB together, and"
            f" {max_bytes >> 20} MiB are allowed: ask for fewer rows, or for a larger --input-mb"
        )
    rounds = min(-(-length // min(rows.counts)), _MOST_CALLS, max_bytes // round_bytes)
    items: list[Item] = []
    for number, count in product(range(max(rounds, 1)), rows.counts):
        places = (number * count + np.arange(count)) % length
        items.append(
            Item(
                _taken(circle, places, description),
                count,
                None if expected is None else {name: array[places] for name, array in expected.items()},
            )
        )
    weights = None if rows.shares is None else rows.shares * max(rounds, 1)
    return InputSet(tuple(items), inputs.source, weights, inputs.notes, len(rows.counts))


def _circle(inputs: InputSet, description: Description) -> tuple[Mapping[str, Array], int]:
    """All rows of all items, and how many; inputs without rows are those of the first item."""
    names = list(inputs.items[0].inputs)
    if any(list(item.inputs) != names for item in inputs.items):
        raise InputError(
            f"{inputs.source}: --rows needs data that gives the same inputs in each of its parts"
        )
    circle: dict[str, Array] = {}
    lengths = set()
    for name in names:
        parts = [item.inputs[name] for item in inputs.items]
        if _has_rows(description.input(name)):
            circle[name] = _joined(name, parts, inputs.source)
            lengths.add(len(circle[name]))
        else:
            circle[name] = parts[0]
    if len(lengths) != 1 or not lengths - {0}:
        raise InputError(f"{inputs.source}: --rows needs inputs that have the same number of rows, and some")
    return circle, lengths.pop()


def _joined(name: str, parts: Sequence[Array], source: str) -> Array:
    if len({part.shape[1:] for part in parts}) > 1:
        raise InputError(
            f"{source}: --rows needs rows of one shape, and those of '{name}' differ: leave it away, or say"
            f" --shape {name}=..."
        )
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _taken(circle: Mapping[str, Array], places: Array, description: Description) -> dict[str, Array]:
    return {
        name: array[places] if _has_rows(description.input(name)) else array for name, array in circle.items()
    }


def _expected_circle(inputs: InputSet, length: int) -> dict[str, Array] | None:
    """Right outputs that have a row for each row of the inputs; of others nobody can say what becomes."""
    items = inputs.items
    if any(item.expected is None for item in items):
        return None
    found: dict[str, Array] = {}
    for name in items[0].expected or {}:
        parts = [(item.expected or {}).get(name) for item in items]
        arrays = [part for part in parts if part is not None and part.ndim]
        if len(arrays) == len(items) and len({array.shape[1:] for array in arrays}) == 1:
            joined = np.concatenate(arrays)
            if len(joined) == length:
                found[name] = joined
    return found or None


def _has_rows(tensor: TensorMetadata | None) -> bool:
    return tensor is not None and is_free(tensor)


def _nbytes(array: Array) -> int:
    return sum(map(len, array.ravel())) if array.dtype == object else array.nbytes
