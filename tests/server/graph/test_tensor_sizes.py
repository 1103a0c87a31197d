from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from hotgraph_server.graph.tensor_sizes import tensor_bytes


def graph_def(make: Any) -> Any:
    with tf.Graph().as_default() as graph:
        make()
        return graph.as_graph_def()


def variable(size: int, name: str = "v") -> Any:
    return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[size], shared_name=name, name=f"{name}/made")


def test_variables_and_constants_are_counted() -> None:
    def make() -> None:
        variable(100)
        tf.constant(np.arange(10, dtype=np.int64))

    assert tensor_bytes(graph_def(make)) == 400 + 80


def test_variable_that_two_nodes_make_is_one() -> None:
    def make() -> None:
        variable(100)
        variable(100)
        variable(1, "other")

    assert tensor_bytes(graph_def(make)) == 404


def test_constants_in_functions_are_counted() -> None:
    def make() -> None:
        called = tf.function(lambda: tf.constant(np.ones(1000, np.float32)) * 2.0)
        called()

    assert tensor_bytes(graph_def(make)) == pytest.approx(4000, abs=100)


def test_strings_count_nothing() -> None:
    assert tensor_bytes(graph_def(lambda: tf.constant([b"x" * 1000]))) == 0
