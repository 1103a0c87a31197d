"""SIGHUP: the configuration is taken again, and no call fails over it."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tritonclient.grpc import InferenceServerClient

from ..saved_models import SavedModels
from .command import Serving, serve, starting, tensorflow_arguments, tensorflow_model_server
from .triton_tensors import tensor

FLOAT = np.float32
TAKEN = "the configuration was read again, and is taken"
LEFT = "the models stay as they are: "


class Calls:
    """A caller who calls on and on, from another thread."""

    def __init__(self, address: str, model: str) -> None:
        self.answered = 0
        self.errors: list[Exception] = []
        self._client = InferenceServerClient(address)
        self._model = model
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._call)

    def _call(self) -> None:
        while not self._end.is_set():
            try:
                self._client.infer(self._model, [tensor("x", np.ones((1, 16), FLOAT))])
                self.answered += 1
            except Exception as error:
                self.errors.append(error)

    @contextmanager
    def all_well(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._end.set()
            self._thread.join()
            self._client.close()
        assert self.answered
        assert self.errors == []


def hang_up(serving: Serving, says: str) -> str:
    serving.process.send_signal(signal.SIGHUP)
    return serving.wait_for_text(says)


def test_models_of_the_settings_file_come_change_and_go(saved_models: SavedModels, tmp_path: Path) -> None:
    file, folder = tmp_path / "server.toml", saved_models["tf2_mlp"]
    a, b = f'[models.a]\npath = "{folder}"\n', f'[models.b]\npath = "{folder}"\n'
    file.write_text(f"port = 0\n{a}max_batch_rows = 8")
    with serve("--config", str(file)) as serving, InferenceServerClient(serving.address) as client:
        with Calls(serving.address, "a").all_well():
            file.write_text(f"port = 0\n{a}max_batch_rows = 4\n{b}")
            hang_up(serving, TAKEN)
            while not client.is_model_ready("b"):
                pass
            while client.get_model_config("a").config.max_batch_size != 4:
                pass
            file.write_text(f"port = 0\n{a}max_batch_row = 2")
            assert "max_batch_row" in hang_up(serving, LEFT)
            assert client.is_model_ready("b")
            assert client.get_model_config("a").config.max_batch_size == 4
        file.write_text(f"port = 1\nmax_calls = 7\n{b}")
        assert "port, max_calls holds" in hang_up(serving, "from the next start")
        while client.is_model_ready("a"):
            pass
        assert client.is_model_ready("b")
        serving.process.send_signal(signal.SIGTERM)
        assert serving.status() == 0


def test_folders_of_the_command_line_are_looked_at(saved_models: SavedModels, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(saved_models["tf2_mlp"], folder / "1")
    with serve(str(folder), "--port", "0") as serving, Calls(serving.address, "m").all_well():
        shutil.copytree(saved_models["tf2_mlp"], folder / "2")
        hang_up(serving, TAKEN)
        with InferenceServerClient(serving.address) as client:
            while not client.is_model_ready("m", "2"):
                pass


def test_model_config_file_and_its_folders_are_read_again(saved_models: SavedModels, tmp_path: Path) -> None:
    """Though nothing of it is polled."""
    file = tmp_path / "models.config"
    for name in ("a", "b"):
        shutil.copytree(saved_models["tf2_mlp"], tmp_path / name / "1")

    def config(name: str) -> str:
        return f'config {{ name: "{name}" base_path: "{tmp_path / name}" model_platform: "tensorflow" }}'

    file.write_text(f"model_config_list {{ {config('a')} }}")
    flags = ["--port=0", f"--model_config_file={file}", "--file_system_poll_wait_seconds=0"]
    with (
        tensorflow_model_server(*flags) as serving,
        InferenceServerClient(serving.address) as client,
        Calls(serving.address, "a").all_well(),
    ):
        file.write_text("model_config_list { config { nonesuch: 1 } }")
        assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in hang_up(serving, LEFT)
        file.write_text(f"model_config_list {{ {config('a')} {config('b')} }}")
        shutil.copytree(saved_models["tf2_mlp"], tmp_path / "a" / "2")
        hang_up(serving, TAKEN)
        while not (client.is_model_ready("b", "1") and client.is_model_ready("a", "2")):
            pass


def test_configuration_is_taken_again_while_the_start_waits_for_a_model(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    def entry(name: str, folder: Path) -> str:
        return f'config {{ name: "{name}" base_path: "{folder}" model_platform: "tensorflow" }}'

    good, never = entry("good", saved_models["tf2_mlp"]), entry("never", tmp_path / "nowhere")
    file = tmp_path / "models.config"
    file.write_text(f"model_config_list {{ {good} {never} }}")
    with starting(tensorflow_arguments("--port=0", f"--model_config_file={file}")) as serving:
        serving.wait_for_text("waiting for")
        file.write_text(f"model_config_list {{ {good} }}")
        hang_up(serving, TAKEN)
        serving.until_it_serves()
        with InferenceServerClient(serving.address) as client:
            assert client.is_model_ready("good")
