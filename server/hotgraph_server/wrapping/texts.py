"""Texts into the numbers of their words."""

from __future__ import annotations

from typing import Any

from hotgraph_server.errors import StartError
from hotgraph_server.wrapping.wishes import TextWish

# Of Keras's TextVectorization.
_PUNCTUATION = r'[!"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']'


class TextReader:
    """For one input of a model. It holds a table, which the module that is saved has to hold.

    Raises:
        StartError: the input takes no numbers of words, or no length can be told.
    """

    def __init__(self, wish: TextWish, spec: Any, name: str) -> None:
        import tensorflow as tf

        shape = spec.shape.as_list() if spec.shape.rank is not None else [None, None]
        if len(shape) != 2 or not (spec.dtype.is_integer or spec.dtype.is_floating):
            raise StartError(f"--text: input {name!r} is {spec.dtype.name}{shape}, and no numbers of words")
        self._length = wish.length or shape[1]
        if not self._length:
            raise StartError(
                f"--text: input {name!r} takes texts of any length, and in a batch all have one: --length N"
            )
        if shape[1] not in (None, self._length):
            raise StartError(f"--length {self._length}: input {name!r} takes {shape[1]}")
        self._wish, self._dtype = wish, spec.dtype
        # Not from a file: those may hold no empty line, and Keras's first word is one.
        initializer = tf.lookup.KeyValueTensorInitializer(
            tf.constant(wish.vocabulary), tf.range(len(wish.vocabulary), dtype=tf.int64)
        )
        self.table = tf.lookup.StaticHashTable(initializer, wish.unknown)

    def __call__(self, rows: Any) -> Any:
        """From strings [rows] to numbers [rows, length]."""
        import tensorflow as tf

        if "lower" in self._wish.standardize:
            rows = tf.strings.lower(rows, encoding="utf-8")
        if "strip" in self._wish.standardize:
            rows = tf.strings.regex_replace(rows, _PUNCTUATION, "")
        words = tf.strings.split(rows)
        numbers = words.with_flat_values(self.table.lookup(words.flat_values))
        padded = numbers.to_tensor(tf.constant(self._wish.pad, tf.int64), shape=[None, self._length])
        return tf.cast(tf.ensure_shape(padded, [None, self._length]), self._dtype)
