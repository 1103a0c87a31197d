"""StridedSlice and Slice: whether all rows are still there, and along which axis.

Also the columns of keys: of indices whose first column is the row's own number, that column, and the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hotgraph_server.row_independence.dimensions import BATCH, ONE, ZERO, Dim, const, counts_rows, reckoned
from hotgraph_server.row_independence.domain import (
    NO_ROWS,
    Content,
    Counts,
    Element,
    NoRows,
    OneRow,
    Part,
    Partition,
    Rows,
    Splits,
    Turn,
    Value,
    place_of_element,
    rows_value,
)
from hotgraph_server.row_independence.table import Op, rule


@dataclass(frozen=True)
class Cut:
    """What is taken along one axis.

    Attributes:
        axis: of the input; None: a new one.
        begin, end: None: from the first, to the last.
        stride: between elements.
        single: the axis goes, and `begin` alone is taken.
    """

    axis: int | None
    begin: Element | None = None
    end: Element | None = None
    stride: Element = ONE
    single: bool = False


@rule("StridedSlice", takes_parts=True)
def _strided_slice(op: Op) -> Value:
    value, *bounds = op.inputs
    if isinstance(value.place, Splits):
        return _of_splits(op, value.place, bounds)
    cuts, count = None, _count(op)
    if count is not None and (value.rank is not None or not op.integer("ellipsis_mask")):
        cuts = list(_cuts(op, value.rank, count))
    if cuts and None in [cut.axis for cut in cuts if cut.axis is not None]:
        cuts = None
    return sliced(op, cuts)


@rule("Slice", takes_parts=True)
def _slice(op: Op) -> Value:
    begins, sizes = op.inputs[1].elements, op.inputs[2].elements
    if begins is None or sizes is None:
        return sliced(op, None)
    cuts: list[Cut] = []
    for axis, (begin, size) in enumerate(zip(begins, sizes, strict=False)):
        cuts.append(Cut(axis, begin, None if size == const(-1) else _end(begin, size)))
    return sliced(op, cuts)


def _end(begin: Element, size: Element) -> Element:
    if isinstance(begin, Dim) and isinstance(size, Dim) and begin == ZERO:
        return size
    if isinstance(begin, Dim) and isinstance(size, Dim) and begin.is_constant and size.is_constant:
        return const(begin.coefficient + size.coefficient)
    return size if isinstance(size, type(NO_ROWS)) else place_of_element(size)


def _count(op: Op) -> int | None:
    """How many axes are named; None: it is not known."""
    sizes = [value.dims[0] for value in op.inputs[1:] if value.dims]
    return next((size.coefficient for size in sizes if size is not None and size.is_constant), None)


def _cuts(op: Op, rank: int | None, count: int) -> Iterator[Cut]:
    begins, ends, strides = (value.elements for value in op.inputs[1:])
    masks = {
        name: op.integer(f"{name}_mask") for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    axis = 0
    for position in range(count):
        bit = 1 << position
        if masks["ellipsis"] & bit:
            later = range(position + 1, count)
            named = sum(not masks["new_axis"] & 1 << one for one in later)
            yield from map(Cut, range(axis, (rank or 0) - named))
            axis = (rank or 0) - named
            continue
        if masks["new_axis"] & bit:
            yield Cut(None)
            continue
        stride = NO_ROWS if strides is None else strides[position]
        begin = NO_ROWS if begins is None else begins[position]
        end = NO_ROWS if ends is None else ends[position]
        if masks["shrink_axis"] & bit:
            yield Cut(axis, begin, single=True)
        else:
            yield Cut(
                axis, None if masks["begin"] & bit else begin, None if masks["end"] & bit else end, stride
            )
        axis += 1


def sliced(op: Op, cuts: list[Cut] | None) -> Value:
    """What is left of the input of `op`; None: it is not known what is taken."""
    value, *bounds = op.inputs
    if isinstance(value.place, OneRow) or any(isinstance(bound.place, OneRow) for bound in bounds):
        return _in_turn(op, value, cuts)
    if isinstance(value.place, NoRows | Counts) and all(isinstance(one.place, NoRows) for one in bounds):
        taken = None if cuts is None else _shape(value, cuts)
        return Value(value.place, taken)
    place = value.place
    if not isinstance(place, Rows):
        return op.unknown("cuts where depends on the batch")
    if cuts is None:
        return op.unknown("cuts at places that are not known")
    along = next((cut for cut in cuts if cut.axis == place.axis), Cut(place.axis))
    if along.single:
        if place.content is Content.SAME and place.is_plain:
            return Value(NO_ROWS, _shape(value, cuts))
        return op.mixed("takes one row of the batch by its number")
    if not _is_whole(along, place):
        if isinstance(along.begin, NoRows) or isinstance(along.end, NoRows):
            return op.unknown("takes some of the rows")
        return op.mixed("takes some of the rows of the batch by their numbers", extent=True)
    bounds_of_others = [bound for cut in cuts if cut is not along for bound in (cut.begin, cut.end)]
    if any(_depends_on_batch(bound) for bound in bounds_of_others):
        return op.mixed("cuts each row where depends on the batch", extent=True, sure=False)
    moved = replace(_of_columns(value, place, cuts), axis=_moved(place.axis, cuts))
    return rows_value(moved, _shape(value, cuts))


def _depends_on_batch(bound: Element | None) -> bool:
    if isinstance(bound, Dim):
        return counts_rows(bound)
    return not (bound is None or isinstance(bound, Turn | NoRows))


def _moved(axis: int, cuts: list[Cut]) -> int:
    """Where an axis is afterwards; those that are not named come after those that are."""
    ahead = 0
    for cut in cuts:
        if cut.axis == axis:
            return ahead
        ahead += not cut.single
    named = [cut.axis for cut in cuts]
    return ahead + sum(one not in named for one in range(axis))


def _is_whole(cut: Cut, place: Rows) -> bool:
    whole = place.outer * BATCH * place.inner
    starts = cut.begin is None or cut.begin == ZERO
    ends = cut.end is None or (cut.end == whole and place.ragged is None)
    return starts and ends and cut.stride == ONE


def _of_columns(value: Value, place: Rows, cuts: list[Cut]) -> Rows:
    """What is left of keys: their first column is the number, others are the row's own."""
    if place.content is Content.KEYED:
        last = next((cut for cut in cuts if value.rank is not None and cut.axis == value.rank - 1), None)
        if value.rank is None or any(cut.axis is None for cut in cuts):
            return replace(place, content=Content.NUMBERED)
        if last is None:
            return place
        begin = last.begin if last.begin is not None else ZERO
        if not isinstance(begin, Dim) or not begin.is_constant or begin.coefficient < 0 or last.stride != ONE:
            return replace(place, content=Content.NUMBERED)
        if begin.coefficient:
            return replace(place, content=Content.OWN)
        only = last.single or last.end == ONE
        return replace(place, content=Content.NUMBER if only else Content.KEYED)
    return place


