"""Which rows are run with which to try batch safety: groups in which a difference would show. Pure.

What costs little and tells much comes first: every odd row in some group with ordinary ones, then as many
rows as a batch may have, then each odd row beside two ordinary ones only (one that is no number hides what a
large one would do), then pairs, then rows that fail alone. Each row comes to be first, last and between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import TypeVar

from hotgraph_server.batching.joining import is_whole
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array

_Row = TypeVar("_Row")

_SEVERAL = 7


def row_groups(
    ordinary: Sequence[_Row], odd: Sequence[_Row], failing: Sequence[_Row], most: int
) -> Iterator[list[_Row]]:
    """Groups of 1, 2, 3, 7 and `most` rows.

    Args:
        ordinary: rows that were answered alone; two at least.
        odd: others that were, the most telling first.
        failing: rows that were refused alone.
        most: rows in one group; two at least.
    """
    everyone = [*ordinary, *odd]
    # One alone is the same again, unless the graph draws random numbers.
    yield list(ordinary[:1])
    yield list(ordinary[:most])
    yield from _groups(ordinary, odd, min(_SEVERAL, most))
    yield list(islice(cycle(everyone), most))
    yield list(islice(cycle(reversed(everyone)), most))
    if most > 2:
        for number, row in enumerate(odd):
            yield _beside(row, ordinary, number)
    for number, (one, other) in enumerate(zip(odd, [*odd[1:], *ordinary[:1]], strict=False)):
        yield [one, other] if number % 2 else [other, one]
    for number, row in enumerate(failing):
        yield _beside(row, ordinary, number)[:most] if most > 2 else [row, ordinary[0]]
    if failing:
        yield [*islice(cycle(everyone), most - 1), failing[0]]


def _groups(ordinary: Sequence[_Row], odd: Sequence[_Row], size: int) -> Iterator[list[_Row]]:
    """Each odd row in one of them; an ordinary one is first in one, last in the next, between in another."""
    step = max(size - 2, 1)
    for number, start in enumerate(range(0, len(odd), step)):
        members = list(odd[start : start + step])
        one, other = (ordinary[(2 * number + index) % len(ordinary)] for index in range(2))
        middle = len(members) // 2
        arranged = [
            [one, *members, other],
            [*members[:middle], one, *members[middle:], other],
            [one, other, *members],
        ][number % 3]
        yield arranged[:size]


def _beside(row: _Row, ordinary: Sequence[_Row], number: int) -> list[_Row]:
    group = [ordinary[number % len(ordinary)], ordinary[(number + 1) % len(ordinary)]]
    group.insert(number % 3, row)
    return group


def single_rows(signature: Signature, inputs: Sequence[Array]) -> list[list[Array]]:
    """A call for each row; inputs that have no rows are in all of them."""
    specs = list(zip(signature.inputs, inputs, strict=True))
    count = next(len(array) for spec, array in specs if not is_whole(spec))
    return [
        [array if is_whole(spec) else array[row : row + 1] for spec, array in specs] for row in range(count)
    ]


def alike_in_shape(signature: Signature, samples: Sequence[Sequence[Array]]) -> Iterator[list[list[Array]]]:
    """Rows of real data that could share a batch, where there are at least two."""
    groups: dict[object, list[list[Array]]] = {}
    for sample in samples:
        for call in single_rows(signature, sample):
            key = tuple(
                (array.tolist() if is_whole(spec) else array.shape).__repr__()
                for spec, array in zip(signature.inputs, call, strict=True)
            )
            groups.setdefault(key, []).append(call)
    return (calls for calls in groups.values() if len(calls) > 1)


def could_meet(call: Sequence[Array], other: Sequence[Array]) -> bool:
    """Could rows of these share a batch?"""
    return all(
        one.shape == two.shape and (one.ndim > 0 or one.tolist() == two.tolist())
        for one, two in zip(call, other, strict=True)
    )
