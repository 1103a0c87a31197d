"""What a graph is run with before it is live, as it will be run in service."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import pytest

from hotgraph_server.errors import RunFailed
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.prepare import warm_up_sizes, warmed
from hotgraph_server.warmup.synthetic_inputs import Kind

from ..fakes import FakeClock, FakeGraph, doubled

KIND = Kind(8, 1000)


def test_sizes_that_the_graph_takes_are_run_once() -> None:
    def compute(inputs: Sequence[Array]) -> Sequence[Array]:
        if len(inputs[0]) == 8:
            raise RunFailed(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], "out of memory")
        return doubled(inputs)

    graph = FakeGraph(compute=compute).open()
    assert warm_up_sizes(graph, graph.signatures["serving_default"], (2, 4, 8), KIND) == [2, 4]
    assert [len(inputs[0]) for inputs in graph.runs] == [2, 4, 8]


def test_sizes_of_a_graph_that_takes_nothing_generated_are_none() -> None:
    def refuse(_: Sequence[Array]) -> Sequence[Array]:
        raise RunFailed(grpc.StatusCode.INVALID_ARGUMENT.value[0], "what TensorFlow said\nand where")

    graph = FakeGraph(compute=refuse).open()
    assert warm_up_sizes(graph, graph.signatures["serving_default"], (2, 4), KIND) == []
    assert warm_up_sizes(graph, graph.signatures["serving_default"], (2, 4), None) == []


def test_no_size_is_begun_when_the_time_is_over_but_the_first() -> None:
    clock = FakeClock()

    def compute(inputs: Sequence[Array]) -> Sequence[Array]:
        clock.now += 1
        return doubled(inputs)

    graph = FakeGraph(compute=compute).open()
    one, until = graph.signatures["serving_default"], clock.now + 2
    assert warm_up_sizes(graph, one, (1, 2, 4, 8), KIND, until, clock) == [1, 2]
    assert warm_up_sizes(graph, one, (1, 2, 4, 8), KIND, until, clock) == [1]


@pytest.mark.parametrize(
    ("brought", "sizes", "text"),
    [
        ({}, {}, ""),
        ({"regress": 2, "predict": 1}, {}, "3 calls that the model brings (1 predict, 2 regress)"),
        ({}, {"s": [1, 2]}, "1, 2 generated rows for s"),
        (
            {"predict": 4},
            {"a": [8], "b": [8]},
            "4 calls that the model brings (4 predict); 8 generated rows for a, b",
        ),
    ],
)
def test_words_say_what_was_run(brought: dict[str, int], sizes: dict[str, list[int]], text: str) -> None:
    assert warmed(brought, sizes) == text
