"""Frozen copies of real graphs: which can be had, which are not even begun, and that lookups survive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.errors import RunFailed
from hotgraph_server.graph import freezing
from hotgraph_server.graph import graph as graph_module
from hotgraph_server.graph.graph import Graph
from hotgraph_server.graph.lifting import constant_bytes
from hotgraph_server.warmup.plan import AS_SAVED, Form, Plan, Threads

from ...saved_models import SavedModels
from ..probed import kinds_of

FROZEN = Plan(Form.FROZEN, Threads.CALLER)
CONVERSION = (
    "hotgraph_server.graph.freezing.convert_to_constants.convert_variables_to_constants_from_session_graph"
)
LOOKUPS = {
    "embedding": np.array([4, 0], np.int32),
    "tf1_lookups": np.array([4, 0], np.int32),
    "lookups": np.array([[1, 2], [0, 1]], np.int32),
}


def add_copies(graph: Graph, *, xla: bool = False) -> str:
    return freezing.add_frozen(graph.session, list(graph.signatures.values()), (), "/device:CPU:0", xla=xla)


def variables_in(graph: Graph, scope: str) -> set[str]:
    return {
        op.type
        for op in graph.session.graph.get_operations()
        if op.name.startswith(f"{scope}/") and ("Resource" in op.type or op.type == "VarHandleOp")
    }


@pytest.mark.parametrize("kind", LOOKUPS)
def test_graph_that_looks_rows_up_in_a_variable_is_frozen_and_answers_alike(
    saved_models: SavedModels, opened: Any, kind: str
) -> None:
    graph = opened(saved_models[kind])
    signature = graph.signatures["serving_default"]
    saved = graph.run(signature, signature.output_aliases, [LOOKUPS[kind]])
    assert add_copies(graph) == ""
    assert not variables_in(graph, freezing.FROZEN)
    frozen = graph.run_as(
        FROZEN,
        signature,
        signature.output_aliases,
        [LOOKUPS[kind]],
    )
    for one, other in zip(saved, frozen, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["embedding", "tf1_lookups"])
def test_id_out_of_range_is_refused_by_the_frozen_form_too(
    saved_models: SavedModels, opened: Any, kind: str
) -> None:
    graph = opened(saved_models[kind])
    signature = graph.signatures["serving_default"]
    add_copies(graph)
    with pytest.raises(RunFailed) as caught:
        graph.run_as(FROZEN, signature, signature.output_aliases, [np.array([5], np.int32)])
    assert caught.value.status.name == "INVALID_ARGUMENT"


# What is not begun.


@pytest.fixture
def no_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever converts fails the test."""

    def convert(*_: object, **__: object) -> None:
        raise AssertionError("a conversion was begun")

    monkeypatch.setattr(CONVERSION, convert)


def reasons(graph: Graph) -> set[str]:
    plans = graph.settle(kinds_of(graph))
    assert {plan.form for plan in plans.values()} == {Form.AS_SAVED}
    return {plan.reason for plan in plans.values()}


@pytest.mark.usefixtures("no_conversion")
def test_graph_too_large_for_a_message_is_not_begun(
    saved_models: SavedModels, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing, "MAX_FROZEN_BYTES", 2000)
    (reason,) = reasons(opened(saved_models["tf2_mlp"]))
    # 16 x 32 and 32 x 4 floats are 2560 bytes; the rest is the graph itself.
    assert "not frozen: with its variables it is 0.0" in reason
    assert "and a graph can have 0.002 MB" in reason


@pytest.mark.usefixtures("no_conversion")
def test_graph_whose_copy_would_take_longer_than_the_budget_is_not_begun(
    saved_models: SavedModels, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing, "S_PER_BYTE", 1.0)
    (reason,) = reasons(opened(saved_models["tf2_mlp"], plan_budget_s=60.0))
    assert "MB of constants would take longer than plan-budget-s allows" in reason


