from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.row_independence.verdict import Input as GivenInput
from hotgraph_server.row_independence.verdict import Judgement, Verdict, judge
from tests.saved_models import SavedModels
from tests.saved_models.tf2 import function, save

PROVEN, REFUTED, UNKNOWN = Verdict.PROVEN, Verdict.REFUTED, Verdict.UNKNOWN


def judged(directory: Path, signature: str = "serving_default") -> Judgement:
    from tensorflow.python.framework import op_def_registry
    from tensorflow.python.saved_model import loader_impl

    from hotgraph_server.graph.definitions import signatures_of

    meta_graph = loader_impl.parse_saved_model(str(directory)).meta_graphs[0]
    found = signatures_of(meta_graph)[0][signature]
    return judge(
        meta_graph.graph_def,
        [GivenInput(spec.alias, spec.tensor, spec.shape, spec.free_rows) for spec in found.inputs],
        {spec.alias: spec.tensor for spec in found.outputs},
        op_def_registry.get,
    )


MODELS: dict[tuple[str, str], Verdict] = {
    ("tf1_softmax", "serving_default"): PROVEN,
    ("tf1_counter", "add"): UNKNOWN,
    ("example_scores", "predict"): PROVEN,
    ("example_tasks", "first"): REFUTED,
    ("example_tasks", "column"): PROVEN,
    ("tf1_vocabulary", "serving_default"): PROVEN,
    ("tf1_lookups", "serving_default"): PROVEN,
    ("tf1_control_flow", "serving_default"): UNKNOWN,
    ("tf2_mlp", "serving_default"): PROVEN,
    ("keras_dense", "serve"): PROVEN,
    ("two_in_two_out", "serving_default"): PROVEN,
    ("strings", "serving_default"): PROVEN,
    ("unbatched_output", "serving_default"): REFUTED,
    ("square_output", "serving_default"): PROVEN,
    ("scalar_input", "serving_default"): PROVEN,
    ("counter", "increment"): UNKNOWN,
    ("vocabulary", "serving_default"): PROVEN,
    ("variable_length", "serving_default"): PROVEN,
    ("batch_statistics", "serving_default"): REFUTED,
    ("padded_text", "serving_default"): UNKNOWN,
    ("embedding", "serving_default"): PROVEN,
    ("running_sum", "serving_default"): PROVEN,
}


@pytest.mark.parametrize(("model", "signature"), MODELS)
def test_saved_models_are_judged_as_they_are(saved_models: SavedModels, model: str, signature: str) -> None:
    found = judged(saved_models[model], signature)
    assert found.verdict is MODELS[model, signature]
    assert bool(found.reason) == (found.verdict is not PROVEN)


def test_an_output_without_rows_is_everyones(saved_models: SavedModels) -> None:
    outputs = judged(saved_models["square_output"]).outputs
    assert {alias for alias, one in outputs.items() if not one.has_rows} == {"transition"}


def test_the_reason_names_the_op_in_the_models_code(tmp_path: Path) -> None:
    import tensorflow as tf

    def run(x: Any) -> Any:
        with tf.name_scope("encoder"):
            mean = tf.reduce_mean(x, axis=0, name="centre")
        return {"y": tf.nn.relu(x - mean), "z": x * 2.0}

    save(tmp_path / "model", serving_default=function(run, x=([None, 4], tf.float32)))
    found = judged(tmp_path / "model")
    assert found.reason.startswith("encoder/centre (Mean) in function ")
    assert found.reason.endswith(" takes the mean over the rows of the batch")
    assert {alias: one.verdict for alias, one in found.outputs.items()} == {"y": REFUTED, "z": PROVEN}


def test_what_is_written_on_the_way_makes_unknown(saved_models: SavedModels) -> None:
    assert "AssignAddVariableOp" in judged(saved_models["counter"], "increment").reason


