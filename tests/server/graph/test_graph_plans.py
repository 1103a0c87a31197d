"""Plans on real SavedModels: the frozen form answers as the saved one, whatever is in the graph."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hotgraph_server.batching.comparing import alike
from hotgraph_server.errors import RunFailed
from hotgraph_server.graph import graph as graph_module
from hotgraph_server.graph.freezing import FROZEN
from hotgraph_server.graph.graph import Graph
from hotgraph_server.graph.loading import open_session
from hotgraph_server.settings import SessionSettings
from hotgraph_server.tensors import Array
from hotgraph_server.warmup import plan_search
from hotgraph_server.warmup.plan import AS_SAVED, Form, Plan, Threads

from ...saved_models import BUILDERS, SavedModels
from ..fakes import FakeClock
from ..probed import inputs_for, kinds_of

# It blocks until a test opens its pipes.
NEVER_RETURNS = {"gated"}
# The warm-up finds that they are unfit, before any plan is looked for.
FAIL_AT_THEIR_FIRST_RUN = {"uninitialized", "uninitialized_table"}


@pytest.fixture
def always_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever can be frozen is run so, however slow; what does not run refuses the plan as ever."""

    def choose(inputs: list[Array], run: object, *, can_freeze: bool, **_: object) -> Plan:
        run(AS_SAVED, inputs)  # type: ignore[operator]
        return Plan(Form.FROZEN if can_freeze else Form.AS_SAVED, Threads.CALLER)

    monkeypatch.setattr(graph_module, "choose_plan", choose)


def open_graph(directory: Path, plan: str = "auto") -> Graph:
    return Graph.open(directory, SessionSettings(plan=plan))


def answers(graph: Graph) -> Iterator[tuple[str, list[Array]]]:
    """What each signature that changes nothing gives for the first generated input that it takes."""
    for signature in graph.signatures.values():
        if signature.writes:
            continue
        for inputs in inputs_for(graph, signature, 2):
            yield signature.name, graph.run(signature, signature.output_aliases, inputs)


@pytest.mark.usefixtures("always_frozen")
@pytest.mark.parametrize("name", sorted(set(BUILDERS) - NEVER_RETURNS))
def test_frozen_form_answers_as_the_saved_one(saved_models: SavedModels, name: str) -> None:
    graph = open_graph(saved_models[name])
    before = dict(answers(graph))
    graph.settle(kinds_of(graph))
    after = dict(answers(graph))
    assert before.keys() == after.keys()
    for signature, outputs in before.items():
        assert all(alike(one, other) for one, other in zip(outputs, after[signature], strict=True)), signature
    graph.close()


