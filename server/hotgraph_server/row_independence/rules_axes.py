"""Ops that work along some axes: sums, maxima, softmax, cumulative sums, sorting. Rows meet in them when the
axis of rows is among these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hotgraph_server.row_independence.dimensions import ONE, Dim, const
from hotgraph_server.row_independence.domain import (
    COUNTS,
    NO_ROWS,
    Content,
    Counts,
    Dims,
    NoRows,
    Place,
    Rows,
    Value,
    rows_value,
)
from hotgraph_server.row_independence.table import Op, axis_of, rule

_DOES = {
    **{
        "Sum": "takes the sum",
        "Mean": "takes the mean",
        "Max": "takes the maximum",
        "Min": "takes the minimum",
    },
    **{"Prod": "takes the product", "All": "asks whether all", "Any": "asks whether any"},
    **{
        "ReduceJoin": "joins the texts",
        "EuclideanNorm": "takes the norm",
        "L2Loss": "takes the sum of squares",
    },
    **{"ArgMax": "finds the greatest", "ArgMin": "finds the least"},
    **{"Softmax": "takes the softmax", "LogSoftmax": "takes the softmax"},
}


def over_rows(op: Op) -> Value:
    return op.mixed(f"{_DOES.get(op.type, 'works')} over the rows of the batch")


@rule("Sum", "Mean", "Max", "Min", "Prod", "All", "Any", "EuclideanNorm", "ReduceJoin")
def _reduction(op: Op) -> Value:
    value, axes = op.inputs
    keep = op.flag("keep_dims")
    if isinstance(axes.place, NoRows) and not isinstance(value.place, Rows):
        return Value(value.place, _reduced(value, axes.constants, keep))
    if not isinstance(value.place, Rows) or axes.constants is None:
        return op.unknown("works along axes that are not known")
    if op.type == "ReduceJoin" and not axes.constants:
        return op.unknown("joins texts along axes that are not known")
    found = [axis_of(axis, value.rank) for axis in axes.constants]
    if None in found:
        return op.unknown("works along an axis that is counted from the end of an unknown rank")
    place = value.place
    if place.axis in found:
        return _over_equal_rows(op, value) if place.content is Content.SAME else over_rows(op)
    before = sum(axis is not None and axis < place.axis for axis in set(found))
    moved = replace(place, axis=place.axis - (0 if keep else before), content=op.content())
    return rows_value(moved, _reduced(value, axes.constants, keep))


def _over_equal_rows(op: Op, value: Value) -> Value:
    """All rows are equal: the greatest of them is any of them, and their sum is told by their number."""
    assert isinstance(value.place, Rows)
    dims = _reduced(value, op.inputs[1].constants, op.flag("keep_dims"))
    if op.type in ("Max", "Min", "All", "Any"):
        return Value(NO_ROWS, dims)
    return Value(COUNTS, dims)


def _reduced(value: Value, axes: Sequence[int] | None, keep: bool) -> Dims | None:
    if value.dims is None or axes is None:
        return None
    found = {axis_of(axis, len(value.dims)) for axis in axes}
    if keep:
        return tuple(ONE if axis in found else dim for axis, dim in enumerate(value.dims))
    return tuple(dim for axis, dim in enumerate(value.dims) if axis not in found)


@rule("L2Loss")
def _over_everything(op: Op) -> Value:
    place = op.inputs[0].place
    return over_rows(op) if isinstance(place, Rows) else Value(place, ())


@rule("ArgMax", "ArgMin")
def _position(op: Op) -> Value:
    value, axis = op.inputs
    if not isinstance(value.place, Rows):
        return Value(value.place, _reduced(value, axis.constants, False))
    if axis.constants is None:
        return op.unknown("works along an axis that is not known")
    found = axis_of(axis.constants[0], value.rank)
    if found is None:
        return op.unknown("works along an axis that is counted from the end of an unknown rank")
    if found == value.place.axis:
        return over_rows(op)
    moved = replace(value.place, axis=value.place.axis - (found < value.place.axis), content=op.content())
    return rows_value(moved, _reduced(value, axis.constants, False))


@rule("Softmax", "LogSoftmax", "MatrixDiagPart", "FFT", "IFFT", "RFFT", "IRFFT")
def _last_axis(op: Op) -> Value:
    return _along_last(op, 1, op.inputs[0].dims)


@rule("Cholesky", "MatrixInverse", "MatrixExponential", "MatrixSquareRoot", "BatchMatrixBandPart", "FFT2D")
@rule("MatrixBandPart", "IFFT2D")
def _last_two_axes(op: Op) -> Value:
    return _along_last(op, 2, op.inputs[0].dims)


@rule("MatrixDeterminant")
def _determinant(op: Op) -> Value:
    dims = op.inputs[0].dims
    return _along_last(op, 2, None if dims is None else dims[:-2])


def _along_last(op: Op, count: int, dims: Dims | None) -> Value:
    """Works along the last axes; the others are as many answers."""
    value, *others = op.inputs
    if not isinstance(value.place, Rows) or any(not isinstance(other.place, NoRows) for other in others):
        if op.has_no_rows:
            return Value(NO_ROWS, dims)
        return op.unknown("has a setting that depends on the batch")
    if value.rank is None:
        return op.unknown("works along the last axis of an input of unknown rank")
    if value.place.axis >= value.rank - count:
        return over_rows(op)
    if op.type in ("RFFT", "IRFFT", "MatrixDiagPart"):
        dims = None
    return rows_value(replace(value.place, content=op.content()), dims)


@rule("MatrixDiag")
def _diagonal(op: Op) -> Value:
    value = op.inputs[0]
    if not isinstance(value.place, Rows):
        return Value(value.place)
    if value.rank is None or value.place.axis == value.rank - 1:
        return op.unknown("may make a diagonal of rows")
    dims = value.dims or ()
    return rows_value(replace(value.place, content=op.content()), (*dims, dims[-1]))


@rule("MatrixDiagV2", "MatrixDiagV3", "MatrixDiagPartV2", "MatrixDiagPartV3")
def _diagonals(op: Op) -> Value:
    value, *others = op.inputs
    if any(not isinstance(other.place, NoRows) for other in others) or isinstance(value.place, Counts):
        return op.unknown("has a setting that depends on the batch")
    diagonals = op.inputs[1].constants
    taken = 2 if "Part" in op.type else 1
    if not isinstance(value.place, Rows):
        return Value(NO_ROWS)
    if value.rank is None or value.place.axis >= value.rank - taken or diagonals != (0,):
        return op.unknown("may take a diagonal of rows")
    dims = value.dims or ()
    place = replace(value.place, content=op.content())
    return rows_value(place, (*dims[:-1], None, None) if taken == 1 else (*dims[:-2], None))


@rule("Cumsum", "Cumprod", "CumulativeLogsumexp", "ReverseV2", "Roll")
def _along_axes(op: Op) -> Value:
    value, axes = op.inputs[0], op.inputs[-1]
    if not isinstance(value.place, Rows):
        return Value(value.place, value.dims)
    if any(not isinstance(other.place, NoRows) for other in op.inputs[1:]) or axes.constants is None:
        return op.unknown("works along axes that are not known")
    found = [axis_of(axis, value.rank) for axis in axes.constants]
    if None in found:
        return op.unknown("works along an axis that is counted from the end of an unknown rank")
    if value.place.axis not in found:
        return Value(replace(value.place, content=op.content()), value.dims)
    if op.type == "ReverseV2" and value.place.is_plain and value.place.content is Content.SAME:
        return value
    return over_rows(op) if op.type.startswith("Cum") else op.mixed("moves rows to where other rows were")


@rule("ReverseSequence")
def _reverse_sequence(op: Op) -> Value:
    value, lengths = op.inputs
    if op.has_no_rows:
        return Value(NO_ROWS, value.dims)
    batch, sequence = op.integer("batch_dim"), op.integer("seq_dim")
    if not isinstance(value.place, Rows):
        return op.unknown("reverses by lengths that depend on the batch")
    if value.place.axis == sequence:
        return op.mixed("moves rows to where other rows were")
    together = replace(value.place, content=Content.OWN)
    if isinstance(lengths.place, Rows) and replace(lengths.place, content=Content.OWN) != replace(
        together, axis=0
    ):
        return op.unknown("reverses by lengths whose rows are laid out in another way")
    if isinstance(lengths.place, Counts) or (isinstance(lengths.place, Rows) and value.place.axis != batch):
        return op.mixed("reverses rows by the lengths of others")
    if isinstance(lengths.place, NoRows) and value.place.axis == batch:
        return op.mixed("has lengths for a fixed number of rows")
    return Value(replace(value.place, content=op.content()), value.dims)


@rule("TopK", "TopKV2")
def _greatest(op: Op) -> list[Value]:
    value = op.inputs[0]
    k = op.inputs[1].scalar if op.type == "TopKV2" else const(op.integer("k"))
    size = k if isinstance(k, Dim) else None
    if isinstance(value.place, Rows):
        if value.rank is None:
            return [op.unknown("sorts along the last axis of an input of unknown rank")] * 2
        if value.place.axis == value.rank - 1:
            return [op.mixed("sorts the rows of the batch")] * 2
        if len(op.inputs) > 1 and not isinstance(op.inputs[1].place, NoRows):
            return [op.mixed("takes as many of each row as depends on the batch", extent=True)] * 2
        place: Place = replace(value.place, content=op.content())
    else:
        place = value.place
    dims = None if value.dims is None else (*value.dims[:-1], size)
    return [Value(place, dims)] * 2


@rule("InTopK", "InTopKV2")
def _in_top(op: Op) -> Value:
    predictions, targets = op.inputs[:2]
    own = Rows()
    if all(
        isinstance(one.place, Rows) and replace(one.place, content=Content.OWN) == own
        for one in (predictions, targets)
    ):
        return rows_value(replace(own, content=op.content()), targets.dims)
    return Value(NO_ROWS, targets.dims) if op.has_no_rows else op.unknown("compares rows with what has none")


@rule("OneHot")
def _one_hot(op: Op) -> Value:
    indices, depth, *levels = op.inputs
    if any(not isinstance(level.place, NoRows) for level in levels):
        return op.unknown("has levels that depend on the batch")
    if not isinstance(depth.place, NoRows):
        return op.mixed("is as deep as depends on the batch", extent=True)
    axis = op.integer("axis", -1)
    size = depth.scalar if isinstance(depth.scalar, Dim) else None
    dims = None
    if indices.dims is not None:
        at = axis if axis >= 0 else len(indices.dims)
        dims = (*indices.dims[:at], size, *indices.dims[at:])
    if not isinstance(indices.place, Rows):
        return Value(indices.place, dims)
    moved = 0 <= axis <= indices.place.axis
    return rows_value(replace(indices.place, axis=indices.place.axis + moved, content=op.content()), dims)


@rule("LRN")
def _normalisation_of_channels(op: Op) -> Value:
    return _along_last(op, 1, op.inputs[0].dims)
