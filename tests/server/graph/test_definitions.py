"""What is known of the signatures of real graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...saved_models import BUILDERS, SavedModels
from .graphs import assert_same, changed, f32, opened, run


def test_signatures_are_told_as_they_were_saved(saved_models: SavedModels) -> None:
    with opened(saved_models["two_in_two_out"]) as graph:
        one = graph.signatures["serving_default"]
        assert [(spec.alias, spec.dtype, spec.shape) for spec in one.inputs] == [
            ("a", np.dtype(np.float32), (None, 3)),
            ("b", np.dtype(np.int32), (None, 3)),
        ]
        assert one.output_aliases == ("product", "sum")
        assert one.method_name == "tensorflow/serving/predict"
        assert graph.signature_defs.keys() == {"serving_default"}
    with opened(saved_models["example_scores"]) as graph:
        assert graph.signatures["serving_default"].method_name == "tensorflow/serving/classify"
    with opened(saved_models["unknown_rank"]) as graph:
        assert graph.signatures["serving_default"].inputs[0].shape is None
    with opened(saved_models["default_input"]) as graph:
        defaults = graph.signatures["serving_default"].defaults
        assert_same(defaults, {"factor": np.array(3, np.float32)})


def test_signature_that_cannot_be_called_is_left_out_with_the_reason(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    def add(message: Any) -> None:
        signatures = message.meta_graphs[0].signature_def
        signatures["empty"].CopyFrom(signatures["serving_default"])
        signatures["empty"].outputs.clear()
        for name in ("same", "sparse", "quantised", "nothing"):
            signatures[name].CopyFrom(signatures["serving_default"])
        for part in ("values", "indices", "dense_shape"):
            setattr(signatures["same"].inputs["x"].coo_sparse, f"{part}_tensor_name", "x:0")
        signatures["same"].inputs["x/values"].CopyFrom(signatures["serving_default"].inputs["x"])
        signatures["sparse"].inputs["x"].coo_sparse.values_tensor_name = "x:0"
        signatures["quantised"].inputs["x"].dtype = 11
        signatures["nothing"].inputs["x"].ClearField("name")

    directory = changed(saved_models["two_aliases"], tmp_path / "m", add)
    with opened(directory) as graph:
        assert graph.unusable == {
            "empty": "it has no outputs",
            "nothing": "'x' is no plain tensor but nothing",
            "quantised": "'x' has the TensorFlow dtype 11, which no call can carry",
            "same": "'x/values' is the name of a tensor and of a part of another",
            "sparse": "'x/indices' is no plain tensor but nothing",
            "twins": "two of its inputs are the same tensor",
        }
        assert_same(run(graph, {"x": f32([1, 2])}), {"first": f32([2, 4]), "second": f32([2, 4])})


def test_signature_that_only_loaders_need_is_none_for_anybody_else(saved_models: SavedModels) -> None:
    with opened(saved_models["tf2_mlp"]) as graph:
        assert graph.signatures.keys() == graph.signature_defs.keys() == {"serving_default"}
        assert not graph.unusable


def test_composite_output_of_which_a_part_cannot_be_carried_is_left_out(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    def change(message: Any) -> None:
        outputs = message.meta_graphs[0].signature_def["serving_default"].outputs
        outputs["ragged"].composite_tensor.components[0].dtype = 21  # a variant

    with opened(changed(saved_models["ragged_and_sparse"], tmp_path / "m", change)) as graph:
        assert "doubled" in graph.signatures["serving_default"].output_aliases
        assert not any("ragged" in alias for alias in graph.signatures["serving_default"].output_aliases)
        assert not graph.unusable


def test_signatures_that_write_are_known(saved_models: SavedModels) -> None:
    writing = {
        (kind, name) for kind in BUILDERS for name, writes in _writes(saved_models[kind]).items() if writes
    }
    assert writing == {
        *(("counter", "increment"), ("tf1_counter", "add"), ("gated", "hold")),
        ("slot_sums", "serving_default"),
        ("keras_counter", "increment"),
    }


def _writes(directory: Path) -> dict[str, bool]:
    with opened(directory) as graph:
        return {name: signature.writes for name, signature in graph.signatures.items()}
