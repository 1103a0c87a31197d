"""What graphs tell of the values that they treat apart."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.graph.bounds import GraphValues, lines_of
from hotgraph_server.graph.graph import Graph
from hotgraph_server.settings import SessionSettings
from hotgraph_server.signatures import Values

from ...saved_models import SavedModels


def told(build: Callable[[Any], Any], dtype: Any = tf.int32, *, in_function: bool = False) -> Values:
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(dtype, [None, 4], "x")
        y = tf.identity((tf.function(build, autograph=False) if in_function else build)(x), "y")
    return GraphValues(graph.as_graph_def()).of([y.name], [x.name])


TABLE = np.ones((321, 2), np.float32)


@pytest.mark.parametrize("in_function", [False, True])
@pytest.mark.parametrize(
    ("build", "number"),
    [
        (lambda x: tf.gather(TABLE, x), 321),
        (lambda x: tf.gather(TABLE.T, x, axis=1), 321),
        (lambda x: tf.one_hot(x, 77), 77),
        (lambda x: tf.cast(x > 5000, tf.float32), 5000),
        (lambda x: tf.minimum(x, 444), 444),
        (lambda x: tf.clip_by_value(x, -3, 555), 555),
        (lambda x: tf.math.floormod(x, 99), 99),
        (lambda x: tf.raw_ops.Bucketize(input=x, boundaries=[1.0, 250.0]), 250),
        (lambda x: tf.while_loop(lambda one: tf.reduce_all(one < 888), lambda one: one + 1, [x])[0], 888),
    ],
    ids=["gather", "axis", "one-hot", "greater", "minimum", "clip", "mod", "buckets", "loop"],
)
def test_numbers_are_found(build: Callable[[Any], Any], number: float, in_function: bool) -> None:
    assert number in told(build, in_function=in_function).numbers


def test_size_of_a_variable_is_found_through_the_call_of_a_function(saved_models: SavedModels) -> None:
    graph = Graph.open(saved_models["embedding"], SessionSettings())
    (signature,) = graph.signatures.values()
    sizes = [dimension for dimension in signature.values.numbers if dimension > 1]
    assert sizes
    graph.close()


def test_what_is_not_on_the_way_to_the_outputs_tells_nothing() -> None:
    def build(x: Any) -> Any:
        tf.gather(TABLE, x)
        return x + 1

    assert told(build) == Values()


def test_texts_that_are_compared_with_and_keys_of_tables_are_found() -> None:
    def build(x: Any) -> Any:
        keys = tf.lookup.KeyValueTensorInitializer(["amber", "birch"], tf.constant([1, 2], tf.int64))
        ids = tf.lookup.StaticHashTable(keys, 0).lookup(x)
        return tf.where(tf.equal(x, "special"), ids + 1, ids)

    texts = told(build, tf.string).texts
    assert {b"amber", b"birch", b"special"} <= set(texts)


def test_words_of_a_vocabulary_file_are_found(saved_models: SavedModels) -> None:
    for model in ("vocabulary", "tf1_vocabulary"):
        graph = Graph.open(saved_models[model], SessionSettings())
        signature = graph.signatures["serving_default"]
        assert len(signature.values.texts) >= 2, model
        graph.close()


def test_a_large_vocabulary_gives_a_sample_from_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.txt"
    path.write_text("\n".join(f"word{number:06}" for number in range(50_000)))
    numbers = [int(line[4:]) for line in lines_of(path)]
    assert 20 <= len(numbers) <= 64
    assert min(numbers) < 2000
    assert max(numbers) > 48_000
    assert any(20_000 < number < 30_000 for number in numbers)


def test_of_several_columns_the_first_counts_too(tmp_path: Path) -> None:
    path = tmp_path / "counts.tsv"
    path.write_text("amber\t7\nbirch\t3\n")
    assert lines_of(path) == [b"amber\t7", b"birch\t3", b"amber", b"birch"]


def test_what_is_no_text_or_no_file_gives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"a\n\x00\xff\nb\n")
    os.mkfifo(tmp_path / "pipe")
    for name in ("model.bin", "missing", "pipe", "."):
        assert lines_of(tmp_path / name) == []


@given(st.binary(max_size=300_000) | st.text(max_size=1000).map(str.encode))
def test_lines_of_any_bytes_are_few_whole_texts(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(data)
    whole = set(data.split(b"\n"))
    found = lines_of(path)
    assert len(found) <= 130
    for line in found:
        assert line.decode() is not None
        assert any(one.startswith(line) for one in whole)


def test_values_are_few_however_large_the_graph_is() -> None:
    def build(x: Any) -> Any:
        for number in range(1000):
            x = tf.minimum(x, number + 7)
        return x

    assert len(told(build).numbers) <= 24
