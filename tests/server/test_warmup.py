from __future__ import annotations

import logging
from collections.abc import Sequence

import grpc
import pytest

from hotgraph_server.errors import LoadError, RunFailed
from hotgraph_server.tensors import Array
from hotgraph_server.warmup import summary, warm_up, warm_up_sizes, warmed

from .fakes import FakeGraph, doubled, rows, signature


def opened(graph: FakeGraph) -> FakeGraph:
    return graph.open()


def failing(status: grpc.StatusCode) -> FakeGraph:
    def compute(_: Sequence[Array]) -> Sequence[Array]:
        raise RunFailed(status.value[0], "what TensorFlow said\nand where")

    return opened(FakeGraph(compute=compute))


def test_signature_that_passes_the_trial_is_batched() -> None:
    graph = opened(FakeGraph())
    assert warm_up(graph, "m") == {"serving_default": None}
    # Once together, then each row by itself.
    assert [len(inputs[0]) for inputs in graph.runs] == [3, 1, 1, 1]


def test_signature_that_fails_the_trial_runs_alone_and_says_why() -> None:
    graph = opened(FakeGraph(compute=lambda inputs: [inputs[0] - inputs[0].mean(axis=0)]))
    assert "neighbours" in (warm_up(graph, "m")["serving_default"] or "")


def test_signature_that_changes_state_is_never_run() -> None:
    graph = opened(FakeGraph(signature(writes=True), signature("reset", inputs={}, writes=True)))
    reasons = warm_up(graph, "m")
    assert graph.runs == []
    assert all("change the state" in (reason or "") for reason in reasons.values())


def test_signature_that_runs_alone_anyway_is_run_once_with_one_row() -> None:
    graph = opened(FakeGraph(signature(inputs={"x": (1, 2)}), signature("read", inputs={})))
    graph.compute = lambda inputs: inputs or doubled(inputs)
    reasons = warm_up(graph, "m")
    assert [[array.shape for array in inputs] for inputs in graph.runs] == [[(1, 2)], []]
    assert "no free dimension 0" in (reasons["serving_default"] or "")
    assert "no inputs" in (reasons["read"] or "")


def test_owners_word_decides_which_signatures_are_tried() -> None:
    graph = opened(FakeGraph(signature("a"), signature("b")))
    reasons = warm_up(graph, "m", {"a": "never", "b": "auto"}.__getitem__)
    assert reasons == {"a": "the settings say so", "b": None}
    # The first is warmed all the same.
    assert [len(inputs[0]) for inputs in graph.runs] == [1, 3, 1, 1, 1]


def takes_only(value: float) -> FakeGraph:
    """A graph that refuses every row but such of `value`."""

    def compute(inputs: Sequence[Array]) -> Sequence[Array]:
        if (inputs[0] != value).any():
            raise RunFailed(grpc.StatusCode.INVALID_ARGUMENT.value[0], "no such id")
        return doubled(inputs)

    return opened(FakeGraph(compute=compute))


def test_graph_is_tried_with_what_it_brings_where_it_takes_nothing_else() -> None:
    samples = {"serving_default": [[rows(7, 7)]]}
    assert warm_up(takes_only(7), "m", samples=samples) == {"serving_default": None}


def test_graph_that_runs_alone_is_warmed_with_what_it_brings(caplog: pytest.LogCaptureFixture) -> None:
    graph = takes_only(7)
    with caplog.at_level(logging.INFO):
        warm_up(graph, "m", lambda _: "never", {"serving_default": [[rows(7)]]})
    assert [inputs[0].tolist() for inputs in graph.runs] == [[[7, 7]]]
    assert "not warmed" not in caplog.text


@pytest.mark.parametrize(
    "status",
    [
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
    ],
)
def test_graph_that_no_input_could_run_is_not_served(status: grpc.StatusCode) -> None:
    with pytest.raises(LoadError) as caught:
        warm_up(failing(status), "model 'm' version 1")
    assert str(caught.value) == (
        "model 'm' version 1: signature 'serving_default' fails its first run: what TensorFlow said"
    )


@pytest.mark.parametrize(
    ("words", "fit"),
    [
        ("Attempting to use uninitialized value lost", False),
        ("Table not initialized.", False),
        ("w is a variable without a value: ...", False),
        ("len(sequence_length) != batch_size.", True),
    ],
)
def test_precondition_that_fails_is_the_fault_of_the_graph_where_a_value_is_missing(
    words: str, fit: bool
) -> None:
    def compute(_: Sequence[Array]) -> Sequence[Array]:
        raise RunFailed(grpc.StatusCode.FAILED_PRECONDITION.value[0], words)

    graph = opened(FakeGraph(compute=compute))
    if fit:
        assert "refuses generated inputs" in (warm_up(graph, "m")["serving_default"] or "")
    else:
        with pytest.raises(LoadError, match="fails its first run"):
            warm_up(graph, "m")


def test_graph_that_refuses_generated_input_is_served_and_runs_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reasons = warm_up(failing(grpc.StatusCode.INVALID_ARGUMENT), "m")
    assert "refuses generated inputs" in (reasons["serving_default"] or "")
    graph = failing(grpc.StatusCode.INVALID_ARGUMENT)
    with caplog.at_level(logging.INFO):
        warm_up(graph, "m")
    assert "not warmed" in caplog.text


@pytest.mark.parametrize(
    ("alone", "unusable", "text"),
    [
        ({}, {}, "no signature that can be called"),
        ({"a": None, "b": None}, {}, "batched: a, b"),
        (
            {"a": None, "b": "why"},
            {"c": "it has no outputs"},
            "batched: a; run alone: b; not callable: c (it has no outputs)",
        ),
    ],
)
def test_summary_is_one_line_for_the_log(
    alone: dict[str, str | None], unusable: dict[str, str], text: str
) -> None:
    assert summary(alone, unusable) == text


def test_sizes_that_the_graph_takes_are_run_once() -> None:
    def compute(inputs: Sequence[Array]) -> Sequence[Array]:
        if len(inputs[0]) == 8:
            raise RunFailed(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], "out of memory")
        return doubled(inputs)

    graph = opened(FakeGraph(compute=compute))
    assert warm_up_sizes(graph, graph.signatures["serving_default"], (2, 4, 8)) == [2, 4]
    assert [len(inputs[0]) for inputs in graph.runs] == [2, 4, 8]


def test_sizes_of_a_graph_that_takes_nothing_generated_are_none() -> None:
    graph = failing(grpc.StatusCode.INVALID_ARGUMENT)
    assert warm_up_sizes(graph, graph.signatures["serving_default"], (2, 4)) == []


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
