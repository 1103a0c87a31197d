"""Batch safety tried on real graphs, without any help from what their structure proves: no honest one is
refuted, and those whose rows influence each other are, also where that shows for rare rows only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from hotgraph_server.graph.graph import Graph
from hotgraph_server.settings import SessionSettings, WarmupSettings
from hotgraph_server.warmup import batch_safety
from hotgraph_server.warmup import first_runs as first_runs_module
from hotgraph_server.warmup.first_runs import FirstRuns, warm_up
from hotgraph_server.warmup.row_comparison import NoEvidence

from ..row_independence.library import HONEST, TRAPS
from ..row_independence.library.cases import Built, Case, Cases, floats, ints, texts
from ..row_independence.library.honest import weights

_SETTINGS = WarmupSettings(warm_up_budget_s=20)


def tried(case: Case, max_rows: int = 16) -> str | None:
    """What trying says of a case, of which nothing is proven or refuted by structure."""
    built = Built(case)
    graph = as_graph(built)
    graph.proofs = {}
    try:
        return first_runs(graph, max_rows).unbatched_reasons["serving_default"]
    finally:
        graph.close()


def as_graph(built: Built) -> Graph:
    with built.graph.as_default():
        meta_graph = tf.compat.v1.train.export_meta_graph(graph=built.graph)
        inputs = {
            alias: tf.compat.v1.saved_model.build_tensor_info(built.graph.get_tensor_by_name(name))
            for alias, name in built.fed.items()
        }
        outputs = {
            f"y{index}": tf.compat.v1.saved_model.build_tensor_info(built.graph.get_tensor_by_name(name))
            for index, name in enumerate(built.outputs)
        }
    meta_graph.signature_def["serving_default"].CopyFrom(
        tf.compat.v1.saved_model.build_signature_def(inputs, outputs)
    )
    return Graph(built.session, meta_graph, SessionSettings())


def first_runs(graph: Graph, max_rows: int) -> FirstRuns:
    return warm_up(graph, "m", samples={}, settings=_SETTINGS, max_rows=max_rows)


RARE = rare = Cases()
"""Graphs whose rows influence each other only where one of them is of a kind that is seldom seen."""


def _mixed_where(tf: Any, condition: Any, x: Any) -> Any:
    return tf.cond(tf.reduce_any(condition), lambda: x - tf.reduce_mean(x, axis=0), lambda: x)


def _codes(tf: Any, text: Any, *, padded: Any) -> Any:
    codes = tf.strings.unicode_decode(text, "UTF-8")
    sums = tf.cast(tf.reduce_sum(codes, axis=1), tf.float32)
    lengths = tf.cast(tf.shape(codes.to_tensor(0))[1], tf.float32)
    return tf.cond(padded, lambda: sums / lengths, lambda: sums)


@rare(x=floats(4))
def greatest_of_the_batch_is_large(tf: Any, x: Any) -> Any:
    return _mixed_where(tf, tf.reduce_max(x) > 1000.0, x)


@rare(x=floats(4))
def one_is_no_number(tf: Any, x: Any) -> Any:
    return tf.cond(tf.reduce_any(tf.math.is_nan(x)), lambda: x[:1] + 0.0 * x, lambda: x)


@rare(x=floats(4))
def all_of_one_are_zero(tf: Any, x: Any) -> Any:
    return _mixed_where(tf, tf.reduce_all(tf.equal(x, 0.0), axis=1), x)


@rare(ids=ints(6))
def ids_above_5000(tf: Any, ids: Any) -> Any:
    vectors = tf.reduce_mean(tf.gather(weights(20_000, 4), ids), axis=1)
    return _mixed_where(tf, ids > 5000, vectors)


@rare(ids=ints())
def ids_above_5000_of_no_table(tf: Any, ids: Any) -> Any:
    return _mixed_where(tf, ids > tf.cast(tf.exp(tf.constant(8.52)), tf.int32), tf.cast(ids, tf.float32))


@rare(text=texts())
def padded_for_chinese_only(tf: Any, text: Any) -> Any:
    chinese = tf.strings.regex_full_match(text, ".*[\u4e00-\u9fff].*")
    return _codes(tf, text, padded=tf.reduce_any(chinese))


@rare(text=texts())
def padded_for_what_is_read_from_the_right(tf: Any, text: Any) -> Any:
    arabic = tf.strings.regex_full_match(text, ".*[\u0600-\u06ff].*")
    return _codes(tf, text, padded=tf.reduce_any(arabic))


@rare(text=texts())
def padded_beyond_500_letters(tf: Any, text: Any) -> Any:
    return _codes(tf, text, padded=tf.reduce_max(tf.strings.length(text)) > 500)


@rare(text=texts())
def words_that_only_the_vocabulary_knows(tf: Any, text: Any) -> Any:
    """Without one of them in a batch every row is answered by its own words alone."""
    words = [f"w{number}x" for number in range(500)]
    values = tf.lookup.KeyValueTensorInitializer(words, np.arange(500, dtype=np.int64))
    table = tf.lookup.StaticHashTable(values, -1)
    ids = table.lookup(tf.strings.split(text).to_tensor("none"))
    known = tf.reduce_any(ids >= 0)
    length = tf.cast(tf.strings.length(text), tf.float32)
    return tf.cond(known, lambda: length + tf.cast(tf.reduce_max(ids), tf.float32), lambda: length)


@pytest.mark.parametrize("name", RARE.found)
def test_rows_that_meet_only_where_one_is_rare_are_found(name: str) -> None:
    reason = tried(RARE.found[name])
    assert reason is not None
    assert not isinstance(reason, NoEvidence), reason


# Those in which rounding, numbers that are none, or rows that are refused might look like a difference.
DOUBTFUL = (
    *("dense", "convolutions", "layer_norm", "attention_by_einsum", "spectrum", "two_inputs"),
    *("masked_mean_of_embeddings", "text_padded_and_masked", "text_to_a_fixed_length", "sparse_features"),
    *("dynamic_rnn_with_lengths", "reversed_by_lengths", "sorted_and_put_back", "checked_over_the_batch"),
    *("decoded_images", "vocabulary", "top_three", "branch_by_a_scalar_input"),
)


def refuted(case: Case) -> bool:
    reason = tried(case)
    return reason is not None and not isinstance(reason, NoEvidence)


@pytest.mark.parametrize("name", DOUBTFUL)
def test_honest_graph_is_not_refuted(name: str) -> None:
    assert tried(HONEST[name]) is None


@pytest.mark.slow
@pytest.mark.usefixtures("no_structure")
@pytest.mark.parametrize("name", HONEST)
def test_no_honest_graph_is_refuted(name: str) -> None:
    assert not refuted(HONEST[name])


@pytest.mark.slow
@pytest.mark.usefixtures("no_structure")
@pytest.mark.parametrize("name", TRAPS)
def test_all_other_graphs_are_refuted(name: str) -> None:
    assert refuted(TRAPS[name])


@pytest.fixture
def no_structure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept from being tried that shapes already speak against."""
    for module in (batch_safety, first_runs_module):
        monkeypatch.setattr(module, "why_unbatched", lambda *_, **__: None)


def test_outputs_that_are_always_empty_are_no_evidence() -> None:
    def cropped(tf: Any, x: Any) -> Any:
        return x[:, 10_000:] * 2.0

    reason = tried(Case(cropped, {"x": floats(8, free=[0])}))
    assert isinstance(reason, NoEvidence)
    assert "empty" in reason
