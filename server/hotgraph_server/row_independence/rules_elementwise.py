"""Ops that make each element of what comes out from the elements at the same place: rows stay where they are.

With broadcasting, the axes of the operands are laid over each other from the last one backwards. Rows must
come to lie on rows. What has no rows must not reach along their axis: it would stand for a fixed number of
rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hotgraph_server.row_independence.dimensions import BATCH, ONE, Dim
from hotgraph_server.row_independence.domain import (
    COUNTS,
    NO_ROWS,
    Content,
    Counts,
    Dims,
    NoRows,
    Part,
    Rows,
    Splits,
    Value,
    rows_value,
)
from hotgraph_server.row_independence.rules_integers import WHOLE
from hotgraph_server.row_independence.table import Op, rule

# What comes after the first input, if anything, has no rows: patterns, separators, bounds.
UNARY = (
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Digamma", "Erf"),
    *("Erfc", "Erfinv", "Exp", "Expm1", "Floor", "Inv", "Invert", "IsFinite", "IsInf", "IsNan", "Lgamma"),
    *(
        "Log",
        "Log1p",
        "LogicalNot",
        "Ndtri",
        "Neg",
        "Reciprocal",
        "Rint",
        "Round",
        "Rsqrt",
        "Sigmoid",
        "Sign",
    ),
    *("Sin", "Sinh", "Sqrt", "Square", "Tan", "Tanh", "BesselI0e", "BesselI1e", "BesselI0", "BesselI1"),
    *("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Softplus", "Softsign"),
    *("Real", "Imag", "Conj", "Angle", "ComplexAbs", "Bitcast", "CheckNumerics", "CheckNumericsV2"),
    *("PopulationCount", "Cast", "AsString", "StringLower", "StringUpper", "StringStrip", "StringLength"),
    *("StringToNumber", "StringToHashBucket", "StringToHashBucketFast", "StringToHashBucketStrong"),
    *("StaticRegexReplace", "StaticRegexFullMatch", "EncodeBase64", "DecodeBase64", "UnicodeTranscode"),
    *("UnicodeScript", "DecodeCompressed", "DecodeJSONExample", "Print", "Copy", "CopyHost"),
    *("FakeQuantWithMinMaxArgs", "Bucketize", "RegexReplace", "RegexFullMatch"),
    "FakeQuantWithMinMaxVars",
)
PASSING = (
    *("Identity", "StopGradient", "Snapshot", "PreventGradient", "EnsureShape", "DeepCopy"),
    *("PlaceholderWithDefault", "OptimizationBarrier", "RefIdentity"),
)
BROADCASTING = (
    *("Add", "AddV2", "Mul", "MulNoNan", "Div", "DivNoNan", "RealDiv", "FloorDiv", "TruncateDiv"),
    *("FloorMod", "Mod", "TruncateMod", "Pow", "Maximum", "Minimum", "SquaredDifference", "Atan2", "Complex"),
    *("Less", "LessEqual", "Greater", "GreaterEqual", "Equal", "NotEqual", "ApproximateEqual"),
    *("LogicalAnd", "LogicalOr", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "LeftShift", "RightShift"),
    *("Xlogy", "Xlog1py", "Xdivy", "Igamma", "Igammac", "Zeta", "Polygamma", "Betainc", "NextAfter"),
    *("SelectV2", "ClipByValue", "AddN", "AccumulateNV2", "Substr", "StringJoin"),
    *("ReluGrad", "Relu6Grad", "SigmoidGrad", "TanhGrad"),
)


def broadcast_dims(one: Dims | None, other: Dims | None) -> Dims | None:
    """The shape of what two tensors are broadcast to, as far as it is known."""
    if one is None or other is None:
        return None
    rank = max(len(one), len(other))
    wide = [(*([ONE] * (rank - len(dims))), *dims) for dims in (one, other)]
    return tuple(_broadcast(left, right) for left, right in zip(*wide, strict=True))


def _broadcast(one: Dim | None, other: Dim | None) -> Dim | None:
    if one == other or other == ONE:
        return one
    if one == ONE:
        return other
    # Of two that can be broadcast, one that is neither 1 nor unknown is the size of both.
    return next((dim for dim in (one, other) if dim is not None and dim.is_constant), None)


def broadcast(op: Op, values: Sequence[Value]) -> Value:
    """Where the rows are of what is made elementwise of `values`."""
    dims = values[0].dims
    for value in values[1:]:
        dims = broadcast_dims(dims, value.dims)
    with_rows = [value for value in values if isinstance(value.place, Rows)]
    if not with_rows:
        counts = any(isinstance(value.place, Counts) for value in values)
        return Value(COUNTS if counts else NO_ROWS, dims)
    if any(isinstance(value.place, Counts) for value in values):
        return op.mixed("reckons with the number of rows in the batch")
    if dims is None:
        return _without_ranks(op, values, with_rows)
    places = {_aligned(value, len(dims)) for value in with_rows}
    if len({place.axis for place in places}) > 1:
        return op.mixed("puts the rows of one operand against those of another, each with each")
    place, *others = places
    if any(replace(other, content=place.content) != place for other in others):
        return op.unknown("joins tensors whose rows are laid out in different ways")
    for value in values:
        if isinstance(value.place, NoRows):
            assert value.dims is not None
            position = place.axis - (len(dims) - len(value.dims))
            along = value.dims[position] if position >= 0 else ONE
            if along is None:
                return op.unknown("has an operand whose size along the rows is not known")
            if along != ONE:
                return op.mixed("has an operand that is made for a fixed number of rows")
    return rows_value(replace(place, content=op.content()), dims)


def _aligned(value: Value, rank: int) -> Rows:
    assert isinstance(value.place, Rows)
    assert value.dims is not None
    return replace(value.place, axis=value.place.axis + rank - len(value.dims))


def _without_ranks(op: Op, values: Sequence[Value], with_rows: Sequence[Value]) -> Value:
    """Scalars do not move the one operand that has rows, however many axes it has."""
    scalars = all(value.dims == () for value in values if isinstance(value.place, NoRows))
    if len(with_rows) == 1 and scalars:
        place = with_rows[0].place
        assert isinstance(place, Rows)
        return rows_value(replace(place, content=op.content()), with_rows[0].dims)
    return op.unknown("has an operand of unknown rank")


@rule(*BROADCASTING)
def _binary(op: Op) -> Value:
    return broadcast(op, op.inputs)


@rule("Sub", takes_parts=True)
def _difference(op: Op) -> Value:
    one, other = (value.place for value in op.inputs)
    if isinstance(one, Splits) and one.part is Part.ENDS and other == replace(one, part=Part.BEGINS):
        # How long each row's stretch is.
        return rows_value(Rows(), (BATCH,))
    if not all(isinstance(value.place, NoRows | Counts | Rows) for value in op.inputs):
        return op.unknown("reckons with the borders between rows")
    return broadcast(op, op.inputs)


@rule("Select")
def _select(op: Op) -> Value:
    condition, yes, no = op.inputs
    if condition.rank == 1 and (yes.rank or 0) > 1 and yes.dims is not None:
        # The old kind: a vector chooses along the first axis, not the last.
        condition = Value(condition.place, (condition.dims or (None,)) + (ONE,) * (len(yes.dims) - 1))
    elif condition.rank is None and condition.place != NO_ROWS:
        return op.unknown("has a condition of unknown rank")
    return broadcast(op, [condition, yes, no])


@rule(*UNARY)
def _unary(op: Op) -> Value:
    value, *others = op.inputs
    if any(not isinstance(other.place, NoRows) for other in others):
        return op.unknown("has a setting that depends on the batch")
    place = value.place
    if op.type == "Cast":
        return _cast(op, value)
    if op.type == "Bitcast" and op.dtype("T") != op.dtype("type") and isinstance(place, Rows):
        return op.unknown("may give or take an axis")
    if isinstance(place, Rows):
        place = replace(place, content=op.content())
    return Value(place, value.dims)


def _cast(op: Op, value: Value) -> Value:
    # The number of a row, and of rows, is the same number in any type that shapes are made of.
    if op.dtype("DstT") in WHOLE and op.dtype("SrcT") in WHOLE:
        return value
    place = value.place
    return Value(replace(place, content=op.content()) if isinstance(place, Rows) else place, value.dims)


@rule(*PASSING, takes_parts=True, takes_mixed=True)
def _passing(op: Op) -> Value:
    return op.inputs[0]


@rule("IdentityN", takes_parts=True, takes_mixed=True)
def _passing_all(op: Op) -> list[Value]:
    return list(op.inputs)


@rule("ZerosLike", "OnesLike")
def _filled_like(op: Op) -> Value:
    value = op.inputs[0]
    if isinstance(value.place, Rows):
        if value.place.ragged is not None:
            return Value(replace(value.place, content=Content.OWN), value.dims)
        return Value(replace(value.place, content=Content.SAME), value.dims)
    return Value(NO_ROWS, value.dims)


@rule("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "_FusedBatchNormEx")
def _batch_norm(op: Op) -> Value:
    value, *parameters = op.inputs
    if op.flag("is_training", True):
        return op.mixed("normalises by the mean and variance of the batch (is_training=True)")
    return _per_channel(op, value, parameters)


@rule("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4")
def _quantised(op: Op) -> Value:
    """To levels between two bounds, of all elements or of each slice along an axis. Bounds that are not given
    are the least and the greatest of what comes in."""
    value, *settings = op.inputs
    if any(not isinstance(setting.place, NoRows) for setting in settings):
        return op.unknown("has a setting that depends on the batch")
    if not isinstance(value.place, Rows):
        return Value(value.place, value.dims)
    by_row = op.integer("axis", -1) == value.place.axis
    given = op.flag("range_given", op.type == "QuantizeAndDequantizeV3")
    if given and by_row:
        return op.unknown("has bounds that are made for a fixed number of rows")
    if not given and not by_row:
        return op.mixed("takes the least and the greatest of all rows for its bounds")
    return Value(replace(value.place, content=op.content()), value.dims)


@rule("BatchNormWithGlobalNormalization")
def _old_batch_norm(op: Op) -> Value:
    return _per_channel(op, op.inputs[0], op.inputs[1:])


@rule("BiasAdd", "BiasAddV1", "FakeQuantWithMinMaxVarsPerChannel")
def _bias(op: Op) -> Value:
    return _per_channel(op, op.inputs[0], op.inputs[1:])


def _per_channel(op: Op, value: Value, parameters: Sequence[Value]) -> Value:
    """One number for each channel, which is the last axis, or the second (NCHW)."""
    if any(not isinstance(parameter.place, NoRows) for parameter in parameters):
        return op.unknown("has parameters that depend on the batch")
    if not isinstance(value.place, Rows):
        return value if isinstance(value.place, NoRows) else op.mixed("reckons with the number of rows")
    first = op.text("data_format").startswith("NC")
    channel = 1 if first else None if value.rank is None else value.rank - 1
    if channel is None and value.place.axis:
        return op.unknown("has an input of unknown rank")
    if value.place.axis == channel:
        return op.mixed("has parameters that are made for a fixed number of rows")
    return Value(replace(value.place, content=op.content()), value.dims)
