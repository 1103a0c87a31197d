from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hotgraph_server.row_independence.effects import state_changing_ops, varying_ops

# TensorFlow is imported by the tests, not when they are collected.
Build = Callable[[Any], Any]


@pytest.fixture
def tf() -> Iterator[Any]:
    """TensorFlow 1's face, inside a graph that is the test's own."""
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default():
        yield tf


def found(*fetches: Any, fed: tuple[Any, ...] = ()) -> frozenset[str]:
    from hotgraph_server.graph.definitions import is_stateful

    graph = fetches[0].graph
    names = [f"{op.name}:0" if not hasattr(op, "op") else op.name for op in fetches]
    return state_changing_ops(graph.as_graph_def(), names, [tensor.name for tensor in fed], is_stateful)


def function_of(tf: Any, body: Callable[[Any], Any], x: Any) -> Any:
    """`body` called as a TensorFlow function, whose ops are in the graph's library."""
    from tensorflow import function

    return function(body)(x)


def resource(tf: Any) -> Any:
    return tf.Variable(1.0, use_resource=True)


def table(tf: Any) -> Any:
    from tensorflow.python.ops.lookup_ops import MutableHashTable

    return MutableHashTable(tf.int64, tf.int64, default_value=-1)


CHANGES: dict[str, tuple[str, Build]] = {
    "assign": ("AssignVariableOp", lambda tf: resource(tf).assign(2.0)),
    "assign to a reference": ("Assign", lambda tf: tf.assign(tf.Variable(1.0, use_resource=False), 2.0)),
    "count with a reference": (
        "AssignAdd",
        lambda tf: tf.identity(tf.assign_add(tf.Variable(1.0, use_resource=False), 2.0)),
    ),
    "scatter": (
        "ResourceScatterUpdate",
        lambda tf: tf.scatter_update(tf.Variable([1.0, 2.0], use_resource=True), [0], [5.0]),
    ),
    "scatter into a reference": (
        "ScatterAdd",
        lambda tf: tf.scatter_add(tf.Variable([1.0, 2.0], use_resource=False), [0], [5.0]),
    ),
    "insert into a table": (
        "LookupTableInsertV2",
        lambda tf: table(tf).insert(tf.constant([1], tf.int64), tf.constant([2], tf.int64)),
    ),
    "push into a queue": ("QueueEnqueueV2", lambda tf: tf.FIFOQueue(1, tf.float32).enqueue(1.0)),
    "python": ("PyFunc", lambda tf: tf.py_func(lambda: 1.0, [], tf.float32)),
    "random with a state of its own": (
        "RngReadAndSkip",
        lambda tf: __import__("tensorflow").random.Generator.from_seed(1).normal([2]),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_op_that_changes_state_is_found(tf: Any, name: str) -> None:
    op, build = CHANGES[name]
    with warnings.catch_warnings():
        # Old ways are what old exports are made of.
        warnings.simplefilter("ignore")
        assert op in found(build(tf))


READS: dict[str, Build] = {
    "variable": lambda tf: resource(tf) * 2.0,
    "reference variable": lambda tf: tf.Variable(1.0, use_resource=False) * 2.0,
    "gather": lambda tf: tf.gather(tf.Variable([1.0, 2.0], use_resource=True), [0]),
    "table": lambda tf: table(tf).lookup(tf.constant([1], tf.int64)),
    "size of a table": lambda tf: table(tf).size(),
    "random": lambda tf: tf.random.normal([2]) + tf.random.uniform([2]) + tf.random.truncated_normal([2]),
    "dropout": lambda tf: tf.nn.dropout(tf.ones([2]), rate=0.5),
    "assertion": lambda tf: tf.ensure_shape(tf.debugging.assert_all_finite(tf.ones([2]), "finite"), [2]),
    "loop that collects": lambda tf: tf.map_fn(lambda x: x * 2.0, tf.ones([3])),
}


@pytest.mark.parametrize("name", READS)
def test_reads_and_random_numbers_change_nothing(tf: Any, name: str) -> None:
    assert not found(READS[name](tf))


def test_recurrent_network_of_tensorflow_1_changes_nothing(tf: Any) -> None:
    """Its loop keeps its rows in tensor arrays, which live no longer than the run."""
    tf.disable_control_flow_v2()
    try:
        x = tf.placeholder(tf.float32, [None, 5, 3])
        _, last = tf.while_loop(
            lambda i, _: i < 5,
            lambda i, rows: (i + 1, rows.write(i, x[:, i] * 2.0)),
            [0, tf.TensorArray(tf.float32, 5)],
        )
        collected = last.stack()
    finally:
        tf.enable_control_flow_v2()
    assert "TensorArrayV3" in {node.op for node in collected.graph.as_graph_def().node}
    assert not found(collected, fed=(x,))


def test_only_what_is_on_the_way_to_the_fetches_counts(tf: Any) -> None:
    x = tf.placeholder(tf.float32, [])
    written = resource(tf).assign(x)
    assert not found(x * 2.0, fed=(x,))
    assert found(written, fed=(x,))


def test_control_inputs_are_on_the_way(tf: Any) -> None:
    written = resource(tf).assign(2.0)
    with tf.control_dependencies([written]):
        assert found(tf.constant(1.0) * 2.0) == {"AssignVariableOp"}


def test_function_is_entered(tf: Any) -> None:
    variable = resource(tf)

    def body(x: Any) -> Any:
        variable.assign_add(x)
        return x * 2.0

    assert found(function_of(tf, body, tf.constant(1.0))) == {"AssignAddVariableOp"}
    assert not found(function_of(tf, lambda x: x * variable, tf.constant(1.0)))


def test_function_in_a_function_is_entered(tf: Any) -> None:
    variable = resource(tf)

    def inner(x: Any) -> Any:
        with tf.control_dependencies([variable.assign(x)]):
            return x * 2.0

    assert found(function_of(tf, lambda x: function_of(tf, inner, x), tf.constant(1.0)))


@pytest.mark.parametrize("v2", [True, False], ids=["as functions", "as frames"])
def test_loop_and_branch_are_entered(tf: Any, v2: bool) -> None:
    (tf.enable_control_flow_v2 if v2 else tf.disable_control_flow_v2)()
    try:
        variable = resource(tf)

        def change(x: Any) -> Any:
            with tf.control_dependencies([variable.assign_add(x)]):
                return x + 1.0

        x = tf.placeholder(tf.float32, [])
        loop = tf.while_loop(lambda x: x < 3.0, change, [x])
        branch = tf.cond(x < 3.0, lambda: change(x), lambda: x)
        harmless = tf.while_loop(lambda x: x < 3.0, lambda x: x + variable, [x])
    finally:
        tf.enable_control_flow_v2()
    assert found(loop, fed=(x,)) == {"AssignAddVariableOp"}
    assert found(branch, fed=(x,)) == {"AssignAddVariableOp"}
    assert not found(harmless, fed=(x,))


def test_what_lies_behind_a_fed_tensor_is_not_run_and_does_not_count(tf: Any) -> None:
    written = resource(tf).assign(2.0, read_value=True)
    fed = tf.identity(written)
    assert found(fed * 2.0)
    assert not found(fed * 2.0, fed=(fed,))
    assert not found(fed, fed=(fed,))


def test_op_of_which_only_another_output_is_fed_runs(tf: Any) -> None:
    with tf.control_dependencies([resource(tf).assign(2.0)]):
        first, second = tf.split(tf.ones([2]), 2)
    assert found(first + second, fed=(first,))
    assert not found(first + second, fed=(first, second))
    assert found(second, fed=(first,))


VARIES: dict[str, tuple[str, Build]] = {
    "uniform": ("RandomUniform", lambda tf: tf.random_uniform([2])),
    "uniform with a seed": ("RandomUniform", lambda tf: tf.random_uniform([2], seed=1)),
    "normal": ("RandomStandardNormal", lambda tf: tf.random_normal([2])),
    "shuffle": ("RandomShuffle", lambda tf: tf.random_shuffle([1, 2, 3])),
    "multinomial": ("Multinomial", lambda tf: tf.multinomial([[1.0, 2.0]], 1)),
    "dropout": ("RandomUniform", lambda tf: tf.nn.dropout(tf.ones([4]), rate=0.5)),
    "file": ("ReadFile", lambda tf: tf.read_file("name")),
    "in a function": (
        "RandomUniform",
        lambda tf: function_of(tf, lambda x: x + tf.random_uniform([]), tf.constant(1.0)),
    ),
}


def varying(*fetches: Any, fed: tuple[Any, ...] = ()) -> frozenset[str]:
    graph = fetches[0].graph
    return varying_ops(graph.as_graph_def(), [one.name for one in fetches], [one.name for one in fed])


@pytest.mark.parametrize(("op", "build"), VARIES.values(), ids=VARIES.keys())
def test_chance_and_files_make_an_answer_vary_and_change_nothing(tf: Any, op: str, build: Build) -> None:
    fetch = build(tf)
    assert varying(fetch) == {op}
    assert not found(fetch)


def test_what_is_computed_from_the_input_alone_does_not_vary(tf: Any) -> None:
    x = tf.placeholder(tf.float32, [2])
    tf.random_uniform([2])  # beside the way
    assert not varying(x + resource(tf))
    assert not varying(tf.random.stateless_uniform([2], seed=[1, 2]))


def test_chance_behind_what_is_fed_does_not_make_an_answer_vary(tf: Any) -> None:
    noise = tf.random_uniform([2])
    assert varying(noise + 1.0)
    assert not varying(noise + 1.0, fed=(noise,))


def written(*fetches: Any, fed: tuple[Any, ...] = ()) -> Any:
    from hotgraph_server.graph.definitions import handles_in, is_stateful
    from hotgraph_server.row_independence.effects import effects_of

    names = [f"{op.name}:0" if not hasattr(op, "op") else op.name for op in fetches]
    graph_def = fetches[0].graph.as_graph_def()
    return effects_of(graph_def, names, [tensor.name for tensor in fed], is_stateful, handles_in)


@pytest.mark.parametrize("use_resource", [True, False])
def test_variable_that_is_written_is_told_from_those_that_are_read(tf: Any, use_resource: bool) -> None:
    read = tf.Variable(1.0, name="read", use_resource=use_resource)
    wrote = tf.Variable(1.0, name="wrote", use_resource=use_resource)
    assert written(tf.assign_add(wrote, read * 2.0)).variables == {"wrote"}
    assert not written(read + wrote).variables


@pytest.mark.parametrize("use_resource", [True, False])
def test_variable_behind_control_dependencies_counts(tf: Any, use_resource: bool) -> None:
    wrote = tf.Variable(1.0, name="wrote", use_resource=use_resource)
    with tf.control_dependencies([tf.assign(wrote, 2.0)]):
        assert written(tf.constant(1.0) * 2.0).variables == {"wrote"}


@pytest.mark.parametrize("new_style", [True, False])
def test_variables_are_followed_through_loops_and_branches(tf: Any, new_style: bool) -> None:
    (tf.enable_control_flow_v2 if new_style else tf.disable_control_flow_v2)()
    try:
        one, two, three = (tf.Variable(1.0, name=name, use_resource=True) for name in ("one", "two", "three"))
        looped = tf.while_loop(lambda i: i < 3.0, lambda i: i + one.assign_add(three), [0.0])
        branch = tf.cond(looped > 1.0, lambda: two.assign_add(1.0) * 1.0, lambda: three * 1.0)
    finally:
        tf.enable_control_flow_v2()
    assert written(branch).variables == {"one", "two"}
    assert not written(branch).unknown


def test_function_writes_the_variable_that_it_is_given(tf: Any) -> None:
    one, two = (tf.Variable(1.0, name=name, use_resource=True) for name in ("one", "two"))

    def body(x: Any) -> Any:
        return two.assign_add(x * one)

    assert written(function_of(tf, body, tf.constant(1.0))).variables == {"two"}


def test_table_that_is_written_is_no_variable_and_is_named(tf: Any) -> None:
    filled = table(tf).insert(tf.constant([1], tf.int64), tf.constant([2], tf.int64))
    found_here = written(filled)
    assert not found_here.variables
    (name,) = found_here.others
    assert name.startswith("MutableHashTableV2 ")


def test_handle_that_comes_from_outside_could_lead_anywhere(tf: Any) -> None:
    handle = tf.placeholder(tf.resource, [])
    value = tf.raw_ops.AssignVariableOp(resource=handle, value=1.0)
    with tf.control_dependencies([value]):
        assert written(tf.constant(1.0) * 1.0, fed=(handle,)).unknown == {"AssignVariableOp"}
