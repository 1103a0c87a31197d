"""Ops that slide a window over images: convolutions and pools. Rows meet in them when the window goes over
the axis of rows."""

from __future__ import annotations

from dataclasses import replace

from hotgraph_server.row_independence.dimensions import ONE, Dim, const, reckoned
from hotgraph_server.row_independence.domain import (
    NO_ROWS,
    Dims,
    NoRows,
    Rows,
    Value,
    rows_value,
)
from hotgraph_server.row_independence.table import Op, rule


@rule("Conv2D", "Conv3D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "Conv2DBackpropInputV2", "Conv1D")
@rule("Conv3DBackpropInputV2", "Dilation2D", "FusedResizeAndPadConv2D")
def _convolution(op: Op) -> Value:
    backwards = "Backprop" in op.type
    value = op.inputs[2] if backwards else op.inputs[0]
    filters = op.inputs[1]
    others = [one for one in op.inputs if one is not value]
    if op.has_no_rows:
        return Value(NO_ROWS)
    if not isinstance(value.place, Rows) or not isinstance(filters.place, NoRows):
        return op.unknown("has filters that depend on the batch")
    if value.place.axis != 0:
        return _slides(op, value.place.axis, () if filters.dims is None else (None, *filters.dims[:-2]))
    place = replace(value.place, content=op.content())
    if backwards:
        return _backwards(op, place)
    if any(not isinstance(other.place, NoRows) for other in others):
        return op.unknown("has a setting that depends on the batch")
    return rows_value(place, _convolved(op, value, filters))


def _slides(op: Op, axis: int, windows: Dims) -> Value:
    """A window is moved over the axis of rows: one that is wider than a row joins several."""
    place = axis - op.text("data_format").startswith("NC")
    window = windows[place] if 0 < place < len(windows) else None
    if window is not None and window.is_constant and window != ONE:
        return op.mixed("slides over the rows of the batch")
    return op.unknown("has the rows of the batch along an axis of its images")


def _backwards(op: Op, place: Rows) -> Value:
    """A transposed convolution is told the shape that comes out, its number of rows first."""
    shape = op.inputs[0].elements
    size = rows_value(place, (None,)).dims
    if shape is None or size is None or shape[0] != size[0]:
        return op.unknown("is told a number of rows that is not known to be that of the batch")
    return rows_value(place, tuple(one if isinstance(one, Dim) else None for one in shape))


def _convolved(op: Op, value: Value, filters: Value) -> Dims | None:
    if value.dims is None or filters.dims is None or len(value.dims) != len(filters.dims):
        return None
    windows = filters.dims[:-2]
    depth = filters.dims[-1]
    if op.type == "DepthwiseConv2dNative":
        per, channels = filters.dims[-1], filters.dims[-2]
        depth = None if per is None or channels is None else per * channels
    return _slid(op, value.dims, windows, depth)


def _slid(op: Op, dims: Dims, windows: Dims, depth: Dim | None) -> Dims:
    """The shape after a window has been moved over all axes but the first and that of channels."""
    first = op.text("data_format").startswith("NC")
    spatial = range(2, len(dims)) if first else range(1, len(dims) - 1)
    strides, dilations = op.integers("strides"), op.integers("dilations") or (1,) * len(dims)
    padding = op.text("padding")
    result: list[Dim | None] = [None] * len(dims)
    for axis, window in zip(spatial, windows, strict=False):
        dim, stride = dims[axis], const(strides[axis] if len(strides) == len(dims) else 1)
        if padding == "SAME" and dim is not None:
            result[axis] = _ceiled(dim, stride)
        elif padding == "VALID" and dim is not None and window is not None and window.is_constant:
            reach = const((window.coefficient - 1) * dilations[axis] + 1)
            result[axis] = _ceiled_valid(dim, reach, stride)
    result[1 if first else -1] = depth
    return tuple(result)


def _ceiled(dim: Dim, stride: Dim) -> Dim | None:
    if stride == ONE:
        return dim
    return (
        const(-(-dim.coefficient // stride.coefficient)) if dim.is_constant else reckoned("ceil", dim, stride)
    )


def _ceiled_valid(dim: Dim, reach: Dim, stride: Dim) -> Dim | None:
    if reach == stride == ONE:
        return dim
    if dim.is_constant:
        return const((dim.coefficient - reach.coefficient) // stride.coefficient + 1)
    return reckoned("valid", dim, reach, stride)


@rule("MaxPool", "AvgPool", "MaxPool3D", "AvgPool3D", "MaxPoolV2")
def _pool(op: Op) -> Value:
    value, *others = op.inputs
    if not isinstance(value.place, Rows) or others:
        return Value(NO_ROWS) if op.has_no_rows else op.unknown("has a setting that depends on the batch")
    windows = op.integers("ksize")
    if not 0 <= value.place.axis < len(windows) or windows[value.place.axis] != 1:
        return op.mixed("slides over the rows of the batch")
    if value.place.axis:
        return op.unknown("has the rows of the batch along an axis of its images")
    place, dims = replace(value.place, content=op.content()), value.dims
    if dims is None or len(op.integers("ksize")) != len(dims):
        return rows_value(place, None)
    first = op.text("data_format").startswith("NC")
    ksize, channel = op.integers("ksize"), 1 if first else -1
    sizes = ksize[2:] if first else ksize[1:-1]
    depth = dims[channel] if ksize[channel] == 1 else None
    return rows_value(place, _slid(op, dims, tuple(map(const, sizes)), depth))
