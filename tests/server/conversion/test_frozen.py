from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.conversion import frozen
from hotgraph_server.conversion.request import Refused, Request

from ... import model_files as models


def exported(file: Path, **more: Any) -> Any:
    import tensorflow as tf

    target = file.parent / f"{file.name}-exported"
    frozen.export(Request(str(file), str(target), **more))
    return tf.saved_model.load(str(target)).signatures["serving_default"]


@pytest.mark.parametrize("name", ["graph.pb", "graph.pbtxt"])
def test_placeholders_go_in_and_what_nobody_reads_comes_out(tmp_path: Path, name: str) -> None:
    import tensorflow as tf

    models.frozen_graph(tmp_path / name)
    signature = exported(tmp_path / name)
    answers = signature(x=tf.ones([2, 4]))
    assert {key: value.numpy().tolist() for key, value in answers.items()} == {
        "twice": [[2.0] * 4] * 2,
        "total": [4.0, 4.0],
    }


def test_what_is_asked_for_goes_in_and_comes_out(tmp_path: Path) -> None:
    models.frozen_graph(tmp_path / "graph.pb")
    signature = exported(tmp_path / "graph.pb", inputs=("x:0",), outputs=("total",))
    assert list(signature.structured_outputs) == ["total"]
    with pytest.raises(Refused, match="--outputs: the graph has no tensor 'y'; its placeholders are x"):
        exported(tmp_path / "graph.pb", outputs=("y",))


def test_graph_with_variables_is_told(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        tf.compat.v1.get_variable("weights", [2], use_resource=False)
    (tmp_path / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(Refused, match="is not frozen: 'weights' is a variable"):
        exported(tmp_path / "graph.pb")


def test_saved_models_graph_under_another_name_is_told(tmp_path: Path) -> None:
    models.hub_module(tmp_path / "m")
    (tmp_path / "graph.pb").write_bytes((tmp_path / "m" / "saved_model.pb").read_bytes())
    with pytest.raises(Refused, match=r"is a SavedModel's graph: give the folder"):
        exported(tmp_path / "graph.pb")


def test_graph_and_saved_model_are_told_apart_whatever_they_are_called(tmp_path: Path) -> None:
    models.hub_module(tmp_path / "m")
    assert not frozen.is_graph(tmp_path / "m" / "saved_model.pb")
    models.frozen_graph(tmp_path / "saved_model.pb")
    assert frozen.is_graph(tmp_path / "saved_model.pb")
    assert not frozen.is_graph(tmp_path / "missing.pb")


def test_graph_that_nothing_can_be_fed_to_is_told(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        tf.constant(1.0)
    (tmp_path / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(Refused, match="no placeholder: --inputs NAME:0"):
        exported(tmp_path / "graph.pb")


@given(st.binary(max_size=200), st.sampled_from(["any.pb", "any.pbtxt"]))
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str) -> None:
    file = tmp_path_factory.getbasetemp() / name
    file.write_bytes(content)
    with pytest.raises(Refused):
        exported(file)
