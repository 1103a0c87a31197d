"""Odd rows alone: what is large is run only where that has been seen to be harmless."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hotgraph_server.errors import RunFailed
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.adversarial import Row
from hotgraph_server.warmup.climbing import climb
from hotgraph_server.warmup.probing import BoundedRuns, Cost, Limits, Measured

from ..fakes import FakeClock

MB = 2**20
LADDER = (0, 1, -1, 99, 999, 5001, 50_000, 1_000_000)


class Climb:
    """A graph that allocates what `nbytes` says of the largest number in a row."""

    def __init__(self, nbytes: Callable[[float], float], run_s: float = 0.001) -> None:
        self.ran: list[float] = []
        self.clock = FakeClock()
        self._nbytes, self._run_s = nbytes, run_s

    def run(self, inputs: Sequence[Array]) -> Measured:
        value = float(np.abs(inputs[0]).max())
        self.ran.append(value)
        self.clock.now += self._run_s
        return Measured([inputs[0]], int(min(self._nbytes(value), 1e18)))

    def climb(self, values: Sequence[float] = LADDER) -> list[float]:
        rows = [Row([np.array([value])], abs(value) if np.isfinite(value) else np.inf) for value in values]
        runs = BoundedRuns(self.run, Limits(60.0, 2048 * MB), self.clock)
        found = climb(rows, runs, Cost(self._run_s, int(self._nbytes(1))), 1 / 8)
        return [float(one.inputs[0][0]) for one in found]


def test_ids_are_taken_however_large() -> None:
    graph = Climb(lambda _: 100_000)
    assert graph.climb() == list(LADDER)
    assert graph.ran == sorted(graph.ran)


def test_floats_are_taken_up_to_infinity() -> None:
    values = (1e30, np.inf, 0.0, 255.0, 1e5, 1.0)
    assert Climb(lambda _: 100_000).climb(values) == list(values)


@pytest.mark.parametrize("power", [1, 2, 3])
@pytest.mark.parametrize("hidden", [0, 10_000, 3 * MB])
def test_sizes_are_never_run_beyond_the_memory_there_is(power: int, hidden: int) -> None:
    graph = Climb(lambda value: hidden + 4 * value**power)
    for values in (LADDER, (0, 1, 9, 5001, 50_000, 1e6), (0.0, 1.0, 255.0, 1e5, 1e10, 1e30, np.inf)):
        graph.ran.clear()
        graph.climb(values)
        assert 4 * max(graph.ran) ** power < 4 * 2048 * MB


def test_row_that_is_refused_is_kept_as_such() -> None:
    def refuse(inputs: Sequence[Array]) -> Measured:
        if inputs[0][0] > 10:
            raise RunFailed(3, "no such id")
        return Measured([inputs[0]], 0)

    rows = [Row([np.array([value])], value) for value in (50, 1)]
    found = climb(rows, BoundedRuns(refuse, Limits(60, MB), FakeClock()), Cost(0.001, 0), 1 / 8)
    assert [one.is_refused for one in found] == [True, False]


@pytest.mark.parametrize("code", [1, 8, 10, 14])
def test_run_that_failed_for_want_of_something_else_says_nothing_of_its_row(code: int) -> None:
    def fail(inputs: Sequence[Array]) -> Measured:
        raise RunFailed(code, "not now")

    runs = BoundedRuns(fail, Limits(60, MB), FakeClock())
    assert climb([Row([np.array([1])], 1)], runs, Cost(0.001, 0), 1 / 8) == []


def test_first_run_that_does_not_end_is_the_last() -> None:
    ran: list[int] = []

    def hang(inputs: Sequence[Array]) -> Measured:
        ran.append(int(inputs[0][0]))
        if ran[-1] >= 100:
            raise RunFailed(4, "timed out")
        return Measured([inputs[0]], 0)

    rows = [Row([np.array([value])], value) for value in (1, 100, 1000)]
    runs = BoundedRuns(hang, Limits(60, MB), FakeClock())
    assert len(climb(rows, runs, Cost(0.001, 0), 1 / 8)) == 1
    assert ran == [1, 100]


def test_slow_graph_is_asked_the_first_rows_only() -> None:
    graph = Climb(lambda _: 0, run_s=1.0)
    assert graph.climb((7, 3, 5, 8, 9, 4, 6, 1, 2)) == [7, 3, 5, 8, 9, 4, 6]
    graph = Climb(lambda _: 0, run_s=3.0)
    assert graph.climb() == []
    assert graph.ran == []
