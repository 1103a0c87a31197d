"""Make the models, and questions with their answers: ``python -m bench.servers.make_models FOLDER NAME...``.

Into FOLDER/NAME: ``1/`` (the SavedModel) and, for each number of rows, ``ROWS.npz`` with two different
questions, whose answers come from the graph as saved, in a session of its own.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bench.servers.session import open_session
from bench.workload import CALL_ROWS, INPUT, MODELS, OUTPUT, Model

_SEED = 20_240_229
_QUESTIONS = 2
_MIN_DIFFERENCE = 0.01


def make(model: Model, folder: Path) -> None:
    """Make one model.

    Raises:
        ValueError: its answers say too little about its inputs to tell a right one from a wrong one.
    """
    tf.keras.utils.set_random_seed(_SEED)
    module = tf.Module()
    # A module must own the variables, or they are not saved.
    compute, module.owned = _COMPUTE[model.name]()
    function = tf.function(
        lambda inputs: {OUTPUT: compute(inputs)},
        input_signature=[tf.TensorSpec([None, *model.shape], tf.float32, name=INPUT)],
    )
    tf.saved_model.save(module, str(folder / "1"), signatures={"serving_default": function})
    run = open_session(folder / "1")
    random = np.random.default_rng(_SEED)
    for rows in CALL_ROWS:
        # No more digits than JSON needs few characters for: all protocols carry the same values.
        inputs = random.random((_QUESTIONS, rows, *model.shape), np.float32).round(3)
        answers = np.stack([run(question) for question in inputs])
        if np.abs(answers[0] - answers[1]).max() < _MIN_DIFFERENCE * np.abs(answers).max():
            raise ValueError(f"{model.name} gives different questions about the same answer")
        np.savez(folder / f"{rows}.npz", inputs=inputs, answers=answers)


def _softmax() -> tuple[Callable[[Any], Any], Any]:
    weights = tf.Variable(tf.random.normal([784, 10], stddev=0.2))
    biases = tf.Variable(tf.random.normal([10]))
    return (lambda inputs: tf.nn.softmax(inputs @ weights + biases)), [weights, biases]


def _mlp() -> tuple[Callable[[Any], Any], Any]:
    sizes = (64, 512, 512, 256, 1)
    layers = [
        (
            tf.Variable(tf.random.normal([fan_in, fan_out], stddev=(2 / fan_in) ** 0.5)),
            tf.Variable(tf.zeros([fan_out])),
        )
        for fan_in, fan_out in itertools.pairwise(sizes)
    ]

    def compute(inputs: Any) -> Any:
        for weights, biases in layers[:-1]:
            inputs = tf.nn.relu(inputs @ weights + biases)
        weights, biases = layers[-1]
        return inputs @ weights + biases

    return compute, layers


def _mobilenet() -> tuple[Callable[[Any], Any], Any]:
    network = tf.keras.applications.MobileNetV2(weights=None, classifier_activation=None)
    for layer in network.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            # Fresh statistics let the signal die out on its way through 50 layers, and every image would
            # get the same answer. A real model's scale it back to 1; these come near.
            layer.moving_variance.assign(layer.moving_variance * 0.1)
    # Keras wraps its variables, and a SavedModel is restored by what it wraps.
    return (lambda inputs: network(inputs, training=False)), [
        variable.value for variable in network.variables
    ]


def _identity() -> tuple[Callable[[Any], Any], Any]:
    return tf.identity, []


_COMPUTE = {"softmax": _softmax, "mlp": _mlp, "mobilenet": _mobilenet, "identity": _identity}


if __name__ == "__main__":
    for name in sys.argv[2:]:
        make(MODELS[name], Path(sys.argv[1]) / name)
