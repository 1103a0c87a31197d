"""SavedModels in tests: opened, run by the names of tensors, and copied with a change."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hotgraph_server.graph.graph import Graph
from hotgraph_server.settings import SessionSettings
from hotgraph_server.tensors import STRING, Array

SETTINGS = SessionSettings()


Arrays = Mapping[str, Array]


@contextmanager
def opened(directory: Path, settings: SessionSettings = SETTINGS) -> Iterator[Graph]:
    graph = Graph.open(directory, settings)
    try:
        yield graph
    finally:
        graph.close()


def run(
    graph: Graph, inputs: Arrays, name: str = "serving_default", outputs: tuple[str, ...] | None = None
) -> dict[str, Array]:
    """Run a signature with inputs by alias; returns the outputs by alias."""
    signature = graph.signatures[name]
    wanted = signature.output_aliases if outputs is None else outputs
    arrays = graph.run(signature, wanted, [inputs[spec.alias] for spec in signature.inputs])
    return dict(zip(wanted, arrays, strict=True))


def texts(*values: Any) -> Array:
    return np.array(values, STRING)


def f32(*values: Any) -> Array:
    return np.array(values, np.float32)


def i64(*values: Any) -> Array:
    return np.array(values, np.int64)


def assert_same(got: Arrays, expected: Arrays) -> None:
    assert got.keys() == expected.keys()
    for alias, array in got.items():
        wanted = expected[alias]
        assert isinstance(array, np.ndarray)
        assert (array.dtype, array.shape) == (wanted.dtype, wanted.shape), alias
        if wanted.dtype == np.float32:
            np.testing.assert_allclose(array, wanted, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(array, wanted)
        if wanted.dtype == STRING:
            assert all(isinstance(text, bytes) for text in array.flat)


def changed(directory: Path, to: Path, change: Callable[[Any], None]) -> Path:
    """A copy of a SavedModel whose SavedModel message `change` has altered."""
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(directory, to)
    path = to / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(message)
    path.write_bytes(message.SerializeToString())
    return to


def cut_in_half(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