@pytest.mark.parametrize("name", sorted(set(BUILDERS) - NEVER_RETURNS - FAIL_AT_THEIR_FIRST_RUN))
def test_plan_is_found_or_not_without_a_word_of_warning(
    saved_models: SavedModels, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    graph = open_graph(saved_models[name])
    with caplog.at_level(logging.INFO):
        plans = graph.settle(kinds_of(graph))
    assert plans.keys() == graph.signatures.keys()
    assert all(plan.reason for plan in plans.values())
    assert not [record for record in caplog.records if record.name.startswith("hotgraph")]
    graph.close()


@pytest.mark.usefixtures("always_frozen")
def test_variables_of_a_frozen_graph_are_given_back(saved_models: SavedModels) -> None:
    graph = open_graph(saved_models["tf2_mlp"])
    plans = graph.settle(kinds_of(graph))
    assert {plan.form for plan in plans.values()} == {Form.FROZEN}
    signature = next(iter(graph.signatures.values()))
    inputs = next(inputs_for(graph, signature, 1))
    graph.run(signature, signature.output_aliases, inputs)
    with pytest.raises(RunFailed, match=r"(?i)variable|resource"):
        graph.run_as(AS_SAVED, signature, signature.output_aliases, inputs)
    graph.close()


@pytest.mark.usefixtures("always_frozen")
def test_copy_that_could_not_be_tried_is_not_made(saved_models: SavedModels) -> None:
    """It would stay in the session for good, with all its constants."""
    graph = open_graph(saved_models["tf2_mlp"])
    plans = graph.settle({})
    assert {plan.form for plan in plans.values()} == {Form.AS_SAVED}
    assert all(plan.reason for plan in plans.values())
    assert not [op for op in graph.session.graph.get_operations() if op.name.startswith(f"{FROZEN}/")]
    graph.close()


def test_graph_that_changes_its_variables_is_not_frozen(saved_models: SavedModels) -> None:
    graph = open_graph(saved_models["counter"])
    plans = graph.settle(kinds_of(graph))
    assert {plan.form for plan in plans.values()} == {Form.AS_SAVED}
    assert any("may change" in plan.reason for plan in plans.values())
    graph.close()


def test_setting_forbids_trying(saved_models: SavedModels) -> None:
    graph = open_graph(saved_models["tf2_mlp"], plan="as-saved")
    plans = graph.settle(kinds_of(graph))
    assert {(plan.form, plan.threads, plan.reason) for plan in plans.values()} == {
        (Form.AS_SAVED, Threads.CALLER, "by setting")
    }
    graph.close()


def test_chosen_plan_answers_for_a_choice_of_outputs_too(saved_models: SavedModels) -> None:
    graph = open_graph(saved_models["two_in_two_out"])
    signature = next(iter(graph.signatures.values()))
    inputs = next(inputs_for(graph, signature, 3))
    graph.settle(kinds_of(graph))
    everything = graph.run(signature, signature.output_aliases, inputs)
    for index, alias in enumerate(signature.output_aliases):
        (one,) = graph.run(signature, (alias,), inputs)
        assert np.array_equal(one, everything[index])
    graph.close()


def test_one_choice_of_outputs_too_many_is_answered_from_all(
    saved_models: SavedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Preparing each of a caller's choices would keep the executor from everybody else's calls."""
    monkeypatch.setattr(graph_module, "MAX_CHOICES", 1)
    graph = open_graph(saved_models["two_in_two_out"], plan="as-saved")
    signature = next(iter(graph.signatures.values()))
    inputs = next(inputs_for(graph, signature, 3))
    everything = graph.run(signature, signature.output_aliases, inputs)
    prepared = len(graph.callables)
    for alias, expected in zip(signature.output_aliases, everything, strict=True):
        (one,) = graph.run(signature, (alias,), inputs)
        assert np.array_equal(one, expected)
    assert len(graph.callables) == prepared + 1
    graph.close()


# The time.


def test_budget_of_nothing_tries_nothing(saved_models: SavedModels) -> None:
    graph = Graph.open(saved_models["tf2_mlp"], SessionSettings(plan_budget_s=0))
    (plan,) = graph.settle({}).values()
    assert (plan, plan.reason) == (AS_SAVED, "plan-budget-s is 0")
    assert not len(graph.callables)
    graph.close()


def test_each_signature_has_an_equal_part_of_what_is_left(
    saved_models: SavedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    given: list[float] = []

    def choose(inputs: list[Array], run: object, *, budget_s: float, **_: object) -> Plan:
        given.append(round(budget_s, 6))
        clock.now += 0.25
        return AS_SAVED

    monkeypatch.setattr(graph_module, "choose_plan", choose)
    settings = SessionSettings(plan_budget_s=3.0)
    session, meta_graph = open_session(saved_models["example_scores"], settings)
    graph = Graph(session, meta_graph, settings, clock=clock)
    graph.settle(kinds_of(graph))
    # The first has used little of its part.
    assert given == [1.5, 2.75]
    graph.close()


# XLA.


@pytest.fixture
def xla_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever XLA compiles is used, however slow."""
    monkeypatch.setattr(plan_search, "MARGIN", 1e9)
    monkeypatch.setattr(plan_search, "HOPELESS", 1e9)


def open_with_xla(directory: Path, *row_buckets: int) -> Graph:
    return Graph.open(directory, SessionSettings(xla=True, plan_budget_s=600), row_buckets)


@pytest.mark.usefixtures("xla_pays")
@pytest.mark.parametrize(
    "kind", ["tf2_mlp", "tf1_softmax", "two_in_two_out", "embedding", "tf1_control_flow"]
)
def test_runs_through_xla_answer_as_the_saved_graph(saved_models: SavedModels, kind: str) -> None:
    graph = open_with_xla(saved_models[kind], 2, 4)
    signature = graph.signatures["serving_default"]
    inputs = {rows: next(inputs_for(graph, signature, rows)) for rows in (1, 2, 3, 4, 5)}
    saved = {rows: graph.run(signature, signature.output_aliases, inputs[rows]) for rows in inputs}
    plan = graph.settle(kinds_of(graph))["serving_default"]
    assert plan.xla_rows == (2, 4), plan
    for rows, expected in saved.items():
        answers = graph.run(signature, signature.output_aliases, inputs[rows])
        assert all(alike(one, other) for one, other in zip(answers, expected, strict=True)), rows
    graph.close()


@pytest.mark.usefixtures("xla_pays")
def test_nothing_is_prepared_or_compiled_in_service(saved_models: SavedModels) -> None:
    """Neither for other numbers of rows nor for a choice of outputs."""
    graph = open_with_xla(saved_models["two_in_two_out"], 2, 4)
    signature = graph.signatures["serving_default"]
    graph.settle(kinds_of(graph))
    prepared = len(graph.callables)
    for rows in range(1, 6):
        inputs = next(inputs_for(graph, signature, rows))
        everything = graph.run(signature, signature.output_aliases, inputs)
        (one,) = graph.run(signature, signature.output_aliases[1:], inputs)
        assert np.array_equal(one, everything[1])
    assert len(graph.callables) == prepared
    graph.close()


@pytest.mark.parametrize(
    ("kind", "row_buckets", "why"),
    [
        ("tf2_mlp", (), "no XLA: it compiles for each number of rows, and no row_buckets are set"),
        ("variable_length", (4,), "no XLA: input 'x' can have too many shapes"),
    ],
)
def test_xla_that_could_compile_in_service_is_not_tried(
    saved_models: SavedModels, kind: str, row_buckets: tuple[int, ...], why: str
) -> None:
    graph = open_with_xla(saved_models[kind], *row_buckets)
    plan = graph.settle(kinds_of(graph))["serving_default"]
    assert not plan.xla
    assert why in plan.reason
    graph.close()


def test_without_the_setting_xla_is_not_even_looked_at(saved_models: SavedModels) -> None:
    graph = open_graph(saved_models["tf2_mlp"])
    graph.settle(kinds_of(graph))
    assert not [op for op in graph.session.graph.get_operations() if op.name.startswith("hotgraph_xla")]
    graph.close()
