"""Graph.bounded, and what a version makes of graphs that hang or explode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.batching.request import Request
from hotgraph_server.errors import LoadError, RunFailed
from hotgraph_server.graph.graph import Graph
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.repository.loader import load
from hotgraph_server.settings import BatchSettings, ModelSettings, SessionSettings, WarmupSettings

from ...saved_models import SavedModels
from ...saved_models.tf2 import function, save
from ..fakes import HANG_S, Caller


def build_decoder(directory: Path) -> None:
    """`token` int32 [] -> `steps` int32 []: follows a table to 0; from 3, 4, 5 and 6 it never gets there."""
    import tensorflow as tf

    table = tf.Variable([0, 0, 1, 4, 5, 6, 3] + [4] * 1000)

    def run(token: Any) -> Any:
        return {
            "steps": tf.while_loop(lambda n, t: t > 0, lambda n, t: (n + 1, tf.gather(table, t)), [0, token])[
                0
            ]
        }

    save(directory, [table], serving_default=function(run, token=([], tf.int32)))


def served(directory: Path, **warmup: Any) -> Version:
    return load(ModelSettings("m", directory, warmup=WarmupSettings(**warmup)))


def answer(version: Version, *inputs: Any) -> Any:
    caller, one = Caller(), version.signatures["serving_default"]
    arrays = [np.asarray(value, spec.dtype) for value, spec in zip(inputs, one.inputs, strict=True)]
    version.submit(Request(one, arrays, one.output_aliases, caller.completion))
    return caller.answer()[0].tolist()


def test_bounded_run_that_does_not_end_is_interrupted_and_the_session_goes_on(tmp_path: Path) -> None:
    build_decoder(tmp_path / "m")
    graph = Graph.open(tmp_path / "m", SessionSettings())
    one = graph.signatures["serving_default"]
    run = graph.bounded(one, 0.05)
    with pytest.raises(RunFailed) as caught:
        run([np.array(5, np.int32)])
    assert caught.value.status.name == "DEADLINE_EXCEEDED"
    assert run([np.array(2, np.int32)]).answers[0] == 2
    assert graph.run(one, one.output_aliases, [np.array(2, np.int32)])[0] == 2
    graph.close()


def test_bounded_run_tells_what_its_ops_allocated(tmp_path: Path) -> None:
    import tensorflow as tf

    save(
        tmp_path / "m",
        serving_default=function(
            lambda n: {"s": tf.reduce_sum(tf.random.stateless_uniform([n, 1000], [1, 2]))}, n=([], tf.int32)
        ),
    )
    graph = Graph.open(tmp_path / "m", SessionSettings())
    run = graph.bounded(graph.signatures["serving_default"], 60.0)
    few, many = (run([np.array(n, np.int32)]).nbytes for n in (10, 100))
    assert 40_000 <= few < 80_000
    assert 400_000 <= many < 480_000
    graph.close()


def test_model_that_never_ends_for_some_input_is_served_for_the_other(tmp_path: Path) -> None:
    build_decoder(tmp_path / "m")
    version = served(tmp_path / "m", warm_up_budget_s=1.0)
    assert version.warmed["serving_default"] == "warmed up with generated input: integers below 2"
    assert answer(version, 2) == 2
    assert version.stop(HANG_S)


def test_model_whose_input_is_a_size_is_not_asked_for_a_large_one(tmp_path: Path) -> None:
    import tensorflow as tf

    def cube(n: Any) -> Any:
        return {"s": tf.reduce_sum(tf.zeros([n, n, n]) + tf.random.stateless_normal([n, n, n], [1, 2]))}

    save(tmp_path / "m", serving_default=function(cube, n=([], tf.int32)))
    version = served(tmp_path / "m", warm_up_memory_mb=1)
    assert version.warmed["serving_default"] == "warmed up with generated input: integers below 10"
    assert version.stop(HANG_S)


def test_model_that_is_not_to_be_warmed_up_is_served_as_it_is(tmp_path: Path) -> None:
    build_decoder(tmp_path / "m")
    version = served(tmp_path / "m", warm_up=False)
    assert version.warmed == {"serving_default": "not warmed up: warm_up is off"}
    assert version.plans["serving_default"].run_s == 0.0
    assert answer(version, 2) == 2
    assert version.stop(HANG_S)


# Signatures that cannot run.


def build_one_bad(directory: Path) -> None:
    """`serving_default`: x float32 [-1, 3] -> 2 x; `look`: in a table that nothing fills."""
    import tensorflow.compat.v1 as tf

    from ...saved_models.tf1 import save as save_tf1

    with tf.Graph().as_default(), tf.Session() as session:
        x, key = tf.placeholder(tf.float32, [None, 3]), tf.placeholder(tf.string, [None])
        filled = tf.lookup.KeyValueTensorInitializer(["a"], [1], tf.string, tf.int64)
        table = tf.lookup.StaticHashTable(filled, -1)
        save_tf1(
            directory,
            session,
            {"serving_default": ({"x": x}, {"y": 2 * x}), "look": ({"key": key}, {"id": table.lookup(key)})},
        )


def test_one_bad_signature_leaves_the_others_callable_and_says_why(tmp_path: Path) -> None:
    build_one_bad(tmp_path / "m")
    version = served(tmp_path / "m")
    assert version.state is State.LIVE
    assert version.unusable == {"look": "it fails whatever it is given: Table not initialized."}
    assert answer(version, [[1, 2, 3]]) == [[2, 4, 6]]
    assert version.stop(HANG_S)


def test_version_without_any_signature_that_can_run_is_not_live_and_says_which_and_why(
    saved_models: SavedModels,
) -> None:
    with pytest.raises(LoadError, match=r"none of its signatures can be called: .*Table not initialized"):
        served(saved_models["uninitialized_table"])


def test_saved_model_without_any_signature_is_not_live_and_says_the_way_out(tmp_path: Path) -> None:
    save(tmp_path / "m")
    with pytest.raises(LoadError, match=r"it has no signature.*model\.export.*signatures="):
        served(tmp_path / "m")


def test_path_that_is_not_there_is_the_callers_and_no_reason_to_give_a_signature_up(tmp_path: Path) -> None:
    import tensorflow as tf

    def sizes(paths: Any) -> Any:
        length = lambda path: tf.strings.length(tf.io.read_file(path))  # noqa: E731
        return {"y": tf.map_fn(length, paths, tf.int32)}

    save(tmp_path / "m", serving_default=function(sizes, paths=([None], tf.string)))
    (tmp_path / "four").write_bytes(b"1234")
    version = served(tmp_path / "m")
    assert answer(version, np.array([bytes(tmp_path / "four")], object)) == [4]
    assert version.stop(HANG_S)


# XLA.


def test_compiled_function_runs_in_the_numbers_of_rows_that_were_compiled_at_load(tmp_path: Path) -> None:
    import tensorflow as tf

    inner = tf.function(lambda x: tf.tanh(x) * 2, jit_compile=True)
    save(tmp_path / "m", serving_default=function(lambda x: {"y": inner(x)}, x=([None, 3], tf.float32)))
    version = load(ModelSettings("m", tmp_path / "m", BatchSettings(max_batch_rows=5)))
    assert version.unbatched_reasons == {"serving_default": None}
    assert version.buckets == {"serving_default": (1, 2, 4, 5)}
    rows = np.linspace(0, 1, 9, dtype=np.float32).reshape(3, 3)
    np.testing.assert_allclose(answer(version, rows), 2 * np.tanh(rows), rtol=1e-5)
    assert version.stop(HANG_S)
