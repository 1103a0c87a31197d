"""SavedModels that learn while they are served; those of docs/state.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .tf2 import function, save


def build_regression(directory: Path, rate: float = 0.1, start: float = 0.0) -> None:
    """`train` takes `x` and `y` float32 [-1], makes one step of gradient descent, and gives `loss` float32
    [], `W`, `b` float32 [] after it and `steps` int64 []; `predict` takes `x` and gives `y` = W x + b; `read`
    gives
    `W`, `b`, `steps`. The variables have these names."""
    import tensorflow as tf

    weight = tf.Variable(start, name="W")
    bias = tf.Variable(0.0, name="b")
    steps = tf.Variable(0, dtype=tf.int64, name="steps")

    def train(x: Any, y: Any) -> Any:
        error = weight * x + bias - y
        slope, offset = tf.reduce_mean(error * x), tf.reduce_mean(error)
        return {
            "loss": tf.reduce_mean(error * error),
            "W": weight.assign_sub(2 * rate * slope, read_value=True),
            "b": bias.assign_sub(2 * rate * offset, read_value=True),
            "steps": steps.assign_add(1, read_value=True),
        }

    def predict(x: Any) -> Any:
        return {"y": weight * x + bias}

    def read() -> Any:
        return {"W": weight.read_value(), "b": bias.read_value(), "steps": steps.read_value()}

    rows = ([None], tf.float32)
    save(
        directory,
        [weight, bias, steps],
        train=function(train, x=rows, y=rows),
        predict=function(predict, x=rows),
        read=function(read),
    )


def build_feature_statistics(directory: Path, features: int = 3) -> None:
    """`observe` takes `x` float64 [-1, features] and gives the `count` int64 [] so far; `describe` gives
    `count`, `mean` and `variance` [features] of all rows that were observed; `normalise` takes `x` and gives
    it with mean 0 and variance 1.

    Means and sums of squares are merged by the formulas of Chan, Golub and LeVeque (1979).
    """
    import tensorflow as tf

    count = tf.Variable(0, dtype=tf.int64, name="count")
    mean = tf.Variable(tf.zeros([features], tf.float64), name="mean")
    squares = tf.Variable(tf.zeros([features], tf.float64), name="squares")

    def observe(x: Any) -> Any:
        rows = tf.shape(x, tf.int64)[0]
        before, added = tf.cast(count, tf.float64), tf.cast(rows, tf.float64)
        mean_of_rows = tf.reduce_mean(x, 0)
        apart = mean_of_rows - mean
        both = before + added
        new_squares = squares + tf.reduce_sum((x - mean_of_rows) ** 2, 0) + apart**2 * before * added / both
        new_mean = mean + apart * added / both
        with tf.control_dependencies([new_squares, new_mean]):
            mean.assign(new_mean)
            squares.assign(new_squares)
            return {"count": count.assign_add(rows)}

    def describe() -> Any:
        return {
            "count": count.read_value(),
            "mean": mean.read_value(),
            "variance": squares / tf.cast(count, tf.float64),
        }

    def normalise(x: Any) -> Any:
        return {"x": (x - mean) / tf.sqrt(squares / tf.cast(count, tf.float64))}

    rows = ([None, features], tf.float64)
    save(
        directory,
        [count, mean, squares],
        observe=function(observe, x=rows),
        describe=function(describe),
        normalise=function(normalise, x=rows),
    )
