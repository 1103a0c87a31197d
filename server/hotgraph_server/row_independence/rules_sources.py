"""Where tensors begin: constants, variables, tables; and what draws random numbers."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from hotgraph_server.row_independence.dimensions import const
from hotgraph_server.row_independence.domain import NO_ROWS, Value, place_of_elements
from hotgraph_server.row_independence.rules_integers import LONGEST
from hotgraph_server.row_independence.table import Op, dims_of_shape, rule
from hotgraph_server.tensors import dtype_of

_WHOLE = tuple(np.dtype(one) for one in (np.int32, np.int64, np.bool_))


@rule("Const")
def _constant(op: Op) -> Value:
    tensor = op.node.attr["value"].tensor
    dims = dims_of_shape(tensor.tensor_shape)
    numbers = _numbers(tensor)
    if numbers is None:
        return Value(NO_ROWS, dims)
    elements = tuple(map(const, numbers))
    return Value(place_of_elements(elements), dims, elements)


def _numbers(tensor: Any) -> list[int] | None:
    """The elements of a small tensor of whole numbers; None: it is none."""
    dtype = dtype_of(tensor.dtype)
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    count = prod(sizes)
    if dtype not in _WHOLE or dtype is None or len(sizes) > 2 or count > LONGEST:
        return None
    if tensor.tensor_content:
        return [int(one) for one in np.frombuffer(tensor.tensor_content, dtype)]
    fields = {np.dtype(np.int32): tensor.int_val, np.dtype(np.int64): tensor.int64_val}
    given = [int(one) for one in fields.get(dtype, tensor.bool_val)]
    # The last value stands for all that are left out, and nothing at all for zeros.
    return (given + [given[-1] if given else 0] * count)[:count]


@rule("VarHandleOp")
def _variable(op: Op) -> Value:
    return Value(NO_ROWS, (), holds=dims_of_shape(op.node.attr["shape"].shape) if op.has("shape") else None)


@rule("VariableV2", "Variable")
def _reference(op: Op) -> Value:
    return Value(NO_ROWS, dims_of_shape(op.node.attr["shape"].shape) if op.has("shape") else None)


@rule("ReadVariableOp")
def _read(op: Op) -> Value:
    return Value(op.inputs[0].place, op.inputs[0].holds)


@rule("VariableShape")
def _shape_of_variable(op: Op) -> Value:
    held = op.inputs[0].holds
    if held is None or any(dim is None for dim in held):
        return Value(NO_ROWS)
    elements = tuple(dim for dim in held if dim is not None)
    return Value(NO_ROWS, (const(len(elements)),), elements)


@rule("MutableDenseHashTable", "MutableDenseHashTableV2")
def _dense_table(op: Op) -> Value:
    shapes = op.node.attr["value_shape"].shape.dim if op.has("value_shape") else ()
    if op.inputs[0].dims != () or shapes:
        return op.unknown("has keys or values that are no scalars")
    return Value(NO_ROWS)


@rule("HashTable", "HashTableV2", "MutableHashTable", "MutableHashTableV2")
@rule("AnonymousHashTable", "LookupTableSizeV2", "LookupTableExportV2")
def _table(op: Op) -> Value | list[Value]:
    return [Value(NO_ROWS)] * 2 if op.type == "LookupTableExportV2" else Value(NO_ROWS)


@rule(
    *("RandomUniform", "RandomUniformInt", "RandomStandardNormal", "TruncatedNormal", "RandomShuffle"),
    *("Multinomial", "RandomGamma", "RandomPoisson", "RandomPoissonV2", "ParameterizedTruncatedNormal"),
)
def _random(op: Op) -> Value:
    return op.unknown("draws random numbers")
