"""SavedModels in the manner of TensorFlow 2: a tf.Module with signature functions, or a Keras model.

Every builder writes one SavedModel into ``directory``, which must not exist yet. Weights come from
fixed seeds. Each of these has the signature `__saved_model_init_op`, which is for loaders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("half", "bfloat16", "float32", "float64", "complex64", "complex128", "string"),
)


def build_tf2_mlp(directory: Path) -> None:
    """`x` float32 [-1, 16] -> `scores` float32 [-1, 4], rows of probabilities."""
    import tensorflow as tf

    rng = np.random.default_rng(2)
    hidden = tf.Variable(rng.normal(0, 0.5, (16, 32)).astype(np.float32))
    last = tf.Variable(rng.normal(0, 0.5, (32, 4)).astype(np.float32))

    def run(x: Any) -> Any:
        return {"scores": tf.nn.softmax(tf.nn.relu(x @ hidden) @ last)}

    save(directory, [hidden, last], serving_default=function(run, x=([None, 16], tf.float32)))


def build_keras_dense(directory: Path) -> None:
    """What Keras exports: the signatures `serve` and `serving_default`, float32 [-1, 8] -> [-1, 3]."""
    import keras  # type: ignore[import-untyped]

    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((8,), name="x"), keras.layers.Dense(3, activation="softmax")])
    model.export(str(directory), verbose=False)


def build_two_in_two_out(directory: Path) -> None:
    """`a` float32 [-1, 3] and `b` int32 [-1, 3] -> `sum` float32 [-1, 3], `product` int32 [-1, 3].

    sum is a + b, product is the whole part of a, times b.
    """
    import tensorflow as tf

    def combine(a: Any, b: Any) -> Any:
        return {"sum": a + tf.cast(b, tf.float32), "product": tf.cast(a, tf.int32) * b}

    save(directory, serving_default=function(combine, a=([None, 3], tf.float32), b=([None, 3], tf.int32)))


def build_strings(directory: Path) -> None:
    """`text` string [-1] -> `upper` string [-1], `length` int32 [-1], in bytes; any bytes are taken."""
    import tensorflow as tf

    def shout(text: Any) -> Any:
        return {"upper": tf.strings.upper(text), "length": tf.strings.length(text)}

    save(directory, serving_default=function(shout, text=([None], tf.string)))


def build_unbatched_output(directory: Path) -> None:
    """`x` float32 [-1, 3] -> `doubled` float32 [-1, 3] and `total` float32 [], over all rows."""
    import tensorflow as tf

    def run(x: Any) -> Any:
        return {"doubled": x * 2.0, "total": tf.reduce_sum(x)}

    save(directory, serving_default=function(run, x=([None, 3], tf.float32)))


def build_square_output(directory: Path) -> None:
    """`x` float32 [-1, 3] -> `doubled` float32 [-1, 3] and `transition` float32 [3, 3], always the same.

    A batch of three rows has as many rows as the matrix, by chance.
    """
    import tensorflow as tf

    transition = np.arange(9, dtype=np.float32).reshape(3, 3)

    def run(x: Any) -> Any:
        return {"doubled": x * 2.0, "transition": tf.constant(transition)}

    save(directory, serving_default=function(run, x=([None, 3], tf.float32)))


def build_scalar_input(directory: Path) -> None:
    """`x` float32 [-1, 2] and `factor` float32 [] -> `scaled` float32 [-1, 2]."""
    import tensorflow as tf

    def run(x: Any, factor: Any) -> Any:
        return {"scaled": x * factor}

    save(directory, serving_default=function(run, x=([None, 2], tf.float32), factor=([], tf.float32)))


def build_default_input(directory: Path) -> None:
    """`x` float32 [-1, 2] and `factor` float32 [], 3.0 where a call leaves it out -> `scaled` [-1, 2]."""
    import tensorflow as tf

    three = tf.constant(3.0)

    def run(x: Any, factor: Any = three) -> Any:
        return {"scaled": x * factor}

    save(directory, serving_default=function(run, x=([None, 2], tf.float32), factor=([], tf.float32)))


def build_counter(directory: Path) -> None:
    """`increment` takes `by` int64 [] and gives the new `count` int64 []; `read` takes nothing."""
    import tensorflow as tf

    count = tf.Variable(0, dtype=tf.int64)

    def increment(by: Any) -> Any:
        return {"count": count.assign_add(by)}

    def read() -> Any:
        return {"count": count.read_value()}

    save(directory, [count], increment=function(increment, by=([], tf.int64)), read=function(read))


def build_vocabulary(directory: Path) -> None:
    """`word` string [-1] -> `id` int64 [-1], -1 for an unknown word; 0 amber, 1 birch, 2 coral.

    The table is filled from an asset file when the SavedModel is loaded.
    """
    import tensorflow as tf

    path = directory.with_name(directory.name + "_vocabulary.txt")
    path.write_text("amber\nbirch\ncoral\n")

    asset = tf.saved_model.Asset(str(path))
    column = tf.lookup.TextFileIndex
    lines = tf.lookup.TextFileInitializer(asset, tf.string, column.WHOLE_LINE, tf.int64, column.LINE_NUMBER)
    table = tf.lookup.StaticHashTable(lines, default_value=-1)

    def run(word: Any) -> Any:
        return {"id": table.lookup(word)}

    save(directory, [asset, table], serving_default=function(run, word=([None], tf.string)))


def build_every_dtype(directory: Path) -> None:
    """One signature `echo_NAME` for each of DTYPES: `x` [-1, 2] -> `y` [-1, 2], the same values."""
    import tensorflow as tf

    def run(x: Any) -> Any:
        return {"y": tf.identity(x)}

    signatures = {f"echo_{name}": function(run, x=([None, 2], tf.as_dtype(name))) for name in DTYPES}
    save(directory, **signatures)


def build_scalars(directory: Path) -> None:
    """`x` float64 [] -> `y` float64 [], x squared, and `word` string [], always b"square"."""
    import tensorflow as tf

    def run(x: Any) -> Any:
        return {"y": x * x, "word": tf.constant(b"square")}

    save(directory, serving_default=function(run, x=([], tf.float64)))


def build_variable_length(directory: Path) -> None:
    """`x` float32 [-1, -1] -> `total` float32 [-1], the sum of each row, and `nothing` float32 [-1, 0].

    Rows of any length, none included; calls of different lengths cannot share a batch as they are.
    """
    import tensorflow as tf

    def run(x: Any) -> Any:
        return {"total": tf.reduce_sum(x, axis=1), "nothing": x[:, :0]}

    save(directory, serving_default=function(run, x=([None, None], tf.float32)))


def build_batch_statistics(directory: Path) -> None:
    """`x` float32 [-1, 4] -> `y` float32 [-1, 4]: batch-norm left in training mode.

    Every row is normalised by the mean and variance over all rows of the run, so that rows that run
    together change each other's answers; one row alone always gives zeros.
    """
    import tensorflow as tf

    def run(x: Any) -> Any:
        mean, variance = tf.nn.moments(x, axes=[0])
        return {"y": tf.nn.batch_normalization(x, mean, variance, None, None, 1e-3)}

    save(directory, serving_default=function(run, x=([None, 4], tf.float32)))


def build_padded_text(directory: Path) -> None:
    """`text` string [-1] -> `mean_code` float32 [-1], the mean of its code points, padded with zeros.

    The padding reaches to the longest text of the run, so that a longer neighbour changes the answer.
    """
    import tensorflow as tf

    def run(text: Any) -> Any:
        codes = tf.strings.unicode_decode(text, "UTF-8").to_tensor(0)
        return {"mean_code": tf.reduce_mean(tf.cast(codes, tf.float32), axis=1)}

    save(directory, serving_default=function(run, text=([None], tf.string)))


def build_embedding(directory: Path) -> None:
    """`id` int32 [-1] -> `vector` float32 [-1, 3], all three are id + 0.5; ids are 0 to 4.

    Any other id fails the whole run with INVALID_ARGUMENT, on every device.
    """
    import tensorflow as tf

    vectors = tf.Variable(np.repeat(np.arange(5, dtype=np.float32)[:, None], 3, axis=1) + 0.5)

    def run(id: Any) -> Any:
        # a gather on a GPU gives zeros for an id out of range
        known = [tf.debugging.assert_less(id, 5), tf.debugging.assert_non_negative(id)]
        with tf.control_dependencies(known):
            return {"vector": tf.gather(vectors, id)}

    save(directory, [vectors], serving_default=function(run, id=([None], tf.int32)))


def build_lookups(directory: Path) -> None:
    """`id` int32 [-1, 2] -> the elements of a table [2, 3, 4] of 0 to 23, looked up in four ways.

    `row` float32 [-1, 4] is table[id[:, 0] % 2, id[:, 1]]; `batched` float32 [2, 2, 4] has for each of
    table[0] and table[1] the rows of the first two ids; `chosen` float32 [-1, 2] is id, and 12 more where the
    first of all ids is odd; `summed` float32 [-1, 2] is chosen + 2 id; `shape` int32 [3] is the table's.
    Ids are 0 to 2. All in functions: the body of the signature, of a branch and of a loop.
    """
    import tensorflow as tf

    table = tf.Variable(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    flat = tf.Variable(np.arange(24, dtype=np.float32))

    def run(id: Any) -> Any:
        chosen = tf.cond(id[0, 0] % 2 == 1, lambda: tf.gather(flat, id + 12), lambda: tf.gather(flat, id))
        _, summed = tf.while_loop(
            lambda turn, _: turn < 2, lambda turn, total: (turn + 1, total + tf.gather(flat, id)), [0, chosen]
        )
        return {
            "row": tf.gather_nd(table, tf.stack([id[:, 0] % 2, id[:, 1]], axis=1)),
            "batched": tf.gather(table, tf.stack([id[0], id[0]]), batch_dims=1),
            "chosen": chosen,
            "summed": summed,
            "shape": tf.shape(table),
        }

    save(directory, [table, flat], serving_default=function(run, id=([None, 2], tf.int32)))


def build_keras_saved(directory: Path) -> None:
    """What `tf.saved_model.save` makes of Keras 3: `inputs` string [-1, 1] -> `output_0` float32 [-1, 2].

    Each of its variables is saved as two, of which only one is restored: see object_graph.py. A vocabulary
    from a file, an embedding, two layers of one name, and a model inside.
    """
    import keras
    import tensorflow as tf

    path = directory.with_name(directory.name + "_vocabulary.txt")
    path.write_text("amber\nbirch\ncoral\n")
    keras.utils.set_random_seed(4)
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="dense")], name="inner")
    word = keras.Input((1,), dtype="string")
    vector = keras.layers.Embedding(4, 3)(keras.layers.StringLookup(vocabulary=str(path))(word))
    hidden = keras.layers.BatchNormalization()(inner(keras.layers.Flatten()(vector)))
    tf.saved_model.save(keras.Model(word, keras.layers.Dense(2, name="dense")(hidden)), str(directory))


def build_keras_counter(directory: Path) -> None:
    """As `counter`, with a Keras 3 variable."""
    import keras
    import tensorflow as tf

    count = keras.Variable(0, dtype="int64", trainable=False, name="count")

    def increment(by: Any) -> Any:
        count.assign_add(by)
        return {"count": count.value.read_value()}

    def read() -> Any:
        return {"count": count.value.read_value()}

    save(directory, [count], increment=function(increment, by=([], tf.int64)), read=function(read))


def build_nameless_tables(directory: Path) -> None:
    """`word` string [-1] -> `fixed`, `grown` and `dense` int64 [-1]; amber is 1, 2, 3, and any other word -1.

    Three tables that have no name, so that a session would make new ones, without that word, for each run.
    """
    import tensorflow as tf

    rows = tf.lookup.KeyValueTensorInitializer(["amber"], np.array([1], np.int64))
    fixed = tf.lookup.StaticHashTable(rows, -1, experimental_is_anonymous=True)
    kinds = (tf.string, tf.int64, -1)
    grown = tf.lookup.experimental.MutableHashTable(*kinds, experimental_is_anonymous=True)
    dense = tf.lookup.experimental.DenseHashTable(*kinds, "", "!", experimental_is_anonymous=True)
    for table, value in ((grown, 2), (dense, 3)):
        table.insert(["amber"], np.array([value], np.int64))

    def run(word: Any) -> Any:
        return {"fixed": fixed.lookup(word), "grown": grown.lookup(word), "dense": dense.lookup(word)}

    save(directory, [fixed, grown, dense], serving_default=function(run, word=([None], tf.string)))


def build_saved_again(directory: Path) -> None:
    """`nameless_tables` after TensorFlow 2 has loaded it: what makes the tables is hidden in functions."""
    import tensorflow as tf

    first = directory.with_name(directory.name + "_first")
    build_nameless_tables(first)
    loaded = tf.saved_model.load(str(first))
    tf.saved_model.save(loaded, str(directory), signatures=loaded.signatures)


def build_no_saver(directory: Path) -> None:
    """`x` float32 [-1, 2] -> `y` float32 [-1, 2], x * 3: no op restores the 3 in its checkpoint."""
    import tensorflow as tf

    factor = tf.Variable(3.0)

    def run(x: Any) -> Any:
        return {"y": x * factor}

    options = tf.saved_model.SaveOptions(experimental_skip_saver=True)
    save(directory, [factor], options, serving_default=function(run, x=([None, 2], tf.float32)))


def build_ragged_and_sparse(directory: Path) -> None:
    """What TensorFlow 2 makes of composite tensors: inputs are taken apart, outputs are entries of their own.

    `ragged`: `x` float32 [-1], `x_1` and `x_2` int64 [-1] (the flat values of [-1, -1, -1] and its row
    splits) and `z` float32 [-1] -> `total` float32 [-1], the sums of the rows, and z. `sparse`: `x` int64
    [-1, 2], `x_1` float32 [-1] and `x_2` int64 [2] (indices, values, dense shape) -> `total` float32 [-1].
    `serving_default`: `x` float32 [-1, 2] -> `ragged`, `sparse` and `doubled`, the same without zeros, and
    float32 [-1, 2]. `slices`: `x` float32 [-1, 2] -> `slices`, tf.IndexedSlices. `listed`: a list of plain
    tensors, `x` float32 [-1, 2] and `x_1` int64 [-1] -> `sum` float32 [-1, 2].
    """
    import tensorflow as tf

    def ragged(x: Any, z: Any) -> Any:
        return {"total": tf.reduce_sum(tf.reduce_sum(x, axis=2), axis=1) + z}

    def sparse(x: Any) -> Any:
        return {"total": tf.ensure_shape(tf.sparse.reduce_sum(x, axis=1), [None])}

    def run(x: Any) -> Any:
        return {
            "ragged": tf.ragged.boolean_mask(x, x != 0),
            "sparse": tf.sparse.from_dense(x),
            "doubled": x * 2.0,
        }

    def slices(x: Any) -> Any:
        return {"slices": tf.IndexedSlices(x, tf.range(tf.shape(x)[0]))}

    def listed(x: Any) -> Any:
        return {"sum": x[0] + tf.cast(x[1], tf.float32)[:, None]}

    def signature(function: Callable[..., Any], *specs: Any) -> Any:
        return tf.function(function, input_signature=specs)

    rows = tf.TensorSpec([None, 2], tf.float32, name="x")
    deep = tf.RaggedTensorSpec([None, None, None], tf.float32, ragged_rank=2)
    save(
        directory,
        ragged=signature(ragged, deep, tf.TensorSpec([None], tf.float32)),
        sparse=signature(sparse, tf.SparseTensorSpec([None, None], tf.float32)),
        serving_default=signature(run, rows),
        slices=signature(slices, rows),
        listed=signature(listed, [tf.TensorSpec([None, 2]), tf.TensorSpec([None], tf.int64)]),
    )


def build_gated(directory: Path) -> None:
    """A run that the test holds shut. `hold`: `entered` and `gate` string [] -> `opened` bool [].

    Both are paths of named pipes. The run waits until someone opens `entered` for reading, then until
    someone opens `gate` for reading; an empty path is not waited for. So a test that has read
    `entered` to its end knows that the run has begun and goes on until it opens `gate`.
    `serving_default`: `x` float32 [-1, 2] -> `doubled` float32 [-1, 2], in the same session.
    """
    import tensorflow as tf

    def hold(entered: Any, gate: Any) -> Any:
        # opening a pipe for writing waits for its reader
        for path in (entered, gate):
            if path != "":
                tf.io.write_file(path, "")
        return {"opened": tf.constant(True)}

    def double(x: Any) -> Any:
        return {"doubled": x * 2.0}

    save(
        directory,
        serving_default=function(double, x=([None, 2], tf.float32)),
        hold=function(hold, entered=([], tf.string), gate=([], tf.string)),
    )


def function(function: Callable[..., Any], **inputs: tuple[Sequence[int | None] | None, Any]) -> Any:
    """The tf.function of a Python function, given the shape and dtype of each of its arguments."""
    import tensorflow as tf

    specs = [tf.TensorSpec(shape, dtype, name=name) for name, (shape, dtype) in inputs.items()]
    return tf.function(function, input_signature=specs)


def save(directory: Path, tracked: Sequence[Any] = (), options: Any = None, **signatures: Any) -> None:
    """Write the signatures with what they use: variables, tables, assets."""
    import tensorflow as tf

    module = tf.Module()
    module.tracked = list(tracked)
    tf.saved_model.save(module, str(directory), signatures=signatures, options=options)
