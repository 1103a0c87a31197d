"""Weights, frozen graphs and checkpoints as SavedModels, in a process of its own.

``python -m tests.acceptance.real_models.exports HOW FROM TO``: HOW is a function of this module, FROM the
folder of the data files, TO that of the SavedModel. Where a package keeps weights alone, its layers are built
here anew.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import keras  # type: ignore[import-untyped]
import numpy as np
import tensorflow as tf
from keras import layers

v1 = tf.compat.v1


def keras_file(source: Path, target: Path) -> None:
    """A whole model of Keras."""
    (file,) = source.iterdir()
    keras.models.load_model(file, compile=False).export(target, verbose=False)


def zipped_keras_file(source: Path, target: Path) -> None:
    """A whole model of Keras in a zip file."""
    (file,) = source.glob("*.zip")
    with zipfile.ZipFile(file) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".keras"))
        keras.models.load_model(archive.extract(name, target), compile=False).export(target, verbose=False)
    (target / name).unlink()


class _LstmOfOld(layers.LSTM):  # type: ignore[misc]
    def __init__(self, time_major: bool = False, implementation: int = 2, **others: Any) -> None:
        super().__init__(**others)


def keras_file_of_old(source: Path, target: Path) -> None:
    """A whole model of Keras 2, whose LSTM had arguments that are gone."""
    (file,) = source.iterdir()
    keras.models.load_model(file, {"LSTM": _LstmOfOld}, compile=False).export(target, verbose=False)


def deeplc(source: Path, target: Path) -> None:
    """When a peptide leaves the column: convolutions over four inputs, whose activation was a lambda."""
    (file,) = source.iterdir()
    known = {"<lambda>": lambda x: keras.activations.relu(x, max_value=20)}
    keras.models.load_model(file, known, compile=False).export(target, verbose=False)


def deepcut(source: Path, target: Path) -> None:
    """Is a character the first of a word? Convolutions of twelve widths over ids."""
    near, wide, kinds = 21, 200, 12

    def unit(characters: Any, window: int, width: int) -> Any:
        found = layers.Conv1D(width, window, activation="relu", name=f"conv1d_{window}")(characters)
        found = layers.TimeDistributed(layers.Dense(5), name=f"time_distributed_{window}")(found)
        return layers.ZeroPadding1D((0, window - 1))(found)

    characters, types = keras.Input((near,), name="characters"), keras.Input((near,), name="types")
    a = layers.Embedding(178, 32, name="embedding_1")(characters)
    a = layers.BatchNormalization(name="batch_normalization_1")(a)
    widths = [wide] * 8 + [wide - 50] * 3 + [wide - 100]
    most = layers.Maximum()([unit(a, window, width) for window, width in enumerate(widths, 1)])
    b = layers.Embedding(kinds, 12, name="embedding_2")(types)
    x = layers.BatchNormalization(name="batch_normalization_2")(layers.Concatenate()([a, most, b]))
    x = layers.Dense(100, activation="relu", name="dense_13")(layers.Flatten()(x))
    first = layers.Dense(1, activation="sigmoid", name="dense_14")(x)
    _with_weights(keras.Model([characters, types], first), source).export(target, verbose=False)


def chars2vec(source: Path, target: Path) -> None:
    """Words as vectors: two LSTMs over characters, one-hot."""
    characters = keras.Input((None, 59), name="characters")
    x = layers.LSTM(50, return_sequences=True, recurrent_activation="hard_sigmoid", name="lstm_1")(characters)
    vector = layers.LSTM(50, recurrent_activation="hard_sigmoid", name="lstm_2")(x)
    _with_weights(keras.Model(characters, vector), source).export(target, verbose=False)


class _Average(layers.Layer):  # type: ignore[misc]
    """The mean over time, each step weighted by what it holds."""

    def build(self, shape: Any) -> None:
        self.weight = self.add_weight(shape=(shape[2], 1), name="weight")

    def call(self, x: Any) -> Any:
        logits = tf.squeeze(tf.matmul(x, self.weight), -1)
        weights = tf.exp(logits - tf.reduce_max(logits, -1, keepdims=True))
        weights /= tf.reduce_sum(weights, 1, keepdims=True) + keras.backend.epsilon()
        return tf.reduce_sum(x * weights[..., None], 1)


def textgenrnn(source: Path, target: Path) -> None:
    """The next character: two LSTMs and attention over ids; its weights lie as cuDNN wants them."""
    characters = keras.Input((40,), name="characters")
    embedded = layers.Embedding(465, 100, name="embedding")(characters)
    first = layers.LSTM(128, return_sequences=True, name="rnn_1")(embedded)
    second = layers.LSTM(128, return_sequences=True, name="rnn_2")(first)
    average = _Average(name="attention")(layers.Concatenate()([embedded, first, second]))
    following = layers.Dense(465, activation="softmax", name="output")(average)
    _with_weights(keras.Model(characters, following), source).export(target, verbose=False)


def _with_weights(model: Any, source: Path) -> Any:
    """`model` with the weights that the HDF5 file in `source` has for layers of the same names."""
    (path,) = source.glob("*.h*5")
    with h5py.File(path) as file:
        for layer in model.layers:
            if layer.weights:
                group = file[layer.name]
                weights = [np.array(group[name]) for name in group.attrs["weight_names"]]
                if isinstance(layer, layers.LSTM) and weights[2].size == 8 * layer.units:
                    weights = _from_cudnn(*weights)
                layer.set_weights(weights)
    return model


def _from_cudnn(kernel: Any, recurrent: Any, bias: Any) -> list[Any]:
    """The weights of a CuDNNLSTM as an LSTM has them."""
    kernels = [gate.T.reshape(gate.shape, order="F") for gate in np.hsplit(kernel, 4)]
    return [
        np.hstack(kernels),
        np.hstack([gate.T for gate in np.hsplit(recurrent, 4)]),
        sum(np.split(bias, 2)),
    ]


def deepbrain(source: Path, target: Path) -> None:
    """Which parts of a head are brain, a frozen graph in 3-D; its input is fed where it had an iterator.

    It is told that it is not being trained, as its package tells it: it is saved with dropout on.
    """
    graph_def = v1.GraphDef.FromString((source / "graph.pb").read_bytes())
    with tf.Graph().as_default(), v1.Session() as session:
        not_training = {"training:0": tf.constant(False)}
        names = ["img:0", "prob:0"]
        image, found = tf.import_graph_def(graph_def, not_training, return_elements=names, name="")
        v1.saved_model.simple_save(session, str(target), {"image": image}, {"probability": found})


def cispliceai(source: Path, target: Path) -> None:
    """Where genes are spliced: five models in one frozen graph, and the mean of what they say."""
    graph_def = v1.GraphDef.FromString((source / "CI-SpliceAI.pb").read_bytes())
    with tf.Graph().as_default(), v1.Session() as session:
        bases, found = tf.import_graph_def(graph_def, return_elements=["x:0", "Identity:0"], name="")
        v1.saved_model.simple_save(session, str(target), {"bases": bases}, {"sites": found})


def musicnn(source: Path, target: Path) -> None:
    """Tags of music: the part of a training graph of TensorFlow 1 that answers; a scalar tells it to."""
    meta_graph = v1.MetaGraphDef.FromString((source / ".meta").read_bytes())
    answers = v1.graph_util.extract_sub_graph(meta_graph.graph_def, ["model/Sigmoid"])
    for node in answers.node:
        # what another TensorFlow inferred
        node.attr.pop("_output_shapes", None)
    names = [node.name for node in answers.node if node.op == "VariableV2"]
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(answers, name="")
        tensor = session.graph.get_tensor_by_name
        # the collection of variables holds those of the training too
        saver = v1.train.Saver({name: tensor(f"{name}:0") for name in names})
        saver.restore(session, f"{source}/")
        inputs = {
            "spectrogram": tensor("model/Placeholder:0"),
            "is_training": tensor("model/Placeholder_2:0"),
        }
        signature = v1.saved_model.predict_signature_def(inputs, {"tags": tensor("model/Sigmoid:0")})
        builder = v1.saved_model.Builder(str(target))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, saver=saver)
        builder.save()


if __name__ == "__main__":
    how, source, target = sys.argv[1:]
    globals()[how](Path(source), Path(target))
