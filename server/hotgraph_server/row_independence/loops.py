"""Loops: what is known of a value that comes round, when a turn begins and when the loop is left.

An integer that begins as a constant and is one more in each turn is followed as the number of the turn. If
the loop ends with as many turns as there are rows, that number is the number of a row, and what is read by
it from rows is one row. Whatever of it is carried to the next turn meets the next row.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from hotgraph_server.row_independence.alternatives import join
from hotgraph_server.row_independence.conditions import decided
from hotgraph_server.row_independence.dimensions import BATCH, Dim, counts_rows
from hotgraph_server.row_independence.domain import (
    COUNTS,
    HELD,
    NO_ROWS,
    Below,
    Mixed,
    NoRows,
    OneRow,
    Turn,
    Unknown,
    Value,
    scalar_of,
)
from hotgraph_server.row_independence.scopes import Scope
from hotgraph_server.row_independence.table import Op


def unchanged(body: Scope) -> Collection[int]:
    """The arguments of a body that it hands on as they are."""
    found = []
    for index, source in enumerate(body.results):
        while source.step >= 0 and body.steps[source.step].node.op == "Identity":
            source = body.steps[source.step].inputs[0]
        if source.step == -1 - index:
            found.append(index)
    return frozenset(found)


def started(op: Op, fixed: Collection[int]) -> list[Value]:
    """What is known when the first turn begins; those in `fixed` are known not to count the turns."""
    return [value if index in fixed else begun(value, op.key) for index, value in enumerate(op.inputs)]


def begun(value: Value, loop: str) -> Value:
    """A constant integer may be what counts the turns; if it is not, that comes out after one."""
    number = value.scalar
    if isinstance(number, Dim) and number.is_constant:
        return scalar_of(Turn(loop, number.coefficient))
    return value


def over_rows(decider: Value, loop: str) -> bool:
    """Does the loop have a turn for each row?"""
    bound = decider.scalar
    return isinstance(bound, Below) and bound.loop == loop and counts_rows(bound.bound)


def _is_one_for_each(decider: Value) -> bool:
    return isinstance(decider.scalar, Below) and decider.scalar.bound == BATCH


def entered(value: Value, loop: str, decider: Value) -> Value:
    """What is known of a value inside the turn."""
    number = value.scalar
    if (
        isinstance(number, Turn)
        and number.loop == loop
        and over_rows(decider, loop)
        and _is_one_for_each(decider)
    ):
        return scalar_of(number._replace(by_row=True))
    return value


def counts_turns(before: Value, later: Value, loop: str) -> bool | None:
    """Was a value that was taken for what counts the turns one more after the turn? None: it was not taken
    for that."""
    number, following = before.scalar, later.scalar
    if not isinstance(number, Turn) or number.loop != loop:
        return None
    return isinstance(following, Turn) and following[:2] == (loop, number.offset + 1)


def again(op: Op, loop: str, before: Value, later: Value) -> Value:
    """What is known when a turn begins, of a value that was `before` in one turn and `later` after it."""
    counts = counts_turns(before, later, loop)
    if counts:
        return before
    if counts is False:
        # What has been made of it was made of a wrong guess; the next time round will tell.
        return scalar_of(NO_ROWS)
    carried = _carried(op, later, loop)
    return join(
        before, carried, op.why("carries rows that are laid out in one way or in another"), keeps_sure=True
    )


def _carried(op: Op, value: Value, loop: str) -> Value:
    """What is left of it when the next turn begins, which is another row's."""
    meets = op.mixed("carries what is made of one row on to the next")
    if isinstance(value.place, OneRow) and value.place.loop == loop:
        return meets
    items = value.items
    if value.place == HELD and items is not None and items.element is not None:
        place = items.element.place
        if isinstance(place, OneRow) and place.loop == loop:
            return replace(value, items=replace(items, element=meets))
    return _without_turns(value, loop)


def _without_turns(value: Value, loop: str) -> Value:
    """Its elements no longer tell the number of a turn that is over."""
    if value.elements is None or not any(
        isinstance(one, Turn | Below) and one.loop == loop for one in value.elements
    ):
        return value
    elements = tuple(
        NO_ROWS if isinstance(one, Turn | Below) and one.loop == loop else one for one in value.elements
    )
    return replace(value, elements=elements)


def left(op: Op, loop: str, value: Value, decider: Value, *, changed: bool) -> Value:
    """What is known of a value after the loop."""
    if not changed:
        return value
    if isinstance(decider.place, NoRows):
        return _without_turns(value, loop)
    if not over_rows(decider, loop):
        return decided(op, _without_turns(value, loop), decider)
    if isinstance(value.place, Mixed | Unknown):
        return value
    if isinstance(value.scalar, Turn):
        return Value(COUNTS, ())
    if value.place == HELD and value.items is not None and value.items.by_row and _is_one_for_each(decider):
        return value
    return op.unknown("has gone round once for each row")
