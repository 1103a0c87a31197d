"""Texts and records: what gives each row a stretch of its own length, and what makes tensors of stretches.

Stretches made to the longest in the batch mix rows, whatever is in them.
"""

from __future__ import annotations

from dataclasses import replace

from hotgraph_server.row_independence.alternatives import unsure
from hotgraph_server.row_independence.dimensions import BATCH, Dim, const
from hotgraph_server.row_independence.domain import (
    NO_ROWS,
    Content,
    Dims,
    Element,
    Mixed,
    NoRows,
    Partition,
    Rows,
    Splits,
    Unknown,
    Value,
    rows_value,
    vector_of,
)
from hotgraph_server.row_independence.table import Op, dims_of_shape, rule

TO_THE_LONGEST = "is made as long as the longest row of the batch"


def _sparse(op: Op, name: str, rank: int = 2) -> tuple[Value, Value, Value]:
    """Indices, values and shape of a sparse tensor with the rows along its first axis."""
    partition = Partition(f"{op.key}:{name}")
    longest = Mixed(op.why(TO_THE_LONGEST))
    shape = vector_of((BATCH, *[longest] * (rank - 1)))
    indices = Value(Rows(content=Content.KEYED, ragged=partition), (None, const(rank)))
    return indices, Value(Rows(ragged=partition), (None,)), shape


def _is_vector_of_rows(value: Value) -> bool:
    return value.place in (Rows(), Rows(content=Content.SAME)) and value.rank == 1


@rule("StringSplit", "StringSplitV2")
def _string_split(op: Op) -> list[Value]:
    texts, separator = op.inputs
    if op.has_no_rows:
        return [Value(NO_ROWS, (None, const(2))), Value(NO_ROWS, (None,)), Value(NO_ROWS, (const(2),))]
    if not _is_vector_of_rows(texts) or not isinstance(separator.place, NoRows):
        return [op.unknown("splits texts that are not one for each row")] * 3
    return list(_sparse(op, ""))


@rule("UnicodeDecode", "UnicodeDecodeWithOffsets")
def _unicode_decode(op: Op) -> list[Value]:
    texts = op.inputs[0]
    if op.has_no_rows:
        return [Value(NO_ROWS, (None,))] * 3
    place = texts.place
    partition = Partition(op.key)
    if not _is_vector_of_rows(texts):
        return [op.unknown("takes apart texts that are not one for each row")] * 3
    assert isinstance(place, Rows)
    return [Value(Splits(partition), None), *[Value(Rows(ragged=partition), (None,))] * 2]


@rule("StringNGrams", takes_parts=True)
def _ngrams(op: Op) -> list[Value]:
    data, splits = op.inputs
    if op.has_no_rows:
        return [Value(NO_ROWS, (None,))] * 2
    if not isinstance(splits.place, Splits) or data.place != Rows(ragged=splits.place.partition):
        return [op.unknown("joins words whose rows are not known")] * 2
    partition = Partition(op.key)
    return [Value(Rows(ragged=partition), (None,)), Value(Splits(partition), None)]


@rule("ParseExampleV2", "ParseExample", "ParseSequenceExample", "ParseSequenceExampleV2")
def _parse_example(op: Op) -> list[Value]:
    if op.has_no_rows:
        return []
    serialized, *others = op.inputs
    defaults = [one for one in others if not isinstance(one.place, NoRows)]
    if not _is_vector_of_rows(serialized) or defaults:
        return [op.unknown("reads examples that are not one for each row")]
    if op.type.startswith("ParseSequence"):
        return []
    sparse = [
        _sparse(op, f"sparse{one}")
        for one in range(op.integer("num_sparse" if op.type == "ParseExampleV2" else "Nsparse"))
    ]
    outputs: list[Value] = [
        *(one[0] for one in sparse),
        *(one[1] for one in sparse),
        *(one[2] for one in sparse),
    ]
    shapes = op.node.attr["dense_shapes"].list.shape if op.has("dense_shapes") else ()
    outputs += [_dense(op, dims_of_shape(shape)) for shape in shapes]
    types = op.node.attr["ragged_value_types"].list.type if op.has("ragged_value_types") else ()
    ragged = [Partition(f"{op.key}:ragged{one}") for one in range(len(types))]
    outputs += [Value(Rows(ragged=partition), (None,)) for partition in ragged]
    return outputs + [Value(Splits(partition), None) for partition in ragged]


def _dense(op: Op, dims: Dims | None) -> Value:
    if dims is None or None in dims[:1]:
        return op.mixed(f"reads a feature that {TO_THE_LONGEST}", extent=True)
    return rows_value(Rows(), (BATCH, *dims))


@rule("RaggedTensorToTensor", takes_parts=True, takes_mixed=True)
def _ragged_to_tensor(op: Op) -> Value:
    shape, values, default, *partitions = op.inputs
    if op.has_no_rows:
        return Value(NO_ROWS, None)
    for value in (values, default, *partitions):
        if isinstance(value.place, Unknown):
            return Value(value.place)
        if isinstance(value.place, Mixed):
            return Value(unsure(value.place))
    kinds = [kind.decode() for kind in op.node.attr["row_partition_types"].list.s]
    asked = shape.elements
    if not isinstance(default.place, NoRows) or not _is_one_partition(kinds, values, partitions):
        return op.unknown("makes a tensor of stretches that are not known to be those of rows")
    if asked is None or isinstance(shape.place, Unknown):
        return op.unknown("makes a tensor of stretches to a size that is not known")
    if shape.dims == () or len(asked) < 2 or asked[1] == const(-1) or not _is_fixed(asked[1]):
        return op.mixed(TO_THE_LONGEST, extent=True)
    if asked[0] not in (BATCH, const(-1)):
        return op.unknown("makes a tensor of a fixed number of rows")
    inner = values.dims[1:] if values.dims is not None else (None,) * (len(asked) - 2)
    return rows_value(Rows(), (BATCH, asked[1] if isinstance(asked[1], Dim) else None, *inner))


