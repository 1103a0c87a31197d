from __future__ import annotations

from collections.abc import Sequence

from hotgraph_server.batching.joining import PLAIN, Joining
from hotgraph_server.errors import RunFailed
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.calibration import time_runs
from hotgraph_server.warmup.synthetic_inputs import Kind

from ..fakes import FakeClock, doubled, signature

KIND = Kind(8, 1000)


class Slow:
    """A graph whose runs take a fixed time and some for each row, on a clock of its own."""

    def __init__(self, fixed_s: float, per_row_s: float, most_rows: int = 10**9) -> None:
        self.clock = FakeClock()
        self._fixed_s = fixed_s
        self._per_row_s = per_row_s
        self._most_rows = most_rows
        self.rows: list[int] = []

    def __call__(self, inputs: Sequence[Array]) -> Sequence[Array]:
        count = len(inputs[0])
        if count > self._most_rows:
            raise RunFailed(8, "out of memory")
        self.rows.append(count)
        self.clock.now += self._fixed_s + self._per_row_s * count
        return doubled(inputs)

    def timed(self, max_rows: int, budget_s: float, joining: Joining = PLAIN) -> dict[int, float]:
        runs = time_runs(signature(), self, KIND, max_rows, joining, budget_s, self.clock)
        return {one.rows: round(one.seconds, 9) for one in runs}


def test_runs_of_every_power_of_two_and_of_the_most_rows_are_timed() -> None:
    graph = Slow(0.001, 0.0001)
    assert graph.timed(12, 10.0) == {1: 0.0011, 2: 0.0012, 4: 0.0014, 8: 0.0018, 12: 0.0022}


def test_first_run_of_a_size_is_not_counted() -> None:
    graph = Slow(0.001, 0.0)
    runs = list(time_runs(signature(), graph, KIND, 2, PLAIN, 10.0, graph.clock))
    assert graph.rows == [*[1] * 4, *[2] * 4]
    assert [one.rows for one in runs] == [1, 1, 1, 2, 2, 2]
    assert all(len(one.inputs[0]) == one.rows for one in runs)


def test_sizes_for_which_there_is_no_time_are_left_out() -> None:
    graph = Slow(0.0, 0.05)
    began = graph.clock.now
    assert max(graph.timed(64, 1.0)) < 8
    assert graph.clock.now - began <= 1.0 + 0.05


def test_graph_slower_than_the_budget_is_run_no_more_than_once() -> None:
    graph = Slow(5.0, 0.0)
    assert graph.timed(64, 0.5) == {}
    assert graph.rows == [1]


def test_sizes_that_do_not_fit_end_the_timing_and_harm_nobody() -> None:
    assert set(Slow(0.001, 0.0, most_rows=4).timed(64, 10.0)) == {1, 2, 4}
    assert Slow(0.001, 0.0, most_rows=0).timed(64, 10.0) == {}


def test_batches_are_timed_as_they_will_run_and_counted_by_the_rows_of_calls() -> None:
    graph = Slow(0.0, 0.001)
    assert graph.timed(8, 10.0, Joining(buckets=(4, 8))) == {1: 0.004, 2: 0.004, 4: 0.004, 8: 0.008}
