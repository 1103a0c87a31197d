"""The ops of shapes: what graphs do with small vectors of integers before they reshape by them.

A graph that reshapes to [number of rows, 3, 5] takes the first element of a shape, packs it with constants,
concatenates, multiplies, and picks elements again. All of this is followed element by element (integers.py),
whatever the elements are; `followed` gives None where it is not, and the rules for tensors in general
take over.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np

from hotgraph_server.row_independence.dimensions import ONE, ZERO, Dim, const
from hotgraph_server.row_independence.domain import (
    Dims,
    Element,
    Elements,
    Value,
    place_of_elements,
    scalar_of,
    vector_of,
)
from hotgraph_server.row_independence.integers import (
    Reckon,
    add,
    both,
    broadcast_shapes,
    comparison,
    divide,
    either,
    maximum,
    minimum,
    modulo,
    multiply,
    negated,
    negative,
    same,
    subtract,
)
from hotgraph_server.row_independence.table import Op

WHOLE = (np.dtype(np.int32), np.dtype(np.int64))
"""The types that shapes are made of."""

LONGEST = 64
"""Vectors that are longer than this are no shapes."""

_OF_MATRICES = frozenset({"Pack", "ConcatV2", "Concat", "Identity"})
"""Paddings are matrices, made of pairs."""


def followed(op: Op) -> Value | None:
    """The output of an op all of whose inputs are followed; None: it is no op on shapes."""
    rule = _FOLLOWED.get(op.type)
    if rule is None or not op.inputs or any(value.elements is None for value in op.inputs):
        return None
    if op.type not in _OF_MATRICES and any((value.rank or 0) > 1 for value in op.inputs):
        return None
    return rule(op)


def _value(elements: Elements, dims: Dims | None) -> Value:
    if dims == ():
        return scalar_of(elements[0])
    return vector_of(elements)


def _unary(reckon: Callable[[Element], Element]) -> Callable[[Op], Value | None]:
    def rule(op: Op) -> Value | None:
        value = op.inputs[0]
        assert value.elements is not None
        if value.rank == 2:
            return value
        return _value(tuple(reckon(element) for element in value.elements), value.dims)

    return rule


def _binary(reckon: Reckon) -> Callable[[Op], Value | None]:
    def rule(op: Op) -> Value | None:
        return elementwise(reckon, *op.inputs)

    return rule


def elementwise(reckon: Reckon, left: Value, right: Value) -> Value | None:
    """Two vectors or scalars, one broadcast to the other."""
    assert left.elements is not None
    assert right.elements is not None
    count = max(len(left.elements), len(right.elements))
    if 0 in (len(left.elements), len(right.elements)):
        count = 0
    spread = [value * count if len(value) == 1 else value for value in (left.elements, right.elements)]
    if {len(spread[0]), len(spread[1])} != {count}:
        return None
    elements = tuple(reckon(one, other) for one, other in zip(*spread, strict=True))
    return _value(elements, () if left.dims == right.dims == () else (const(count),))


def _reduce(reckon: Reckon, start: Element | None) -> Callable[[Op], Value | None]:
    def rule(op: Op) -> Value | None:
        value, axes = op.inputs[0], op.inputs[1].constants
        assert value.elements is not None
        if value.dims == () and not axes:
            return value
        if value.dims == () or axes not in ((0,), (-1,)):
            return None
        if not value.elements and start is None:
            return None
        found = reduce(reckon, value.elements, start) if start is not None else reduce(reckon, value.elements)
        return vector_of((found,)) if op.flag("keep_dims") else scalar_of(found)

    return rule


def _pack(op: Op) -> Value | None:
    elements = tuple(element for value in op.inputs for element in value.elements or ())
    dims = op.inputs[0].dims
    if dims is None or any(value.dims != dims for value in op.inputs) or len(elements) > LONGEST:
        return None
    if dims == ():
        return vector_of(elements)
    if len(dims) > 1 or op.integer("axis"):
        return None
    return Value(place_of_elements(elements), (const(len(op.inputs)), *dims), elements)


def _concatenate(op: Op) -> Value | None:
    parts, axis = (op.inputs[:-1], op.inputs[-1]) if op.type == "ConcatV2" else (op.inputs[1:], op.inputs[0])
    elements = tuple(element for value in parts for element in value.elements or ())
    if len(elements) > LONGEST or axis.constants is None:
        return None
    if all(value.rank == 1 for value in parts):
        return vector_of(elements)
    if axis.constants != (0,) or any(value.rank != 2 for value in parts):
        return None
    width = next((value.dims[1] for value in parts if value.dims is not None), None)
    if width is None or width.coefficient == 0:
        return None
    return Value(place_of_elements(elements), (const(len(elements) // width.coefficient), width), elements)


def _slice_of_vector(op: Op) -> Value | None:
    value, *bounds = op.inputs
    begin, end, stride = (bound.constants for bound in bounds)
    if value.rank != 1 or begin is None or end is None or stride is None or len(begin) != 1:
        return None
    if op.integer("ellipsis_mask") or op.integer("new_axis_mask"):
        return None
    assert value.elements is not None
    if op.integer("shrink_axis_mask"):
        inside = -len(value.elements) <= begin[0] < len(value.elements)
        return scalar_of(value.elements[begin[0]]) if inside else None
    start = None if op.integer("begin_mask") else begin[0]
    stop = None if op.integer("end_mask") else end[0]
    return vector_of(value.elements[start : stop : stride[0]]) if stride[0] else None


def _slice_by_size(op: Op) -> Value | None:
    value, begin, size = op.inputs[0], op.inputs[1].constants, op.inputs[2].constants
    if value.rank != 1 or not begin or not size:
        return None
    assert value.elements is not None
    stop = len(value.elements) if size[0] == -1 else begin[0] + size[0]
    return vector_of(value.elements[begin[0] : stop])


def _gather(op: Op) -> Value | None:
    value, indices = op.inputs[0], op.inputs[1].constants
    if value.rank != 1 or indices is None or op.integer("batch_dims"):
        return None
    assert value.elements is not None
    if any(not 0 <= index < len(value.elements) for index in indices):
        return None
    return _value(tuple(value.elements[index] for index in indices), op.inputs[1].dims)


def _reshape(op: Op) -> Value | None:
    value = op.inputs[0]
    shape = op.inputs[-1].constants if op.type == "Reshape" else None
    assert value.elements is not None
    if op.type == "Reshape":
        if shape is not None and len(shape) == 1:
            return vector_of(value.elements)
        return scalar_of(value.elements[0]) if shape == () and len(value.elements) == 1 else None
    if op.type == "ExpandDims":
        return vector_of(value.elements) if value.dims == () else None
    return scalar_of(value.elements[0]) if value.dims == (ONE,) else None


def _range(op: Op) -> Value | None:
    start, limit, delta = (value.scalar for value in op.inputs)
    if not (isinstance(start, Dim) and isinstance(limit, Dim) and isinstance(delta, Dim)):
        return None
    if not (start.is_constant and limit.is_constant and delta.is_constant and delta.coefficient):
        return None
    numbers = range(start.coefficient, limit.coefficient, delta.coefficient)
    return vector_of(tuple(map(const, numbers))) if len(numbers) <= LONGEST else None


def _fill(op: Op) -> Value | None:
    count, value = op.inputs[0].constants, op.inputs[1].scalar
    if op.inputs[0].rank != 1 or count is None or value is None or len(count) > 1:
        return None
    if not count:
        return scalar_of(value)
    return vector_of((value,) * count[0]) if 0 <= count[0] <= LONGEST else None


def _cast(op: Op) -> Value | None:
    whole = op.dtype("SrcT") in WHOLE and op.dtype("DstT") in WHOLE
    return op.inputs[0] if whole else None


def _select(op: Op) -> Value | None:
    condition, yes, no = op.inputs
    chosen = condition.scalar
    if isinstance(chosen, Dim) and chosen.is_constant and yes.dims == no.dims:
        return yes if chosen.coefficient else no
    return None


def _broadcast_arguments(op: Op) -> Value | None:
    one, other = op.inputs
    assert one.elements is not None
    assert other.elements is not None
    return vector_of(broadcast_shapes(one.elements, other.elements))


def _inverse_permutation(op: Op) -> Value | None:
    order = op.inputs[0].constants
    if order is None or sorted(order) != list(range(len(order))):
        return None
    return vector_of(tuple(const(order.index(position)) for position in range(len(order))))


def _reverse(op: Op) -> Value | None:
    value = op.inputs[0]
    if value.rank != 1 or op.inputs[1].constants not in ((0,), (-1,)):
        return None
    assert value.elements is not None
    return vector_of(value.elements[::-1])


_FOLLOWED: dict[str, Callable[[Op], Value | None]] = {
    **dict.fromkeys(("Identity", "StopGradient", "Snapshot", "PreventGradient"), _unary(same)),
    **dict.fromkeys(("Add", "AddV2"), _binary(add)),
    "Sub": _binary(subtract),
    "Neg": _unary(negative),
    "Mul": _binary(multiply),
    **dict.fromkeys(("FloorDiv", "TruncateDiv"), _binary(divide)),
    **dict.fromkeys(("FloorMod", "Mod"), _binary(modulo)),
    "Maximum": _binary(maximum),
    "Minimum": _binary(minimum),
    "Less": _binary(comparison(lambda one, other: one < other, "less")),
    "LessEqual": _binary(comparison(lambda one, other: one <= other, "less or equal")),
    "Greater": _binary(comparison(lambda one, other: one > other, "greater")),
    "GreaterEqual": _binary(comparison(lambda one, other: one >= other, "greater or equal")),
    "Equal": _binary(comparison(lambda one, other: one == other, "equal")),
    "NotEqual": _binary(comparison(lambda one, other: one != other, "not equal")),
    "LogicalAnd": _binary(both),
    "LogicalOr": _binary(either),
    "LogicalNot": _unary(negated),
    "Prod": _reduce(multiply, ONE),
    "Sum": _reduce(add, ZERO),
    "Max": _reduce(maximum, None),
    "Min": _reduce(minimum, None),
    "All": _reduce(both, ONE),
    "Any": _reduce(either, ZERO),
    "Pack": _pack,
    **dict.fromkeys(("ConcatV2", "Concat"), _concatenate),
    "StridedSlice": _slice_of_vector,
    "Slice": _slice_by_size,
    **dict.fromkeys(("GatherV2", "Gather"), _gather),
    **dict.fromkeys(("Reshape", "ExpandDims", "Squeeze"), _reshape),
    "Cast": _cast,
    "Range": _range,
    "Fill": _fill,
    **dict.fromkeys(("Select", "SelectV2"), _select),
    "BroadcastArgs": _broadcast_arguments,
    "InvertPermutation": _inverse_permutation,
    "ReverseV2": _reverse,
}
