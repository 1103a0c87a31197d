"""Objects of TensorFlow 2 in a session, on messages altered by hand; whole SavedModels see test_graph.py."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.errors import LoadError, RunFailed
from hotgraph_server.graph.exporting import export
from hotgraph_server.graph.graph import Graph
from hotgraph_server.graph.loading import open_session
from hotgraph_server.settings import SessionSettings

from ...saved_models import SavedModels, tf2

SETTINGS = SessionSettings()


def changed(directory: Path, to: Path, change: Callable[[Any], None]) -> Path:
    """A copy of a SavedModel whose MetaGraphDef `change` has altered."""
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(directory, to)
    path = to / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(message.meta_graphs[0])
    path.write_bytes(message.SerializeToString())
    return to


def answer(directory: Path, name: str = "serving_default", *inputs: Any) -> list[Any]:
    graph = Graph.open(directory, SETTINGS)
    try:
        signature = graph.signatures[name]
        return [
            array.tolist()
            for array in graph.run(signature, signature.output_aliases, [*map(np.array, inputs)])
        ]
    finally:
        graph.close()


def build_two_variables(directory: Path) -> None:
    """`read` gives `one`, 1, and `two`, 2."""
    import tensorflow as tf

    one, two = tf.Variable(1.0, name="one"), tf.Variable(2.0, name="two")
    read = tf2.function(lambda: {"one": one.read_value(), "two": two.read_value()})
    tf2.save(directory, [one, two], read=read)


def test_variables_of_one_name_are_two(tmp_path: Path) -> None:
    def one_name(meta_graph: Any) -> None:
        for node in meta_graph.graph_def.node:
            if node.op == "VarHandleOp":
                node.attr["shared_name"].s = b"v"

    build_two_variables(tmp_path / "m")
    assert answer(changed(tmp_path / "m", tmp_path / "changed", one_name), "read") == [1, 2]


def test_restoring_that_fails_is_done_object_by_object(tmp_path: Path) -> None:
    def other_keys(meta_graph: Any) -> None:
        for function in meta_graph.graph_def.library.function:
            for node in function.node_def if "traced_restore" in function.signature.name else ():
                if node.name.endswith("tensor_names"):
                    keys = node.attr["value"].tensor.string_val
                    keys[:] = [b"other/" + key if b"VALUE" in key else key for key in keys]

    build_two_variables(tmp_path / "m")
    assert answer(changed(tmp_path / "m", tmp_path / "changed", other_keys), "read") == [1, 2]


def test_restoring_that_fails_fails_where_the_checkpoint_has_not_all_values(tmp_path: Path) -> None:
    tf2.build_embedding(tmp_path / "other")
    build_two_variables(tmp_path / "m")
    shutil.rmtree(tmp_path / "m" / "variables")
    shutil.copytree(tmp_path / "other" / "variables", tmp_path / "m" / "variables")
    with pytest.raises(LoadError, match="TensorFlow cannot load it"):
        Graph.open(tmp_path / "m", SETTINGS)


def test_variable_that_nothing_gives_a_value_says_the_cure(saved_models: SavedModels, tmp_path: Path) -> None:
    def lose(meta_graph: Any) -> None:
        # Neither by name nor by object is anything in the checkpoint any variable's.
        for node in meta_graph.object_graph_def.nodes:
            for child in node.children:
                child.local_name += "_lost"

    directory = changed(saved_models["no_saver"], tmp_path / "m", lose)
    with pytest.raises(RunFailed, match=r"a variable without a value: .* model\.export\(DIR\)") as caught:
        answer(directory, "serving_default", np.ones((1, 2), np.float32))
    assert caught.value.status.name == "FAILED_PRECONDITION"


def test_keras_variable_is_one_in_the_session_and_is_exported_with_its_value(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    import tensorflow as tf

    graph = Graph.open(saved_models["keras_counter"], SETTINGS)
    (name,) = graph.variables
    graph.close()
    export(saved_models["keras_counter"], {name: np.array(41)}, tmp_path / "end")
    assert answer(tmp_path / "end", "read") == [41]
    assert tf.saved_model.load(str(tmp_path / "end")).signatures["read"]()["count"].numpy() == 41


def test_graph_that_restores_all_its_variables_is_left_as_it_is(saved_models: SavedModels) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    for kind in ("tf2_mlp", "vocabulary", "keras_dense"):
        directory = saved_models[kind]
        saved = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
        session, loaded = open_session(directory, SETTINGS)
        names = [operation.name for operation in session.graph.get_operations()]
        session.close()
        assert names == [node.name for node in saved.meta_graphs[0].graph_def.node]
        assert _resources(loaded) == _resources(saved.meta_graphs[0])


def _resources(meta_graph: Any) -> list[tuple[str, bytes]]:
    nodes = meta_graph.graph_def.node
    return [(node.op, node.attr["shared_name"].s) for node in nodes if "shared_name" in node.attr]
