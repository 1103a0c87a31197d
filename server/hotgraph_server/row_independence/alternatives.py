"""What is known of a tensor that is one of two, and it is not told which: after a condition,
or after one more turn of a loop. Pure."""

from __future__ import annotations

from dataclasses import replace

from hotgraph_server.row_independence.domain import (
    NO_ROWS,
    Content,
    Dims,
    Held,
    Items,
    Mixed,
    NoRows,
    OneRow,
    Place,
    Rows,
    Unknown,
    Value,
    Why,
)


def unsure(place: Mixed) -> Mixed:
    return replace(place, sure=False) if place.sure else place


def join(one: Value, other: Value, why: Why, *, keeps_sure: bool = False) -> Value:
    """What is known of a tensor that is one of two, and it is not told which.

    Args:
        one, other: the two.
        why: what is said if nothing is known of both.
        keeps_sure: rows that meet in one of the two meet for sure, because it is the later turn of a loop.
    """
    if one == other:
        return one
    place = _joined_place(one, other, why, keeps_sure)
    elements = one.elements if one.elements == other.elements else None
    if elements is None and place == NO_ROWS and len(one.elements or ()) == len(other.elements or ()) > 0:
        pairs = zip(one.elements or (), other.elements or (), strict=True)
        elements = tuple(left if left == right else NO_ROWS for left, right in pairs)
    return Value(
        place,
        _joined_dims(one.dims, other.dims),
        elements,
        _joined_items(one.items, other.items, why) if isinstance(place, Held) else None,
        one.holds if one.holds == other.holds else None,
    )


def _joined_place(one: Value, other: Value, why: Why, keeps_sure: bool) -> Place:
    left, right = one.place, other.place
    if left == right:
        return left
    for place in (left, right):
        if isinstance(place, Mixed):
            return place if keeps_sure else unsure(place)
    for place in (left, right):
        if isinstance(place, Unknown):
            return place
    for place, another in ((left, right), (right, left)):
        if isinstance(place, OneRow) and isinstance(another, NoRows):
            return place
    if isinstance(left, OneRow) and isinstance(right, OneRow) and left.loop == right.loop:
        return OneRow(left.loop, left.numbered or right.numbered)
    if isinstance(left, Rows) and isinstance(right, Rows):
        content = joined_content([left.content, right.content])
        if replace(left, content=content) == replace(right, content=content):
            return replace(left, content=content)
    return Unknown(why)


def joined_content(contents: list[Content]) -> Content:
    """What a slice is made of that is made of these."""
    if all(content == contents[0] for content in contents):
        return contents[0] if contents[0] in (Content.SAME, Content.OWN) else Content.NUMBERED
    return max(contents) if max(contents) <= Content.OWN else Content.NUMBERED


def _joined_dims(one: Dims | None, other: Dims | None) -> Dims | None:
    if one is None or other is None or len(one) != len(other):
        return None
    return tuple(left if left == right else None for left, right in zip(one, other, strict=True))


def _joined_items(one: Items | None, other: Items | None, why: Why) -> Items:
    assert one is not None
    assert other is not None
    if one == other:
        return one
    length = one.length if one.length == other.length else None
    if one.element is None or other.element is None:
        filled = other if one.element is None else one
        return replace(filled, length=length)
    if one.by_row != other.by_row:
        return Items(Value(Unknown(why)), False, length)
    element = join(one.element, other.element, why, keeps_sure=True)
    return Items(element, one.by_row, length, one.gaps or other.gaps)
