"""Ops that put tensors one after the other along an axis, and cut them apart again: concat, pack, split,
unpack. Rows stay rows where each of the tensors has all of them, laid out in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hotgraph_server.row_independence.dimensions import (
    ONE,
    ZERO,
    Dim,
    const,
    quotient,
    reckoned,
)
from hotgraph_server.row_independence.domain import (
    COUNTS,
    NO_ROWS,
    Content,
    Counts,
    Dims,
    Element,
    NoRows,
    Rows,
    Value,
    rows_value,
    scalar_of,
)
from hotgraph_server.row_independence.integers import add
from hotgraph_server.row_independence.rules_layout import SCATTERED, unless_keyed
from hotgraph_server.row_independence.table import Op, axis_of, rule


@rule("ConcatV2", "Concat")
def _concatenate(op: Op) -> Value:
    values, given = (
        (op.inputs[:-1], op.inputs[-1]) if op.type == "ConcatV2" else (op.inputs[1:], op.inputs[0])
    )
    ranks = {value.rank for value in values if value.rank is not None}
    rank = ranks.pop() if len(ranks) == 1 else None
    axis = None if given.constants is None else axis_of(given.constants[0], rank)
    return joined_along(op, values, axis)


def joined_along(op: Op, values: Sequence[Value], axis: int | None) -> Value:
    """Where the rows are of `values` one after the other along `axis`; None: it is not known which axis."""
    with_rows = [value.place for value in values if isinstance(value.place, Rows)]
    if not with_rows:
        counts = any(isinstance(value.place, Counts) for value in values)
        return Value(COUNTS if counts else NO_ROWS, _concatenated(values, axis))
    if axis is None:
        return op.unknown("joins along an axis that is not known")
    if any(isinstance(value.place, Counts) for value in values):
        return op.mixed("puts the number of rows beside what is in them")
    if len(with_rows) < len(values):
        return op.mixed(SCATTERED, extent=True) if axis == with_rows[0].axis else op.unknown(SCATTERED)
    if len({place.axis for place in with_rows}) > 1:
        return op.mixed("joins tensors that have their rows along different axes", extent=True)
    place = replace(with_rows[0], content=_content_beside(op, values, axis))
    if place.axis != axis:
        if any(replace(one, content=place.content) != place for one in with_rows):
            return op.unknown("joins tensors whose rows are laid out in different ways")
        return rows_value(place, _concatenated(values, axis))
    outer = with_rows[0].outer
    for one in with_rows[1:]:
        total = add(outer, one.outer)
        if not isinstance(total, Dim) or one.inner != place.inner or one.ragged is not None:
            return op.unknown("joins tensors whose rows are laid out in different ways")
        outer = total
    if place.ragged is not None and len(with_rows) > 1:
        return op.unknown("joins tensors that have rows of different length")
    return rows_value(replace(place, outer=outer), _concatenated(values, axis))


def _content_beside(op: Op, values: Sequence[Value], axis: int) -> Content:
    """A row's number in front of what is its own makes its key."""
    contents = [value.place.content for value in values if isinstance(value.place, Rows)]
    last = values[0].rank is not None and axis == values[0].rank - 1
    one = values[0].dims is not None and values[0].dims[-1:] == (ONE,)
    if (
        last
        and one
        and contents[0] is Content.NUMBER
        and max(contents[1:], default=Content.NUMBER) <= Content.OWN
    ):
        return Content.KEYED
    return contents[0] if len(contents) == 1 else op.content()


def _concatenated(values: Sequence[Value], axis: int | None) -> Dims | None:
    first = values[0].dims
    if (
        axis is None
        or first is None
        or any(value.rank != len(first) for value in values)
        or axis >= len(first)
    ):
        return None
    total: Element | None = ZERO
    for value in values:
        assert value.dims is not None
        size = value.dims[axis]
        total = None if size is None or total is None else add(total, size)
    merged = list(first)
    for value in values[1:]:
        for position, dim in enumerate(value.dims or ()):
            merged[position] = dim if merged[position] is None else merged[position]
    merged[axis] = total if isinstance(total, Dim) else None
    return tuple(merged)


