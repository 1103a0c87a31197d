"""Parts of sparse and ragged tensors that go together, for generated inputs. Pure.

Row splits that do not end where the values do, or indices outside of the dense shape, are refused by some
kernels, and others make nonsense of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hotgraph_server.signatures import Part, Shape, Signature
from hotgraph_server.tensors import Array

# What is taken where the rank of a sparse tensor is not known, and how many values a row has at most.
_UNKNOWN: Shape = (None, None)
_MAX_IN_ROW = 4


class Composites(NamedTuple):
    """Of all inputs that are parts, by the input's index.

    Attributes:
        arrays: those that say where the values are.
        sizes: how many values there are, by index and dimension 0 of the input that has them.
    """

    arrays: dict[int, Array]
    sizes: dict[tuple[int, int], int]


def generate_composites(
    signature: Signature, rows: int, size: int, random: np.random.Generator
) -> Composites:
    """Parts for whole tensors of so many rows.

    Args:
        signature: whose inputs.
        rows: of the whole tensors, where dimension 0 is free.
        size: of their other dimensions that are free.
        random: drawn from only where there are parts.
    """
    wholes: dict[str, list[tuple[int, Part]]] = {}
    for index, spec in enumerate(signature.inputs):
        if spec.part is not None:
            wholes.setdefault(spec.part.whole, []).append((index, spec.part))
    made = Composites({}, {})
    for parts in wholes.values():
        roles = {part.role for _, part in parts}
        if "indices" in roles:
            _add_sparse(made, parts, rows, size, random)
        elif "row_splits" in roles:
            _add_ragged(made, parts, rows, random)
    for index, array in made.arrays.items():
        made.arrays[index] = array.astype(signature.inputs[index].dtype)
    return made


def _add_sparse(
    made: Composites, parts: Sequence[tuple[int, Part]], rows: int, size: int, random: np.random.Generator
) -> None:
    """Some values in each row, in places that rise, as TensorFlow orders them."""
    known = parts[0][1].shape
    wanted = _UNKNOWN if known is None else known
    shape = [length if length is not None else size if axis else rows for axis, length in enumerate(wanted)]
    per_row = 0 if 0 in shape else _MAX_IN_ROW
    # Drawn one by one: a row of 2**40 columns cannot be shuffled.
    places = [np.repeat(np.arange(length), per_row) for length in shape[:1]]
    places += [random.integers(0, length, shape[0] * per_row) for length in shape[1:] if per_row]
    indices = np.unique(np.stack(places, axis=1), axis=0) if per_row and places else np.zeros((0, len(shape)))
    for index, part in parts:
        if part.role == "values":
            made.sizes[index, 0] = len(indices)
        else:
            made.arrays[index] = indices if part.role == "indices" else np.array(shape)


def _add_ragged(
    made: Composites, parts: Sequence[tuple[int, Part]], rows: int, random: np.random.Generator
) -> None:
    """Each level of splits has as many rows as the one around it has values."""
    known = parts[0][1].shape
    count = known[0] if known and known[0] is not None else rows
    for index, part in sorted(parts, key=lambda numbered: numbered[1].level):
        if part.role == "row_splits":
            lengths = random.integers(1, _MAX_IN_ROW + 1, count)
            made.arrays[index] = np.concatenate([[0], np.cumsum(lengths)])
            count = int(lengths.sum())
    made.sizes.update(((index, 0), count) for index, part in parts if part.role == "flat_values")
