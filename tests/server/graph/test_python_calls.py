from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.graph import python_calls
from hotgraph_server.graph.graph import Graph
from hotgraph_server.settings import SessionSettings

from ...saved_models.tf2 import function, save

KINDS = ["py_function", "numpy_function", "py_func"]


def doubled(kind: str, x: Any) -> Any:
    import tensorflow as tf

    if kind == "py_function":
        return tf.ensure_shape(tf.py_function(lambda a: a * 2, [x], tf.float32), x.shape)
    if kind == "numpy_function":
        return tf.ensure_shape(tf.numpy_function(lambda a: a * 2, [x], tf.float32), x.shape)
    return tf.ensure_shape(tf.compat.v1.py_func(lambda a: a * 2, [x], tf.float32), x.shape)


@pytest.fixture
def in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was registered here when the model was made is not known there."""
    monkeypatch.setattr(python_calls, "_registered", lambda: {})


def opened(directory: Path, **signatures: Any) -> Graph:
    save(
        directory / "m", **{name: function(run, x=([None, 3], "float32")) for name, run in signatures.items()}
    )
    return Graph.open(directory / "m", SessionSettings())


@pytest.mark.usefixtures("in_another_process")
@pytest.mark.parametrize("kind", KINDS)
def test_signature_that_always_calls_back_into_python_is_unusable_and_the_others_are_not(
    tmp_path: Path, kind: str
) -> None:
    graph = opened(tmp_path, back=lambda x: {"y": doubled(kind, x)}, plain=lambda x: {"y": x})
    assert list(graph.signatures) == ["plain"]
    assert "every run calls a function of the Python program that saved it" in graph.unusable["back"]
    assert "PyFunc" in graph.unusable["back"]
    graph.close()


@pytest.mark.usefixtures("in_another_process")
def test_signature_that_calls_back_only_sometimes_stays_callable_and_names_the_op(tmp_path: Path) -> None:
    import tensorflow as tf

    def sometimes(x: Any) -> Any:
        return {"y": tf.cond(tf.reduce_sum(x) > 0, lambda: doubled("py_function", x), lambda: x)}

    graph = opened(tmp_path, sometimes=sometimes)
    assert "EagerPyFunc" in graph.signatures["sometimes"].python_call
    graph.close()


def test_function_that_is_in_this_process_can_be_called(tmp_path: Path) -> None:
    graph = opened(tmp_path, here=lambda x: {"y": doubled("py_function", x)})
    assert not graph.signatures["here"].python_call
    graph.close()
