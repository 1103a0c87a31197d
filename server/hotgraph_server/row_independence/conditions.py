"""Branches: which are taken, and what is known after them of values that were chosen by something."""

from __future__ import annotations

from dataclasses import replace

from hotgraph_server.row_independence.alternatives import unsure
from hotgraph_server.row_independence.dimensions import Dim
from hotgraph_server.row_independence.domain import HELD, Items, Mixed, NoRows, OneRow, Unknown, Value
from hotgraph_server.row_independence.table import Op


def taken(decider: Value, count: int, *, is_case: bool) -> list[int]:
    """The branches that may be taken: of two, the first is the one for false."""
    chosen = decider.scalar
    if isinstance(chosen, Dim) and chosen.is_constant:
        number = chosen.coefficient if is_case else int(bool(chosen.coefficient))
        return [number if 0 <= number < count else count - 1]
    return list(range(count))


def decided(op: Op, value: Value, decider: Value) -> Value:
    """`value`, where it was `decider` that made it this one and not another."""
    place = decider.place
    if isinstance(place, NoRows):
        return value
    if isinstance(place, OneRow):
        return _by_row(op, value, place)
    if isinstance(value.place, Mixed | Unknown):
        return Value(unsure(value.place) if isinstance(value.place, Mixed) else value.place)
    if isinstance(place, Mixed | Unknown):
        # Both ways may give each row the same, as when a loop stops early for short rows.
        return Value(unsure(place) if isinstance(place, Mixed) else place)
    return op.unknown("goes one way or another by how many rows there are, or by all of them")


def _by_row(op: Op, value: Value, turn: OneRow) -> Value:
    place = value.place
    if isinstance(place, NoRows):
        return Value(turn, value.dims)
    if isinstance(place, OneRow) and place.loop == turn.loop:
        return Value(OneRow(place.loop, place.numbered or turn.numbered), value.dims)
    if isinstance(place, Mixed | Unknown):
        return Value(place, value.dims)
    if place == HELD and value.items is not None:
        return replace(value, items=_items_by_row(op, value.items, turn))
    return op.unknown("goes one way or another by one row, with a value of all rows")


def _items_by_row(op: Op, items: Items, turn: OneRow) -> Items:
    if items.element is None:
        return items
    if items.by_row:
        # Whether a row's element is written is decided by that row.
        return replace(items, gaps=True)
    return replace(items, element=_by_row(op, items.element, turn))
