"""The table of rules, op by op: where rows are after one op, given where they were before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from hotgraph_server.row_independence.dimensions import BATCH, const, named
from hotgraph_server.row_independence.domain import (
    COUNTS,
    NO_ROWS,
    Content,
    Counts,
    Mixed,
    NoRows,
    Partition,
    Place,
    Rows,
    Unknown,
    Value,
)
from hotgraph_server.row_independence.interpret import Interpreter
from hotgraph_server.row_independence.verdict import Input, value_of

Build = Callable[[Any, Any, Any, Any], Any]
"""Of TensorFlow, `x` [B, 3, 4], `m` [B, 4] and `v` [B], all float32."""

SHAPES = {"x": (None, 3, 4), "m": (None, 4), "v": (None,)}
W = np.ones((4, 5), np.float32)
MIXED, UNKNOWN = "mixed", "unknown"


@pytest.fixture
def tf() -> Iterator[Any]:
    import tensorflow as tf

    with tf.Graph().as_default():
        yield tf


def after(tf: Any, build: Build) -> Value:
    """What is known of what `build` makes."""
    from tensorflow.python.framework import op_def_registry

    graph = tf.compat.v1.get_default_graph()
    fed = [tf.compat.v1.placeholder(tf.float32, shape, name) for name, shape in SHAPES.items()]
    made = build(tf, *fed)
    values = [value_of(Input(name, f"{name}:0", shape, True)) for name, shape in SHAPES.items()]
    interpreter = Interpreter(graph.as_graph_def(), op_def_registry.get)
    return interpreter.places([made.name], [tensor.name for tensor in fed], values)[0]


def word(place: Place) -> Place | str:
    """Places that give a reason, by their kind."""
    return {Mixed: MIXED, Unknown: UNKNOWN}.get(type(place), place)


def rows(axis: int = 0, outer: int = 1, inner: int = 1, content: Content = Content.OWN) -> Rows:
    return Rows(axis, content, const(outer), const(inner))


TABLE: dict[str, tuple[Build, Place | str]] = {
    # elementwise
    "scalar": (lambda tf, x, m, v: x * 2.0, rows()),
    "one number for each channel": (lambda tf, x, m, v: x + W[:, 0], rows()),
    "one vector for each row": (lambda tf, x, m, v: x + m[:, tf.newaxis], rows()),
    "a vector of rows against the last axis": (lambda tf, x, m, v: m + v, MIXED),
    "rows against rows": (lambda tf, x, m, v: m[:, tf.newaxis] - m, MIXED),
    "made for three rows": (lambda tf, x, m, v: m + W[:3, :4], MIXED),
    "places of what is true": (
        lambda tf, x, m, v: tf.where(m > 0),
        Rows(content=Content.KEYED, ragged=Partition("Where")),
    ),
    "places of what is true, rows not in front": (
        lambda tf, x, m, v: tf.where(tf.transpose(m) > 0),
        MIXED,
    ),
    "choice": (lambda tf, x, m, v: tf.where(m > 0, m, 0.0), rows()),
    "number of rows": (lambda tf, x, m, v: m / tf.cast(tf.shape(m)[0], tf.float32), MIXED),
    "bias": (lambda tf, x, m, v: tf.nn.bias_add(m, W[:, 0]), rows()),
    "batch-norm": (
        lambda tf, x, m, v: tf.raw_ops.FusedBatchNormV3(
            x=x[:, tf.newaxis],
            scale=W[:, 0],
            offset=W[:, 0],
            mean=W[:, 0],
            variance=W[:, 0],
            is_training=False,
        )[0],
        rows(),
    ),
    "batch-norm in training": (
        lambda tf, x, m, v: tf.raw_ops.FusedBatchNormV3(
            x=x[:, tf.newaxis], scale=W[:, 0], offset=W[:, 0], mean=[], variance=[], is_training=True
        )[0],
        MIXED,
    ),
    # along axes
    "sum over the last axis": (lambda tf, x, m, v: tf.reduce_sum(x, -1), rows()),
    "sum over rows": (lambda tf, x, m, v: tf.reduce_sum(x, 0), MIXED),
    "sum over everything": (lambda tf, x, m, v: tf.reduce_sum(x), MIXED),
    "greatest of equal rows": (lambda tf, x, m, v: tf.reduce_max(tf.zeros_like(m)), NO_ROWS),
    "sum of equal rows": (lambda tf, x, m, v: tf.reduce_sum(tf.zeros_like(m), 0), COUNTS),
    "softmax": (lambda tf, x, m, v: tf.nn.softmax(x), rows()),
    "softmax over rows": (lambda tf, x, m, v: tf.nn.softmax(v), MIXED),
    "greatest": (lambda tf, x, m, v: tf.argmax(x, 1), rows()),
    "greatest row": (lambda tf, x, m, v: tf.argmax(x, 0), MIXED),
    "running sum": (lambda tf, x, m, v: tf.cumsum(x, 1), rows()),
    "running sum over rows": (lambda tf, x, m, v: tf.cumsum(x), MIXED),
    "reversed": (lambda tf, x, m, v: tf.reverse(x, [1]), rows()),
    "rows reversed": (lambda tf, x, m, v: tf.reverse(x, [0]), MIXED),
    "top": (lambda tf, x, m, v: tf.math.top_k(x, 2).values, rows()),
    "top rows": (lambda tf, x, m, v: tf.math.top_k(v, 1).values, MIXED),
    "one-hot": (lambda tf, x, m, v: tf.one_hot(tf.cast(v, tf.int32), 3, axis=0), rows(1)),
    "spectrum": (lambda tf, x, m, v: tf.signal.fft(tf.cast(x, tf.complex64)), rows()),
    "convolution": (
        lambda tf, x, m, v: tf.nn.conv2d(x[..., tf.newaxis], np.ones((2, 2, 1, 3)), 1, "SAME"),
        rows(),
    ),
    "rows as an image": (
        lambda tf, x, m, v: tf.nn.conv2d(x[tf.newaxis], np.ones((2, 2, 4, 3)), 1, "SAME"),
        MIXED,
    ),
    "pool": (lambda tf, x, m, v: tf.nn.avg_pool2d(x[..., tf.newaxis], 2, 1, "SAME"), rows()),
    # layout
    "transposed": (lambda tf, x, m, v: tf.transpose(x, [2, 0, 1]), rows(1)),
    "new axis in front": (lambda tf, x, m, v: tf.expand_dims(x, 0), rows(1)),
    "new axis behind": (lambda tf, x, m, v: tf.expand_dims(x, -1), rows()),
    "squeezed": (lambda tf, x, m, v: tf.squeeze(x[tf.newaxis], [0]), rows()),
    "squeezed whatever is one": (lambda tf, x, m, v: tf.squeeze(x), MIXED),
    "beside each other": (lambda tf, x, m, v: tf.concat([m, m], 1), rows()),
    "below each other": (lambda tf, x, m, v: tf.concat([m, m], 0), rows(outer=2)),
    "below each other and split": (lambda tf, x, m, v: tf.split(tf.concat([m, m], 0), 2)[1], rows()),
    "rows split": (lambda tf, x, m, v: tf.split(m, 2)[0], MIXED),
    "a row of zeros in front": (lambda tf, x, m, v: tf.concat([W[:1, :4], m], 0), MIXED),
    "stacked in front": (lambda tf, x, m, v: tf.stack([m, m]), rows(1)),
    "taken apart": (lambda tf, x, m, v: tf.unstack(x, axis=1)[2], rows()),
    "tiled": (lambda tf, x, m, v: tf.tile(m, [1, 2]), rows()),
    "tiled below": (lambda tf, x, m, v: tf.tile(m, [2, 1]), rows(outer=2)),
    "tiled for each row": (
        lambda tf, x, m, v: tf.tile(W[:1], [tf.shape(m)[0], 1]),
        rows(content=Content.SAME),
    ),
    "as wide as there are rows": (lambda tf, x, m, v: tf.tile(m, [1, tf.shape(m)[0]]), MIXED),
    "padded": (lambda tf, x, m, v: tf.pad(m, [[0, 0], [1, 2]]), rows()),
    "padded with rows": (lambda tf, x, m, v: tf.pad(m, [[0, 1], [0, 0]]), MIXED),
    "zeros for each row": (lambda tf, x, m, v: tf.zeros([tf.shape(m)[0], 7]), rows(content=Content.SAME)),
    "numbers of rows": (lambda tf, x, m, v: tf.range(tf.shape(m)[0]), rows(content=Content.NUMBER)),
    "shape": (lambda tf, x, m, v: tf.shape(x), COUNTS),
    "inner shape": (lambda tf, x, m, v: tf.shape(x)[1:], NO_ROWS),
    "size of a row": (lambda tf, x, m, v: tf.size(x) // tf.shape(x)[0], NO_ROWS),
    # reshape
    "flattened": (lambda tf, x, m, v: tf.reshape(x, [-1, 12]), rows()),
    "flattened by the number of rows": (lambda tf, x, m, v: tf.reshape(x, [tf.shape(m)[0], -1]), rows()),
    "times below each other": (lambda tf, x, m, v: tf.reshape(x, [-1, 4]), rows(inner=3)),
    "and back": (lambda tf, x, m, v: tf.reshape(tf.reshape(x, [-1, 4]), [-1, 3, 4]), rows()),
    "time first below each other": (
        lambda tf, x, m, v: tf.reshape(tf.transpose(x, [1, 0, 2]), [-1, 4]),
        rows(outer=3),
    ),
    "two rows in one": (lambda tf, x, m, v: tf.reshape(m, [-1, 8]), MIXED),
    "rows in the wrong place": (lambda tf, x, m, v: tf.reshape(x, [3, -1, 4]), MIXED),
    # slices
    "all rows": (lambda tf, x, m, v: x[:, 1:, ::2], rows()),
    "as many rows as there are": (lambda tf, x, m, v: x[: tf.shape(v)[0]], rows()),
    "last of each": (lambda tf, x, m, v: x[..., -1], rows()),
    "first row": (lambda tf, x, m, v: x[0], MIXED),
    "but the first row": (lambda tf, x, m, v: x[1:], MIXED),
    "every second row": (lambda tf, x, m, v: x[::2], MIXED),
    "slice by size": (lambda tf, x, m, v: tf.slice(x, [0, 1, 0], [-1, 1, 2]), rows()),
    "rows by size": (lambda tf, x, m, v: tf.slice(x, [0, 0, 0], [2, -1, -1]), MIXED),
    # products
    "matrix": (lambda tf, x, m, v: m @ W, rows()),
    "matrix from the left": (lambda tf, x, m, v: tf.matmul(W, m, True, True), rows(1)),
    "many matrices": (lambda tf, x, m, v: tf.matmul(x, x, transpose_b=True), rows()),
    "all with all": (lambda tf, x, m, v: tf.matmul(m, m, transpose_b=True), MIXED),
    "summed over rows": (lambda tf, x, m, v: tf.matmul(m, m, transpose_a=True), MIXED),
    "einsum": (lambda tf, x, m, v: tf.einsum("bij,bj->ib", x, m), rows(1)),
    "einsum with an ellipsis": (lambda tf, x, m, v: tf.einsum("...j,jk->...k", x, W), rows()),
    "einsum of all with all": (lambda tf, x, m, v: tf.einsum("bj,cj->bc", m, m), MIXED),
    "einsum over rows": (lambda tf, x, m, v: tf.einsum("bij->ij", x), MIXED),
    # looking up
    "table": (lambda tf, x, m, v: tf.gather(W, tf.cast(v, tf.int32)), rows()),
    "columns": (lambda tf, x, m, v: tf.gather(m, [0, 2], axis=1), rows()),
    "rows by number": (lambda tf, x, m, v: tf.gather(m, [0]), MIXED),
    "in its own row": (lambda tf, x, m, v: tf.gather(m, tf.cast(v, tf.int32), batch_dims=1), rows()),
    "in other rows": (lambda tf, x, m, v: tf.gather(m, tf.cast(v, tf.int32)), MIXED),
    "by its own number": (
        lambda tf, x, m, v: tf.gather_nd(m, tf.stack([tf.range(tf.shape(v)[0]), tf.cast(v, tf.int32)], 1)),
        rows(),
    ),
    "by another's number": (
        lambda tf, x, m, v: tf.gather_nd(m, tf.stack([tf.cast(v, tf.int32)] * 2, 1)),
        MIXED,
    ),
    # what is not known
    "random": (lambda tf, x, m, v: m + tf.random.normal([4]), UNKNOWN),
    "an op without a rule": (lambda tf, x, m, v: tf.raw_ops.Svd(input=x).s, UNKNOWN),
    "an op without a rule, on what has no rows": (lambda tf, x, m, v: tf.raw_ops.Svd(input=W).s, NO_ROWS),
}


@pytest.mark.parametrize("name", TABLE)
def test_rows_are_where_the_table_says(tf: Any, name: str) -> None:
    build, expected = TABLE[name]
    assert word(after(tf, build).place) == expected


def test_shapes_are_followed_through_their_arithmetic(tf: Any) -> None:
    def build(tf: Any, x: Any, m: Any, v: Any) -> Any:
        shape = tf.shape(x)
        return tf.stack(
            [shape[0], tf.reduce_prod(shape[1:]), -1, shape[0] * shape[2] // 2, tf.minimum(shape[0], 1)]
        )

    assert after(tf, build).elements == (BATCH, const(12), const(-1), BATCH * const(2), const(1))


def test_free_inner_sizes_have_names(tf: Any) -> None:
    value = value_of(Input("ids", "ids:0", (None, None), True))
    assert value.dims == (BATCH, named("ids.1"))
    assert isinstance(value_of(Input("k", "k:0", (), False)).place, NoRows)


def test_a_condition_on_the_number_of_rows_is_decided_where_any_number_decides_it(tf: Any) -> None:
    assert after(tf, lambda tf, x, m, v: tf.shape(m)[0] > 0).elements == (const(1),)
    assert isinstance(after(tf, lambda tf, x, m, v: tf.shape(m)[0] > 1).place, Counts)


def _rows_of_own_width(tf: Any, m: Any, *, always: bool) -> Any:
    """Of each row as much as it says, written one by one."""
    count = tf.shape(m)[0]
    given = tf.TensorArray(tf.float32, count).unstack(m)

    def turn(step: Any, kept: Any) -> Any:
        row = given.read(step)
        part = row[: tf.cast(row[0], tf.int32)]
        written = (
            kept.write(step, part)
            if always
            else tf.cond(row[1] > 0, lambda: kept.write(step, part), lambda: kept)
        )
        return step + 1, written

    kept = tf.TensorArray(tf.float32, count, infer_shape=False, element_shape=[None])
    return tf.while_loop(lambda step, _: step < count, turn, [0, kept])[1].stack()


def test_rows_of_shapes_of_their_own_are_rows_where_all_are_written(tf: Any) -> None:
    # Unequal ones fail the run. One that is not written would be filled up to the shape of the others.
    value = after(tf, lambda tf, x, m, v: _rows_of_own_width(tf, m, always=True))
    assert value.place == Rows()
    assert value.dims is not None
    assert value.dims[0] == BATCH
    assert value.dims[1] is not None
    value = after(tf, lambda tf, x, m, v: _rows_of_own_width(tf, m, always=False))
    assert isinstance(value.place, Unknown)


def test_the_first_op_on_the_way_is_the_reason(tf: Any) -> None:
    place = after(
        tf, lambda tf, x, m, v: tf.nn.relu(m - tf.reduce_mean(m, 0, name="mean_of_all")) * 2.0
    ).place
    assert isinstance(place, Mixed)
    assert place.why[:3] == ("mean_of_all", "", "Mean")
