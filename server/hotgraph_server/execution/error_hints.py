"""Whose row an error blames, as far as TensorFlow's words tell it. Pure.

    indices[17,3] = 900 is not in [0, 465)          a row of the joined tensors, and a value
    Name: <unknown>, Key: x, Index: 17.  ...        parsing of tf.Example
    Field 1 in record 17 is not a valid float: x    decoding of CSV; others say `element 17`, `at index 17`

A hint and no more. An op may count something else than rows (it was given what the graph made of them), and
errors quote what callers have sent, who may put such words there. So only the beginning is read, which is
as long as such errors are, and what uses it must be right whatever it says (retries.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hotgraph_server.batching.call import Call

_READ = 500
# Before it is looked up it may have been made flat or unique: rows are lost then, values are not.
_VALUE = re.compile(r"\] = (-?\d{1,18}) is not in \[")
_ROW = re.compile(r"(?:indices\[|\b(?:Index: |record |element |at index ))(\d{1,9})")


def blamed(calls: Sequence[Call], error: str) -> Call | None:
    """The call that `error`, of a run of all of these, points at; None: it points at none of them."""
    told = error[:_READ]
    value = _VALUE.search(told)
    if value is not None:
        for call in calls:
            if _holds(call, int(value[1])):
                return call
    row = _ROW.search(told)
    return None if row is None else _call_of_row(calls, int(row[1]))


def _holds(call: Call, value: int) -> bool:
    return any(array.dtype.kind in "iu" and bool((array == value).any()) for array in call.inputs)


def _call_of_row(calls: Sequence[Call], row: int) -> Call | None:
    for call in calls:
        if row < call.rows:
            return call
        row -= call.rows
    return None
