"""Large constants live in variables, wherever they stood in the graph, and no answer changes by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.batching.comparing import alike
from hotgraph_server.errors import RunFailed
from hotgraph_server.graph import freezing, lifting
from hotgraph_server.graph import graph as graph_module
from hotgraph_server.graph.graph import Graph
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.plan import AS_SAVED, Form, Plan, Threads

from ...saved_models import BUILDERS, SavedModels
from ...saved_models.tf2 import function, save
from ..probed import inputs_for, kinds_of

# It blocks until a test opens its pipes.
NEVER_RETURNS = {"gated"}
LARGE = np.random.default_rng(0).normal(size=(160, 160)).astype(np.float32)


@pytest.fixture
def lifts_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little there is to be lifted."""
    monkeypatch.setattr(lifting, "MIN_BYTES", 1)


def constant_in_function(directory: Path) -> None:
    import tensorflow as tf

    save(
        directory,
        [],
        serving_default=function(lambda x: {"y": x @ tf.constant(LARGE)}, x=([None, 160], tf.float32)),
    )


def constant_captured(directory: Path) -> None:
    import tensorflow as tf

    captured = tf.constant(LARGE)
    save(
        directory,
        [captured],
        serving_default=function(lambda x: {"y": x @ captured}, x=([None, 160], tf.float32)),
    )


def constant_in_graph(directory: Path) -> None:
    """Of names that TensorFlow gives, which must be free when the graph is imported."""
    import tensorflow.compat.v1 as tf

    from ...saved_models import tf1

    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 160])
        y = tf.matmul(x, tf.constant(LARGE))
        tf1.save(directory, session, {"serving_default": ({"x": x}, {"y": y})})


def constant_in_loop(directory: Path) -> None:
    """Made in the body, so that it has a control input from the loop's frame."""
    import tensorflow.compat.v1 as tf

    from ...saved_models import tf1

    tf.disable_control_flow_v2()
    try:
        with tf.Graph().as_default(), tf.Session() as session:
            x = tf.placeholder(tf.float32, [None, 160], name="x")
            _, y = tf.while_loop(
                lambda i, _: i < 1, lambda i, y: (i + 1, tf.matmul(y, tf.constant(LARGE))), [0, x]
            )
            tf1.save(directory, session, {"serving_default": ({"x": x}, {"y": y})})
    finally:
        tf.enable_control_flow_v2()


PLACES = [constant_in_function, constant_captured, constant_in_graph, constant_in_loop]


def constants(graph: Graph) -> int:
    """Bytes of those in the session's graph and its functions."""
    graph_def = graph.session.graph.as_graph_def()
    bodies = [graph_def.node, *(body.node_def for body in graph_def.library.function)]
    return sum(lifting.constant_bytes(node) for nodes in bodies for node in nodes)


@pytest.mark.usefixtures("lifts_all")
@pytest.mark.parametrize("build", PLACES)
def test_large_constant_is_no_part_of_the_graph_and_answers_as_before(
    tmp_path: Path, opened: Callable[..., Graph], build: Callable[[Path], None]
) -> None:
    build(tmp_path / "m")
    graph = opened(tmp_path / "m")
    assert constants(graph) < 2**12
    signature = graph.signatures["serving_default"]
    x = np.ones((2, 160), np.float32)
    (y,) = graph.run(signature, ("y",), [x])
    np.testing.assert_allclose(y, x @ LARGE, rtol=1e-4, atol=1e-4)
    assert not signature.writes
    assert graph.variables == ()


@pytest.mark.parametrize("build", PLACES)
def test_graph_whose_constants_are_small_together_is_left_alone(
    tmp_path: Path, opened: Callable[..., Graph], build: Callable[[Path], None]
) -> None:
    build(tmp_path / "m")
    assert constants(opened(tmp_path / "m")) >= LARGE.nbytes