@pytest.mark.usefixtures("no_conversion")
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("counter", "signatures write all its variables"),
        ("tf1_counter", "signatures write all its variables"),
        ("vocabulary", "there are no variables"),
        ("tf1_vocabulary", "there are no variables"),
        ("strings", "there are no variables"),
        ("pass_through", "there are no variables"),
    ],
)
def test_graph_that_gains_nothing_or_must_not_be_copied_is_not_begun(
    saved_models: SavedModels, opened: Any, kind: str, why: str
) -> None:
    assert any(
        why in reason or "may change state" in reason for reason in reasons(opened(saved_models[kind]))
    )


def test_variables_that_no_signature_needs_do_not_count(tmp_path: Path, opened: Any) -> None:
    """What an optimiser has left behind is not copied, so its size is of no concern."""
    import tensorflow.compat.v1 as tf

    from ...saved_models.tf1 import save

    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 2], name="x")
        used = tf.Variable(np.ones(2, np.float32), use_resource=True)
        tf.Variable(np.zeros(100_000, np.float32), use_resource=True)
        y = x * used
        session.run(tf.global_variables_initializer())
        save(tmp_path / "m", session, {"serving_default": ({"x": x}, {"y": y})})
    graph = opened(tmp_path / "m")
    graph_def = graph.session.graph.as_graph_def()
    one_second = 100_000 * freezing.S_PER_BYTE
    assert freezing.why_not_frozen(graph_def, graph.signatures.values(), (), one_second) == ""


def test_what_tensorflow_cannot_convert_runs_as_saved_and_says_so(
    saved_models: SavedModels, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(*_: object, **__: object) -> None:
        raise ValueError("no way\nand more")

    monkeypatch.setattr(CONVERSION, convert)
    (reason,) = reasons(opened(saved_models["tf2_mlp"]))
    assert reason.endswith("not frozen: TensorFlow cannot freeze it: no way")


def test_op_on_a_variable_that_tensorflow_cannot_convert_runs_as_saved(tmp_path: Path, opened: Any) -> None:
    import tensorflow.compat.v1 as tf

    from ...saved_models.tf1 import save

    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 2], name="x")
        variable = tf.Variable(np.ones(2, np.float32), use_resource=True)
        shape = tf.raw_ops.VariableShape(input=variable.handle)
        y = x * variable + tf.cast(shape, tf.float32)
        session.run(tf.global_variables_initializer())
        save(tmp_path / "m", session, {"serving_default": ({"x": x}, {"y": y})})
    graph = opened(tmp_path / "m")
    (reason,) = reasons(graph)
    assert "TensorFlow cannot freeze it" in reason
    signature = graph.signatures["serving_default"]
    (answer,) = graph.run(signature, ("y",), [np.ones((1, 2), np.float32)])
    assert answer.tolist() == [[3, 3]]


# XLA.


def ops_of_a_run(graph: Graph, inputs: list[Any]) -> set[str]:
    """The names of the ops that a run of the copy for XLA executes, from TensorFlow's own trace."""
    from tensorflow.core.protobuf import config_pb2

    signature = graph.signatures["serving_default"]
    scope = freezing.COMPILED
    options = config_pb2.CallableOptions(
        feed=[f"{scope}/{spec.tensor}" for spec in signature.inputs],
        fetch=[f"{scope}/{spec.tensor}" for spec in signature.outputs],
    )
    options.run_options.trace_level = config_pb2.RunOptions.FULL_TRACE
    run = graph.session._make_callable_from_options(options)
    metadata = config_pb2.RunMetadata()
    for _ in range(3):
        run(*inputs, run_metadata=metadata)
    return {node.node_name for device in metadata.step_stats.dev_stats for node in device.node_stats}


@pytest.mark.parametrize("kind", ["tf1_softmax", "tf2_mlp", "keras_dense", "two_in_two_out"])
def test_copy_for_xla_is_really_compiled(saved_models: SavedModels, opened: Any, kind: str) -> None:
    graph = opened(saved_models[kind])
    assert add_copies(graph, xla=True) == ""
    inputs = [
        np.ones([8 if size is None else size for size in spec.shape], spec.dtype)
        for spec in graph.signatures["serving_default"].inputs
    ]
    names = ops_of_a_run(graph, inputs)
    assert any(name.endswith("xla_run") for name in names)
    # One step for the whole graph.
    assert not any("MatMul" in name or "Mul" in name for name in names if "xla" not in name.lower())


