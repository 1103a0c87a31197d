"""Reshape: where rows are once all elements have been put in another shape, in the order that they had.

In that order, before / B / after: each row has `after` elements next to each other, and that `before` times.
An axis of the new shape holds the rows if what stands before it and after it comes out at the same.
"""

from __future__ import annotations

from dataclasses import replace

from hotgraph_server.row_independence.dimensions import BATCH, ONE, Dim, const, counts_rows, product, quotient
from hotgraph_server.row_independence.domain import (
    NO_ROWS,
    Content,
    Counts,
    Dims,
    Element,
    Elements,
    Kept,
    Mixed,
    NoRows,
    Rows,
    Value,
    rows_value,
)
from hotgraph_server.row_independence.table import Op, rule

_FREE = const(-1)


@rule("Reshape", takes_parts=True)
def _reshape(op: Op) -> Value:
    value, shape = op.inputs
    asked = shape.elements
    if isinstance(value.place, Kept) and asked == (_FREE,):
        return Value(value.place, (None,))
    if not all(isinstance(one.place, NoRows | Counts | Rows) for one in op.inputs):
        return op.unknown("reshapes what is not known")
    if op.has_no_rows:
        return Value(NO_ROWS, _without_rows(value.dims, asked))
    if isinstance(value.place, NoRows):
        return op.unknown("puts what has no rows into a shape that depends on their number")
    if isinstance(value.place, Counts):
        return (
            Value(value.place) if isinstance(shape.place, NoRows) else op.unknown("reshapes a number of rows")
        )
    assert isinstance(value.place, Rows)
    if asked is None:
        return op.unknown("reshapes to what is not known")
    kept = _plainly_kept(value.place, value.dims, asked)
    if kept is not None:
        return rows_value(_with_content(kept, value.place, value.dims, asked), _dims(asked))
    before, after = _around(value)
    if before is None or after is None:
        return op.unknown("reshapes rows of unknown size")
    return _placed(op, value, before, after, asked)


def _with_content(place: Rows, old: Rows, dims: Dims | None, asked: Elements) -> Rows:
    content = old.content
    if content is Content.KEYED:
        last_kept = dims is not None and asked and asked[-1] == dims[-1] and len(dims) > 1 and len(asked) > 1
        content = Content.KEYED if last_kept else Content.NUMBERED
    return replace(place, content=content)


def _dims(asked: Elements) -> Dims:
    return tuple(one if isinstance(one, Dim) and one != _FREE else None for one in asked)


def _plainly_kept(place: Rows, dims: Dims | None, asked: Elements) -> Rows | None:
    """The common cases, for which the sizes of inner axes need not be known."""
    if not asked or place.axis:
        return None
    if place.ragged is not None:
        # Each element of the axis stays what it was: [-1, the same].
        same = dims is not None and asked[0] == _FREE and tuple(asked[1:]) == dims[1:]
        return place if same or (asked == (_FREE,) and dims is not None and len(dims) == 1) else None
    if asked[0] == BATCH and place.outer == ONE and not any(_counts(one) for one in asked[1:]):
        # The rows are outermost, and so they remain, however each is shaped.
        return Rows()
    if dims is not None and len(dims) == len(asked) and asked[0] == _FREE and tuple(asked[1:]) == dims[1:]:
        return place
    return None


def _counts(element: Element) -> bool:
    return not isinstance(element, NoRows) and not (isinstance(element, Dim) and not counts_rows(element))


def _around(value: Value) -> tuple[Dim | None, Dim | None]:
    """How many elements stand before and after the rows; None: not known."""
    place = value.place
    assert isinstance(place, Rows)
    if place.ragged is not None:
        return None, None
    if value.dims is None:
        return None, None
    before, after = product(value.dims[: place.axis]), product(value.dims[place.axis + 1 :])
    return (None if before is None else before * place.outer), (
        None if after is None else place.inner * after
    )


def _placed(op: Op, value: Value, before: Dim, after: Dim, asked: Elements) -> Value:
    sizes = _solved(before * BATCH * after, asked)
    if sizes is None:
        return _unsolved(op, before, after, asked)
    along = [axis for axis, size in enumerate(sizes) if counts_rows(size)]
    if len(along) != 1:
        return op.unknown("reshapes rows in a way that is not known")
    axis = along[0]
    ahead, behind = product(sizes[:axis]), product(sizes[axis + 1 :])
    assert ahead is not None
    assert behind is not None
    outer, inner = quotient(before, ahead), quotient(after, behind)
    if outer is None or inner is None or outer * BATCH * inner != sizes[axis]:
        constant = all(one.is_constant for one in (before, after, ahead, behind))
        what = "puts parts of several rows into one"
        return op.mixed(what) if constant else op.unknown("reshapes rows in a way that is not known")
    old = value.place
    assert isinstance(old, Rows)
    place = _with_content(Rows(axis, old.content, outer, inner), old, value.dims, asked)
    return rows_value(place, tuple(sizes))


def _solved(total: Dim, asked: Elements) -> list[Dim] | None:
    """The shape with the one free size filled in; None: not known."""
    if any(not isinstance(one, Dim) for one in asked):
        return None
    sizes = [one for one in asked if isinstance(one, Dim)]
    given = product([one for one in sizes if one != _FREE])
    assert given is not None
    if _FREE not in sizes:
        return sizes if given == total else None
    free = quotient(total, given)
    return None if free is None else [free if one == _FREE else one for one in sizes]


def _unsolved(op: Op, before: Dim, after: Dim, asked: Elements) -> Value:
    if any(isinstance(one, Mixed) for one in asked):
        return op.mixed("reshapes to what is in the rows", extent=True)
    constant = all(isinstance(one, Dim) and one.is_constant for one in asked)
    if constant and before.is_constant and after.is_constant:
        return op.mixed("cuts rows into pieces that do not fit in one")
    return op.unknown("reshapes rows in a way that is not known")


def _without_rows(dims: Dims | None, asked: Elements | None) -> Dims | None:
    if asked is None:
        return None
    total = None if dims is None else product(dims)
    solved = None if total is None else _solved(total, asked)
    return _dims(asked) if solved is None else tuple(solved)
