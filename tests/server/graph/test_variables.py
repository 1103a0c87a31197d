"""Variables of real graphs that signatures write: which they are; reading, writing, exporting them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.batching.request import Request
from hotgraph_server.graph.graph import Graph
from hotgraph_server.models.opening import open_version
from hotgraph_server.settings import ModelSettings, SessionSettings
from hotgraph_server.warmup.plan import Form, Plan, Threads

from ...saved_models import SavedModels
from ...saved_models.learning import build_regression
from ...saved_models.tf2 import function, save
from ..fakes import Caller
from ..probed import kinds_of


@pytest.fixture
def opened() -> Iterator[Any]:
    graphs: list[Graph] = []

    def open_graph(directory: Path) -> Graph:
        graphs.append(Graph.open(directory, SessionSettings(plan_budget_s=20.0)))
        return graphs[-1]

    yield open_graph
    for graph in graphs:
        graph.close()


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """`train` writes `bias` in a loop; `predict` reads it, and large `weights` that nobody writes."""
    import tensorflow as tf

    weights = tf.Variable(tf.ones([64, 64]), name="weights")
    bias = tf.Variable(0.0, name="bias")
    seen = tf.Variable([0.0, 0.0], name="seen")

    def train(by: Any) -> Any:
        for _ in tf.range(3):
            bias.assign_add(by)
        if by > 100.0:
            seen.assign([by, by])
        return {"bias": bias.read_value()}

    def predict(x: Any) -> Any:
        return {"y": x @ weights @ weights + bias}

    directory = tmp_path / "mixed"
    signatures = {
        "train": function(train, by=([], tf.float32)),
        "predict": function(predict, x=([None, 64], tf.float32)),
    }
    save(directory, [weights, bias, seen], **signatures)
    return directory


def run(graph: Graph, name: str, *inputs: Any) -> Any:
    signature = graph.signatures[name]
    return graph.run(signature, signature.output_aliases, list(inputs))[0]


def test_variables_are_found_through_loops_branches_and_functions(opened: Any, mixed: Path) -> None:
    graph = opened(mixed)
    assert graph.signatures["train"].variables == {"bias", "seen"}
    assert graph.signatures["predict"].variables == frozenset()
    assert graph.variables == ("bias", "seen")


def test_what_nobody_writes_is_frozen_and_the_rest_stays_what_it_is(opened: Any, mixed: Path) -> None:
    graph = opened(mixed)
    plans = graph.settle(kinds_of(graph))
    assert plans["train"].form is Form.AS_SAVED
    assert plans["predict"].form is Form.FROZEN, plans["predict"].reason
    x = np.zeros((1, 64), np.float32)
    assert float(run(graph, "predict", x)[0, 0]) == 0.0
    run(graph, "train", np.float32(1.5))
    assert float(run(graph, "predict", x)[0, 0]) == 4.5


@pytest.mark.parametrize("kind", ["counter", "tf1_counter"])
def test_values_are_read_and_written_whole_and_what_was_read_stays_as_it_was(
    saved_models: SavedModels, opened: Any, kind: str
) -> None:
    graph = opened(saved_models[kind])
    (writer,) = [one for one in graph.signatures.values() if one.writes]
    (name,) = graph.variables
    before = graph.read_variables()
    values = [np.ones([1] * len(spec.shape or ()), spec.dtype) for spec in writer.inputs]
    graph.run(writer, writer.output_aliases, values)
    after = graph.read_variables()
    graph.run(writer, writer.output_aliases, values)
    assert (int(before[name]), int(after[name])) == (0, 1)
    graph.write_variables(before)
    assert int(graph.read_variables()[name]) == 0


def test_two_graphs_with_equal_names_keep_their_variables_apart(opened: Any, tmp_path: Path) -> None:
    build_regression(tmp_path / "one")
    build_regression(tmp_path / "other", start=5.0)
    one, other, again = opened(tmp_path / "one"), opened(tmp_path / "other"), opened(tmp_path / "one")
    for graph in (one, other, again):
        graph.settle(kinds_of(graph))
    row = np.ones(1, np.float32)
    untouched = other.read_variables(), again.read_variables()
    one.run(one.signatures["train"], ("loss",), [row, row])
    assert float(one.read_variables()["W"]) != 0.0
    assert (other.read_variables(), again.read_variables()) == untouched


def test_reader_on_the_pool_sees_the_state_before_or_after_a_write_and_never_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    parts = [tf.Variable(tf.zeros([200, 200]), name=f"part_{number}") for number in range(4)]

    def add(by: Any) -> Any:
        return {"by": tf.add_n([part.assign_add(tf.fill([200, 200], by))[0, 0] for part in parts])}

    def read() -> Any:
        return {f"part_{number}": tf.reduce_mean(part) for number, part in enumerate(parts)}

    save(tmp_path / "m", parts, add=function(add, by=([], tf.float32)), read=function(read))
    on_the_pool = Plan(Form.AS_SAVED, Threads.POOL)
    monkeypatch.setattr("hotgraph_server.graph.graph.choose_plan", lambda *_, **__: on_the_pool)
    version = open_version(
        ModelSettings("m", tmp_path), 1, lambda: Graph.open(tmp_path / "m", SessionSettings())
    )
    assert version.plans["read"] == on_the_pool
    callers = []
    for _ in range(100):
        for name, inputs in (("add", [np.array(1, np.float32)]), ("read", []), ("read", [])):
            caller = Caller()
            signature = version.signatures[name]
            version.submit(Request(signature, inputs, signature.output_aliases, caller.completion))
            if name == "read":
                callers.append(caller)
    seen = [[float(part) for part in caller.answer()] for caller in callers]
    version.stop(10)
    assert all(len(set(values)) == 1 for values in seen)
    assert seen[-1][0] == 100.0