def test_an_input_that_is_not_fed_makes_unknown() -> None:
    import tensorflow as tf
    from tensorflow.python.framework import op_def_registry

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None], "x")
        k = tf.compat.v1.placeholder(tf.float32, [], "k")
        scaled = x * tf.compat.v1.placeholder_with_default(2.0, [])
        outputs = {"y": (x * k).name, "z": scaled.name}
    found = judge(graph.as_graph_def(), [GivenInput("x", "x:0", (None,), True)], outputs, op_def_registry.get)
    assert found.outputs["y"].reason == "k (Placeholder) is not fed"
    assert found.outputs["z"].verdict is PROVEN


def test_an_op_that_no_book_knows_makes_unknown() -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None], "x")
        outputs = {"y": tf.nn.relu(x).name}
    found = judge(graph.as_graph_def(), [GivenInput("x", "x:0", (None,), True)], outputs, lambda op: None)
    assert found.verdict is UNKNOWN


def _lstm(keras: Any) -> Any:
    ids = keras.Input([None], dtype="int32")
    layers = keras.layers
    return keras.Model(ids, layers.Bidirectional(layers.LSTM(3))(layers.Embedding(9, 4, mask_zero=True)(ids)))


def _gru(keras: Any) -> Any:
    x = keras.Input([None, 4])
    return keras.Model(x, keras.layers.GRU(3, return_sequences=True)(x))


def _unrolled_lstm(keras: Any) -> Any:
    x = keras.Input([5, 4])
    return keras.Model(x, keras.layers.LSTM(3, unroll=True)(x))


def _transformer(keras: Any) -> Any:
    layers, ids = keras.layers, keras.Input([None], dtype="int32")
    x = layers.Embedding(9, 8, mask_zero=True)(ids)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True))
    x = layers.LayerNormalization()(x + layers.Dense(8)(layers.Dense(16, activation="gelu")(x)))
    return keras.Model(ids, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(x)))


def _mobilenet(keras: Any) -> Any:
    return keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), alpha=0.35, classes=5)


def _text(keras: Any, length: int | None) -> Any:
    layers, text = keras.layers, keras.Input([], dtype="string")
    vectorize = layers.TextVectorization(max_tokens=20, output_sequence_length=length)
    vectorize.adapt(["amber birch coral", "dune"])
    x = layers.Embedding(20, 4)(vectorize(text))
    return keras.Model(text, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))


def _features(keras: Any) -> Any:
    layers = keras.layers
    number, word = keras.Input([3]), keras.Input([1], dtype="string")
    normalize = layers.Normalization()
    normalize.adapt(np.arange(12, dtype=np.float32).reshape(4, 3))
    look_up = layers.StringLookup(vocabulary=["amber", "birch"], output_mode="one_hot")
    joined = layers.Concatenate()([normalize(number), layers.Flatten()(look_up(word))])
    return keras.Model([number, word], layers.Dense(2)(joined))


KERAS: dict[str, tuple[Callable[[Any], Any], Verdict]] = {
    "LSTM in a loop, with a mask": (_lstm, PROVEN),
    "GRU in a loop": (_gru, PROVEN),
    "unrolled LSTM": (_unrolled_lstm, PROVEN),
    "transformer": (_transformer, PROVEN),
    "MobileNetV2": (_mobilenet, PROVEN),
    "text to a fixed length": (lambda keras: _text(keras, 6), PROVEN),
    "text to the longest": (lambda keras: _text(keras, None), UNKNOWN),
    "normalisation and vocabulary": (_features, PROVEN),
}


@pytest.mark.parametrize("name", KERAS)
def test_exports_of_keras_are_judged_as_they_are(tmp_path: Path, name: str) -> None:
    import tensorflow as tf

    build, expected = KERAS[name]
    build(tf.keras).export(str(tmp_path / "model"), verbose=False)
    found = judged(tmp_path / "model")
    assert found.verdict is expected, found.reason
