"""Lists and arrays of tensors, which loops read and write: TensorList, and TensorFlow 1's TensorArray.

Rows lie in a list in one of two ways. Each element may hold all rows, as when a loop goes over time: then the
list's element is a tensor with rows like another. Or element i is made of row i, as when a loop goes over
the batch: then the list is `by_row`, and a turn of the loop that takes its own element has its own row.
"""

from __future__ import annotations

from dataclasses import replace

from hotgraph_server.row_independence.alternatives import join
from hotgraph_server.row_independence.dimensions import BATCH, Dim, counts_rows, named
from hotgraph_server.row_independence.domain import (
    HELD,
    NO_ROWS,
    Content,
    Counts,
    Items,
    Mixed,
    NoRows,
    OneRow,
    Rows,
    Turn,
    Unknown,
    Value,
    rows_value,
    scalar_of,
)
from hotgraph_server.row_independence.table import Op, rule

ANY_LOOP = ""
"""The loop of a row that lies in a list."""


def held(items: Items) -> Value:
    return Value(HELD, (), items=items)


def _size(value: Value) -> Dim | None:
    return value.scalar if isinstance(value.scalar, Dim) else None


@rule("TensorListReserve", "EmptyTensorList", takes_parts=True, takes_mixed=True)
def _new_list(op: Op) -> Value:
    count = op.inputs[1]
    if op.type == "EmptyTensorList":
        return held(Items())
    if isinstance(count.place, Mixed | Unknown):
        return Value(count.place)
    return held(Items(length=_size(count)))


@rule("TensorArrayV3", takes_parts=True, takes_mixed=True)
def _new_array(op: Op) -> list[Value]:
    made = _new_list_of(op.inputs[0])
    # The handle says which array it is; what is in it goes along with the flow.
    return [made, made]


def _new_list_of(count: Value) -> Value:
    if isinstance(count.place, Mixed | Unknown):
        return Value(count.place)
    return held(Items(length=_size(count)))


@rule("TensorListFromTensor", takes_parts=True)
def _list_of(op: Op) -> Value:
    return _items_of(op, op.inputs[0])


@rule("TensorArrayScatterV3", takes_parts=True)
def _scattered(op: Op) -> Value:
    _, indices, value, flow = op.inputs
    items = flow.items
    if items is None or items.element is not None:
        return op.unknown("writes into an array that is not known to be empty")
    by_row = isinstance(value.place, Rows) and not value.place.axis
    if not _counts_up(indices) or by_row == isinstance(indices.place, NoRows):
        return op.unknown("writes in an order that is not known")
    return _items_of(op, value)


def _counts_up(indices: Value) -> bool:
    """Are these 0, 1, 2, and so on?"""
    if isinstance(indices.place, Rows):
        return indices.place == Rows(content=Content.NUMBER)
    return indices.place == NO_ROWS


def _items_of(op: Op, value: Value) -> Value:
    place = value.place
    dims = None if value.dims is None else value.dims[1:]
    length = value.dims[0] if value.dims else None
    if isinstance(place, NoRows | Counts):
        return held(Items(Value(place, dims), False, length))
    if not isinstance(place, Rows) or place.ragged is not None or place.content > Content.OWN:
        return op.unknown("makes a list of what is not known to be rows")
    if place.axis:
        return held(Items(rows_value(replace(place, axis=place.axis - 1), dims), False, length))
    if not place.is_plain:
        return op.unknown("makes a list of rows that are laid out in another way")
    return held(Items(Value(OneRow(ANY_LOOP), dims), True, BATCH))


@rule("TensorListGetItem", "TensorArrayReadV3", takes_parts=True)
def _read(op: Op) -> Value:
    items = (op.inputs[0] if op.type == "TensorListGetItem" else op.inputs[2]).items
    index = op.inputs[1]
    if items is None:
        return op.unknown("reads from a list that is not known")
    if items.by_row:
        turn = index.scalar
        if isinstance(turn, Turn) and turn.by_row and not turn.offset and items.element is not None:
            return _of_this_turn(items.element, turn.loop)
        return op.unknown("reads rows by numbers that are not known to be their own")
    if items.element is None:
        # Nothing has been written yet: zeros, of the shape that is given.
        return Value(NO_ROWS)
    return _with_index(op, items.element, index)


def _of_this_turn(element: Value, loop: str) -> Value:
    place = element.place
    if isinstance(place, OneRow):
        return replace(element, place=OneRow(loop, place.numbered))
    return element


def _with_index(op: Op, element: Value, index: Value) -> Value:
    """An element by its number, which may itself be the row's own."""
    if isinstance(index.place, NoRows):
        return element
    if isinstance(index.place, OneRow) and isinstance(element.place, NoRows):
        return replace(element, place=index.place)
    return op.unknown("reads by a number that depends on the batch")