def _is_fixed(size: Element) -> bool:
    return isinstance(size, Dim | NoRows)


def _is_one_partition(kinds: list[str], values: Value, partitions: list[Value]) -> bool:
    place = values.place
    if not isinstance(place, Rows) or place.ragged is None or place.axis or place.content > Content.OWN:
        return False
    last = partitions[-1].place
    if kinds == ["ROW_SPLITS"]:
        return last == Splits(place.ragged)
    numbered = last == Rows(content=Content.NUMBER, ragged=place.ragged)
    return kinds == ["FIRST_DIM_SIZE", "VALUE_ROWIDS"] and numbered and partitions[0].scalar == BATCH


@rule("SparseFillEmptyRows", takes_parts=True, takes_mixed=True)
def _fill_empty_rows(op: Op) -> list[Value]:
    indices, values, shape, default = op.inputs
    place = indices.place
    rows = shape.elements[0] if shape.elements else None
    if all(isinstance(one.place, NoRows) for one in op.inputs):
        return [Value(NO_ROWS)] * 4
    known = isinstance(place, Rows) and place.ragged is not None and place.content is Content.KEYED
    if not known or rows != BATCH or not isinstance(default.place, NoRows):
        return [_spoiled_or_unknown(op, "fills rows that are not known to be those of the batch")] * 4
    assert isinstance(place, Rows)
    if values.place != Rows(ragged=place.ragged):
        return [_spoiled_or_unknown(op, "fills rows with values that are not known to be their own")] * 4
    filled = Partition(op.key, filled=True)
    return [
        Value(Rows(content=Content.KEYED, ragged=filled), indices.dims),
        Value(Rows(ragged=filled), values.dims),
        rows_value(Rows(), (BATCH,)),
        op.unknown("tells where what was in all rows has gone"),
    ]


def _spoiled_or_unknown(op: Op, text: str) -> Value:
    for value in op.inputs:
        if isinstance(value.place, Unknown):
            return Value(value.place)
    return op.unknown(text)


@rule("SparseReshape", takes_parts=True, takes_mixed=True)
def _sparse_reshape(op: Op) -> list[Value]:
    indices, shape, asked = op.inputs
    if all(isinstance(one.place, NoRows) for one in op.inputs):
        return [Value(NO_ROWS)] * 2
    place = indices.place
    keyed = isinstance(place, Rows) and place.content is Content.KEYED
    kept = bool(shape.elements and asked.elements and shape.elements[0] == asked.elements[0] == BATCH)
    if not keyed or not kept or asked.elements is None or len(asked.elements) != 2:
        return [_spoiled_or_unknown(op, "reshapes sparse rows in a way that is not known")] * 2
    if shape.elements is None or len(shape.elements) != 2:
        # What each row is long decides where its elements come to lie.
        return [_spoiled_or_unknown(op, "reshapes sparse rows in a way that is not known")] * 2
    # The same number of elements in the same number of rows: each row is as long as before.
    return [indices, shape]


@rule("SparseToDense", takes_parts=True, takes_mixed=True)
def _sparse_to_dense(op: Op) -> Value:
    indices, shape, values, default = op.inputs
    if all(isinstance(one.place, NoRows) for one in op.inputs):
        return Value(NO_ROWS)
    place = indices.place
    keyed = isinstance(place, Rows) and place.content is Content.KEYED and place.ragged is not None
    if (
        not keyed
        or not isinstance(default.place, NoRows)
        or shape.elements is None
        or not isinstance(values.place, Rows)
    ):
        return _spoiled_or_unknown(op, "makes a tensor of what is not known to be rows")
    if isinstance(place, Rows) and values.place != Rows(ragged=place.ragged):
        return op.unknown("makes a tensor of values that are not known to be the rows' own")
    if shape.elements[0] != BATCH:
        return op.unknown("makes a tensor of a number of rows that is not known")
    if not all(isinstance(one, Dim | NoRows) for one in shape.elements):
        return op.mixed(TO_THE_LONGEST, extent=True)
    return rows_value(Rows(), tuple(one if isinstance(one, Dim) else None for one in shape.elements))


@rule("DecodeRaw", "DecodePaddedRaw")
def _decode_raw(op: Op) -> Value:
    texts, *others = op.inputs
    if any(not isinstance(other.place, NoRows) for other in others):
        return op.unknown("decodes to a length that depends on the batch")
    dims = None if texts.dims is None else (*texts.dims, None)
    if not isinstance(texts.place, Rows):
        return Value(texts.place, dims)
    return rows_value(replace(texts.place, content=op.content()), dims)


@rule("DecodeCSV")
def _decode_csv(op: Op) -> list[Value]:
    records, *defaults = op.inputs
    if any(not isinstance(one.place, NoRows) for one in defaults):
        return [op.unknown("has defaults that depend on the batch")] * len(defaults)
    place = records.place
    if isinstance(place, Rows):
        place = replace(place, content=op.content())
    return [Value(place, records.dims)] * len(defaults)
