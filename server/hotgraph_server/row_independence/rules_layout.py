"""Ops that move axes and lengthen them: transpose, squeeze, tile, pad. What counts is which axis rows are
along afterwards, and whether all of them are still there, in their order and nothing else."""

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
)
from hotgraph_server.row_independence.domain import (
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
)
from hotgraph_server.row_independence.integers import add
from hotgraph_server.row_independence.table import Op, axis_of, rule

SCATTERED = "puts rows and what is none along one axis"


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
    return rows_value(unless_keyed(moved), dims)


def unless_keyed(place: Rows) -> Rows:
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
    moved = replace(unless_keyed(value.place), axis=value.place.axis - before)
    return rows_value(moved, _squeezed(value.dims, asked))


def _squeezed(dims: Dims | None, asked: Sequence[int]) -> Dims | None:
    if dims is None:
        return None
    if not asked:
        known = all(dim is not None and dim.is_constant for dim in dims)
        return tuple(dim for dim in dims if dim != ONE) if known else None
    found = {axis_of(axis, len(dims)) for axis in asked}
    return tuple(dim for axis, dim in enumerate(dims) if axis not in found)


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
        return op.mixed(SCATTERED, extent=True)
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
