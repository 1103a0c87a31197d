"""Sizes as products: a number times B (how many rows there are) times sizes that all calls of a batch share.

Calls share a batch only if their inner shapes are equal, so a free inner dimension of an input has a name
and is the same for every row. What is reckoned from such sizes by other means than multiplication gets the
reckoning for a name: two sizes with one name are one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_ROWS = "B"
# A name longer than this is no longer worth comparing.
_LONGEST_NAME = 120


class Dim(NamedTuple):
    """An integer: a number times named sizes."""

    coefficient: int
    factors: tuple[str, ...] = ()

    @property
    def is_constant(self) -> bool:
        return not self.factors

    def __mul__(self, other: Dim) -> Dim:  # type: ignore[override]
        if not self.coefficient or not other.coefficient:
            return ZERO
        return Dim(self.coefficient * other.coefficient, tuple(sorted(self.factors + other.factors)))


ZERO, ONE, BATCH = Dim(0), Dim(1), Dim(1, (_ROWS,))


def const(number: int) -> Dim:
    return Dim(int(number))


def named(name: str) -> Dim:
    """A size that is the same for all rows, known by its name alone."""
    return Dim(1, (name,))


def counts_rows(dim: Dim) -> bool:
    return _ROWS in dim.factors


def product(dims: Sequence[Dim | None]) -> Dim | None:
    """None: one of them is not known."""
    result = ONE
    for dim in dims:
        if dim is None:
            return None
        result = result * dim
    return result


def quotient(dividend: Dim, divisor: Dim) -> Dim | None:
    """The exact quotient; None: there is none for every size of what is named."""
    if not divisor.coefficient or dividend.coefficient % divisor.coefficient:
        return None
    left = list(dividend.factors)
    for factor in divisor.factors:
        if factor not in left:
            return None
        left.remove(factor)
    return Dim(dividend.coefficient // divisor.coefficient, tuple(left))


def reckoned(how: str, *operands: Dim | None) -> Dim | None:
    """A size that is made of others in a way that has a name; None: it cannot be named, or depends on B."""
    if any(operand is None or counts_rows(operand) for operand in operands):
        return None
    name = f"{how}({','.join(text_of(one) for one in operands if one is not None)})"
    return named(name) if len(name) <= _LONGEST_NAME else None


def text_of(dim: Dim) -> str:
    return "*".join(
        [*([str(dim.coefficient)] if dim.coefficient != 1 or not dim.factors else []), *dim.factors]
    )
