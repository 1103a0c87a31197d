from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.graph.graph import Graph
from hotgraph_server.settings import SessionSettings

from ...saved_models.tf2 import function, save


def compiles(directory: Path, run: Any) -> str:
    save(directory / "m", serving_default=function(run, x=([None, 3], "float32")))
    graph = Graph.open(directory / "m", SessionSettings())
    try:
        return graph.signatures["serving_default"].compiles
    finally:
        graph.close()


@pytest.mark.parametrize("place", ["at the top", "in a branch", "behind what is returned"])
def test_function_that_xla_must_compile_is_seen_wherever_it_is(tmp_path: Path, place: str) -> None:
    import tensorflow as tf

    inner = tf.function(lambda x: tf.tanh(x) * 2, jit_compile=True)

    def run(x: Any) -> Any:
        if place == "in a branch":
            return {"y": tf.cond(tf.reduce_sum(x) > 0, lambda: inner(x), lambda: x)}
        return {"y": inner(x) + 1 if place == "behind what is returned" else inner(x)}

    assert "PartitionedCall" in compiles(tmp_path, run)


def test_function_that_is_not_compiled_is_not_taken_for_one(tmp_path: Path) -> None:
    import tensorflow as tf

    inner = tf.function(lambda x: tf.tanh(x) * 2)
    assert compiles(tmp_path, lambda x: {"y": inner(x)}) == ""


def test_function_that_another_signature_compiles_is_none_of_this_ones(tmp_path: Path) -> None:
    import tensorflow as tf

    inner = tf.function(lambda x: tf.tanh(x) * 2, jit_compile=True)
    x = {"x": ([None, 3], tf.float32)}
    save(
        tmp_path / "m",
        fast=function(lambda x: {"y": inner(x)}, **x),
        plain=function(lambda x: {"y": x + 1}, **x),
    )
    graph = Graph.open(tmp_path / "m", SessionSettings())
    assert graph.signatures["fast"].compiles
    assert not graph.signatures["plain"].compiles
    graph.close()