@pytest.mark.usefixtures("lifts_all")
@pytest.mark.parametrize("build", [constant_in_graph, constant_in_function])
def test_lifted_constants_stay_when_the_graph_is_frozen(
    tmp_path: Path,
    opened: Callable[..., Graph],
    build: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of the graph are constants again in the frozen form, those of functions are what they were."""

    def choose(inputs: list[Array], run: object, *, can_freeze: bool, **_: object) -> Plan:
        return Plan(Form.FROZEN if can_freeze else Form.AS_SAVED, Threads.CALLER)

    monkeypatch.setattr(graph_module, "choose_plan", choose)
    build(tmp_path / "m")
    graph = opened(tmp_path / "m")
    plans = graph.settle(kinds_of(graph))
    in_graph = build is constant_in_graph
    assert (plans["serving_default"].form is Form.FROZEN) == in_graph
    x = np.ones((2, 160), np.float32)
    (y,) = graph.run(graph.signatures["serving_default"], ("y",), [x])
    np.testing.assert_allclose(y, x @ LARGE, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("lifts_all")
def test_variable_beside_a_constant_of_a_function_is_frozen_and_the_constant_stays_shared(
    tmp_path: Path, opened: Callable[..., Graph]
) -> None:
    import tensorflow as tf

    bias = tf.Variable(np.ones(160, np.float32))
    one = function(lambda x: {"y": x @ tf.constant(LARGE) + bias}, x=([None, 160], tf.float32))
    save(tmp_path / "m", [bias], serving_default=one)
    graph = opened(tmp_path / "m")
    signature = graph.signatures["serving_default"]
    assert freezing.add_frozen(graph.session, [signature], (), "/device:CPU:0", xla=False) == ""
    freezing.release_variables(graph.session)
    x = np.ones((2, 160), np.float32)
    (y,) = graph.run_as(Plan(Form.FROZEN, Threads.CALLER), signature, ("y",), [x])
    np.testing.assert_allclose(y, x @ LARGE + 1, rtol=1e-4, atol=1e-4)
    assert constants(graph) < LARGE.nbytes
    with pytest.raises(RunFailed, match=r"(?i)variable|resource"):
        graph.run_as(AS_SAVED, signature, ("y",), [x])


@pytest.mark.usefixtures("lifts_all")
def test_what_xla_must_compile_keeps_its_constants(tmp_path: Path, opened: Callable[..., Graph]) -> None:
    import tensorflow as tf

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
    def compiled(x: Any) -> Any:
        return x @ tf.constant(LARGE)

    save(
        tmp_path / "m",
        [],
        serving_default=function(lambda x: {"y": compiled(x)}, x=([None, 160], tf.float32)),
    )
    graph = opened(tmp_path / "m")
    x = np.ones((2, 160), np.float32)
    (y,) = graph.run(graph.signatures["serving_default"], ("y",), [x])
    np.testing.assert_allclose(y, x @ LARGE, rtol=1e-4, atol=1e-4)


def answers(graph: Graph) -> Iterator[tuple[str, list[Array]]]:
    """What each signature that changes nothing gives for the first generated input that it takes."""
    for signature in graph.signatures.values():
        if signature.writes:
            continue
        for inputs in inputs_for(graph, signature, 2):
            yield signature.name, graph.run(signature, signature.output_aliases, inputs)


@pytest.mark.parametrize("name", sorted(set(BUILDERS) - NEVER_RETURNS))
def test_every_model_answers_alike_with_its_constants_lifted(
    saved_models: SavedModels, opened: Callable[..., Graph], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = opened(saved_models[name])
    monkeypatch.setattr(lifting, "MIN_BYTES", 1)
    monkeypatch.setattr(lifting, "LARGE_BYTES", 64)
    after = opened(saved_models[name])
    assert before.signatures == after.signatures
    expected, found = dict(answers(before)), dict(answers(after))
    assert expected.keys() == found.keys()
    for signature, outputs in expected.items():
        if not before.signatures[signature].varies:
            assert all(alike(one, other) for one, other in zip(outputs, found[signature], strict=True))
