"""What signatures of real SavedModels consist of; their answers see test_graph.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotgraph_server.graph.graph import Graph
from hotgraph_server.settings import SessionSettings
from hotgraph_server.signatures import Part, Signature, TensorSpec

from ...saved_models import SavedModels


def signatures(directory: Path) -> dict[str, Signature]:
    graph = Graph.open(directory, SessionSettings())
    graph.close()
    return graph.signatures


def parts(specs: tuple[TensorSpec, ...]) -> dict[str, Part | None]:
    return {spec.alias: spec.part for spec in specs}


def test_entry_of_a_signature_is_told_as_its_parts(saved_models: SavedModels) -> None:
    found = signatures(saved_models["tf1_composites"])
    sparse, ragged = found["serving_default"], found["ragged"]
    assert parts(sparse.inputs) == {
        "sp/dense_shape": Part("sp", "dense_shape", shape=(None, 5)),
        "sp/indices": Part("sp", "indices", shape=(None, 5)),
        "sp/values": Part("sp", "values", shape=(None, 5)),
    }
    assert [(spec.dtype.name, spec.shape) for spec in sparse.inputs] == [
        ("int64", (2,)),
        ("int64", (None, 2)),
        ("float32", (None,)),
    ]
    assert parts(ragged.inputs) == {
        "rg/flat_values": Part("rg", "flat_values", shape=(None, None)),
        "rg/row_splits_0": Part("rg", "row_splits", 0, (None, None)),
    }
    assert not any(spec.free_rows for spec in (*sparse.inputs, *ragged.inputs))


def test_inputs_that_tensorflow_2_took_apart_are_known_as_parts(saved_models: SavedModels) -> None:
    found = signatures(saved_models["ragged_and_sparse"])
    assert parts(found["ragged"].inputs) == {
        "x": Part("x", "flat_values"),
        "x_1": Part("x", "row_splits", 0),
        "x_2": Part("x", "row_splits", 1),
        "z": None,
    }
    assert parts(found["sparse"].inputs) == {
        "x": Part("x", "indices", shape=(None, None)),
        "x_1": Part("x", "values", shape=(None, None)),
        "x_2": Part("x", "dense_shape", shape=(None, None)),
    }


def test_plain_tensors_of_a_list_are_no_parts_though_another_signature_has_ragged_ones(
    saved_models: SavedModels,
) -> None:
    """They look alike; but no op of this function speaks of ragged tensors."""
    listed = signatures(saved_models["ragged_and_sparse"])["listed"]
    assert parts(listed.inputs) == {"x": None, "x_1": None}


@pytest.mark.parametrize("kind", ["two_in_two_out", "scalar_input", "tf2_mlp", "keras_dense", "vocabulary"])
def test_plain_signatures_have_no_parts(saved_models: SavedModels, kind: str) -> None:
    for signature in signatures(saved_models[kind]).values():
        assert all(spec.part is None for spec in (*signature.inputs, *signature.outputs))
