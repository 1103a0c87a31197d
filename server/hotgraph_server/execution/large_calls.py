"""Calls that are larger than a batch, or do not fit into memory at once, are run in pieces and answered
whole.

A piece is the next rows of the call, run like any other call. Between two pieces the call goes back to the
queue, and others have their turn (queue.py says how), so that small calls wait for a piece and not for the
whole. `rows_done` and `pieces` of the call say how far it is; its completion stays its own, so that
cancelling and deadlines go on as before. Only one that was not known to be large, whose run alone has not
fitted into memory, is run to its end at once.

What may be cut in pieces is what may be joined, where the outputs asked for all have rows: what a piece says
without rows is said about the piece. A call that fails in one piece fails, with that piece's error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.joining import Joining
from hotgraph_server.execution.runs import Runs
from hotgraph_server.statistics import Event
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
    piece = Call(
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
    piece.observer = call.observer
    return piece


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


class LargeCalls:
    """The runner's own.

    Args:
        runs: does and counts them.
        put_back: takes in the rest of a call until its turn comes again.
        split: may calls be run in pieces at all?
        is_joined: may calls of this signature, by its name, share batches now?
    """

    def __init__(
        self,
        runs: Runs,
        put_back: Callable[[Call], None],
        *,
        split: bool,
        is_joined: Callable[[str], bool],
    ) -> None:
        self._runs = runs
        self._put_back = put_back
        self._split = split
        self._is_joined = is_joined

    def may_split(self, call: Call) -> bool:
        """Would its answer in pieces be its answer?"""
        return (
            self._split and self._is_joined(call.signature.name) and may_split(call, self._runs.joining(call))
        )

    def run_next(self, call: Call, max_rows: int) -> None:
        """Run the next piece of a large call, and end the call or give it back."""
        if not call.rows_done:
            self._runs.count(call, Event.SPLIT)
        if self._step(call, max_rows) and call.rows_done < call.rows:
            self._put_back(call)

    def run_all(self, call: Call, max_rows: int) -> bool:
        """Run a call to its end without others in between. Returns whether it got its answer."""
        call.rows_done, call.pieces = 0, None
        while call.rows_done < call.rows:
            if not self._runs.is_wanted(call) or not self._step(call, max_rows):
                return False
        return True

    def _step(self, call: Call, max_rows: int) -> bool:
        """Run one piece, and end the call if it is the last or fails. Returns whether it ran."""
        runs = self._runs
        joining = runs.joining(call)
        piece = next_piece(call, max_rows, joining)
        ran = runs.execute([piece])
        if ran.out_of_memory and piece.rows > 1:
            runs.count(call, Event.OUT_OF_MEMORY)
            runs.count_failed(call, piece.rows, ran)
            if not runs.is_wanted(call):
                return False
            too_many, piece = piece.rows, next_piece(call, piece.rows // 2, joining)
            ran = runs.execute([piece])
            if ran.error is None:
                runs.learn(call.signature.name, too_many)
        if ran.error is not None:
            call.pieces = None
            runs.end_failed(call, piece.rows, ran)
            return False
        last = add_answer(call, piece, ran.answers[0])
        runs.answer_whole(call, piece.rows, ran, whole_answer(call) if last else None)
        return True
