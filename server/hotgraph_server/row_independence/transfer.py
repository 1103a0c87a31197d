"""Where the rows of an op's outputs are: what holds for every op, before and after its own rule.

* Whole numbers that shapes are made of are followed by their values.
* What is made of something mixed is mixed, and what is made of something unknown is unknown.
* In a loop over rows, what is made of one row and of what is the same for all is made of that row, whatever
  the op is.
* What is made of nothing that depends on the batch does not depend on it either, as long as the op keeps no
  state.
* An op that has no rule makes rows unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

# Each of these enters its rules into the table.
from hotgraph_server.row_independence import (  # noqa: F401
    rules_axes,
    rules_elementwise,
    rules_joined,
    rules_layout,
    rules_lists,
    rules_lookups,
    rules_products,
    rules_reshape,
    rules_segments,
    rules_shapes,
    rules_slices,
    rules_sources,
    rules_texts,
    rules_windows,
)
from hotgraph_server.row_independence.alternatives import unsure
from hotgraph_server.row_independence.domain import (
    COUNTS,
    NO_ROWS,
    Counts,
    Element,
    Held,
    Mixed,
    NoRows,
    OneRow,
    Place,
    Rows,
    Unknown,
    Value,
    rows_value,
)
from hotgraph_server.row_independence.rules_elementwise import BROADCASTING, PASSING, UNARY
from hotgraph_server.row_independence.rules_integers import followed
from hotgraph_server.row_independence.table import RULES, TAKES_MIXED, TAKES_PARTS, Op, dims_of_shape

# They may leave out, or put back in order, what is mixed in their inputs.
_MAY_UNDO = frozenset(
    {
        *("Select", "SelectV2", "Gather", "GatherV2", "GatherNd", "ResourceGather", "ResourceGatherNd"),
        *("SegmentSum", "SegmentMean", "SegmentMax", "SegmentMin", "SegmentProd", "UnsortedSegmentSum"),
        *("UnsortedSegmentMax", "UnsortedSegmentMin", "UnsortedSegmentProd", "SparseSegmentSum"),
        *("SparseSegmentMean", "SparseSegmentSqrtN", "SparseSegmentSumWithNumSegments", "ScatterNd"),
        *("SparseSegmentMeanWithNumSegments", "SparseSegmentSqrtNWithNumSegments", "Unique", "UniqueV2"),
        *("ReverseSequence", "DenseBincount", "Bincount", "Where", "InTopK", "InTopKV2", "MatrixBandPart"),
        *("DynamicPartition", "CombinedNonMaxSuppression", "CropAndResize", "MulNoNan", "Minimum", "Maximum"),
        *("ClipByValue", "StringNGrams", "ReverseV2", "Roll", "MatrixDiagPart", "MatrixDiagPartV2"),
        "MatrixDiagPartV3",
    }
)
# They give what is as long as depends on the rows the same length.
_KEEPS_EXTENT = frozenset(
    {*UNARY, *BROADCASTING, "Sub", *PASSING, "LookupTableFindV2", "ExpandDims", "Squeeze", "Pack", "OneHot"}
    | {"BiasAdd", "Softmax", "LogSoftmax", "ResourceGather", "Gather", "GatherV2", "TensorListStack"}
) - {"Select", "SelectV2"}
# The inputs that say how large what comes out is, or from where to where it is taken.
_SAYS_HOW_LARGE = {
    **dict.fromkeys(
        ("Reshape", "Tile", "Pad", "PadV2", "MirrorPad", "BroadcastTo", "OneHot", "TopKV2"), (1,)
    ),
    **dict.fromkeys(("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea"), (1,)),
    **dict.fromkeys(("Slice", "StridedSlice"), (1, 2)),
    "Fill": (0,),
    **dict.fromkeys(("Range", "LinSpace"), (0, 1, 2)),
}
_PUTS_BESIDE = {"ConcatV2": slice(None, -1), "Concat": slice(1, None), "Pack": slice(None)}
_PICKS_A_PART = frozenset({"StridedSlice", "Slice", "Split", "SplitV", "Unpack"})


def transfer(op: Op, count: int, is_stateful: Callable[[str], bool]) -> list[Value]:
    """What is known of the outputs of `op`.

    Args:
        op: a node that calls no function and is no part of a loop or a branch.
        count: how many outputs it has.
        is_stateful: does an op of this type hold or look at state, by TensorFlow's own book of ops? An op
            that is not in the book counts as if it did.
    """
    found = _transfer(op, count, is_stateful)
    if len(found) < count:
        found = [*found, *[op.unknown("has an output that is not followed")] * (count - len(found))]
    if "_output_shapes" in op.node.attr:
        shapes = op.node.attr["_output_shapes"].list.shape
        if len(shapes) == len(found):
            return [_with_hint(value, shape) for value, shape in zip(found, shapes, strict=True)]
    return found


def _transfer(op: Op, count: int, is_stateful: Callable[[str], bool]) -> list[Value]:
    result = followed(op)
    if result is not None:
        return [result]
    if op.type not in TAKES_MIXED:
        for value in op.inputs:
            if isinstance(value.place, Mixed | Unknown):
                return [_spoiled(op)] * count
    turn = _turn(op)
    if turn is not None:
        bare = Op(op.node, [_bare(value) for value in op.inputs], op.function, "")
        bare.key = op.key
        return [_of_turn(value, turn) for value in _by_table(bare, count, is_stateful)]
    return _by_table(op, count, is_stateful)


def _by_table(op: Op, count: int, is_stateful: Callable[[str], bool]) -> list[Value]:
    rule = RULES.get(op.type)
    plain = all(isinstance(value.place, NoRows | Counts | Rows) for value in op.inputs)
    if rule is not None and (plain or op.type in TAKES_PARTS):
        found = rule(op)
        return found if isinstance(found, list) else [found]
    if rule is not None or not plain:
        return [op.unknown("is given what it is not known to take")] * count
    if any(isinstance(value.place, Rows) for value in op.inputs):
        return [op.unknown("does with rows what is not known")] * count
    if is_stateful(op.type):
        return [op.unknown("may give something else each time")] * count
    counts = any(isinstance(value.place, Counts) for value in op.inputs)
    return [Value(COUNTS if counts else NO_ROWS)] * count


def _turn(op: Op) -> OneRow | None:
    """The row that all of the inputs are made of, if they are; lists are for their own rules."""
    found: OneRow | None = None
    for value in op.inputs:
        if isinstance(value.place, OneRow):
            if found is not None and found.loop != value.place.loop:
                return None
            found = OneRow(value.place.loop, value.place.numbered or (found is not None and found.numbered))
        elif not isinstance(value.place, NoRows):
            return None
    return found


def _bare(value: Value) -> Value:
    return replace(value, place=NO_ROWS) if isinstance(value.place, OneRow) else value


def _of_turn(value: Value, turn: OneRow) -> Value:
    if not isinstance(value.place, NoRows):
        return value
    elements = (
        None if value.elements is None else tuple(_element_of_turn(one, turn) for one in value.elements)
    )
    return replace(value, place=turn, elements=elements)


def _element_of_turn(element: Element, turn: OneRow) -> Element:
    return turn if isinstance(element, NoRows) else element


def _spoiled(op: Op) -> Value:
    """What is made of something mixed or unknown."""
    mixed = [value.place for value in op.inputs if isinstance(value.place, Mixed)]
    sure = [place for place in mixed if place.sure]
    if not mixed:
        return Value(next(value.place for value in op.inputs if isinstance(value.place, Unknown)))
    place = (sure or mixed)[0]
    if not place.sure or any(isinstance(value.place, Unknown) for value in op.inputs):
        # What is unknown may be what undoes it.
        return Value(unsure(place))
    sizes = _SAYS_HOW_LARGE.get(op.type, ())
    if all(not isinstance(value.place, Mixed) or index in sizes for index, value in enumerate(op.inputs)):
        return Value(replace(place, extent=True))
    return Value(_through(op, place))


def _through(op: Op, place: Mixed) -> Place:
    if op.type not in RULES:
        return unsure(place)
    if place.extent and op.type in ("Gather", "GatherV2", "ResourceGather"):
        # As many as there are numbers to look up.
        return place
    if op.type in _MAY_UNDO or (place.extent and op.type not in _KEEPS_EXTENT):
        return unsure(place)
    if place.partly and op.type in _PICKS_A_PART:
        return unsure(place)
    if op.type in _PUTS_BESIDE:
        beside = op.inputs[_PUTS_BESIDE[op.type]]
        if not all(isinstance(value.place, Mixed) for value in beside):
            return replace(place, partly=True)
    return place


def _with_hint(value: Value, shape: object) -> Value:
    """Dimensions that the exporter has written down, where they are not known otherwise."""
    if isinstance(value.place, Held | Mixed | Unknown) or (value.dims is not None and None not in value.dims):
        return value
    hint = dims_of_shape(shape)
    if hint is None or (value.dims is not None and len(hint) != len(value.dims)):
        return value
    dims = (
        hint
        if value.dims is None
        else tuple(one if one is not None else two for one, two in zip(value.dims, hint, strict=True))
    )
    if isinstance(value.place, Rows):
        return replace(value, dims=rows_value(value.place, dims).dims)
    return replace(value, dims=dims)