# What stays a variable.


@pytest.fixture
def two_readers(tmp_path: Path) -> Path:
    """Two signatures that look rows up in one embedding (4096 bytes); one of them has a bias (32 bytes)."""
    import tensorflow as tf

    from ...saved_models.tf2 import function, save

    rows = tf.Variable(np.arange(1024, dtype=np.float32).reshape(128, 8), name="rows")
    bias = tf.Variable(np.ones(8, np.float32), name="bias")
    ids = ([None], tf.int32)
    first = function(lambda ids: {"y": tf.gather(rows, ids) + bias, "z": tf.gather(rows, ids)}, ids=ids)
    second = function(lambda ids: {"y": tf.reduce_sum(tf.gather(rows, ids), 1)}, ids=ids)
    save(tmp_path / "two", [rows, bias], first=first, second=second)
    return tmp_path / "two"


def too_large(graph: Graph) -> frozenset[str]:
    graph_def = graph.session.graph.as_graph_def()
    return freezing.too_large_to_copy(graph_def, graph.signatures.values(), ())


def test_variable_counts_once_for_each_signature_that_would_copy_it(
    two_readers: Path, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = opened(two_readers)
    monkeypatch.setattr(freezing, "MAX_COPIED_BYTES", 2 * 4096 + 32)
    assert too_large(graph) == frozenset()
    monkeypatch.setattr(freezing, "MAX_COPIED_BYTES", 2 * 4096 + 31)
    assert too_large(graph) == {"rows"}


def test_large_variable_is_one_and_the_same_for_all_signatures_in_the_frozen_form(
    two_readers: Path, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing, "MAX_COPIED_BYTES", 4096)
    graph = opened(two_readers)
    ids = [np.array([3, 0], np.int32)]
    signatures = list(graph.signatures.values())
    expected = [graph.run(one, one.output_aliases, ids) for one in signatures]
    kept = too_large(graph)
    assert freezing.add_frozen(graph.session, signatures, kept, "/device:CPU:0", xla=False) == ""
    frozen = [op for op in graph.session.graph.get_operations() if op.name.startswith(freezing.FROZEN)]
    assert {op.get_attr("shared_name") for op in frozen if op.type == "VarHandleOp"} == {b"rows"}
    assert sum(constant_bytes(op.node_def) for op in frozen if op.type == "Const") < 4096
    freezing.release_variables(graph.session)
    for one, right in zip(signatures, expected, strict=True):
        for answer, value in zip(graph.run_as(FROZEN, one, one.output_aliases, ids), right, strict=True):
            np.testing.assert_array_equal(answer, value)


@pytest.mark.usefixtures("no_conversion")
def test_graph_of_nothing_but_large_shared_variables_is_not_begun(
    tmp_path: Path, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    from ...saved_models.tf2 import function, save

    rows = tf.Variable(np.ones((128, 8), np.float32))
    one = function(lambda ids: {"y": tf.gather(rows, ids)}, ids=([None], tf.int32))
    save(tmp_path / "m", [rows], one=one, two=one)
    monkeypatch.setattr(freezing, "MAX_COPIED_BYTES", 4096)
    assert all("its variables are large" in reason for reason in reasons(opened(tmp_path / "m")))


def test_choice_of_outputs_copies_no_large_constants(
    two_readers: Path, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(inputs: Any, run: Any, *, can_freeze: bool, **_: object) -> Plan:
        return FROZEN if can_freeze else AS_SAVED

    monkeypatch.setattr(graph_module, "choose_plan", choose)
    ids = [np.array([3, 0], np.int32)]
    for limit, prepared in ((4096 + 31, 0), (2**20, 2)):
        monkeypatch.setattr(graph_module, "MAX_BYTES_PER_CHOICE", limit)
        graph = opened(two_readers)
        graph.settle(kinds_of(graph))
        signature = graph.signatures["first"]
        everything = graph.run(signature, signature.output_aliases, ids)
        before = len(graph.callables)
        for alias, right in zip(signature.output_aliases, everything, strict=True):
            np.testing.assert_array_equal(graph.run(signature, (alias,), ids)[0], right)
        assert len(graph.callables) - before == prepared
