"""A call larger than the row limit is run in pieces and answered whole. Pure.

A piece is the next rows of the call, run like any other call. Between two pieces the call goes back to the
queue, and others have their turn (queue.py says how), so it never holds the executor longer than one full
batch. `rows_done` and `pieces` of the call say how far it is; its completion stays its own, so that leaving
and deadlines go on as before.

What may be cut in pieces is what may be joined, where the outputs asked for all have rows: what a piece says
without rows is said about the piece. A call that fails in one piece fails, with that piece's error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.joining import Joining
from hotgraph_server.tensors import Array


def may_split(call: Call, joining: Joining) -> bool:
    """May this call be run in pieces? One without a lane may not."""
    return call.lane is not None and call.rows > 1 and joining.whole_outputs.isdisjoint(call.outputs)


def next_piece(call: Call, max_rows: int, joining: Joining) -> Call:
    """The next rows of `call`, at most `max_rows`, as a call to be run; its inputs are views.

    It has the completion of the whole and must not end it.
    """
    rows = slice(call.rows_done, min(call.rows_done + max_rows, call.rows))
    inputs = [
        array if index in joining.whole_inputs else array[rows] for index, array in enumerate(call.inputs)
    ]
    return Call(
        call.signature,
        inputs,
        call.outputs,
        call.completion,
        arrived=call.arrived,
        deadline=call.deadline,
        joinable=True,
        level=call.level,
        lane=call.lane,
        rows=rows.stop - rows.start,
        nbytes=0,
    )


def add_answer(call: Call, piece: Call, answer: Sequence[Array]) -> bool:
    """Keep the answer of a piece that has run. Returns whether it was the last one."""
    if call.pieces is None:
        call.pieces = []
    call.pieces.append(answer)
    call.rows_done += piece.rows
    return call.rows_done == call.rows


def whole_answer(call: Call) -> list[Array]:
    """The pieces' answers one below the other; the call keeps them no longer."""
    pieces, call.pieces = call.pieces, None
    return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
