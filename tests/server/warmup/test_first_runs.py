from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import grpc
import numpy as np
import pytest

from hotgraph_server.errors import RunFailed
from hotgraph_server.settings import WarmupSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.first_runs import summary, warm_up
from hotgraph_server.warmup.probing import Measured
from hotgraph_server.warmup.synthetic_inputs import Kind

from ..fakes import FakeClock, FakeGraph, doubled, rows, signature

KIND = Kind(8, 1000)


def opened(graph: FakeGraph) -> FakeGraph:
    return graph.open()


def failing(status: grpc.StatusCode) -> FakeGraph:
    def compute(_: Sequence[Array]) -> Sequence[Array]:
        raise RunFailed(status.value[0], "what TensorFlow said\nand where")

    return opened(FakeGraph(compute=compute))


def test_signature_that_passes_the_trial_is_batched() -> None:
    graph = opened(FakeGraph())
    assert warm_up(graph, "m", max_rows=16).unbatched_reasons == {"serving_default": None}
    # Once to see what it takes; then odd rows alone; then all sizes together, and each row by itself.
    sizes = [len(inputs[0]) for inputs in graph.runs]
    assert sizes[:3] == [3, 1, 1]
    assert set(sizes) >= {1, 2, 3, 7, 16}


def test_signature_that_fails_the_trial_runs_alone_and_says_why() -> None:
    graph = opened(FakeGraph(compute=lambda inputs: [inputs[0] - inputs[0].mean(axis=0)]))
    assert "neighbours" in (warm_up(graph, "m").unbatched_reasons["serving_default"] or "")


def test_signature_that_changes_state_is_never_run() -> None:
    graph = opened(FakeGraph(signature(writes=True), signature("reset", inputs={}, writes=True)))
    reasons = warm_up(graph, "m").unbatched_reasons
    assert graph.runs == []
    assert all("change the state" in (reason or "") for reason in reasons.values())


def test_signature_that_runs_alone_anyway_is_run_with_one_row_only() -> None:
    graph = opened(FakeGraph(signature(inputs={"x": (1, 2)}), signature("read", inputs={})))
    graph.compute = lambda inputs: inputs or doubled(inputs)
    reasons = warm_up(graph, "m").unbatched_reasons
    assert {tuple(array.shape for array in inputs) for inputs in graph.runs} == {((1, 2),), ()}
    # Odd values are for the search for a plan.
    assert any(np.isnan(inputs[0]).any() for inputs in graph.runs if inputs)
    assert graph.runs.count([]) == 1
    assert "no free dimension 0" in (reasons["serving_default"] or "")
    assert "no inputs" in (reasons["read"] or "")


def test_owners_word_decides_which_signatures_are_tried() -> None:
    graph = opened(FakeGraph(signature("a"), signature("b")))
    reasons = warm_up(graph, "m", {"a": "never", "b": "tried"}.__getitem__).unbatched_reasons
    assert reasons == {"a": "the settings say so", "b": None}
    # The first is warmed all the same.
    runs_of_the_first = next(n for n, inputs in enumerate(graph.runs) if len(inputs[0]) > 1)
    assert 1 <= runs_of_the_first < len(graph.runs)


def takes_only(value: float) -> FakeGraph:
    """A graph that refuses every row below `value`."""

    def compute(inputs: Sequence[Array]) -> Sequence[Array]:
        if (inputs[0] < value).any():
            raise RunFailed(grpc.StatusCode.INVALID_ARGUMENT.value[0], "no such id")
        return doubled(inputs)

    return opened(FakeGraph(compute=compute))


def test_graph_is_tried_with_what_it_brings_where_it_takes_nothing_else() -> None:
    samples = {"serving_default": [[rows(7, 8)]]}
    assert warm_up(takes_only(7), "m", samples=samples).unbatched_reasons == {"serving_default": None}


def test_graph_that_runs_alone_is_warmed_with_what_it_brings(caplog: pytest.LogCaptureFixture) -> None:
    graph = takes_only(7)
    with caplog.at_level(logging.INFO):
        warm_up(graph, "m", lambda _: "never", {"serving_default": [[rows(7)]]})
    assert graph.runs[-1][0].tolist() == [[7, 7]]
    assert "not warmed" not in caplog.text


UNFIT = [
    (grpc.StatusCode.FAILED_PRECONDITION, "Table not initialized."),
    (grpc.StatusCode.FAILED_PRECONDITION, "Attempting to use uninitialized value lost"),
    (grpc.StatusCode.FAILED_PRECONDITION, "w is a variable without a value"),
    (grpc.StatusCode.NOT_FOUND, "Resource localhost/w does not exist."),
    (grpc.StatusCode.UNIMPLEMENTED, "NCHW is not supported"),
]


@pytest.mark.parametrize(("status", "words"), UNFIT)
def test_signature_that_fails_whatever_it_is_given_is_given_up_and_the_others_are_not(
    status: grpc.StatusCode, words: str
) -> None:
    def compute(inputs: Sequence[Array]) -> Sequence[Array]:
        if inputs[0].shape[1] == 5:
            raise RunFailed(status.value[0], f"{words}\nand where")
        return doubled(inputs)

    bad = signature("bad", {"x": (None, 5)}, {"y": (None, 5)})
    found = warm_up(opened(FakeGraph(signature(), bad, compute=compute)), "m")
    assert found.unusable == {"bad": f"it fails whatever it is given: {words}"}
    assert found.unbatched_reasons == {"serving_default": None}


