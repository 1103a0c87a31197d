"""SavedModels in the manner of TensorFlow 1: a graph, a session, signatures by hand.

Every builder writes one SavedModel into ``directory``, which must not exist yet. Weights come from
fixed seeds, so that two builds give the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Tensors = Mapping[str, Any]


def save(
    directory: Path,
    session: Any,
    signatures: Mapping[str, tuple[Tensors, Tensors]],
    *,
    method_names: Mapping[str, str] | None = None,
    **graph: Any,
) -> None:
    """Write the session's graph and values with ``signatures``: key -> (inputs, outputs).

    ``method_names`` names the signatures that are not of the kind `predict`; ``graph`` goes to
    TensorFlow's builder (main_op, assets_collection, saver).
    """
    import tensorflow.compat.v1 as tf

    def signature(key: str, inputs: Tensors, outputs: Tensors) -> Any:
        return tf.saved_model.build_signature_def(
            {name: tf.saved_model.build_tensor_info(tensor) for name, tensor in inputs.items()},
            {name: tf.saved_model.build_tensor_info(tensor) for name, tensor in outputs.items()},
            (method_names or {}).get(key, "tensorflow/serving/predict"),
        )

    builder = tf.saved_model.Builder(str(directory))
    builder.add_meta_graph_and_variables(
        session,
        ["serve"],
        signature_def_map={key: signature(key, *tensors) for key, tensors in signatures.items()},
        **graph,
    )
    builder.save()


def build_tf1_softmax(directory: Path) -> None:
    """`x` float32 [-1, 784] -> `probabilities` float32 [-1, 10], `digit` int64 [-1]; ref variables."""
    import tensorflow.compat.v1 as tf

    rng = np.random.default_rng(1)
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 784], name="x")
        weights = tf.Variable(rng.normal(0, 0.1, (784, 10)).astype(np.float32), use_resource=False)
        bias = tf.Variable(np.zeros(10, np.float32), use_resource=False)
        probabilities = tf.nn.softmax(tf.matmul(x, weights) + bias)
        digit = tf.argmax(probabilities, axis=1)
        session.run(tf.global_variables_initializer())
        outputs = {"probabilities": probabilities, "digit": digit}
        save(directory, session, {"serving_default": ({"x": x}, outputs)})


def build_tf1_counter(directory: Path) -> None:
    """A ref variable: `add` takes `by` int64 [] and gives the new `count` int64 []; `read` takes nothing."""
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        by = tf.placeholder(tf.int64, [], name="by")
        count = tf.Variable(np.int64(0), use_resource=False)
        # The op's own output is a reference, which no client can be given.
        added = tf.identity(tf.assign_add(count, by))
        session.run(tf.global_variables_initializer())
        signatures = {"add": ({"by": by}, {"count": added}), "read": ({}, {"count": tf.identity(count)})}
        save(directory, session, signatures)


def build_example_scores(directory: Path) -> None:
    """Serialised tf.Example in; each example holds the feature `x`, four floats.

    `serving_default` is of the kind classify: `inputs` string [-1] -> `classes` string [-1, 3],
    `scores` float32 [-1, 3]. `predict`: `examples` string [-1] -> `scores` float32 [-1, 3], where
    scores are x[0] + x[1], x[2] and x[3]. A string that is no tf.Example fails with INVALID_ARGUMENT.
    """
    import tensorflow.compat.v1 as tf

    mixing = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        examples = tf.placeholder(tf.string, [None], name="examples")
        features = tf.parse_example(examples, {"x": tf.FixedLenFeature([4], tf.float32)})
        scores = tf.matmul(features["x"], mixing)
        names = tf.constant([[b"left", b"middle", b"right"]])
        classes = tf.tile(names, [tf.shape(examples)[0], 1])
        save(
            directory,
            session,
            {
                "serving_default": ({"inputs": examples}, {"classes": classes, "scores": scores}),
                "predict": ({"examples": examples}, {"scores": scores}),
            },
            method_names={"serving_default": "tensorflow/serving/classify"},
        )


def build_example_tasks(directory: Path) -> None:
    """Serialised tf.Example in; each example holds the feature `x`, four floats. Good and bad signatures for
    Classify and Regress; n is the number of examples, and all that is not said to be another is float32.

    Good: `serving_default` (classify) and `elsewhere` (classify, its input is a tensor of its own):
    `inputs` -> `classes`, `scores` as in example_scores. `classes` and `scores` (predict): one of the two.
    `regress` (regress): `inputs` -> `outputs` [n], the sum of x; `column` (predict): the same, [n, 1].

    Bad: `wide` has `outputs` [n, 2], `doubles` float64 ones; `flat` has `scores` [n], `double_scores` float64
    ones, `first` those of the first example, `uneven` has two `classes` and three `scores`, and `numbers`
    int64 `classes`; `alias` has its input as `examples`; `two_inputs` has another input, `three_outputs`
    another output; the input of `floats` is float32 [n]; the method of `odd` is unknown.
    """
    import tensorflow.compat.v1 as tf

    mixing = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)

    def scores_of(examples: Any) -> tuple[Any, Any, Any]:
        x = tf.parse_example(examples, {"x": tf.FixedLenFeature([4], tf.float32)})["x"]
        names = tf.constant([[b"left", b"middle", b"right"]])
        return x, tf.matmul(x, mixing), tf.tile(names, [tf.shape(examples)[0], 1])

    with tf.Graph().as_default(), tf.Session() as session:
        examples = tf.placeholder(tf.string, [None], name="examples")
        others = tf.placeholder(tf.string, [None], name="others")
        numbers = tf.placeholder(tf.float32, [None], name="numbers")
        x, scores, classes = scores_of(examples)
        _, other_scores, other_classes = scores_of(others)
        total = tf.reduce_sum(x, axis=1)
        inputs = {"inputs": examples}
        ids = tf.tile(tf.constant([[0, 1, 2]], tf.int64), [tf.shape(examples)[0], 1])
        classify, regress = "tensorflow/serving/classify", "tensorflow/serving/regress"
        save(
            directory,
            session,
            {
                "serving_default": (inputs, {"classes": classes, "scores": scores}),
                "elsewhere": ({"inputs": others}, {"classes": other_classes, "scores": other_scores}),
                "classes": (inputs, {"classes": classes}),
                "scores": (inputs, {"scores": scores}),
                "regress": (inputs, {"outputs": total}),
                "column": (inputs, {"outputs": total[:, tf.newaxis]}),
                "wide": (inputs, {"outputs": x[:, :2]}),
                "doubles": (inputs, {"outputs": tf.cast(total, tf.float64)}),
                "flat": (inputs, {"scores": total}),
                "double_scores": (inputs, {"scores": tf.cast(scores, tf.float64)}),
                "first": (inputs, {"scores": scores[:1]}),
                "uneven": (inputs, {"classes": classes[:, :2], "scores": scores}),
                "numbers": (inputs, {"classes": ids}),
                "alias": ({"examples": examples}, {"scores": scores, "outputs": total}),
                "two_inputs": ({"inputs": examples, "others": others}, {"scores": scores}),
                "three_outputs": (inputs, {"classes": classes, "scores": scores, "total": total}),
                "floats": ({"inputs": numbers}, {"outputs": tf.identity(numbers)}),
                "odd": (inputs, {"scores": scores}),
            },
            method_names={
                "serving_default": classify,
                "elsewhere": classify,
                "regress": regress,
                "odd": "tensorflow/serving/other",
            },
        )


def build_tf1_vocabulary(directory: Path) -> None:
    """`word` string [-1] -> `id` int64 [-1], -1 for an unknown word; 0 amber, 1 birch, 2 coral.

    The table is filled from an asset that only the collection `saved_model_assets` lists, as in old
    exports, by the main op of the SavedModel.
    """
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        asset = tf.constant(_written_vocabulary(directory), name="vocabulary")
        tf.add_to_collection(tf.GraphKeys.ASSET_FILEPATHS, asset)
        column = tf.lookup.TextFileIndex
        lines = tf.lookup.TextFileInitializer(
            asset, tf.string, column.WHOLE_LINE, tf.int64, column.LINE_NUMBER
        )
        table = tf.lookup.StaticHashTable(lines, default_value=-1)
        word = tf.placeholder(tf.string, [None], name="word")
        ids = table.lookup(word)
        save(
            directory,
            session,
            {"serving_default": ({"word": word}, {"id": ids})},
            assets_collection=tf.get_collection(tf.GraphKeys.ASSET_FILEPATHS),
            main_op=tf.tables_initializer(),
        )
    _edit(directory, _list_assets_in_the_collection_only)


def build_uninitialized(directory: Path) -> None:
    """`x` float32 [-1, 2] -> `y` float32 [-1, 2]: loads, then every run fails with FAILED_PRECONDITION.

    One of its variables was left out of the checkpoint and nothing else gives it a value.
    """
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 2], name="x")
        saved = tf.Variable(np.ones(2, np.float32), use_resource=False, name="saved")
        lost = tf.Variable(np.ones(2, np.float32), use_resource=False, name="lost")
        session.run(tf.global_variables_initializer())
        save(
            directory,
            session,
            {"serving_default": ({"x": x}, {"y": x * saved + lost})},
            saver=tf.train.Saver([saved]),
        )


def build_uninitialized_table(directory: Path) -> None:
    """`word` string [-1] -> `id` int64 [-1]: loads, then every run fails, for nothing fills its table."""
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        rows = tf.lookup.KeyValueTensorInitializer(["amber"], np.array([0], np.int64))
        table = tf.lookup.StaticHashTable(rows, default_value=-1)
        word = tf.placeholder(tf.string, [None], name="word")
        save(directory, session, {"serving_default": ({"word": word}, {"id": table.lookup(word)})})


def build_pass_through(directory: Path) -> None:
    """`x` float32 [-1, 2] -> `doubled` float32 [-1, 2] and `same`, which is the fed tensor itself."""
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 2], name="x")
        save(directory, session, {"serving_default": ({"x": x}, {"doubled": x * 2.0, "same": x})})


def build_two_aliases(directory: Path) -> None:
    """`x` float32 [-1, 2] -> `first` and `second` float32 [-1, 2], two names of the one tensor x * 2.

    A second signature, `twins`, has two names for one input: `a` and `b` are both x.
    """
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 2], name="x")
        y = x * 2.0
        signatures = {
            "serving_default": ({"x": x}, {"first": y, "second": y}),
            "twins": ({"a": x, "b": x}, {"y": y}),
        }
        save(directory, session, signatures)


def build_unknown_rank(directory: Path) -> None:
    """`x` float32 of any rank -> `y` float32, the same shape, x + 1."""
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, None, name="x")
        save(directory, session, {"serving_default": ({"x": x}, {"y": x + 1.0})})


def build_fixed_batch(directory: Path) -> None:
    """`x` float32 [1, 4] -> `y` float32 [1, 4], x * 3: dimension 0 is declared as one row."""
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [1, 4], name="x")
        save(directory, session, {"serving_default": ({"x": x}, {"y": x * 3.0})})


def build_tf1_lookups(directory: Path) -> None:
    """`id` int32 [-1] -> `vector` float32 [-1, 3], which is 3 id, 3 id + 1, 3 id + 2; ids are 0 to 4.

    The variable is a resource, in which the graph itself looks the rows up.
    """
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        id = tf.placeholder(tf.int32, [None], name="id")
        vectors = tf.Variable(np.arange(15, dtype=np.float32).reshape(5, 3), use_resource=True)
        session.run(tf.global_variables_initializer())
        outputs = {"vector": tf.nn.embedding_lookup(vectors, id)}
        save(directory, session, {"serving_default": ({"id": id}, outputs)})


def build_tf1_control_flow(directory: Path) -> None:
    """`x` float32 [-1, 2] -> `y` float32 [-1, 2]: x * 8, and 1 more where the sum over all rows is above 0.

    With the switches, merges and loops of before functions; the factor of each turn is a variable.
    """
    import tensorflow.compat.v1 as tf

    tf.disable_control_flow_v2()
    try:
        with tf.Graph().as_default(), tf.Session() as session:
            x = tf.placeholder(tf.float32, [None, 2], name="x")
            factor = tf.Variable(np.float32(2), use_resource=False)
            _, product = tf.while_loop(
                lambda turn, _: turn < 3, lambda turn, value: (turn + 1, value * factor), [tf.constant(0), x]
            )
            y = tf.cond(tf.reduce_sum(x) > 0, lambda: product + 1.0, lambda: product)
            session.run(tf.global_variables_initializer())
            save(directory, session, {"serving_default": ({"x": x}, {"y": y})})
    finally:
        tf.enable_control_flow_v2()


def build_tf1_composites(directory: Path) -> None:
    """Sparse and ragged tensors as TensorFlow 1's signatures have them, each one entry.

    `serving_default`: `sp`, sparse float32 [-1, 5] -> `total` float32 of any rank, the sums of its rows, and
    `doubled`, sparse. `ragged`: `rg`, ragged float32 [-1, -1] -> `total` float32 [-1] and `doubled`, ragged.
    """
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        sp = tf.sparse_placeholder(tf.float32, [None, 5], name="sp")
        rg = tf.ragged.placeholder(tf.float32, 1, [], name="rg")
        doubled = tf.SparseTensor(sp.indices, sp.values * 2.0, sp.dense_shape)
        sparse = {"total": tf.sparse.reduce_sum(sp, 1), "doubled": doubled}
        ragged = {"total": tf.reduce_sum(rg, axis=1), "doubled": rg * 2.0}
        save(
            directory,
            session,
            {"serving_default": ({"sp": sp}, sparse), "ragged": ({"rg": rg}, ragged)},
        )


def _written_vocabulary(directory: Path) -> str:
    path = directory.with_name(directory.name + "_vocabulary.txt")
    path.write_text("amber\nbirch\ncoral\n")
    return str(path)


def _list_assets_in_the_collection_only(meta_graph: Any) -> None:
    assert meta_graph.collection_def["saved_model_assets"].any_list.value
    meta_graph.ClearField("asset_file_def")


def _edit(directory: Path, change: Callable[[Any], None]) -> None:
    """Let ``change`` alter the one MetaGraphDef of the SavedModel."""
    from tensorflow.core.protobuf import saved_model_pb2

    path = directory / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    (meta_graph,) = saved_model.meta_graphs
    change(meta_graph)
    path.write_bytes(saved_model.SerializeToString())
