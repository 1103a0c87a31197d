"""Shapes made of tensors, and tensors made of shapes: Shape, Size and Rank, Fill, BroadcastTo and Range."""

from __future__ import annotations

from dataclasses import replace

from hotgraph_server.row_independence.dimensions import (
    BATCH,
    ONE,
    ZERO,
    Dim,
    const,
    counts_rows,
    product,
    quotient,
)
from hotgraph_server.row_independence.domain import (
    COUNTS,
    NO_ROWS,
    Content,
    Counts,
    Distinct,
    Element,
    Kept,
    Mixed,
    NoRows,
    OneRow,
    Pick,
    Place,
    Rows,
    Splits,
    Unknown,
    Value,
    place_of_elements,
    rows_value,
    scalar_of,
    vector_of,
)
from hotgraph_server.row_independence.rules_elementwise import broadcast
from hotgraph_server.row_independence.table import Op, rule


@rule("BroadcastTo")
def _broadcast_to(op: Op) -> Value:
    value, shape = op.inputs
    filled = filled_with(op, shape)
    if not isinstance(filled.place, NoRows | Rows):
        return filled
    if isinstance(filled.place, NoRows) and isinstance(value.place, NoRows):
        return Value(NO_ROWS, filled.dims)
    number = isinstance(value.place, Rows) and value.place.content is Content.NUMBER
    spread = broadcast(op, [value, filled])
    if number and isinstance(spread.place, Rows):
        return replace(spread, place=replace(spread.place, content=Content.NUMBER))
    return spread


@rule("Fill")
def _fill(op: Op) -> Value:
    filled = filled_with(op, op.inputs[0])
    value = op.inputs[1] if len(op.inputs) > 1 else None
    if value is None or isinstance(value.place, NoRows) or not isinstance(filled.place, NoRows | Rows):
        return filled
    if isinstance(value.place, Counts) and isinstance(filled.place, NoRows):
        return Value(COUNTS, filled.dims)
    return op.mixed("fills in the number of rows in the batch")


def filled_with(op: Op, shape: Value) -> Value:
    """A tensor of the given shape, all of whose slices along any axis are equal."""
    elements = shape.elements
    if isinstance(shape.place, NoRows):
        dims = None if elements is None else tuple(one if isinstance(one, Dim) else None for one in elements)
        return Value(NO_ROWS, dims)
    if elements is None or not isinstance(shape.place, Counts):
        return op.unknown("makes a shape of what is not known")
    along = [axis for axis, one in enumerate(elements) if isinstance(one, Dim) and counts_rows(one)]
    if any(not isinstance(one, Dim | NoRows) for one in elements) or len(along) != 1:
        return op.mixed(
            "makes a shape of the number of rows in another way than one slice for each", extent=True
        )
    size = elements[along[0]]
    assert isinstance(size, Dim)
    inner = quotient(size, BATCH)
    if inner is None or counts_rows(inner):
        return op.unknown("makes a shape of what is not known")
    dims = tuple(one if isinstance(one, Dim) else None for one in elements)
    return rows_value(Rows(along[0], Content.SAME, ONE, inner), dims)


@rule("Range")
def _range(op: Op) -> Value:
    start, limit, delta = (value.scalar for value in op.inputs)
    if op.has_no_rows:
        size = limit if start == ZERO and delta == ONE and isinstance(limit, Dim) else None
        return Value(NO_ROWS, (size,))
    if start == ZERO and delta == ONE and limit == BATCH:
        return rows_value(Rows(content=Content.NUMBER), (BATCH,))
    if all(isinstance(value.place, NoRows | Counts) for value in op.inputs):
        return op.unknown("counts to what depends on the number of rows")
    return op.mixed("counts to what is in the rows", extent=True)


@rule("Shape", "ShapeN", takes_parts=True, takes_mixed=True)
def _shape(op: Op) -> list[Value]:
    return [_shape_of(op, value) for value in op.inputs]


def _shape_of(op: Op, value: Value) -> Value:
    if value.dims is None:
        place = value.place
        if isinstance(place, Mixed):
            return Value(replace(place, sure=place.sure and place.extent, extent=False))
        return Value(NO_ROWS) if isinstance(place, NoRows) else _shape_of_rows(op, value)
    return vector_of(
        tuple(
            dim if dim is not None else _size_unknown(op, value, axis) for axis, dim in enumerate(value.dims)
        )
    )


def _shape_of_rows(op: Op, value: Value) -> Value:
    return (
        Value(value.place)
        if isinstance(value.place, OneRow | Unknown)
        else op.unknown("asks for the shape of what is not known")
    )


def _size_unknown(op: Op, value: Value, axis: int) -> Element:
    """A dimension that is not known: at least from what it is."""
    place: Place = value.place
    if isinstance(place, Rows):
        if place.ragged is not None and axis == place.axis:
            return Mixed(op.why("asks how much there is in all rows together"))
        return NO_ROWS
    if isinstance(place, Distinct | Kept | Pick | Splits):
        return Mixed(op.why("asks how much there is in all rows together"))
    return place


@rule("Rank", takes_parts=True, takes_mixed=True)
def _rank(op: Op) -> Value:
    value = op.inputs[0]
    if value.rank is not None:
        return scalar_of(const(value.rank))
    return (
        Value(NO_ROWS, ())
        if isinstance(value.place, NoRows | Rows)
        else op.unknown("asks for the rank of what is not known")
    )


@rule("Size", takes_parts=True, takes_mixed=True)
def _size(op: Op) -> Value:
    shape = _shape_of(op, op.inputs[0])
    if shape.elements is None:
        return Value(COUNTS if isinstance(op.inputs[0].place, Rows) else shape.place, ())
    total = product([one if isinstance(one, Dim) else None for one in shape.elements])
    return scalar_of(total if total is not None else place_of_elements(shape.elements))
