"""A model with an op that TensorFlow does not have, and a library that has it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tritonclient.grpc import InferenceServerClient

from bench.servers.float_op import build

from .command import arguments, serve, tensorflow_arguments, tensorflow_model_server
from .triton_tensors import tensor

pytestmark = pytest.mark.skipif(
    shutil.which("c++") is None, reason="needs a compiler to make a library of ops"
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("ops") / "twice.so"
    build(library, "HotgraphTwice", "for (int64_t i = 0; i < count; i++) to[i] = 2 * from[i];")
    return library


@pytest.fixture(scope="module")
def model(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y = 2 x, by an op of its own; in a folder of versions."""
    twice = tf.load_op_library(str(library)).hotgraph_twice

    class Twice(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])  # type: ignore[untyped-decorator]
        def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": twice(x=x)}

    folder = tmp_path_factory.mktemp("models") / "twice"
    module = Twice()
    tf.saved_model.save(module, str(folder / "1"), signatures=module.__call__)
    return folder


def answer(address: str) -> list[list[float]]:
    with InferenceServerClient(address) as client:
        found = client.infer("twice", [tensor("x", np.array([[1, 2.5]], np.float32))])
        return list(found.as_numpy("y").tolist())


def last_line(command: list[str]) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    return ended.stderr.splitlines()[-1]


def test_library_of_the_command_line_is_loaded(model: Path, library: Path) -> None:
    with serve(str(model), "--port", "0", "--load-op-library", str(library)) as serving:
        assert answer(serving.address) == [[2.0, 5.0]]


def test_library_of_the_settings_file_is_loaded_by_inspect_too(
    model: Path, library: Path, tmp_path: Path
) -> None:
    file = tmp_path / "server.toml"
    file.write_text(f'load_op_library = ["{library}"]')
    inspect = [sys.executable, "-m", "hotgraph_server", "inspect", str(model)]
    for flags in (["--config", str(file)], ["--load-op-library", str(library)]):
        report = subprocess.run([*inspect, *flags], capture_output=True, text=True, timeout=120)
        assert (report.returncode, "serving_default" in report.stdout) == (0, True), report.stderr


def test_module_may_bring_the_library(
    model: Path, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As packages of ops do it. In TensorFlow Serving's place."""
    source = f"import tensorflow\ntensorflow.load_op_library({str(library)!r})"
    (tmp_path / "ops_of_mine.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    flags = ["--port=0", "--model_name=twice", f"--model_base_path={model}", "--import=ops_of_mine"]
    with tensorflow_model_server(*flags) as serving:
        assert answer(serving.address) == [[2.0, 5.0]]


def test_op_that_is_missing_is_told_with_the_flags(model: Path) -> None:
    said = last_line(arguments(str(model), "--port", "0"))
    assert "Op type not registered 'HotgraphTwice'" in said
    assert "--load-op-library" in said


def test_what_brings_ops_and_cannot_be_had_ends_the_start(model: Path) -> None:
    said = last_line(tensorflow_arguments("--port=0", f"--model_base_path={model}", "--import=nonesuch_ops"))
    assert said == ("hotgraph tensorflow-model-server: --import nonesuch_ops: No module named 'nonesuch_ops'")
