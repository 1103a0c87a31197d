"""Products of matrices and tensors. An axis that both operands are summed over must not be that of rows, and
rows of one operand may meet rows of the other only where they are the same axis of what comes out."""

from __future__ import annotations

import re
from dataclasses import replace

from hotgraph_server.row_independence.dimensions import ONE, Dim
from hotgraph_server.row_independence.domain import (
    COUNTS,
    NO_ROWS,
    Content,
    Counts,
    Dims,
    NoRows,
    Rows,
    Value,
    rows_value,
)
from hotgraph_server.row_independence.rules_axes import over_rows
from hotgraph_server.row_independence.rules_elementwise import broadcast, broadcast_dims
from hotgraph_server.row_independence.table import Op, rule

_EACH_WITH_EACH = "multiplies the rows of the batch with each other"


@rule("MatMul", "SparseMatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
def _matmul(op: Op) -> Value:
    left, right = op.inputs[:2]
    if op.has_no_rows or not any(isinstance(one.place, Rows) for one in op.inputs):
        return Value(NO_ROWS if op.has_no_rows else COUNTS, _product(op, left.dims, right.dims))
    if any(isinstance(one.place, Counts) for one in op.inputs):
        return op.mixed("reckons with the number of rows in the batch")
    sides = [_turned(left, _is_turned(op, "a", "x")), _turned(right, _is_turned(op, "b", "y"))]
    if sides[0] is None or sides[1] is None:
        return op.unknown("multiplies matrices of unknown rank")
    return _multiplied(op, sides[0], sides[1])


def _is_turned(op: Op, old: str, new: str) -> bool:
    return op.flag(f"transpose_{old}") or op.flag(f"adj_{new}")


def _turned(value: Value, turned: bool) -> Value | None:
    """The operand with its last two axes in the order in which they are multiplied."""
    if value.dims is None or len(value.dims) < 2:
        return None
    if not turned:
        return value
    place, last = value.place, len(value.dims) - 1
    dims = (*value.dims[:-2], value.dims[-1], value.dims[-2])
    if isinstance(place, Rows) and place.axis >= last - 1:
        place = replace(place, axis=2 * last - 1 - place.axis)
    return Value(place, dims)


def _multiplied(op: Op, left: Value, right: Value) -> Value:
    assert left.dims is not None
    assert right.dims is not None
    rows_of_left = left.place.axis - len(left.dims) if isinstance(left.place, Rows) else 0
    rows_of_right = right.place.axis - len(right.dims) if isinstance(right.place, Rows) else 0
    if rows_of_left == -1 or rows_of_right == -2:
        return over_rows(op)
    along_matrix = rows_of_left == -2, rows_of_right == -1
    dims = _product(op, left.dims, right.dims, turned=True)
    if any(along_matrix):
        if isinstance(left.place, Rows) and isinstance(right.place, Rows):
            return op.mixed(_EACH_WITH_EACH)
        place = left.place if along_matrix[0] else right.place
        assert isinstance(place, Rows)
        rank = max(len(left.dims), len(right.dims))
        axis = rank - 2 if along_matrix[0] else rank - 1
        return rows_value(replace(place, axis=axis, content=op.content()), dims)
    # Rows are among the axes that matrices are counted by, and these are broadcast.
    batches = [replace(side, dims=(*(side.dims or ())[:-2], ONE, ONE)) for side in (left, right)]
    found = broadcast(op, batches)
    return rows_value(found.place, dims) if isinstance(found.place, Rows) else found


def _product(op: Op, left: Dims | None, right: Dims | None, *, turned: bool = False) -> Dims | None:
    if left is None or right is None or len(left) < 2 or len(right) < 2:
        return None
    high = left[-1] if not turned and _is_turned(op, "a", "x") else left[-2]
    wide = right[-2] if not turned and _is_turned(op, "b", "y") else right[-1]
    batches = broadcast_dims(left[:-2], right[:-2])
    return None if batches is None else (*batches, high, wide)


@rule("Einsum")
def _einsum(op: Op) -> Value:
    operands, result = _labels(op)
    if len(operands) != len(op.inputs) or any(isinstance(one.place, Counts) for one in op.inputs):
        return op.unknown("has an equation that is not understood")
    if op.has_no_rows:
        return Value(NO_ROWS, _einsum_dims(op, operands, result))
    found: dict[str, Rows] = {}
    for labels, value in zip(operands, op.inputs, strict=True):
        if isinstance(value.place, Rows):
            expanded = _expanded(labels, value.rank)
            if expanded is None:
                return op.unknown("has an operand of unknown rank")
            label = expanded[value.place.axis]
            if expanded.count(label) > 1:
                return op.mixed("takes a diagonal over the rows of the batch")
            found[label] = value.place
    if len(found) > 1:
        return op.mixed(_EACH_WITH_EACH)
    ((label, place),) = found.items()
    for labels, value in zip(operands, op.inputs, strict=True):
        if isinstance(value.place, NoRows):
            expanded = _expanded(labels, value.rank)
            if expanded is None:
                return op.unknown("has an operand of unknown rank")
            if label in expanded and (value.dims is None or value.dims[expanded.index(label)] != ONE):
                return op.unknown("has an operand that is made for a fixed number of rows")
        elif isinstance(value.place, Rows) and replace(value.place, axis=0, content=Content.OWN) != replace(
            place, axis=0, content=Content.OWN
        ):
            return op.unknown("joins tensors whose rows are laid out in different ways")
    dots = max(
        (_dots(labels, value.rank) for labels, value in zip(operands, op.inputs, strict=True)), default=0
    )
    out = _expanded(result, len(result.replace("...", "")) + dots) if "..." in result else list(result)
    assert out is not None
    if label not in out:
        return over_rows(op)
    if out.count(label) > 1:
        return op.unknown("makes a diagonal of rows")
    moved = replace(place, axis=out.index(label), content=op.content())
    return rows_value(moved, _einsum_dims(op, operands, result))


def _labels(op: Op) -> tuple[list[str], str]:
    equation = re.sub(r"\s", "", op.text("equation"))
    left, _, result = equation.partition("->")
    return left.split(","), result


def _dots(labels: str, rank: int | None) -> int:
    return 0 if rank is None or "..." not in labels else rank - len(labels.replace("...", ""))


def _expanded(labels: str, rank: int | None) -> list[str] | None:
    """One label for each axis; those of an ellipsis are counted from its end, as they are broadcast."""
    if "..." not in labels:
        return list(labels)
    if rank is None:
        return None
    before, after = labels.split("...")
    count = rank - len(before) - len(after)
    return [*before, *(f"...{place}" for place in range(count, 0, -1)), *after]


def _einsum_dims(op: Op, operands: list[str], result: str) -> Dims | None:
    sizes: dict[str, Dim | None] = {}
    dots = 0
    for labels, value in zip(operands, op.inputs, strict=True):
        expanded = _expanded(labels, value.rank)
        if expanded is None or value.dims is None or len(expanded) != len(value.dims):
            return None
        dots = max(dots, _dots(labels, value.rank))
        for label, dim in zip(expanded, value.dims, strict=True):
            if label not in sizes or sizes[label] in (ONE, None):
                sizes[label] = dim
    out = _expanded(result, len(result.replace("...", "")) + dots)
    return None if out is None else tuple(sizes.get(label) for label in out)


@rule("MatrixSolve", "MatrixTriangularSolve", "CholeskySolve", "MatrixSolveLs", "Cross")
def _solve(op: Op) -> Value:
    """One system for each of the leading axes, in both operands."""
    inner = 1 if op.type == "Cross" else 2
    if op.has_no_rows:
        return Value(NO_ROWS)
    for value in op.inputs:
        if value.rank is None or not isinstance(value.place, Rows) or value.place.axis >= value.rank - inner:
            return op.unknown("works on rows and on what is none")
    found = broadcast(op, op.inputs)
    return found if not isinstance(found.place, Rows) else rows_value(found.place, op.inputs[-1].dims)


@rule("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea", "ScaleAndTranslate")
def _resize(op: Op) -> Value:
    images, size, *others = op.inputs
    if op.has_no_rows:
        return Value(NO_ROWS)
    if (
        not isinstance(images.place, Rows)
        or images.place.axis
        or any(not isinstance(one.place, NoRows) for one in others)
    ):
        return op.unknown("resizes by what depends on the batch")
    if not isinstance(size.place, NoRows):
        return op.mixed("resizes to a size that depends on the batch", extent=True)
    high, wide = (
        (None, None)
        if size.elements is None
        else (one if isinstance(one, Dim) else None for one in size.elements)
    )
    depth = None if images.dims is None else images.dims[-1]
    return rows_value(replace(images.place, content=op.content()), (None, high, wide, depth))


@rule("RGBToHSV", "HSVToRGB")
def _colours(op: Op) -> Value:
    value = op.inputs[0]
    if not isinstance(value.place, Rows):
        return Value(value.place, value.dims)
    if value.rank is None or value.place.axis == value.rank - 1:
        return op.unknown("may take rows for colours")
    return Value(replace(value.place, content=op.content()), value.dims)


@rule("AdjustContrastv2", "AdjustHue", "AdjustSaturation")
def _adjust(op: Op) -> Value:
    """The last three axes are one image."""
    value, *others = op.inputs
    if any(not isinstance(other.place, NoRows) for other in others):
        return op.unknown("adjusts by what depends on the batch")
    if not isinstance(value.place, Rows):
        return Value(value.place, value.dims)
    if value.rank is None or value.place.axis >= value.rank - 3:
        return op.unknown("may take rows for a part of an image")
    return Value(replace(value.place, content=op.content()), value.dims)


@rule("ExtractImagePatches")
def _patches(op: Op) -> Value:
    value = op.inputs[0]
    if not isinstance(value.place, Rows):
        return Value(value.place)
    windows = op.integers("ksizes")
    if value.place.axis >= len(windows) or windows[value.place.axis] != 1:
        return op.mixed("slides over the rows of the batch")
    if value.place.axis:
        return op.unknown("has the rows of the batch along an axis of its images")
    return rows_value(replace(value.place, content=op.content()), None)


@rule("CropAndResize")
def _crop(op: Op) -> Value:
    images, boxes, numbers, size = op.inputs
    if op.has_no_rows:
        return Value(NO_ROWS)
    if (
        images.place != Rows()
        or numbers.place != Rows(content=Content.NUMBER)
        or not isinstance(size.place, NoRows)
    ):
        return op.unknown("crops images by numbers that are not known to be their own")
    if boxes.place not in (Rows(), Rows(content=Content.SAME)):
        return op.unknown("has boxes that are not known to be the image's own")
    high, wide = (
        (None, None)
        if size.elements is None
        else (one if isinstance(one, Dim) else None for one in size.elements)
    )
    depth = None if images.dims is None else images.dims[-1]
    return rows_value(Rows(), (None, high, wide, depth))


@rule("CombinedNonMaxSuppression")
def _suppression(op: Op) -> list[Value]:
    boxes, scores, *others = op.inputs
    if op.has_no_rows:
        return [Value(NO_ROWS)] * 4
    plain = all(isinstance(one.place, Rows) and one.place == Rows() for one in (boxes, scores))
    if not plain or any(not isinstance(one.place, NoRows) for one in others):
        return [op.unknown("suppresses boxes by what depends on the batch")] * 4
    return [rows_value(Rows(), (None,) * rank) for rank in (3, 2, 2, 1)]
