"""SavedModels that are written again with other values of their variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.errors import LoadError
from hotgraph_server.graph.exporting import export
from hotgraph_server.graph.graph import Graph

from ...saved_models import SavedModels
from ...saved_models.learning import build_regression


def run(graph: Graph, name: str, *inputs: Any) -> Any:
    signature = graph.signatures[name]
    return graph.run(signature, signature.output_aliases, list(inputs))[0]


def test_export_is_a_saved_model_with_the_learnt_values(opened: Any, tmp_path: Path) -> None:
    build_regression(tmp_path / "origin")
    learnt = {"W": np.array(2.5, np.float32), "b": np.array(-1, np.float32)}
    export(tmp_path / "origin", learnt, tmp_path / "end")
    graph = opened(tmp_path / "end")
    assert graph.signatures.keys() == {"train", "predict", "read"}
    assert run(graph, "predict", np.array([2.0], np.float32)).tolist() == [4.0]
    assert int(graph.read_variables()["steps"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["end", "origin"]
    with pytest.raises(LoadError, match="it is there already"):
        export(tmp_path / "origin", learnt, tmp_path / "end")
    with pytest.raises(LoadError, match="it has no variables nobody"):
        export(tmp_path / "origin", {"nobody": np.array(1, np.float32)}, tmp_path / "new")


@pytest.mark.parametrize("value", [np.zeros(2, np.float32), np.array(1, np.int64)], ids=["shape", "dtype"])
def test_export_with_values_of_another_model_is_refused(value: Any, tmp_path: Path) -> None:
    build_regression(tmp_path / "origin")
    with pytest.raises(LoadError, match=r"its variables are others: W is float32\[\], not"):
        export(tmp_path / "origin", {"W": value}, tmp_path / "end")
    assert not (tmp_path / "end").exists()


def test_export_of_a_graph_of_tensorflow_1(saved_models: SavedModels, opened: Any, tmp_path: Path) -> None:
    origin = saved_models["tf1_counter"]
    (name,) = opened(origin).variables
    value = opened(origin).read_variables()[name]
    export(origin, {name: np.asarray(41, value.dtype)}, tmp_path / "end")
    assert int(run(opened(tmp_path / "end"), "read")) == 41
