"""Denormals are zero in threads that run graphs, in no others, and answers are those of TensorFlow's pool."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from hotgraph_server.batching.comparing import alike
from hotgraph_server.batching.request import Request
from hotgraph_server.execution.denormals import flush_to_zero, flushes
from hotgraph_server.graph.graph import Graph
from hotgraph_server.models.opening import open_version
from hotgraph_server.settings import ModelSettings, SessionSettings

from ..fakes import HANG_S, Caller


def test_thread_that_asks_for_it_takes_denormals_for_zero_and_no_other_does() -> None:
    assert not flushes()
    with ThreadPoolExecutor(1) as thread:
        assert not thread.submit(flushes).result()
        assert thread.submit(flush_to_zero).result()
        assert thread.submit(flushes).result()
    assert not flushes()


def test_what_is_no_denormal_is_computed_as_ever() -> None:
    values = np.array([1.2e-38, 1.0, -3.4e38, 2.0**-126, np.inf, np.nan, 0.1], np.float32)

    def compute() -> bytes:
        return bytes((values * np.float32(0.75) + np.float32(0.7)).tobytes())

    with ThreadPoolExecutor(1) as thread:
        thread.submit(flush_to_zero).result()
        assert thread.submit(compute).result() == compute()


@pytest.mark.parametrize("plan", ["as-saved", "auto"])
def test_answers_to_denormals_are_those_of_tensorflows_own_threads(tmp_path: Path, plan: str) -> None:
    module = tf.Module()
    module.factor = tf.Variable(np.float32(0.5))
    module.f = tf.function(
        lambda x: {"y": x * module.factor + tf.abs(x)},
        input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")],
    )
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.f})
    x = np.array([[1e-39, -3e-40, 1e-3], [2.0**-126, 1.5 * 2.0**-126, 1.0]], np.float32)
    graph = Graph.open(tmp_path, SessionSettings())
    try:
        expected = graph.bounded(graph.signatures["serving_default"], 60.0)([x]).answers[0]
    finally:
        graph.close()
    assert not expected[0, :2].any()
    settings = ModelSettings("m", tmp_path, session=SessionSettings(plan=plan))
    version = open_version(settings, 1, lambda: Graph.open(tmp_path, settings.session))
    try:
        caller, signature = Caller(), version.signatures["serving_default"]
        version.submit(Request(signature, [x], ("y",), caller.completion))
        (answer,) = caller.answer()
    finally:
        version.stop(timeout_s=HANG_S)
    assert answer.tobytes() == expected.tobytes()


def test_answers_are_compared_there_without_a_warning() -> None:
    def compare() -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return all(
                alike(np.full(3, 1e-3, dtype), np.full(3, 1e-3, dtype))
                for dtype in (np.float16, np.float32, np.float64, np.complex64)
            )

    with ThreadPoolExecutor(1) as thread:
        thread.submit(flush_to_zero).result()
        assert thread.submit(compare).result()
