"""Ops that move axes: transpose, squeeze, concat, split, pad, tile. What counts is which axis rows are along
afterwards, and whether all of them are still there, in their order and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
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
    reckoned,
)
from hotgraph_server.row_independence.domain import (
    COUNTS,
    NO_ROWS,
    Content,
    Counts,
    Dims,
    Element,
    Kept,
    Mixed,
    NoRows,
    Rows,
    Value,
    rows_value,
    scalar_of,
)
from hotgraph_server.row_independence.rules_integers import add
from hotgraph_server.row_independence.table import Op, axis_of, rule

_SCATTERED = "puts rows and what is none along one axis"


@rule("Transpose", "ConjugateTranspose")
def _transpose(op: Op) -> Value:
    value, order = op.inputs
    permutation = order.constants
    dims = None
    if value.dims is not None and permutation is not None and len(permutation) == len(value.dims):
        dims = tuple(value.dims[axis] for axis in permutation)
    if not isinstance(value.place, Rows):
        return Value(value.place, dims)
    if permutation is None:
        return op.unknown("moves axes in an order that is not known")
    content = op.content() if value.place.content is not Content.NUMBER else Content.NUMBER
    axis = [axis_of(one, len(permutation)) for one in permutation].index(value.place.axis)
    return rows_value(replace(value.place, axis=axis, content=content), dims)


@rule("ExpandDims")
def _new_axis(op: Op) -> Value:
    value, axis = op.inputs
    if axis.constants is None:
        return op.unknown("adds an axis at a place that is not known")
    at = axis_of(axis.constants[0], None if value.rank is None else value.rank + 1)
    if at is None:
        return (
            op.unknown("adds an axis to an input of unknown rank")
            if isinstance(value.place, Rows)
            else Value(value.place)
        )
    dims = None if value.dims is None else (*value.dims[:at], ONE, *value.dims[at:])
    if not isinstance(value.place, Rows):
        return Value(value.place, dims)
    moved = replace(value.place, axis=value.place.axis + (at <= value.place.axis))
    return rows_value(_unless_keyed(moved), dims)


def _unless_keyed(place: Rows) -> Rows:
    """The number in front of a row's key is found along the last axis, which may have become another."""
    return replace(place, content=Content.NUMBERED) if place.content is Content.KEYED else place


@rule("Squeeze", takes_parts=True)
def _squeeze(op: Op) -> Value:
    value, asked = op.inputs[0], op.integers("squeeze_dims")
    if isinstance(value.place, Kept) and asked in ((1,), (-1,)):
        return Value(value.place, (None,))
    if not isinstance(value.place, NoRows | Counts | Rows):
        return op.unknown("takes an axis away from what is not known")
    if not isinstance(value.place, Rows):
        return Value(value.place, _squeezed(value.dims, asked))
    if not asked:
        return op.mixed("takes away the axis of rows too when there is one row", extent=True)
    found = [axis_of(axis, value.rank) for axis in asked]
    if None in found:
        return op.unknown("takes away an axis that is counted from the end of an unknown rank")
    if value.place.axis in found:
        return op.unknown("takes away the axis of rows")
    before = sum(axis is not None and axis < value.place.axis for axis in found)
    moved = replace(_unless_keyed(value.place), axis=value.place.axis - before)
    return rows_value(moved, _squeezed(value.dims, asked))


def _squeezed(dims: Dims | None, asked: Sequence[int]) -> Dims | None:
    if dims is None:
        return None
    if not asked:
        known = all(dim is not None and dim.is_constant for dim in dims)
        return tuple(dim for dim in dims if dim != ONE) if known else None
    found = {axis_of(axis, len(dims)) for axis in asked}
    return tuple(dim for axis, dim in enumerate(dims) if axis not in found)


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
        return op.mixed(_SCATTERED, extent=True) if axis == with_rows[0].axis else op.unknown(_SCATTERED)
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
            place = _unless_keyed(replace(place, axis=place.axis + (axis <= place.axis)))
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


@rule("Tile")
def _tile(op: Op) -> Value:
    value, multiples = op.inputs
    times = multiples.elements
    if op.has_no_rows:
        return Value(NO_ROWS, _times(value.dims, times))
    if isinstance(multiples.place, Rows) or isinstance(value.place, Counts):
        return op.unknown("repeats as often as rows say")
    if isinstance(value.place, NoRows):
        return _repeated_for_rows(op, value, times)
    place = value.place
    assert isinstance(place, Rows)
    if times is None or len(times) <= place.axis:
        return op.unknown("repeats as often as is not known")
    for axis, often in enumerate(times):
        if isinstance(often, Dim) and counts_rows(often):
            return op.mixed("repeats each row as often as there are rows", extent=True)
        if axis != place.axis and not isinstance(often, Dim | NoRows):
            return op.unknown("repeats as often as is not known")
    along = times[place.axis]
    if not isinstance(along, Dim) or (along != ONE and place.ragged is not None):
        return op.unknown("repeats the rows as often as is not known")
    content = Content.NUMBER if place.content is Content.NUMBER else op.content()
    return rows_value(replace(place, outer=along * place.outer, content=content), _times(value.dims, times))


