"""Whose row an error blames: by TensorFlow's words as they are, and by those that callers may forge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hotgraph_server.batching.call import Call
from hotgraph_server.execution.error_hints import blamed
from hotgraph_server.tensors import Array

from ..fakes import call, rows, signature

ROWS, BAD = 32, 17


def floats(*counts: int) -> list[Call]:
    return [call(rows(*range(count))) for count in counts]


def ids_with(value: int) -> Array:
    ids = np.arange(ROWS * 5, dtype=np.int32).reshape(ROWS, 5)
    ids[BAD, 3] = value
    return ids


def texts(good: bytes, bad: bytes) -> Array:
    array = np.full(ROWS, good, object)
    array[BAD] = bad
    return array


def example(*values: float) -> bytes:
    import tensorflow as tf

    made = tf.train.Example()
    made.features.feature["x"].float_list.value.extend(values)
    return bytes(made.SerializeToString())


def lookup(change: Callable[[Any, Any], Any] = lambda tf, ids: ids) -> Callable[[Any, Any], Any]:
    return lambda tf, ids: tf.gather(tf.zeros([465, 2]), change(tf, ids))


@pytest.mark.parametrize(
    ("op", "make"),
    [
        (lookup(), lambda: ids_with(900)),
        (lookup(lambda tf, ids: tf.reshape(ids, [-1])), lambda: ids_with(900)),
        (lookup(lambda tf, ids: tf.unique(tf.reshape(ids, [-1]))[0]), lambda: ids_with(900)),
        (lookup(lambda tf, ids: ids * 2), lambda: ids_with(300)),
        (lambda tf, ids: tf.gather_nd(tf.zeros([465, 2]), ids[..., None]), lambda: ids_with(900)),
        (
            lambda tf, made: tf.io.parse_example(made, {"x": tf.io.FixedLenFeature([2], tf.float32)}),
            lambda: texts(example(1, 2), example(1, 2, 3)),
        ),
        (lambda tf, lines: tf.io.decode_csv(lines, [[0.0], [0.0]]), lambda: texts(b"1,2", b"1,x")),
        (lambda tf, lines: tf.io.decode_csv(lines, [[0.0], [0.0]]), lambda: texts(b"1,2", b"1")),
        (lambda tf, raw: tf.io.decode_raw(raw, tf.float32), lambda: texts(b"1234", b"12345678")),
        (lambda tf, text: tf.strings.substr(text, 2, 2), lambda: texts(b"abcd", b"a")),
    ],
    ids=[
        *("lookup", "flat lookup", "unique lookup", "lookup of changed ids", "lookup by index"),
        *("examples", "csv", "short csv", "raw", "substring"),
    ],
)
def test_call_is_blamed_by_what_tensorflow_says(
    op: Callable[[Any, Any], Any], make: Callable[[], Array]
) -> None:
    import tensorflow as tf

    array = make()
    with pytest.raises(tf.errors.InvalidArgumentError) as failed:
        op(tf, tf.constant(array))
    of = signature(inputs={"x": (None, *array.shape[1:])}, dtype=array.dtype)
    calls = [call(array[start:end], of) for start, end in ((0, 10), (10, 17), (17, 18), (18, 32))]
    assert blamed(calls, failed.value.message) is calls[2]


def ids(*values: int) -> Call:
    of = signature(inputs={"x": (None, 2)}, dtype=np.dtype(np.int32))
    return call(np.array([values], np.int32), of)


def test_call_that_has_the_value_is_blamed_where_the_graph_has_counted_anew() -> None:
    """Ids that were made flat or unique before they are looked up."""
    calls = [ids(1, 2), ids(3, 4), ids(5, 900), ids(6, 7)]
    assert blamed(calls, "indices[5] = 900 is not in [0, 465)") is calls[2]
    # Ids that were changed before: the row is all that is left.
    assert blamed(calls, "indices[1,1] = 901 is not in [0, 465)") is calls[1]


@pytest.mark.parametrize(
    "error",
    [
        "",
        "Invalid character found in base64.",
        "indices[-1] = 3",
        "indices[99999999999999999999] = 7 is not in [0, 3)",
        "indices[32,0] = 7 is not in [0, 3)",
        "Incompatible shapes: [17,3] vs. [17,4]",
        " " * 500 + "indices[17] = 1",
        "] = " + "9" * 400 + " is not in [",
    ],
)
def test_error_that_points_at_none_of_the_calls_blames_none(error: str) -> None:
    assert blamed(floats(*[1] * 32), error) is None
