"""Graphs put together at random from ops that move, mix and take apart rows in every way.

A graph is told by a list of steps, each an op and the tensors that it is given, so that hypothesis can make
one smaller. What TensorFlow refuses to build is left out, and a run that fails says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .library.cases import Built, Case, Given

_RNG = np.random.default_rng(11)


class Step(NamedTuple):
    """One op.

    Attributes:
        op: its number among OPS, modulo their count.
        operands: of what is there so far, counted from the end, modulo how many there are.
    """

    op: int
    operands: tuple[int, int]


def weights(*shape: int) -> Any:
    return _RNG.normal(0, 0.5, shape)


def _numbers(rng: np.random.Generator, rows: int, *inner: int) -> Any:
    found = rng.normal(0, 2, (rows, *inner))
    if rng.random() < 0.3:
        found[rng.integers(rows)] = rng.choice([np.nan, np.inf, 0.0, -1e3])
    return found


INPUTS = {
    "x": Given((4,), "float64", lambda rng, rows: _numbers(rng, rows, 4)),
    "y": Given((None, 4), "float64", lambda rng, rows: _numbers(rng, rows, 3, 4)),
    "z": Given((), "float64", _numbers),
}


def _first(tf: Any, a: Any) -> Any:
    return tf.shape(a)[0]


def _whole(tf: Any, a: Any) -> Any:
    """Small whole numbers made of what may be none."""
    return tf.cast(tf.clip_by_value(tf.where(tf.math.is_finite(a), a, tf.zeros_like(a)), 0, 3), tf.int32)


def _over_time(tf: Any, a: Any) -> Any:
    """A loop over axis 1 that keeps a state and all its values."""
    state = a[:, 0]
    kept = tf.TensorArray(tf.float64, tf.shape(a)[1])

    def turn(step: Any, state: Any, kept: Any) -> Any:
        state = state * 0.5 + a[:, step]
        return step + 1, state, kept.write(step, state)

    _, state, kept = tf.while_loop(lambda step, *_: step < tf.shape(a)[1], turn, [0, state, kept])
    return kept.stack()


def _own_rows(tf: Any, a: Any, shift: int) -> Any:
    """A loop over rows that reads the row of its turn, or the one before."""
    count = _first(tf, a)
    kept = tf.TensorArray(tf.float64, count, element_shape=a.shape[1:])
    turn = lambda step, kept: (step + 1, kept.write(step, a[tf.maximum(step - shift, 0)] * 2.0))  # noqa: E731
    return tf.while_loop(lambda step, _: step < count, turn, [0, kept])[1].stack()


def _by_number(tf: Any, a: Any, b: Any) -> Any:
    keys = tf.stack([tf.range(_first(tf, a)), _whole(tf, tf.reshape(b, [_first(tf, b), -1])[:, 0])], axis=1)
    return tf.gather_nd(a, keys)


def _looked_up_once(tf: Any, a: Any) -> Any:
    different, index = tf.unique(tf.reshape(_whole(tf, a), [-1]))
    return tf.gather(tf.gather(weights(4, 2), different), index)


def _filtered(tf: Any, a: Any) -> Any:
    flat = tf.reshape(a, [_first(tf, a), -1])[:, 0]
    return tf.boolean_mask(a, flat > 0)


def _summed_back(tf: Any, a: Any) -> Any:
    numbers = tf.range(_first(tf, a))
    keep = tf.reshape(a, [_first(tf, a), -1])[:, 0] > 0
    return tf.math.unsorted_segment_sum(
        tf.boolean_mask(a, keep), tf.boolean_mask(numbers, keep), _first(tf, a)
    )


def _heads(tf: Any, a: Any) -> Any:
    return tf.concat(tf.split(a, 2, axis=-1), axis=0)


Op = Callable[[Any, Any, Any], Any]

OPS: list[Op] = [
    lambda tf, a, b: a + b,
    lambda tf, a, b: a * b,
    lambda tf, a, b: tf.maximum(a, b),
    lambda tf, a, b: tf.where(a > 0, a, b),
    lambda tf, a, b: tf.concat([a, b], axis=-1),
    lambda tf, a, b: tf.concat([a, b], axis=0),
    lambda tf, a, b: tf.stack([a, b], axis=0),
    lambda tf, a, b: tf.stack([a, b], axis=1),
    lambda tf, a, b: tf.matmul(a, b),
    lambda tf, a, b: tf.matmul(a, b, transpose_a=True),
    lambda tf, a, b: tf.matmul(a, b, transpose_b=True),
    lambda tf, a, b: tf.einsum("bi,bi->b", a, b),
    lambda tf, a, b: tf.einsum("bi,bti->bt", a, b),
    lambda tf, a, b: tf.einsum("bti,bsi->bts", a, b),
    lambda tf, a, b: tf.einsum("bi,ci->bc", a, b),
    lambda tf, a, b: tf.einsum("...i,...i->...", a, b),
    lambda tf, a, b: tf.tensordot(a, b, [[-1], [-1]]),
    lambda tf, a, b: tf.gather(a, _whole(tf, b), axis=1, batch_dims=1),
    lambda tf, a, b: tf.gather(a, _whole(tf, b)),
    lambda tf, a, b: tf.gather(a, tf.range(_first(tf, b))),
    lambda tf, a, b: tf.reshape(a, tf.shape(b)),
    lambda tf, a, b: tf.broadcast_to(a, tf.shape(b)),
    lambda tf, a, b: a[: _first(tf, b)],
    lambda tf, a, b: a[:, : tf.shape(b)[1]],
    lambda tf, a, b: a / tf.cast(_first(tf, b), tf.float64),
    lambda tf, a, b: tf.cond(tf.reduce_any(b > 1), lambda: a * 2.0, lambda: a),
    lambda tf, a, b: tf.cond(tf.shape(b)[-1] > 3, lambda: a * 2.0, lambda: a),
    lambda tf, a, b: tf.cond(_first(tf, b) > 0, lambda: a * 2.0, lambda: tf.reduce_max(a) + a),
    lambda tf, a, b: tf.cond(_first(tf, b) > 1, lambda: a * 2.0, lambda: a),
    lambda tf, a, b: tf.reverse_sequence(a, _whole(tf, b), seq_axis=1),
    lambda tf, a, b: tf.linalg.matvec(a, b),
    _by_number,
    lambda tf, a, b: tf.map_fn(lambda one: one - tf.reduce_mean(one), a),
    lambda tf, a, b: tf.map_fn(
        lambda one: one[0] * 2.0 + tf.reduce_sum(one[1]), (a, b), fn_output_signature=a.dtype
    ),
    lambda tf, a, b: tf.scan(lambda one, two: one * 0.5 + two, a),
    lambda tf, a, b: _over_time(tf, a),
    lambda tf, a, b: _own_rows(tf, a, 0),
    lambda tf, a, b: _own_rows(tf, a, 1),
    lambda tf, a, b: _looked_up_once(tf, a),
    lambda tf, a, b: _filtered(tf, a),
    lambda tf, a, b: _summed_back(tf, a),
    lambda tf, a, b: _heads(tf, a),
    lambda tf, a, b: tf.concat(tf.split(a, 2, axis=0), axis=-1),
    lambda tf, a, b: tf.split(a, 2, axis=-1)[0],
    lambda tf, a, b: tf.nn.softmax(a),
    lambda tf, a, b: tf.nn.softmax(a, axis=0),
    lambda tf, a, b: tf.tanh(a),
    lambda tf, a, b: tf.nn.relu(a),
    lambda tf, a, b: tf.zeros_like(a),
    lambda tf, a, b: a @ weights(4, 3),
    lambda tf, a, b: tf.tensordot(a, weights(4, 4), 1),
    lambda tf, a, b: a + weights(4),
    lambda tf, a, b: a + weights(3, 4),
    lambda tf, a, b: tf.reduce_sum(a, axis=0),
    lambda tf, a, b: tf.reduce_mean(a, axis=-1),
    lambda tf, a, b: tf.reduce_max(a, axis=1, keepdims=True),
    lambda tf, a, b: tf.reduce_max(a),
    lambda tf, a, b: tf.cumsum(a, axis=0),
    lambda tf, a, b: tf.cumsum(a, axis=-1),
    lambda tf, a, b: tf.reverse(a, [0]),
    lambda tf, a, b: tf.reverse(a, [-1]),
    lambda tf, a, b: tf.roll(a, 1, axis=-1),
    lambda tf, a, b: tf.sort(a, axis=-1),
    lambda tf, a, b: tf.sort(a, axis=0),
    lambda tf, a, b: tf.math.top_k(a, 2).values,
    lambda tf, a, b: tf.cast(tf.argmax(a, axis=-1), tf.float64),
    lambda tf, a, b: tf.cast(tf.argmax(a, axis=0), tf.float64),
    lambda tf, a, b: tf.transpose(a),
    lambda tf, a, b: tf.transpose(a, [1, 0, 2]),
    lambda tf, a, b: tf.transpose(a, [0, 2, 1]),
    lambda tf, a, b: tf.expand_dims(a, 0),
    lambda tf, a, b: tf.expand_dims(a, 1),
    lambda tf, a, b: tf.expand_dims(a, -1),
    lambda tf, a, b: tf.squeeze(a),
    lambda tf, a, b: tf.squeeze(a, [1]),
    lambda tf, a, b: tf.squeeze(a, [0]),
    lambda tf, a, b: tf.reshape(a, [-1, 4]),
    lambda tf, a, b: tf.reshape(a, [-1, 2]),
    lambda tf, a, b: tf.reshape(a, [-1]),
    lambda tf, a, b: tf.reshape(a, [_first(tf, a), -1]),
    lambda tf, a, b: tf.reshape(a, [tf.shape(b)[0], -1, 4]),
    lambda tf, a, b: tf.reshape(a, [tf.shape(b)[0] * 2, -1]),
    lambda tf, a, b: tf.reshape(a, [-1, 2, 2]),
    lambda tf, a, b: tf.reshape(a, [2, -1]),
    lambda tf, a, b: tf.reshape(a, [4, -1]),
    lambda tf, a, b: tf.tile(a, [2] + [1] * (len(a.shape) - 1)),
    lambda tf, a, b: tf.tile(a, [1] * (len(a.shape) - 1) + [2]),
    lambda tf, a, b: tf.tile(a, [1] * (len(a.shape) - 1) + [_first(tf, b)]),
    lambda tf, a, b: tf.pad(a, [[0, 0]] * (len(a.shape) - 1) + [[1, 1]]),
    lambda tf, a, b: tf.pad(a, [[1, 0]] + [[0, 0]] * (len(a.shape) - 1)),
    lambda tf, a, b: a[0],
    lambda tf, a, b: a[-1:],
    lambda tf, a, b: a[1:],
    lambda tf, a, b: a[:, 0],
    lambda tf, a, b: a[..., -1],
    lambda tf, a, b: a[:, 1:],
    lambda tf, a, b: a[..., tf.newaxis, ::2],
    lambda tf, a, b: a[tf.newaxis],
    lambda tf, a, b: tf.unstack(a, axis=-1)[-1],
    lambda tf, a, b: tf.one_hot(_whole(tf, a), 3, dtype=tf.float64),
    lambda tf, a, b: tf.gather(weights(4, 2), _whole(tf, a)),
    lambda tf, a, b: tf.gather(a, [1, 0], axis=-1),
    lambda tf, a, b: tf.gather(a, [0, 0]),
    lambda tf, a, b: tf.cast(tf.range(_first(tf, a)), tf.float64),
    lambda tf, a, b: tf.ones([_first(tf, a), 4], tf.float64),
    lambda tf, a, b: tf.fill([2, _first(tf, a)], tf.constant(1.0, tf.float64)),
    lambda tf, a, b: tf.constant(weights(4)),
    lambda tf, a, b: tf.constant(weights(1, 4)),
    lambda tf, a, b: tf.cast(tf.shape(a), tf.float64),
    lambda tf, a, b: tf.cast(tf.size(a), tf.float64),
    lambda tf, a, b: tf.linalg.band_part(a, 0, -1),
    lambda tf, a, b: tf.linalg.diag(a),
    lambda tf, a, b: tf.math.segment_sum(a, tf.range(_first(tf, a))),
    lambda tf, a, b: tf.sequence_mask(_whole(tf, a), dtype=tf.float64),
    lambda tf, a, b: tf.sequence_mask(_whole(tf, a), 3, dtype=tf.float64),
    lambda tf, a, b: tf.nn.conv1d(a, weights(2, 4, 3), 1, "SAME"),
    lambda tf, a, b: tf.nn.max_pool1d(a, 2, 1, "SAME"),
]


def graph_of(steps: Sequence[Step], *, old: bool = False) -> Case:
    """The graph of these steps; its answer is what the last of them gives."""

    def body(tf: Any, x: Any, y: Any, z: Any) -> Any:
        there = [x, y, z]
        for step in steps:
            a, b = (there[-1 - operand % len(there)] for operand in step.operands)
            try:
                made = OPS[step.op % len(OPS)](tf, a, b)
            except (ValueError, TypeError, IndexError, NotImplementedError, tf.errors.InvalidArgumentError):
                continue
            there.append(made)
        return there[-1]

    return Case(body, INPUTS, old)


def first_difference(built: Built, rng: np.random.Generator, batches: int) -> str:
    """How rows' answers together differ from those alone in some of so many batches; empty: in none."""
    import tensorflow as tf

    for _ in range(batches):
        arrays = built.draw(rng, int(rng.integers(1, 5)))
        try:
            found = built.difference(arrays)
        except (tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError):
            continue
        if found:
            return found
    return ""