@pytest.mark.parametrize("status", [status for status, _ in UNFIT])
def test_signature_whose_failure_depends_on_what_it_is_given_stays_callable(status: grpc.StatusCode) -> None:
    """A path that is not there is the caller's, and another one may be there."""

    def compute(inputs: Sequence[Array]) -> Sequence[Array]:
        raise RunFailed(status.value[0], f"{inputs[0].ravel()[0]}: no such file")

    found = warm_up(opened(FakeGraph(compute=compute)), "m")
    assert not found.unusable
    assert "could not be tried" in (found.unbatched_reasons["serving_default"] or "")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, "len(sequence_length) != batch_size."),
        (grpc.StatusCode.INTERNAL, "what went wrong"),
        (grpc.StatusCode.INVALID_ARGUMENT, "no such id"),
    ],
)
def test_failure_that_does_not_blame_the_graph_leaves_a_signature_callable(
    status: grpc.StatusCode, words: str
) -> None:
    def compute(_: Sequence[Array]) -> Sequence[Array]:
        raise RunFailed(status.value[0], words)

    assert not warm_up(opened(FakeGraph(compute=compute)), "m").unusable


def test_signature_that_takes_nothing_and_fails_is_given_up_whatever_it_says() -> None:
    def compute(_: Sequence[Array]) -> Sequence[Array]:
        raise RunFailed(3, "assertion failed")

    found = warm_up(opened(FakeGraph(signature("read", inputs={}), compute=compute)), "m")
    assert found.unusable == {"read": "it fails, and takes nothing that could be to blame: assertion failed"}


def test_signature_that_cannot_even_be_prepared_is_given_up() -> None:
    class Missing(FakeGraph):
        def bounded(self, signature: Signature, run_s: float) -> Callable[[Sequence[Array]], Measured]:
            raise RunFailed(3, "FetchOutputs node nowhere:0: not found")

    found = warm_up(opened(Missing()), "m")
    assert "cannot prepare a run of it: FetchOutputs" in found.unusable["serving_default"]


def test_graph_that_refuses_generated_input_is_served_and_runs_alone_and_says_the_cure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = warm_up(failing(grpc.StatusCode.INVALID_ARGUMENT), "m")
    for text in (
        found.unbatched_reasons["serving_default"] or "",
        found.warmed["serving_default"],
        caplog.text,
    ):
        assert "what TensorFlow said; warm-up records" in text
    assert not found.taken


def test_signature_that_takes_one_row_at_a_time_is_warmed_up_with_it() -> None:
    def compute(inputs: Sequence[Array]) -> Sequence[Array]:
        if len(inputs[0]) != 1:
            raise RunFailed(3, "one at a time")
        return doubled(inputs)

    found = warm_up(opened(FakeGraph(compute=compute)), "m")
    assert found.taken["serving_default"].rows == 1
    assert "takes no 3 generated rows at once" in (found.unbatched_reasons["serving_default"] or "")


def test_run_that_does_not_end_costs_its_part_of_the_time_and_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    given: list[float] = []

    class Endless(FakeGraph):
        def bounded(self, signature: Signature, run_s: float) -> Callable[[Sequence[Array]], Measured]:
            given.append(run_s)

            def run(_: Sequence[Array]) -> Measured:
                clock.now += run_s
                raise RunFailed(4, "Timed out waiting for notification")

            return run

    graph = opened(Endless(signature("a"), signature("b")))
    found = warm_up(graph, "m", settings=WarmupSettings(warm_up_budget_s=8), clock=clock)
    # The first has half of eight seconds, and a quarter of that for a run; the second what is left.
    assert given == [1.0, 7.0 / 4]
    assert clock.now - FakeClock().now == pytest.approx(2.75)
    assert "had not ended after 1 s" in found.warmed["a"]
    assert "signature 'a' is not warmed up" in caplog.text
    assert not found.unusable


def test_run_that_wants_more_memory_than_allowed_is_no_evidence() -> None:
    class Large(FakeGraph):
        def bounded(self, signature: Signature, run_s: float) -> Callable[[Sequence[Array]], Measured]:
            return lambda inputs: Measured(doubled(inputs), len(inputs[0]) << 30)

    found = warm_up(opened(Large()), "m", settings=WarmupSettings(warm_up_memory_mb=2000))
    assert found.taken["serving_default"].rows == 1
    assert found.unbatched_reasons["serving_default"] is not None
    found = warm_up(opened(Large()), "m", settings=WarmupSettings(warm_up_memory_mb=1000))
    assert not found.taken
    assert "allocates 1.07e+03 MB, and warm-up-memory-mb allows" in found.warmed["serving_default"]


def test_nothing_is_run_where_warm_up_is_off() -> None:
    off = WarmupSettings(warm_up=False)
    graph = opened(FakeGraph())
    assert "warm_up is off" in (warm_up(graph, "m", settings=off).unbatched_reasons["serving_default"] or "")
    assert warm_up(graph, "m", lambda _: "always", settings=off).unbatched_reasons == {
        "serving_default": None
    }
    assert not graph.runs


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
