"""scripts/loadtest/locustfile.py: under locust itself where there is one, and its inputs without."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from hotgraph_client import ModelMetadata, TensorMetadata

from ...acceptance.command import serve
from ...ports import free_port

ROOT = Path(__file__).parents[3]
FILE = ROOT / "scripts" / "loadtest" / "locustfile.py"
RUN_S = 60.0


def locust() -> str | None:
    """The command, of this environment or on the path."""
    beside = Path(sys.executable).with_name("locust")
    return str(beside) if beside.exists() else shutil.which("locust")


@pytest.fixture
def user_class(monkeypatch: pytest.MonkeyPatch) -> Any:
    """InferenceUser, with stand-ins for locust, which would replace the sockets of this process."""

    class Hook:
        def add_listener(self, handler: Any) -> Any:
            return handler

    class User:
        rows = 3

    class Events:
        init_command_line_parser: ClassVar = Hook()

    stand_in: Any = types.ModuleType("locust")
    stand_in.events, stand_in.User, stand_in.constant = Events, User, lambda seconds: seconds
    stand_in.task = lambda function: function
    of_grpc: Any = types.ModuleType("grpc.experimental.gevent")
    of_grpc.init_gevent = lambda: None
    monkeypatch.setitem(sys.modules, "locust", stand_in)
    monkeypatch.setitem(sys.modules, "grpc.experimental.gevent", of_grpc)
    import grpc.experimental

    monkeypatch.setattr(grpc.experimental, "gevent", of_grpc, raising=False)
    return runpy.run_path(str(FILE))["InferenceUser"]


def metadata(*tensors: TensorMetadata) -> ModelMetadata:
    return ModelMetadata("m", ("1",), "", tensors, ())


def test_inputs_have_the_types_and_shapes_that_the_model_states(user_class: Any) -> None:
    made = user_class().inputs(
        metadata(
            TensorMetadata("x", "FP32", (-1, 784)),
            TensorMetadata("ids", "INT64", (-1, -1)),
            TensorMetadata("flag", "BOOL", ()),
            TensorMetadata("square", "UINT8", (2, -1)),
        )
    )
    assert {name: (array.dtype, array.shape) for name, array in made.items()} == {
        "x": (np.float32, (3, 784)),
        "ids": (np.int64, (3, 1)),
        "flag": (np.bool_, ()),
        "square": (np.uint8, (2, 1)),
    }


def test_text_cannot_be_guessed_and_the_error_says_what_to_override(user_class: Any) -> None:
    with pytest.raises(ValueError, match=r"override inputs\(\).*text"):
        user_class().inputs(metadata(TensorMetadata("text", "BYTES", (-1,))))


@pytest.mark.parametrize("way", ["grpc", "http"])
def test_locust_calls_a_server_and_counts_what_it_did(way: str, tmp_path: Path) -> None:
    command = locust()
    if command is None:
        pytest.skip("there is no locust: pip install locust")
    port = free_port()
    with serve("--port", "0", "--rest-port", str(port)) as serving:
        host = serving.address if way == "grpc" else f"http://127.0.0.1:{port}"
        done = subprocess.run(
            [
                *(command, "-f", FILE, "--host", host, "--headless", "--users=4", "--spawn-rate=4"),
                *("--run-time=2s", "--only-summary", "--rows=2", f"--csv={tmp_path}/locust"),
            ],
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'client'}:{ROOT / 'protos'}"},
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    head, digits, *_ = (line.split(",") for line in (tmp_path / "locust_stats.csv").read_text().splitlines())
    row = dict(zip(head, digits, strict=True))
    assert (row["Type"], row["Name"], row["Failure Count"]) == ("predict", "digits", "0")
    assert int(row["Request Count"]) > 4
    # Two rows of ten probabilities and a class each.
    assert float(row["Average Content Size"]) == 2 * (10 * 4 + 8)
