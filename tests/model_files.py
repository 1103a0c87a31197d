"""Models as people have them in files, made in a moment; of the Keras that TensorFlow brings."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np


def keras() -> Any:
    """Keras 3, whose own warnings are no concern here."""
    warnings.simplefilter("ignore")
    import keras  # type: ignore[import-untyped]

    return keras


def trained(*, lambda_too: bool = False) -> Any:
    """Four numbers in, three probabilities out, after an epoch of training."""
    layers = keras().layers
    model = keras().Sequential(
        [
            keras().Input((4,), name="measures"),
            *([layers.Lambda(lambda x: x * 2, name="twice")] if lambda_too else []),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy")
    model.fit(np.eye(4, dtype=np.float32), np.array([0, 1, 2, 0]), epochs=1, verbose=0)
    return model


def of_texts() -> Any:
    """Texts in, with the vocabulary in the model."""
    layers = keras().layers
    words = layers.TextVectorization(20, output_sequence_length=4)
    words.adapt(["a good film", "a bad film"])
    text = keras().Input((), dtype="string", name="text")
    averaged = layers.GlobalAveragePooling1D()(layers.Embedding(20, 4)(words(text)))
    return keras().Model(text, layers.Dense(1, activation="sigmoid")(averaged))


def of_dicts() -> Any:
    """Two inputs with names, one of them through layers that prepare it, and two outputs with names."""
    layers = keras().layers
    age, kind = keras().Input((1,), name="age"), keras().Input((1,), name="kind", dtype="string")
    known = layers.StringLookup(vocabulary=["cat", "dog"], output_mode="one_hot")(kind)
    joined = layers.Concatenate()([layers.Normalization(mean=3.0, variance=4.0)(age), known])
    outputs = {"price": layers.Dense(1)(joined), "size": layers.Dense(2)(joined)}
    return keras().Model({"age": age, "kind": kind}, outputs)


def never_called() -> Any:
    return keras().Sequential([keras().layers.Dense(2)])


def built_by_a_call() -> Any:
    """What it knows of its input is the first batch that it met, of one row."""
    model = never_called()
    model(np.zeros((1, 5), np.float32))
    return model


def frozen_graph(file: Path) -> None:
    """A GraphDef without variables: x [?, 4] to its double, as text or not by the file's name."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 4], name="x")
        tf.add(x, x, name="twice")
        tf.reduce_sum(x, axis=1, name="total")
        # Nothing that an input has to do with.
        tf.constant(1.0, name="alone")
    tf.io.write_graph(graph.as_graph_def(), str(file.parent), file.name, as_text=file.suffix == ".pbtxt")


def hub_module(folder: Path) -> None:
    """Functions without signatures, called in several ways before they were saved."""
    import tensorflow as tf

    class Module(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.factor = tf.Variable(2.0)

        @tf.function  # type: ignore[untyped-decorator]
        def __call__(self, x: Any, training: bool = False) -> Any:
            return x * (self.factor + 100.0 if training else self.factor)

        @tf.function  # type: ignore[untyped-decorator]
        def parts(self, inputs: Any) -> Any:
            return {"sum": inputs["a"] + inputs["b"], "same": inputs["a"]}

    module = Module()
    module(tf.zeros([3, 4]))
    module.__call__.get_concrete_function(tf.TensorSpec([None, 4]), training=True)
    module.__call__.get_concrete_function(tf.TensorSpec([None, 4]), training=False)
    module.parts.get_concrete_function({name: tf.TensorSpec([None], tf.int32) for name in "ab"})
    tf.saved_model.save(module, str(folder))
