"""Adding up, counting and scattering by the numbers of rows: what lies in stretches, one for each row,
becomes one element for each row."""

from __future__ import annotations

from dataclasses import replace

from hotgraph_server.row_independence.dimensions import BATCH, ONE, ZERO, Dim
from hotgraph_server.row_independence.domain import (
    NO_ROWS,
    Content,
    Distinct,
    Mixed,
    NoRows,
    Partition,
    Pick,
    Rows,
    Value,
    rows_value,
)
from hotgraph_server.row_independence.table import Op, rule


@rule("DynamicPartition")
def _partition(op: Op) -> list[Value]:
    count = op.integer("num_partitions")
    if op.has_no_rows:
        return [Value(NO_ROWS)] * count
    return [op.mixed("sorts what is in the rows into parts, as much as there is", extent=True)] * count


_SEGMENTS = ("SegmentSum", "SegmentMean", "SegmentMax", "SegmentMin", "SegmentProd")


_UNSORTED = ("UnsortedSegmentSum", "UnsortedSegmentMax", "UnsortedSegmentMin", "UnsortedSegmentProd")


_SPARSE = ("SparseSegmentSum", "SparseSegmentMean", "SparseSegmentSqrtN")


def _stretches_of(data: Value, numbers: Value) -> Partition | None:
    """The stretches that these numbers are of, if they are those that the rows of `data` lie in, which are
    made of no numbers of rows themselves."""
    partition = _stretches(numbers)
    place = data.place
    laid_out = isinstance(place, Rows) and place.ragged == partition and not place.axis
    return partition if laid_out and isinstance(place, Rows) and place.content <= Content.OWN else None


@rule(*_SEGMENTS)
def _segments(op: Op) -> Value:
    data, numbers = op.inputs
    if op.has_no_rows:
        return Value(NO_ROWS)
    partition = _stretches_of(data, numbers)
    if partition is None:
        return op.unknown("adds up by numbers that are not known to be those of rows")
    if not partition.filled:
        return op.unknown("leaves out the last rows where these have nothing to add up")
    return _per_row(data)


@rule(*_UNSORTED)
def _unsorted_segments(op: Op) -> Value:
    data, numbers, count = op.inputs
    if op.has_no_rows:
        return Value(NO_ROWS)
    partition = _stretches_of(data, numbers)
    if partition is None:
        return op.unknown("adds up by numbers that are not known to be those of rows")
    if count.scalar != BATCH:
        return op.unknown("adds up into as many as are not known to be the rows")
    return _per_row(data)


@rule(*_SPARSE, *(f"{name}WithNumSegments" for name in _SPARSE), takes_parts=True)
def _sparse_segments(op: Op) -> Value:
    data, indices, numbers, *count = op.inputs
    if op.has_no_rows:
        return Value(NO_ROWS)
    partition = _stretches(numbers)
    if partition is None or (count and count[0].scalar != BATCH):
        return op.unknown("adds up by numbers that are not known to be those of rows")
    if not partition.filled and not count:
        return op.unknown("leaves out the last rows where these have nothing to add up")
    place, own = indices.place, Rows(ragged=partition)
    fixed = isinstance(data.place, NoRows) and place == own
    distinct = (
        isinstance(data.place, Distinct)
        and isinstance(place, Pick)
        and place.key == data.place.key
        and place.base == own
    )
    if not fixed and not distinct:
        return op.unknown("adds up what is not known to be the row's own")
    return _per_row(data)


def _stretches(numbers: Value) -> Partition | None:
    """How the numbers of rows are laid out, each as often as its row has elements; None: they are not."""
    place = numbers.place
    if isinstance(place, Rows) and place.content is Content.NUMBER and numbers.rank == 1:
        return place.ragged
    return None


def _per_row(data: Value) -> Value:
    return rows_value(Rows(), None if data.dims is None else (None, *data.dims[1:]))


@rule("DenseBincount", "Bincount")
def _counted(op: Op) -> Value:
    values, size, *weights = op.inputs
    if op.has_no_rows:
        return Value(NO_ROWS)
    partition = _stretches(values)
    if partition is not None and size.scalar == BATCH and weights[0].dims == (ZERO,):
        return rows_value(Rows(), (BATCH,))
    if not isinstance(values.place, Rows):
        return op.unknown("counts what depends on the batch")
    if values.rank != 2 or values.place.axis or op.type == "Bincount":
        return op.mixed("counts over the rows of the batch")
    if not isinstance(size.place, NoRows):
        return op.mixed("counts as many as depends on the batch", extent=True)
    if weights[0].place != NO_ROWS and weights[0].place not in (Rows(), Rows(content=Content.SAME)):
        return op.unknown("has weights whose rows are laid out in another way")
    return rows_value(
        replace(values.place, content=op.content()),
        (None, size.scalar if isinstance(size.scalar, Dim) else None),
    )


@rule("ScatterNd")
def _scatter(op: Op) -> Value:
    indices, updates, shape = op.inputs
    if op.has_no_rows:
        return Value(NO_ROWS)
    place = indices.place
    if (
        isinstance(updates.place, Rows)
        and shape.elements
        and shape.elements[0] == BATCH
        and isinstance(place, Rows)
    ):
        same = replace(updates.place, content=Content.OWN) == replace(place, content=Content.OWN)
        number = place.content is Content.KEYED or (
            place.content is Content.NUMBER and indices.dims and indices.dims[-1] == ONE
        )
        known = all(isinstance(one, Dim | NoRows) for one in shape.elements)
        if same and number and known and not place.axis and updates.place.content <= Content.OWN:
            return rows_value(Rows(), tuple(one if isinstance(one, Dim) else None for one in shape.elements))
    if isinstance(shape.place, Mixed):
        return op.mixed("scatters into as many as depends on the batch", extent=True)
    return op.unknown("scatters by numbers that are not known to be those of rows")