@rule("TensorListSetItem", "TensorArrayWriteV3", takes_parts=True, takes_mixed=True)
def _write(op: Op) -> Value:
    if op.type == "TensorListSetItem":
        handle, index, item = op.inputs[:3]
    else:
        _, index, item, handle = op.inputs
    items = handle.items
    if items is None:
        return (
            Value(handle.place)
            if isinstance(handle.place, Mixed | Unknown)
            else op.unknown("writes to what is no list")
        )
    if isinstance(index.place, Mixed | Unknown):
        return Value(index.place)
    turn = index.scalar
    if isinstance(turn, Turn) and turn.by_row:
        return _write_row(op, items, turn, item)
    if not isinstance(index.place, NoRows):
        return op.unknown("writes by a number that depends on the batch")
    if items.by_row:
        return op.unknown("writes over a row by its number")
    return held(replace(items, element=_added(op, items, item)))


def _write_row(op: Op, items: Items, turn: Turn, item: Value) -> Value:
    if turn.offset or (items.element is not None and not items.by_row):
        return op.unknown("writes rows to where they are not known to belong")
    place = item.place
    if isinstance(place, OneRow) and place.loop == turn.loop:
        place = OneRow(ANY_LOOP, place.numbered)
    elif not isinstance(place, NoRows | Mixed | Unknown):
        return op.unknown("writes all rows where one belongs")
    element = Value(OneRow(ANY_LOOP) if isinstance(place, NoRows) else place, item.dims)
    return held(replace(items, element=_added(op, items, element), by_row=True))


def _added(op: Op, items: Items, item: Value) -> Value:
    """What an element may be when `item` is one of them."""
    place = item.place
    if not isinstance(place, NoRows | Counts | Rows | OneRow | Mixed | Unknown) or (
        isinstance(place, Rows) and place.ragged is not None
    ):
        # The stretches of one turn are not those of another.
        return op.unknown("puts what has no rows of one length into a list")
    if items.element is None:
        return item
    return join(items.element, item, op.why("writes different things"), keeps_sure=True)


@rule("TensorListPushBack", takes_parts=True, takes_mixed=True)
def _push(op: Op) -> Value:
    items, item = op.inputs[0].items, op.inputs[1]
    if items is None:
        return op.unknown("pushes to what is no list")
    if items.by_row or isinstance(item.place, OneRow):
        return op.unknown("pushes one row")
    return held(replace(items, element=_added(op, items, item), length=None))


@rule("TensorListStack", "TensorArrayGatherV3", takes_parts=True, takes_mixed=True)
def _stack(op: Op) -> Value:
    if op.type == "TensorListStack":
        items, ordered = op.inputs[0].items, True
        handle = op.inputs[0]
    else:
        handle = op.inputs[2]
        items, ordered = handle.items, _counts_up(op.inputs[1])
    if items is None:
        return (
            Value(handle.place)
            if isinstance(handle.place, Mixed | Unknown)
            else op.unknown("stacks what is no list")
        )
    element = items.element
    if element is None:
        known = items.length is not None and not counts_rows(items.length)
        return Value(NO_ROWS) if known else op.unknown("stacks what has not been written")
    if isinstance(element.place, Mixed | Unknown):
        return Value(element.place)
    if items.by_row:
        return _stack_rows(op, items, element, ordered)
    if isinstance(element.place, OneRow):
        dims = None if element.dims is None else (items.length, *element.dims)
        return Value(element.place, dims)
    if op.type != "TensorListStack" and not isinstance(op.inputs[1].place, NoRows):
        return op.unknown("takes elements by numbers that depend on the batch")
    dims = None if element.dims is None else (items.length if ordered else None, *element.dims)
    if isinstance(element.place, Rows):
        return rows_value(replace(element.place, axis=element.place.axis + 1), dims)
    return Value(element.place, dims)


def _stack_rows(op: Op, items: Items, element: Value, ordered: bool) -> Value:
    place = element.place
    if op.type != "TensorListStack" and op.inputs[1].place != Rows(content=Content.NUMBER):
        return op.unknown("takes rows in an order that is not known")
    if items.length != BATCH or not isinstance(place, OneRow):
        return op.unknown("stacks rows that are not known to be all")
    if element.dims is None or (items.gaps and None in element.dims):
        # A gap would be filled with zeros of the shape that other rows have.
        return op.unknown("stacks rows whose shapes are not known to be equal")
    # Rows of different shapes fail the run. In one that does not, each is as large as it is alone.
    dims = [named(f"{op.key}.{axis}") if dim is None else dim for axis, dim in enumerate(element.dims, 1)]
    content = Content.NUMBERED if place.numbered else Content.OWN
    return rows_value(Rows(content=content), (BATCH, *dims))


@rule("TensorListLength", takes_parts=True)
def _list_length(op: Op) -> Value:
    return _length(op, op.inputs[0])


@rule("TensorArraySizeV3", takes_parts=True)
def _array_length(op: Op) -> Value:
    return _length(op, op.inputs[1])


def _length(op: Op, handle: Value) -> Value:
    if handle.items is None:
        return op.unknown("asks how long a list is that is not known")
    if handle.items.length is not None:
        return scalar_of(handle.items.length)
    return op.unknown("asks how long a list is whose length is not known")


@rule("TensorListResize", "TensorArrayCloseV3", "TensorListElementShape", takes_parts=True)
def _not_followed(op: Op) -> Value:
    return op.unknown("does with a list what is not followed")
