"""The model repository that Triton is started on."""

from __future__ import annotations

from pathlib import Path

from bench import triton
from bench.environment import Cache
from bench.places import Installed, Place
from bench.workload import MODELS


def test_triton_finds_model_and_configuration_where_it_looks_for_them(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "saved_model.pb").touch()
    python = tmp_path / "venv" / "bin" / "python"
    place = Place(Cache(tmp_path / "cache"), Installed(python), MODELS["softmax"], folder, 1, [], 16)
    command = triton.launch(place, "dynamic_batching { default_priority_level: 1 }").command
    repository = Path(command[command.index("--model-repository") + 1])
    # The Python backend loads no other name.
    assert "TritonPythonModel" in (repository / "softmax" / "1" / "model.py").read_text()
    assert (repository / "softmax" / "1" / "saved_model" / "saved_model.pb").exists()
    text = (repository / "softmax" / "config.pbtxt").read_text()
    assert "max_batch_size: 16" in text
    assert "dims: [ 784 ]" in text
    assert "default_priority_level: 1" in text
