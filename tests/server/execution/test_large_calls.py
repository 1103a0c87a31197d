"""Calls in pieces: cut by their rows, put together again, and run on a graph that is too small for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.joining import PLAIN, joining_of
from hotgraph_server.call_observer import Moments
from hotgraph_server.errors import Cancelled, RunFailed
from hotgraph_server.execution.finisher import Finisher
from hotgraph_server.execution.large_calls import (
    LargeCalls,
    add_answer,
    may_split,
    next_piece,
    whole_answer,
)
from hotgraph_server.execution.runs import Runs
from hotgraph_server.settings import BatchSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.statistics import Event, Statistics
from hotgraph_server.tensors import Array

from ..fakes import Caller, FakeClock, call, doubled, rows, signature

NAME = signature().name
SCALED = signature(inputs={"x": (None, 2), "factor": ()}, outputs={"y": (None, 2), "count": ()})


class Watching:
    def __init__(self) -> None:
        self.runs = 0

    def queued(self, *_: object) -> None:
        raise AssertionError("nothing is queued by a run")

    def ran(self, moments: Moments) -> None:
        self.runs += 1


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
    one.observer = Watching()
    piece = next_piece(one, 2, PLAIN)
    assert (piece.completion, piece.lane, piece.deadline, piece.arrived, piece.observer) == (
        one.completion,
        one.lane,
        5.0,
        1.0,
        one.observer,
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


# Pieces that are run, on a graph that the test makes small.


class Large:
    """Large calls on a graph whose memory holds `memory_rows`; what is given back is in `back`."""

    def __init__(self, memory_rows: int = 10**9, on_run: Callable[[int], object] = lambda _: None) -> None:
        self.memory_rows = memory_rows
        self.on_run = on_run
        self.ran: list[int] = []
        self.back: list[Call] = []
        self.limits: list[int] = []
        self.statistics = Statistics()
        runs = Runs(
            "m",
            self,
            lambda: 0,
            self.statistics,
            Finisher("m"),
            BatchSettings(),
            {NAME: None},
            {},
            FakeClock(),
            lambda _, rows: self.limits.append(rows),
        )
        self.large_calls = LargeCalls(runs, self.back.append, split=True, is_joined=lambda _: True)

    def run(self, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]) -> Sequence[Array]:
        self.ran.append(len(inputs[0]))
        self.on_run(len(self.ran))
        if len(inputs[0]) > self.memory_rows:
            raise RunFailed(8, "OOM when allocating tensor")
        return doubled(inputs)

    def count(self, event: Event) -> int:
        return self.statistics.by_signature()[NAME].events[event]


def test_piece_gives_the_executor_back_until_the_call_is_whole() -> None:
    large, caller = Large(), Caller()
    one = call(rows(*range(5)), completion=caller.completion)
    one.observer = watching = Watching()
    large.large_calls.run_next(one, 3)
    assert (large.back, large.ran, watching.runs) == ([one], [3], 1)
    large.large_calls.run_next(one, 3)
    assert (large.back, large.ran) == ([one], [3, 2])
    np.testing.assert_array_equal(caller.answer()[0], rows(*range(5)) * 2)
    assert large.count(Event.SPLIT) == 1


def test_piece_that_does_not_fit_is_run_at_half_its_rows_and_that_is_learnt() -> None:
    large, caller = Large(memory_rows=3), Caller()
    one = call(rows(*range(6)), completion=caller.completion)
    large.large_calls.run_next(one, 6)
    assert (large.ran, large.limits, one.rows_done) == ([6, 3], [3], 3)
    large.large_calls.run_next(one, 3)
    np.testing.assert_array_equal(caller.answer()[0], rows(*range(6)) * 2)
    assert large.count(Event.OUT_OF_MEMORY) == 1


def test_piece_of_which_not_even_half_fits_ends_the_call_and_teaches_nothing() -> None:
    large, caller = Large(memory_rows=1), Caller()
    one = call(rows(*range(6)), completion=caller.completion)
    large.large_calls.run_next(one, 6)
    error = caller.error()
    assert isinstance(error, RunFailed)
    assert error.code == 8
    assert (large.ran, large.limits, large.back, one.pieces) == ([6, 3], [], [], None)


def test_call_whose_caller_leaves_while_a_piece_does_not_fit_is_run_no_further() -> None:
    caller = Caller()
    large = Large(memory_rows=1, on_run=lambda _: caller.completion.leave(Cancelled()))
    one = call(rows(*range(6)), completion=caller.completion)
    large.large_calls.run_next(one, 6)
    assert isinstance(caller.error(), Cancelled)
    assert (large.ran, large.back) == ([6], [])


def test_call_that_is_run_to_its_end_begins_again_and_tells_whether_it_was_answered() -> None:
    large, caller = Large(), Caller()
    one = call(rows(*range(5)), completion=caller.completion)
    one.rows_done = 2
    assert large.large_calls.run_all(one, 2)
    assert large.ran == [2, 2, 1]
    np.testing.assert_array_equal(caller.answer()[0], rows(*range(5)) * 2)
    left = call(rows(*range(5)))
    left.completion.finish(Cancelled())
    assert not large.large_calls.run_all(left, 2)
    assert len(large.ran) == 3