@rule("Pack")
def _pack(op: Op) -> Value:
    rank = next((value.rank for value in op.inputs if value.rank is not None), None)
    axis = axis_of(op.integer("axis"), None if rank is None else rank + 1)
    if axis is None:
        return Value(NO_ROWS) if op.has_no_rows else op.unknown("stacks tensors of unknown rank")
    widened: list[Value] = []
    for value in op.inputs:
        dims = None if value.dims is None else (*value.dims[:axis], ONE, *value.dims[axis:])
        place = value.place
        if isinstance(place, Rows):
            place = unless_keyed(replace(place, axis=place.axis + (axis <= place.axis)))
        widened.append(Value(place, dims))
    if any(isinstance(value.place, Rows) for value in op.inputs) and not all(
        isinstance(value.place, Rows) for value in op.inputs
    ):
        return op.unknown("stacks rows on what is none")
    return joined_along(op, widened, axis)


@rule("Unpack")
def _unpack(op: Op) -> list[Value]:
    value, count = op.inputs[0], op.integer("num")
    axis = axis_of(op.integer("axis"), value.rank)
    if value.elements is not None and len(value.elements) == count:
        return [scalar_of(element) for element in value.elements]
    if not isinstance(value.place, Rows):
        dims = None if value.dims is None or axis is None else (*value.dims[:axis], *value.dims[axis + 1 :])
        return [Value(value.place, dims)] * count
    if axis is None:
        return [op.unknown("takes apart an input of unknown rank")] * count
    if axis == value.place.axis:
        return [op.mixed("takes the rows of the batch apart by their numbers")] * count
    place = replace(value.place, axis=value.place.axis - (axis < value.place.axis))
    dims = None if value.dims is None else (*value.dims[:axis], *value.dims[axis + 1 :])
    last = value.rank is not None and axis == value.rank - 1
    return [rows_value(_of_column(place, index if last else None), dims) for index in range(count)]


def _of_column(place: Rows, column: int | None) -> Rows:
    """What is left of keys when one column is taken: the number, or what is the row's own."""
    if place.content is not Content.KEYED:
        return place
    if column is None:
        return replace(place, content=Content.NUMBERED)
    return replace(place, content=Content.OWN if column else Content.NUMBER)


@rule("Split", "SplitV")
def _split(op: Op) -> list[Value]:
    value, given = (op.inputs[1], op.inputs[0]) if op.type == "Split" else (op.inputs[0], op.inputs[2])
    count = op.integer("num_split")
    axis = None if given.constants is None else axis_of(given.constants[0], value.rank)
    sizes = op.inputs[1].constants if op.type == "SplitV" else None
    if not isinstance(value.place, Rows):
        return [Value(value.place, _cut(value.dims, axis, sizes, count, one)) for one in range(count)]
    if axis is None:
        return [op.unknown("cuts along an axis that is not known")] * count
    if op.type == "SplitV" and not isinstance(op.inputs[1].place, NoRows):
        return [op.mixed("cuts at places that depend on the batch", extent=True)] * count
    if axis == value.place.axis:
        return [_split_rows(op, value, count)] * count
    place = replace(value.place, content=op.content())
    return [rows_value(place, _cut(value.dims, axis, sizes, count, one)) for one in range(count)]


def _split_rows(op: Op, value: Value, count: int) -> Value:
    place = value.place
    assert isinstance(place, Rows)
    outer = quotient(place.outer, const(count))
    if op.type == "Split" and outer is not None and place.ragged is None:
        # All of the rows come several times, and each part has them once.
        return rows_value(replace(place, outer=outer), value.dims)
    if count == 1:
        return value
    return op.mixed("cuts the rows of the batch into parts")


def _cut(
    dims: Dims | None, axis: int | None, sizes: Sequence[int] | None, count: int, one: int
) -> Dims | None:
    if dims is None or axis is None:
        return None
    whole = dims[axis]
    size: Dim | None = None
    if sizes is not None:
        size = const(sizes[one]) if sizes[one] >= 0 else None
        if size is None and whole is not None and whole.is_constant:
            size = const(whole.coefficient - sum(other for other in sizes if other >= 0))
    elif whole is not None:
        size = quotient(whole, const(count)) or reckoned("div", whole, const(count))
    return (*dims[:axis], size, *dims[axis + 1 :])
