"""Plans on real SavedModels: the frozen form answers as the saved one, whatever is in the graph."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hotgraph_server import graph as graph_module
from hotgraph_server.batching.trial import alike, generated_inputs
from hotgraph_server.errors import RunFailed
from hotgraph_server.graph import Graph
from hotgraph_server.plan import AS_SAVED, Form, Plan, Threads
from hotgraph_server.settings import SessionSettings
from hotgraph_server.tensors import Array

from ..saved_models import BUILDERS, SavedModels

# It blocks until a test opens its pipes.
NEVER_RETURNS = {"gated"}


@pytest.fixture
def always_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever can be frozen is run so, however slow; what does not run refuses the plan as ever."""

    def choose(inputs: list[Array], run: object, *, can_freeze: bool) -> Plan:
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
        for inputs in generated_inputs(signature, rows=2):
            try:
                yield signature.name, graph.run(signature, signature.output_aliases, inputs)
            except RunFailed:
                continue
            break


@pytest.mark.usefixtures("always_frozen")
@pytest.mark.parametrize("name", sorted(set(BUILDERS) - NEVER_RETURNS))
def test_frozen_form_answers_as_the_saved_one(saved_models: SavedModels, name: str) -> None:
    graph = open_graph(saved_models[name])
    before = dict(answers(graph))
    graph.settle()
    after = dict(answers(graph))
    assert before.keys() == after.keys()
    for signature, outputs in before.items():
        assert all(alike(one, other) for one, other in zip(outputs, after[signature], strict=True)), signature
    graph.close()


@pytest.mark.usefixtures("always_frozen")
def test_variables_of_a_frozen_graph_are_given_back(saved_models: SavedModels) -> None:
    graph = open_graph(saved_models["tf2_mlp"])
    plans = graph.settle()
    assert {plan.form for plan in plans.values()} == {Form.FROZEN}
    signature = next(iter(graph.signatures.values()))
    inputs = next(generated_inputs(signature, rows=1))
    graph.run(signature, signature.output_aliases, inputs)
    with pytest.raises(RunFailed, match=r"(?i)variable|resource"):
        graph._run_as(AS_SAVED, signature, signature.output_aliases, inputs)
    graph.close()


def test_graph_that_changes_its_variables_is_not_frozen(saved_models: SavedModels) -> None:
    graph = open_graph(saved_models["counter"])
    plans = graph.settle()
    assert {plan.form for plan in plans.values()} == {Form.AS_SAVED}
    assert any("may change" in plan.reason for plan in plans.values())
    graph.close()


def test_setting_forbids_trying(saved_models: SavedModels) -> None:
    graph = open_graph(saved_models["tf2_mlp"], plan="as-saved")
    plans = graph.settle()
    assert {(plan.form, plan.threads, plan.reason) for plan in plans.values()} == {
        (Form.AS_SAVED, Threads.CALLER, "by setting")
    }
    graph.close()


def test_chosen_plan_answers_for_a_choice_of_outputs_too(saved_models: SavedModels) -> None:
    graph = open_graph(saved_models["two_in_two_out"])
    signature = next(iter(graph.signatures.values()))
    inputs = next(generated_inputs(signature, rows=3))
    graph.settle()
    everything = graph.run(signature, signature.output_aliases, inputs)
    for index, alias in enumerate(signature.output_aliases):
        (one,) = graph.run(signature, (alias,), inputs)
        assert np.array_equal(one, everything[index])
    graph.close()


def test_one_choice_of_outputs_too_many_is_answered_from_all(
    saved_models: SavedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Preparing each of a caller's choices would keep the executor from everybody else's calls."""
    monkeypatch.setattr(graph_module, "_MAX_CHOICES", 1)
    graph = open_graph(saved_models["two_in_two_out"], plan="as-saved")
    signature = next(iter(graph.signatures.values()))
    inputs = next(generated_inputs(signature, rows=3))
    everything = graph.run(signature, signature.output_aliases, inputs)
    prepared = len(graph._callables)
    for alias, expected in zip(signature.output_aliases, everything, strict=True):
        (one,) = graph.run(signature, (alias,), inputs)
        assert np.array_equal(one, expected)
    assert len(graph._callables) == prepared + 1
    graph.close()
