from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hotgraph_server.errors import RunFailed
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.warmup.probing import BoundedRuns, Cost, Limits, Measured, Taken, probe
from hotgraph_server.warmup.synthetic_inputs import Kind

from ..fakes import FakeClock, signature

IDS = signature(inputs={"ids": (None, 2)}, dtype=np.dtype(np.int32))
SIZE = signature(inputs={"n": ()}, dtype=np.dtype(np.int32))
IMAGE = signature(inputs={"x": (None, None, None, 3)})
LIMITS = Limits(seconds=8.0, nbytes=10**9)
REFUSED = RunFailed(3, "not that")

Compute = Callable[[Array], int]


class Graph:
    """Counts what it is given; `cost` gives the bytes of a run, or refuses, and may let time pass."""

    def __init__(self, cost: Compute = lambda _: 0) -> None:
        self.cost = cost
        self.clock = FakeClock()
        self.given: list[Array] = []

    def __call__(self, inputs: Sequence[Array]) -> Measured:
        self.given.append(inputs[0])
        return Measured(inputs, self.cost(inputs[0]))

    def probe(self, one: Signature, limits: Limits = LIMITS, rows: int = 3) -> Taken | RunFailed:
        return probe(one, BoundedRuns(self, limits, self.clock), rows)


def kind(found: Taken | RunFailed) -> Kind:
    assert isinstance(found, Taken), found
    return found.kind


def refusal(found: Taken | RunFailed) -> str:
    assert isinstance(found, RunFailed), found
    return str(found)


def test_what_has_no_range_and_no_size_is_run_once() -> None:
    graph = Graph()
    assert kind(graph.probe(signature())) == Kind(8, 1000)
    assert len(graph.given) == 1


def test_widest_range_that_the_graph_takes_is_found_from_below() -> None:
    def vocabulary_of_50(ids: Array) -> int:
        if ids.max() >= 50:
            raise REFUSED
        return 0

    graph = Graph(vocabulary_of_50)
    assert kind(graph.probe(IDS)).below == 10
    most = [int(ids.max()) for ids in graph.given]
    assert most == sorted(most)
    assert kind(Graph().probe(IDS)).below == 1000


def test_range_that_only_begins_above_the_smallest_is_found() -> None:
    def above_one(ids: Array) -> int:
        if ids.max() < 2:
            raise REFUSED
        return 0

    assert kind(Graph(above_one).probe(IDS)).below == 1000


def test_smallest_size_that_the_graph_takes_is_the_one_that_counts() -> None:
    def at_least_20(x: Array) -> int:
        if x.shape[1] < 20:
            raise REFUSED
        return 0

    graph = Graph(at_least_20)
    assert kind(graph.probe(IMAGE)).size == 32
    assert [x.shape[1] for x in graph.given] == [8, 32]


def test_texts_are_words_and_where_these_are_refused_small_numbers_first() -> None:
    def numbers(texts: Array) -> int:
        try:
            return max(int(text) for text in texts)
        except ValueError as error:
            raise REFUSED from error

    graph = Graph(numbers)
    text = signature(inputs={"text": (None,)}, dtype=STRING)
    assert kind(graph.probe(text)) == Kind(8, 1000, numerals=True)
    assert kind(Graph().probe(text)).numerals is False


@pytest.mark.parametrize("power", [1, 2, 3])
def test_integer_that_is_a_size_is_not_tried_where_it_would_need_more_than_the_budget(power: int) -> None:
    graph = Graph(lambda n: int(n) ** power * 4 + 16)
    graph.probe(SIZE, Limits(8.0, 10**7), rows=1)
    assert max(int(n) for n in graph.given) ** power * 4 <= 10**7


def test_integer_of_which_only_one_size_was_seen_is_taken_for_the_side_of_a_cube() -> None:
    def cube_above_ten(n: Array) -> int:
        if n <= 10:
            raise REFUSED
        return int(n) ** 3 * 4

    graph = Graph(cube_above_ten)
    graph.probe(SIZE, Limits(8.0, 10**8), rows=1)
    assert max(int(n) for n in graph.given) <= 100


def test_size_that_is_too_large_from_the_beginning_is_refused_with_both_numbers() -> None:
    graph = Graph(lambda n: 2 * 10**9)
    text = refusal(graph.probe(SIZE, rows=1))
    assert "2e+03 MB" in text
    assert "warm-up-memory-mb allows 1e+03" in text
    assert len(graph.given) == 1


def test_run_that_does_not_end_is_the_last_and_what_was_taken_before_counts() -> None:
    def hangs_above_three(token: Array) -> int:
        if token > 3:
            graph.clock.now += 2.0
            raise RunFailed(4, "Timed out waiting for notification")
        return 0

    graph = Graph(hangs_above_three)
    found = graph.probe(SIZE, rows=1)
    assert kind(found).below < 1000
    assert graph.clock.now <= FakeClock().now + 2.0


def test_graph_that_hangs_at_once_is_tried_once_and_says_how_long() -> None:
    def hangs(_: Array) -> int:
        raise RunFailed(4, "Timed out waiting for notification")

    graph = Graph(hangs)
    assert refusal(graph.probe(IMAGE)) == "a run on generated input had not ended after 2 s"
    assert len(graph.given) == 1


def test_range_whose_runs_grow_too_slow_is_not_tried() -> None:
    def slow(n: Array) -> int:
        graph.clock.now += int(n) ** 2 / 1e3
        return 0

    graph = Graph(slow)
    graph.probe(SIZE, Limits(40.0, 10**9), rows=1)
    # A hundred take ten seconds at the most, and a thousand would take a thousand.
    assert max(int(n) for n in graph.given) < 100


def test_runs_end_with_the_time_of_all_of_them() -> None:
    clock = FakeClock()
    runs = BoundedRuns(lambda inputs: Measured(inputs, 0), Limits(4.0, 1), clock)
    runs([])
    clock.now += 4.0
    with pytest.raises(RunFailed, match=r"the time for generated input .* is over"):
        runs([])


def test_rows_that_fit_into_memory_are_reckoned_from_what_one_run_took() -> None:
    assert Taken(Kind(8, 2), 3, Cost(0.1, 300)).rows_within(1000) == 10
    assert Taken(Kind(8, 2), 3, Cost(0.1, 300)).rows_within(10) == 1
    assert Taken(Kind(8, 2), 3, Cost(0.1, 0)).rows_within(10) == 30
