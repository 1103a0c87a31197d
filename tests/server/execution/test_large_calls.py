from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.batching.joining import PLAIN, joining_of
from hotgraph_server.execution.large_calls import add_answer, may_split, next_piece, whole_answer

from ..fakes import call, rows, signature

SCALED = signature(inputs={"x": (None, 2), "factor": ()}, outputs={"y": (None, 2), "count": ()})


@given(st.integers(2, 40), st.integers(1, 12))
def test_pieces_are_the_rows_in_order_and_the_answer_is_whole(count: int, max_rows: int) -> None:
    one = call(rows(*range(count)))
    sizes = []
    last = False
    while not last:
        piece = next_piece(one, max_rows, PLAIN)
        sizes.append(piece.rows)
        assert np.shares_memory(piece.inputs[0], one.inputs[0])
        last = add_answer(one, piece, [piece.inputs[0] * 2])
    assert all(size == max_rows for size in sizes[:-1])
    assert 1 <= sizes[-1] <= max_rows
    (whole,) = whole_answer(one)
    np.testing.assert_array_equal(whole, rows(*range(count)) * 2)
    assert one.pieces is None


def test_piece_belongs_to_the_same_caller_and_lane() -> None:
    one = call(rows(1, 2, 3), deadline=5.0, arrived=1.0)
    piece = next_piece(one, 2, PLAIN)
    assert (piece.completion, piece.lane, piece.deadline, piece.arrived) == (
        one.completion,
        one.lane,
        5.0,
        1.0,
    )


def test_input_without_rows_is_in_every_piece() -> None:
    one = call([rows(1, 2, 3), np.array(7, np.float32)], SCALED, outputs=("y",))
    piece = next_piece(one, 2, joining_of(SCALED))
    assert [array.tolist() for array in piece.inputs] == [rows(1, 2).tolist(), 7.0]


def test_call_without_a_lane_of_one_row_or_with_an_output_without_rows_is_not_split() -> None:
    assert may_split(call(rows(1, 2)), PLAIN)
    assert not may_split(call(rows(1, 2), joinable=False), PLAIN)
    assert not may_split(call(rows(1)), PLAIN)
    inputs = [rows(1, 2), np.array(7, np.float32)]
    assert may_split(call(inputs, SCALED, outputs=("y",)), joining_of(SCALED))
    assert not may_split(call(inputs, SCALED, outputs=("y", "count")), joining_of(SCALED))
