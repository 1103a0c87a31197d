"""Looking things up: in variables and tables, in the rows themselves, and by the number of a row."""

from __future__ import annotations

from dataclasses import replace

from hotgraph_server.row_independence.dimensions import ONE, Dim, const
from hotgraph_server.row_independence.domain import (
    NO_ROWS,
    Content,
    Counts,
    Dims,
    Distinct,
    Kept,
    NoRows,
    OneRow,
    Partition,
    Pick,
    Rows,
    Turn,
    Value,
    rows_value,
)
from hotgraph_server.row_independence.table import Op, axis_of, rule

_OTHER_ROWS = "looks up rows by numbers that are in the rows"


@rule("Gather", "GatherV2", "ResourceGather", takes_parts=True)
def _gather(op: Op) -> Value:
    params, indices = op.inputs[:2]
    if op.type == "ResourceGather":
        params = Value(params.place, params.holds)
    given = const(0) if len(op.inputs) < 3 else op.inputs[2].scalar
    batch_dims = op.integer("batch_dims")
    if batch_dims < 0:
        if indices.rank is None:
            return op.unknown("looks up in an input of unknown rank")
        batch_dims += indices.rank
    axis = axis_of(given.coefficient, params.rank) if isinstance(given, Dim) and given.is_constant else None
    if isinstance(params.place, NoRows) and isinstance(indices.place, NoRows):
        return Value(NO_ROWS, _gathered(params.dims, indices.dims, axis, batch_dims))
    if axis is None:
        return op.unknown("looks up along an axis that is not known")
    if len(op.inputs) > 2 and not isinstance(op.inputs[2].place, NoRows):
        return op.unknown("looks up along an axis that is not known")
    return looked_up(op, params, indices, axis, batch_dims)


def looked_up(op: Op, params: Value, indices: Value, axis: int, batch_dims: int) -> Value:
    dims = _gathered(params.dims, indices.dims, axis, batch_dims)
    if isinstance(params.place, NoRows):
        return _in_what_is_fixed(op, indices, axis, batch_dims, dims)
    if isinstance(params.place, Distinct):
        return _in_distinct(op, params, indices, axis, dims)
    if not isinstance(params.place, Rows):
        return op.unknown("looks up in what is not known")
    rows = params.place
    if isinstance(indices.place, Kept):
        return _kept(op, params, indices.place, axis, dims)
    if isinstance(indices.place, OneRow):
        return _in_turn(op, params, indices, axis, dims)
    if isinstance(indices.place, NoRows):
        if rows.axis < batch_dims:
            return op.mixed("looks up by indices for a fixed number of rows")
        if rows.axis == axis:
            return op.mixed("takes rows of the batch by their numbers")
        if rows.axis > axis and indices.rank is None:
            return op.unknown("looks up by indices of unknown rank")
        shift = 0 if rows.axis < axis else (indices.rank or 0) - batch_dims - 1
        content = op.content() if rows.content is not Content.NUMBER else Content.NUMBER
        return rows_value(replace(rows, axis=rows.axis + shift, content=content), dims)
    if not isinstance(indices.place, Rows):
        return op.unknown("looks up by indices that depend on the batch")
    return _rows_in_rows(op, params, indices, axis, batch_dims, dims)


def _rows_in_rows(
    op: Op, params: Value, indices: Value, axis: int, batch_dims: int, dims: Dims | None
) -> Value:
    rows, numbers = params.place, indices.place
    assert isinstance(rows, Rows)
    assert isinstance(numbers, Rows)
    if rows.axis < batch_dims and numbers.axis == rows.axis:
        if replace(rows, content=Content.OWN) == replace(numbers, content=Content.OWN):
            return rows_value(replace(rows, content=op.content()), dims)
        return op.unknown("looks up by indices whose rows are laid out in another way")
    if rows.axis == axis and numbers.content is Content.NUMBER and rows.is_plain and not batch_dims:
        # Each element of the indices is the number of the row that it belongs to.
        return (
            rows_value(
                replace(numbers, axis=numbers.axis + axis, content=min(rows.content, Content.OWN)), dims
            )
            if (rows.content <= Content.OWN)
            else op.unknown(_OTHER_ROWS)
        )
    if numbers.content > Content.OWN:
        return op.unknown("looks up rows by numbers that are not known to be their own")
    return op.mixed(_OTHER_ROWS)


def _in_what_is_fixed(op: Op, indices: Value, axis: int, batch_dims: int, dims: Dims | None) -> Value:
    """A table or a variable: rows are where they are in the indices."""
    place = indices.place
    if isinstance(place, Counts):
        return Value(place, dims)
    if isinstance(place, Distinct) and not axis and not batch_dims:
        return Value(place, dims)
    if not isinstance(place, Rows):
        return op.unknown("looks up by indices that depend on the batch")
    if place.axis < batch_dims:
        return op.unknown("looks up in what is made for a fixed number of rows")
    moved = place.axis + axis - batch_dims
    return rows_value(replace(place, axis=moved, content=op.content()), dims)


def _in_distinct(op: Op, params: Value, indices: Value, axis: int, dims: Dims | None) -> Value:
    """Each value finds what was made of it among the different ones."""
    place = indices.place
    assert isinstance(params.place, Distinct)
    if isinstance(place, Pick) and place.key == params.place.key and not axis:
        return rows_value(place.base, dims)
    return op.unknown("looks up in the different values among all rows")


