"""The arithmetic of single elements of the integers that shapes are made of. Pure.

Each function gives the element that an op makes of one or two: a number, a multiple of B, a turn of a loop;
or, where that cannot be followed, the place of what it was made of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hotgraph_server.row_independence.dimensions import BATCH, ONE, ZERO, Dim, const, quotient, reckoned
from hotgraph_server.row_independence.domain import (
    Below,
    Element,
    Elements,
    Turn,
    place_of_elements,
)

Reckon = Callable[[Element, Element], Element]


def worst(*elements: Element) -> Element:
    """Nothing but the place of what is made of these."""
    return place_of_elements(elements)


def same(element: Element) -> Element:
    return element


def add(one: Element, other: Element) -> Element:
    if isinstance(other, Turn):
        one, other = other, one
    if isinstance(one, Turn):
        if isinstance(other, Dim) and other.is_constant:
            return one._replace(offset=one.offset + other.coefficient)
        return worst(one, other)
    if not isinstance(one, Dim) or not isinstance(other, Dim):
        return worst(one, other)
    if not one.coefficient:
        return other
    if not other.coefficient:
        return one
    if one.factors == other.factors:
        total = one.coefficient + other.coefficient
        return Dim(total, one.factors) if total else ZERO
    return reckoned("add", *sorted((one, other))) or worst(one, other)


def negative(element: Element) -> Element:
    return element * const(-1) if isinstance(element, Dim) else worst(element)


def subtract(one: Element, other: Element) -> Element:
    return add(one, negative(other))


def multiply(one: Element, other: Element) -> Element:
    if isinstance(one, Dim) and isinstance(other, Dim):
        return one * other
    for element in (one, other):
        if element == ZERO:
            return ZERO
    if ONE in (one, other):
        return other if one == ONE else one
    return worst(one, other)


def divide(one: Element, other: Element) -> Element:
    if not isinstance(one, Dim) or not isinstance(other, Dim):
        return worst(one, other)
    exact = quotient(one, other)
    if exact is not None:
        return exact
    if (
        one.is_constant
        and other.is_constant
        and other.coefficient
        and one.coefficient * other.coefficient >= 0
    ):
        return const(one.coefficient // other.coefficient)
    return reckoned("div", one, other) or worst(one, other)


def modulo(one: Element, other: Element) -> Element:
    if isinstance(one, Dim) and isinstance(other, Dim) and other.coefficient > 0:
        if one.is_constant and other.is_constant and one.coefficient >= 0:
            return const(one.coefficient % other.coefficient)
        return reckoned("mod", one, other) or worst(one, other)
    return worst(one, other)


def _extreme(choose: Callable[[int, int], int], name: str) -> Reckon:
    def reckon(one: Element, other: Element) -> Element:
        if one == other:
            return one
        if not isinstance(one, Dim) or not isinstance(other, Dim):
            return worst(one, other)
        if one.is_constant and other.is_constant:
            return const(choose(one.coefficient, other.coefficient))
        for dim, limit in ((one, other), (other, one)):
            least = _least(dim)
            if least is not None and limit.is_constant and limit.coefficient <= least:
                return dim if name == "max" else limit
        return reckoned(name, *sorted((one, other))) or worst(one, other)

    return reckon


def _least(dim: Dim) -> int | None:
    """What a multiple of B is at least; None: it is none."""
    return dim.coefficient if dim.factors == BATCH.factors and dim.coefficient > 0 else None


def comparison(holds: Callable[[int, int], bool], name: str) -> Reckon:
    def reckon(one: Element, other: Element) -> Element:
        if isinstance(one, Turn) and isinstance(other, Dim) and not one.offset and name == "less":
            return Below(one.loop, other)
        if isinstance(other, Turn) and isinstance(one, Dim) and not other.offset and name == "greater":
            return Below(other.loop, one)
        if not isinstance(one, Dim) or not isinstance(other, Dim):
            return worst(one, other)
        if one.is_constant and other.is_constant:
            return _truth(holds(one.coefficient, other.coefficient))
        if one == other:
            return _truth(holds(0, 0))
        least, most = _least(one), other.coefficient if other.is_constant else None
        if least is not None and most is not None and least > most:
            return _truth(holds(least, most))
        least, most = _least(other), one.coefficient if one.is_constant else None
        if least is not None and most is not None and least > most:
            return _truth(holds(most, least))
        return worst(one, other)

    return reckon


def _truth(value: bool) -> Dim:
    return ONE if value else ZERO


def both(one: Element, other: Element) -> Element:
    for element, another in ((one, other), (other, one)):
        if element == ZERO:
            return ZERO
        if element in (ONE, another):
            return another
    return worst(one, other)


def either(one: Element, other: Element) -> Element:
    for element, another in ((one, other), (other, one)):
        if element == ONE:
            return ONE
        if element in (ZERO, another):
            return another
    return worst(one, other)


def negated(element: Element) -> Element:
    if isinstance(element, Dim) and element.is_constant:
        return _truth(not element.coefficient)
    return worst(element)


def broadcast_shapes(one: Sequence[Element], other: Sequence[Element]) -> Elements:
    """The shape that two shapes are broadcast to."""
    rank = max(len(one), len(other))
    wide = [(*([ONE] * (rank - len(shape))), *shape) for shape in (one, other)]
    return tuple(_broadcast(left, right) for left, right in zip(*wide, strict=True))


def _broadcast(one: Element, other: Element) -> Element:
    if one == other or other == ONE:
        return one
    if one == ONE:
        return other
    for element in (one, other):
        if isinstance(element, Dim) and element.is_constant:
            return element
    return worst(one, other)


minimum, maximum = _extreme(min, "min"), _extreme(max, "max")
