"""The whole command: start, serve, stop. Each start costs seconds, so a test here shows several things."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from ..saved_models import SavedModels
from .command import arguments, serve
from .triton_tensors import tensor

HeldRun = Callable[[str], AbstractContextManager[None]]
FLOAT = np.float32


def is_open(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port))).close()
    except ConnectionRefusedError:
        return False
    return True


def test_serves_several_models_on_a_device_and_drains_at_sigterm(
    saved_models: SavedModels, held_run: HeldRun
) -> None:
    """Two models by name, one by its folder; a call taken before SIGTERM is answered, a later one refused."""
    models = [f"a={saved_models['tf2_mlp']}", f"b={saved_models['tf1_softmax']}", str(saved_models["gated"])]
    with contextlib.ExitStack() as stack:
        serving = stack.enter_context(
            serve(*models, "--port", "0", "--device", "/CPU:1", "--cpu-devices", "2")
        )
        assert sum("is live on /CPU:1" in line for line in serving.lines) == 3
        client = stack.enter_context(InferenceServerClient(serving.address))
        assert client.infer("a", [tensor("x", np.ones((1, 16), FLOAT))]).as_numpy("scores").shape == (1, 4)
        assert client.infer("b", [tensor("x", np.ones((2, 784), FLOAT))]).as_numpy("digit").shape == (2,)
        channel = stack.enter_context(grpc.insecure_channel(serving.address))
        # Orchestrators keep a watch open for ever; it must not hold up the end.
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="gated"))
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        with held_run(serving.address):
            serving.process.send_signal(signal.SIGTERM)
            serving.wait_for_line("stopping")
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            with pytest.raises(InferenceServerException, match=r"UNAVAILABLE.*stopping"):
                client.infer("gated", [tensor("x", np.ones((1, 2), FLOAT))])
            while is_open(serving.address):
                pass  # those who know the server are refused first, then the port is closed to everybody
            # a connection of its own: channels to one address share one
            alone = [("grpc.use_local_subchannel_pool", 1)]
            late = stack.enter_context(InferenceServerClient(serving.address, channel_args=alone))
            with pytest.raises(InferenceServerException, match="UNAVAILABLE"):
                late.infer("gated", [tensor("x", np.ones((1, 2), FLOAT))])
        # held_run has seen its answer
        assert serving.status() == 0


def test_second_signal_ends_at_once(saved_models: SavedModels, held_run: HeldRun) -> None:
    """Ctrl-C waits for the run that is held; SIGTERM then does not."""
    with contextlib.ExitStack() as stack:
        serving = stack.enter_context(serve(str(saved_models["gated"]), "--port", "0"))
        # its call is lost with the process
        stack.enter_context(pytest.raises(InferenceServerException))
        stack.enter_context(held_run(serving.address))
        serving.process.send_signal(signal.SIGINT)
        serving.wait_for_line("stopping")
        assert serving.process.poll() is None
        serving.process.send_signal(signal.SIGTERM)
        assert serving.status() == 128 + signal.SIGTERM


def test_settings_come_from_a_file_and_ctrl_c_ends_well(saved_models: SavedModels, tmp_path: Path) -> None:
    config = tmp_path / "server.toml"
    config.write_text(f'port = 0\n[models.words]\npath = "{saved_models["strings"]}"\nmax_batch_rows = 4\n')
    with serve("--config", str(config)) as serving:
        with InferenceServerClient(serving.address) as client:
            assert client.is_model_ready("words")
            assert not client.is_model_ready("digits")
        serving.process.send_signal(signal.SIGINT)
        assert serving.status() == 0


def test_calls_that_do_not_end_are_given_up_after_the_limit(
    saved_models: SavedModels, held_run: HeldRun
) -> None:
    """A run that hangs holds the process up for the drain limit and its own, not for ever."""
    with contextlib.ExitStack() as stack:
        serving = stack.enter_context(serve(str(saved_models["gated"]), "--port", "0", "--drain-s", "0.1"))
        stack.enter_context(pytest.raises(InferenceServerException))
        stack.enter_context(held_run(serving.address))
        serving.process.send_signal(signal.SIGTERM)
        serving.wait_for_line("stopped, but not every call could be answered in time")
        assert serving.status() == 1


@pytest.fixture(scope="module")
def bad_starts(
    saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, subprocess.CompletedProcess[str]]:
    """How each of them ended. They run at once, for most import TensorFlow before they see what is wrong."""
    folder = tmp_path_factory.mktemp("bad_starts")
    (folder / "broken").mkdir()
    (folder / "broken" / "saved_model.pb").write_bytes(b"no SavedModel")
    (folder / "empty").mkdir()
    (folder / "wrong.toml").write_text("prot = 8500\n")
    (folder / "no.toml").write_text("port = \n")
    (folder / "truncated").mkdir()
    whole = (saved_models["tf2_mlp"] / "saved_model.pb").read_bytes()
    (folder / "truncated" / "saved_model.pb").write_bytes(whole)
    good = str(saved_models["strings"])
    taken = socket.create_server(("127.0.0.1", 0))
    starts = {
        "missing folder": [str(folder / "nowhere")],
        "empty folder": [str(folder / "empty")],
        "no SavedModel": [str(folder / "broken")],
        "no variables": [str(folder / "truncated")],
        "first run fails": [str(saved_models["uninitialized"])],
        "busy port": [good, "--port", str(taken.getsockname()[1])],
        "unknown device": [good, "--device", "/CPU:7"],
        "misspelt device": [good, "--device", "gpu"],
        "same name twice": [f"a={good}", f"a={good}"],
        "bad number": [good, "--max-batch-rows", "0"],
        "no number": [good, "--port", "http"],
        "unknown flag": [good, "--prot", "8500"],
        "unknown key": ["--config", str(folder / "wrong.toml")],
        "no TOML": ["--config", str(folder / "no.toml")],
        "missing file": ["--config", str(folder / "nowhere.toml")],
    }

    def start(flags: list[str]) -> subprocess.CompletedProcess[str]:
        port = [] if "--port" in flags else ["--port", "0"]
        return subprocess.run(arguments(*flags, *port), capture_output=True, text=True, timeout=110)

    with taken, ThreadPoolExecutor(3) as starters:
        return dict(zip(starts, starters.map(start, starts.values()), strict=True))


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("missing folder", ["nowhere", "no such folder"]),
        ("empty folder", ["empty", "no SavedModel here"]),
        ("no SavedModel", ["broken", "saved_model.pb"]),
        ("no variables", ["truncated", "variables"]),
        ("first run fails", ["uninitialized", "it fails whatever it is given"]),
        ("busy port", ["cannot listen on 127.0.0.1:", "in use"]),
        ("unknown device", ["no device /CPU:7", "/CPU:0"]),
        ("misspelt device", ["gpu", "/GPU:1"]),
        ("same name twice", ["'a'"]),
        ("bad number", ["max-batch-rows must be at least 1, got 0"]),
        ("no number", ["--port", "http"]),
        ("unknown flag", ["--prot"]),
        ("unknown key", ["wrong.toml", "prot"]),
        ("no TOML", ["no.toml", "TOML"]),
        ("missing file", ["nowhere.toml"]),
    ],
)
def test_bad_start_says_in_one_line_what_and_where(
    bad_starts: dict[str, subprocess.CompletedProcess[str]], case: str, words: list[str]
) -> None:
    """One clear line at the end, no traceback, and a status that is not zero."""
    ended = bad_starts[case]
    lines = ended.stderr.splitlines()
    assert ended.returncode in (1, 2)
    assert [line for line in lines if line.startswith(("hotgraph", "Traceback"))] == lines[-1:]
    assert [word for word in words if word not in lines[-1]] == []