def _kept(op: Op, params: Value, kept: Kept, axis: int, dims: Dims | None) -> Value:
    rows = params.place
    assert isinstance(rows, Rows)
    if axis or replace(rows, content=Content.OWN) != replace(kept.base, content=Content.OWN):
        return op.unknown("takes elements by what was asked of others")
    return rows_value(replace(rows, ragged=Partition(kept.key)), dims)


def _in_turn(op: Op, params: Value, indices: Value, axis: int, dims: Dims | None) -> Value:
    rows, turn = params.place, indices.scalar
    assert isinstance(rows, Rows)
    own = isinstance(turn, Turn) and turn.by_row and not turn.offset
    if own and rows.axis == axis and rows.is_plain and rows.content <= Content.OWN:
        assert isinstance(turn, Turn)
        return Value(OneRow(turn.loop), dims)
    return op.unknown("takes rows by numbers that are not known to be their own")


def _gathered(params: Dims | None, indices: Dims | None, axis: int | None, batch_dims: int) -> Dims | None:
    if params is None or indices is None or axis is None or axis >= len(params):
        return None
    return (*params[:axis], *indices[batch_dims:], *params[axis + 1 :])


@rule("GatherNd", "ResourceGatherNd")
def _gather_nd(op: Op) -> Value:
    params, indices = op.inputs
    if op.type == "ResourceGatherNd":
        params = Value(params.place, params.holds)
    depth = indices.dims[-1] if indices.dims else None
    dims = None
    if params.dims is not None and indices.dims and depth is not None and depth.is_constant:
        dims = (*indices.dims[:-1], *params.dims[depth.coefficient :])
    if op.has_no_rows:
        return Value(NO_ROWS, dims)
    if isinstance(params.place, NoRows) and isinstance(indices.place, Rows):
        if indices.rank is None or indices.place.axis == indices.rank - 1:
            return op.unknown("looks up by indices of unknown rank")
        return rows_value(replace(indices.place, content=op.content()), dims)
    keyed = isinstance(indices.place, Rows) and indices.place.content is Content.KEYED
    number = isinstance(indices.place, Rows) and indices.place.content is Content.NUMBER and depth == ONE
    if params.place in (Rows(), Rows(content=Content.SAME)) and (keyed or number):
        assert isinstance(indices.place, Rows)
        return rows_value(replace(indices.place, content=Content.OWN), dims)
    if isinstance(params.place, Rows) and isinstance(indices.place, NoRows):
        if depth is not None and depth.is_constant and params.place.axis < depth.coefficient:
            return op.mixed("takes rows of the batch by their numbers")
        return op.unknown("looks up in rows by indices of unknown rank")
    if isinstance(indices.place, Rows) and indices.place.content > Content.OWN:
        return op.unknown("looks up rows by numbers that are not known to be their own")
    if isinstance(params.place, Rows) and isinstance(indices.place, Rows):
        return op.mixed(_OTHER_ROWS)
    return op.unknown("looks up by indices that depend on the batch")


@rule("LookupTableFind", "LookupTableFindV2", takes_parts=True)
def _find(op: Op) -> Value:
    table, keys, default = op.inputs
    if not isinstance(table.place, NoRows) or not isinstance(default.place, NoRows):
        return op.unknown("looks up in a table that depends on the batch")
    place = keys.place
    if isinstance(place, Rows):
        place = replace(place, content=op.content())
    if not isinstance(place, NoRows | Rows | Distinct):
        return op.unknown("looks up by keys that depend on the batch")
    return Value(place, keys.dims)


@rule("Unique", "UniqueV2", "UniqueWithCounts", "UniqueWithCountsV2")
def _unique(op: Op) -> list[Value]:
    value = op.inputs[0]
    if op.has_no_rows:
        return [Value(NO_ROWS)] * 3
    place = value.place
    if not isinstance(place, Rows) or place.content > Content.OWN:
        return [op.unknown("looks for different values in what depends on the batch")] * 3
    mixed = op.mixed("looks for the different values among all rows", extent=True)
    if len(op.inputs) > 1 or value.rank != 1:
        return [mixed] * 3
    return [Value(Distinct(op.key), (None,)), Value(Pick(op.key, place), value.dims), mixed]


@rule("Where")
def _where(op: Op) -> Value:
    if op.has_no_rows:
        return Value(NO_ROWS)
    value = op.inputs[0]
    place = value.place
    laid_out = isinstance(place, Rows) and (place.is_plain or place.ragged is not None)
    if isinstance(place, Rows) and laid_out and value.rank == 1 and place.content <= Content.OWN:
        return Value(Kept(op.key, place), (None, ONE))
    plain = isinstance(place, Rows) and place.is_plain and not place.axis and place.content <= Content.OWN
    if plain and value.rank is not None and value.rank > 1:
        # Row by row, and each place begins with the number of its row.
        partition = Partition(op.key)
        return Value(Rows(content=Content.KEYED, ragged=partition), (None, const(value.rank)))
    return op.mixed("lists the places of what is true in all rows, as many as there are", extent=True)
