"""SavedModels of the kinds that TensorFlow Serving's own tests use, written as its exporters write them.

Every builder writes one SavedModel into ``directory``, which must not exist yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from . import tf1, tf2

REGRESS, CLASSIFY = "tensorflow/serving/regress", "tensorflow/serving/classify"


def half_plus(directory: Path, addend: float) -> None:
    """x / 2 + `addend`, in the manner of TensorFlow 1, over tf.Example and over plain numbers.

    `serving_default`: `x` float32 [-1, 1] -> `y` float32 [-1, 1]. `regress_x_to_y`: `inputs` -> `outputs`;
    `regress_x_to_y2`: one more; `regress_x2_to_y3`: of the feature `x2`, and one more; `classify_x_to_y`:
    `inputs` -> `scores`. An asset, `foo.txt`, whose name is assigned to a variable when the graph is loaded.
    """
    import tensorflow.compat.v1 as tf

    path = directory.with_name(directory.name + "_assets") / "foo.txt"
    path.parent.mkdir(parents=True)
    path.write_text("asset-file-contents")
    with tf.Graph().as_default(), tf.Session() as session:
        half, more, most = (
            tf.Variable(value, use_resource=False, dtype=tf.float32) for value in (0.5, addend, addend + 1)
        )
        examples = tf.placeholder(tf.string, name="tf_example")
        kinds = {name: tf.FixedLenFeature([1], tf.float32, default_value=[0.0]) for name in ("x", "x2")}
        parsed = tf.parse_example(examples, kinds)
        x = tf.identity(parsed["x"], name="x")
        y, y2, y3 = half * x + more, half * x + most, half * parsed["x2"] + most
        name_there = tf.constant(str(path))
        name = tf.Variable("", use_resource=False, trainable=False)
        tf.add_to_collection(tf.GraphKeys.ASSET_FILEPATHS, name_there)
        session.run(tf.global_variables_initializer())
        tf1.save(
            directory,
            session,
            {
                "serving_default": ({"x": x}, {"y": y}),
                "regress_x_to_y": ({"inputs": examples}, {"outputs": y}),
                "regress_x_to_y2": ({"inputs": examples}, {"outputs": y2}),
                "regress_x2_to_y3": ({"inputs": examples}, {"outputs": y3}),
                "classify_x_to_y": ({"inputs": examples}, {"scores": y}),
            },
            method_names={
                "regress_x_to_y": REGRESS,
                "regress_x_to_y2": REGRESS,
                "regress_x2_to_y3": REGRESS,
                "classify_x_to_y": CLASSIFY,
            },
            assets_collection=tf.get_collection(tf.GraphKeys.ASSET_FILEPATHS),
            main_op=tf.group(tf.assign(name, name_there)),
        )


def half_plus_tf2(directory: Path, addend: float) -> None:
    """The same in the manner of TensorFlow 2, where every signature is of the kind `predict`."""
    import tensorflow as tf

    module = tf.Module()
    module.half, module.more = tf.Variable(0.5), tf.Variable(float(addend))
    features = {"x": tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0])}

    def predict(x: Any) -> Any:
        return {"y": module.half * x + module.more}

    def regress(inputs: Any) -> Any:
        return {"outputs": module.half * tf.io.parse_example(inputs, features)["x"] + module.more}

    def classify(inputs: Any) -> Any:
        return {"scores": regress(inputs)["outputs"]}

    signatures = {
        "serving_default": tf2.function(predict, x=([None, 1], tf.float32)),
        "regress_x_to_y": tf2.function(regress, inputs=([None], tf.string)),
        "classify_x_to_y": tf2.function(classify, inputs=([None], tf.string)),
    }
    tf.saved_model.save(module, str(directory), signatures=signatures)


def with_mlmd(directory: Path) -> None:
    """half_plus_two with the identity that ML Metadata gives a model, a file that no graph reads."""
    half_plus(directory, 2)
    extra = directory / "assets.extra"
    extra.mkdir()
    (extra / "mlmd_uuid").write_text("my_mlmd_uuid")


def counter(directory: Path) -> None:
    """`incr_counter`, `incr_counter_by` (`delta`), `reset_counter`, `get_counter`: `output` float32 []."""
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        count = tf.Variable(0.0, use_resource=False, name="counter")
        delta = tf.placeholder(tf.float32, [], name="delta")
        outputs = {
            "get_counter": tf.identity(count),
            "incr_counter": tf.identity(tf.assign_add(count, 1.0)),
            "incr_counter_by": tf.identity(tf.assign_add(count, delta)),
            "reset_counter": tf.identity(tf.assign(count, 0.0)),
        }
        session.run(tf.global_variables_initializer())
        tf1.save(
            directory,
            session,
            {
                name: ({"delta": delta} if name == "incr_counter_by" else {}, {"output": output})
                for name, output in outputs.items()
            },
        )


def multi_head(directory: Path) -> None:
    """Two layers and two heads: `inputs` string [-1], examples with eight floats `x`.

    `serving_default` (classify): `classes` string [-1, 2], `scores` float32 [-1, 2]. `value` (regress):
    `outputs` float32 [-1, 1]. `predict`: `x` float32 [-1, 8] -> both heads.
    """
    import tensorflow.compat.v1 as tf

    rng = np.random.default_rng(12)
    with tf.Graph().as_default(), tf.Session() as session:

        def layer(inputs: Any, width: int) -> Any:
            weights = rng.normal(0, 0.5, (inputs.shape[1], width)).astype(np.float32)
            return tf.matmul(inputs, tf.Variable(weights, use_resource=False))

        examples = tf.placeholder(tf.string, [None], name="examples")
        x = tf.parse_example(examples, {"x": tf.FixedLenFeature([8], tf.float32)})["x"]
        hidden = tf.nn.relu(layer(tf.nn.relu(layer(x, 16)), 16))
        scores, value = tf.nn.softmax(layer(hidden, 2)), layer(hidden, 1)
        classes = tf.tile(tf.constant([[b"no", b"yes"]]), [tf.shape(x)[0], 1])
        session.run(tf.global_variables_initializer())
        tf1.save(
            directory,
            session,
            {
                "serving_default": ({"inputs": examples}, {"classes": classes, "scores": scores}),
                "value": ({"inputs": examples}, {"outputs": value}),
                "predict": ({"x": x}, {"scores": scores, "value": value}),
            },
            method_names={"serving_default": CLASSIFY, "value": REGRESS},
        )