def _repeated_for_rows(op: Op, value: Value, times: Sequence[Element] | None) -> Value:
    """What has no rows, once for each row."""
    if times is None or value.dims is None or len(times) != len(value.dims):
        return op.unknown("repeats as often as is not known")
    along = [axis for axis, often in enumerate(times) if isinstance(often, Dim) and counts_rows(often)]
    if len(along) != 1 or any(not isinstance(often, Dim | NoRows) for often in times):
        return op.unknown("repeats as often as depends on the batch")
    axis, size = along[0], value.dims[along[0]]
    outer = quotient(times[axis], BATCH)  # type: ignore[arg-type]
    if size is None or outer is None or counts_rows(outer):
        return op.unknown("repeats as often as depends on the batch")
    return rows_value(Rows(axis, Content.SAME, outer, size), _times(value.dims, times))


def _times(dims: Dims | None, times: Sequence[Element] | None) -> Dims | None:
    if dims is None or times is None or len(times) != len(dims):
        return None
    return tuple(
        dim * often if dim is not None and isinstance(often, Dim) else None
        for dim, often in zip(dims, times, strict=True)
    )


@rule("Pad", "PadV2", "MirrorPad")
def _pad(op: Op) -> Value:
    value, paddings, *filling = op.inputs
    if any(not isinstance(one.place, NoRows) for one in filling):
        return op.unknown("pads with what depends on the batch")
    if op.has_no_rows:
        return Value(NO_ROWS, (None,) * value.rank if value.rank is not None else None)
    if not isinstance(value.place, Rows):
        return op.unknown("pads by what depends on the batch")
    pairs = paddings.elements
    at = 2 * value.place.axis
    if pairs is None or len(pairs) <= at + 1:
        return op.unknown("pads by what is not known")
    if pairs[at] != ZERO or pairs[at + 1] != ZERO:
        return op.mixed(_SCATTERED, extent=True)
    for pad in pairs:
        if isinstance(pad, Mixed | Counts) or (isinstance(pad, Dim) and counts_rows(pad)):
            return op.mixed("pads by what depends on the batch", extent=True)
        if not isinstance(pad, Dim | NoRows):
            return op.unknown("pads by what is not known")
    dims = None
    if value.dims is not None and len(pairs) == 2 * len(value.dims):
        dims = tuple(
            _padded(dim, pairs[2 * axis], pairs[2 * axis + 1]) for axis, dim in enumerate(value.dims)
        )
    return rows_value(replace(value.place, content=op.content()), dims)


def _padded(dim: Dim | None, before: Element, after: Element) -> Dim | None:
    total: Element | None = dim
    for one in (before, after):
        total = add(total, one) if isinstance(total, Dim) else None
    return total if isinstance(total, Dim) else None


@rule("SpaceToBatchND", "BatchToSpaceND")
def _space_and_batch(op: Op) -> Value:
    value, block, edges = op.inputs
    if op.has_no_rows:
        return Value(NO_ROWS)
    if not isinstance(edges.place, NoRows):
        return op.unknown("cuts or pads images by what depends on the batch")
    place = value.place
    if not isinstance(place, Rows) or block.constants is None or place.axis or place.ragged:
        return op.unknown("moves parts of images to where rows are in a way that is not known")
    blocks = product([const(one) for one in block.constants])
    assert blocks is not None
    outer = blocks * place.outer if op.type == "SpaceToBatchND" else quotient(place.outer, blocks)
    if outer is None:
        return op.mixed("makes one image of several rows")
    dims: Dims | None = None
    if value.dims is not None:
        changed = 1 + len(block.constants)
        dims = (*(None,) * changed, *value.dims[changed:])
    return rows_value(replace(place, outer=outer, content=op.content()), dims)


@rule("SpaceToDepth", "DepthToSpace")
def _space_and_depth(op: Op) -> Value:
    value, block = op.inputs[0], const(op.integer("block_size", 1))
    if not isinstance(value.place, Rows):
        return Value(value.place)
    if value.place.axis:
        return op.unknown("moves parts of rows")
    dims = value.dims
    if dims is not None and len(dims) == 4 and op.text("data_format", "NHWC") == "NHWC":
        down = op.type == "SpaceToDepth"
        high, wide = (
            (None if one is None else quotient(one, block) if down else one * block) for one in dims[1:3]
        )
        square = block * block
        deep = None if dims[3] is None else dims[3] * square if down else quotient(dims[3], square)
        dims = (dims[0], high, wide, deep)
    elif dims is not None:
        dims = (dims[0], *(None,) * (len(dims) - 1))
    return rows_value(replace(value.place, content=op.content()), dims)
