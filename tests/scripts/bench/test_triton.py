"""The model repository that Triton is started on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import triton
from bench.environment import Cache
from bench.places import Installed, Place
from bench.workload import MODELS


@pytest.fixture
def place(tmp_path: Path) -> Place:
    folder = tmp_path / "model"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "saved_model.pb").touch()
    python = tmp_path / "venv" / "bin" / "python"
    return Place(Cache(tmp_path / "cache"), Installed(python), MODELS["softmax"], folder, 1, [], 16)


def flag(command: Sequence[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_triton_finds_model_and_configuration_where_it_looks_for_them(place: Place) -> None:
    command = triton.launch(place, "dynamic_batching { default_priority_level: 1 }").command
    repository = Path(flag(command, "--model-repository"))
    # The Python backend loads no other name.
    assert "TritonPythonModel" in (repository / "softmax" / "1" / "model.py").read_text()
    assert (repository / "softmax" / "1" / "saved_model" / "saved_model.pb").exists()
    text = (repository / "softmax" / "config.pbtxt").read_text()
    assert "max_batch_size: 16" in text
    assert "dims: [ 784 ]" in text
    assert "default_priority_level: 1" in text


def test_servers_that_run_at_once_share_neither_ports_nor_a_repository(place: Place) -> None:
    grpc = triton.launch(place).command
    http = triton.launch(place, door="http", name="triton-http").command
    assert flag(grpc, "--grpc-port") == flag(http, "--http-port") == "1"
    assert "1" not in (flag(grpc, "--http-port"), flag(http, "--grpc-port"))
    assert flag(grpc, "--model-repository") != flag(http, "--model-repository")