def _shape(value: Value, cuts: list[Cut]) -> tuple[Dim | None, ...] | None:
    if value.dims is None:
        return None
    shape: list[Dim | None] = []
    named = [cut.axis for cut in cuts if cut.axis is not None]
    for cut in cuts:
        if cut.axis is None:
            shape.append(ONE)
        elif cut.axis < len(value.dims) and not cut.single:
            shape.append(_length(value.dims[cut.axis], cut))
    shape.extend(dim for axis, dim in enumerate(value.dims) if axis not in named)
    return tuple(shape)


def _length(dim: Dim | None, cut: Cut) -> Dim | None:
    begin = ZERO if cut.begin is None else cut.begin
    if cut.stride == ONE and begin == ZERO and cut.end is None:
        return dim
    if not isinstance(begin, Dim) or not isinstance(cut.stride, Dim) or not isinstance(cut.end, Dim | None):
        return None
    if dim is not None and all(one is None or one.is_constant for one in (dim, begin, cut.end, cut.stride)):
        # Python's own slices follow the same rules.
        start = None if cut.begin is None else begin.coefficient
        stop = None if cut.end is None else cut.end.coefficient
        step = cut.stride.coefficient
        return const(len(range(*slice(start, stop, step).indices(dim.coefficient)))) if step else None
    if cut.stride == ONE and begin == ZERO and cut.end == dim:
        return dim
    if dim is None:
        return None
    end = dim if cut.end is None else cut.end
    return reckoned("slice", dim, begin, end, cut.stride) if cut.end is not None or begin != ZERO else dim


def _in_turn(op: Op, value: Value, cuts: list[Cut] | None) -> Value:
    """The row of this turn, in a loop that has a turn for each."""
    place = value.place
    if isinstance(place, Rows) and place.is_plain and cuts is not None:
        along = next((cut for cut in cuts if cut.axis == place.axis), None)
        others = [bound for cut in cuts if cut is not along for bound in (cut.begin, cut.end)]
        if along is not None and isinstance(along.begin, Turn) and along.single and not along.begin.offset:
            plain = all(bound is None or isinstance(place_of_element(bound), NoRows) for bound in others)
            if along.begin.by_row and plain and place.content <= Content.OWN:
                return Value(OneRow(along.begin.loop), _shape(value, cuts))
    return op.unknown("takes rows by numbers that are not known to be their own")


def _of_splits(op: Op, place: Splits, bounds: list[Value]) -> Value:
    """The borders without the first are where stretches end, those without the last where they begin."""
    begin, end, stride = (bound.constants for bound in bounds)
    first, last = op.integer("begin_mask"), op.integer("end_mask")
    partition: Partition = place.partition
    if place.part is Part.ALL and stride == (1,) and not op.integer("shrink_axis_mask"):
        if begin == (1,) and last and not first:
            return Value(Splits(partition, Part.ENDS), (BATCH,))
        if end == (-1,) and not last and (first or begin == (0,)):
            return Value(Splits(partition, Part.BEGINS), (BATCH,))
    return op.unknown("takes some of the borders between rows")
