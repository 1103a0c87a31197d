"""Models come and go over RPC, in a server of its own: Triton's client, KServe's messages, and attacks."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from ..saved_models import SavedModels
from ..server.fakes import until
from .command import Serving, serve

CONFIG = """\
platform: "tensorflow_savedmodel"
max_batch_size: 8
"""


class Control:
    """A server under explicit control over a repository with `mlp` (Triton's layout, with a configuration),
    `softmax` (TensorFlow Serving's, without) and `broken`.

    Attributes:
        root: the repository.
        temporary: where the server keeps temporary files.
    """

    def __init__(self, serving: Serving, client: InferenceServerClient, root: Path, temporary: Path) -> None:
        self.serving = serving
        self.client = client
        self.root = root
        self.temporary = temporary

    def index(self, *, ready: bool = False) -> list[tuple[str, str, str, str]]:
        with self.stub() as stub:
            response = stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(ready=ready))
        return [(row.name, row.version, row.state, row.reason) for row in response.models]

    @contextlib.contextmanager
    def stub(self) -> Iterator[Any]:
        with grpc.insecure_channel(self.serving.address) as channel:
            yield service_pb2_grpc.GRPCInferenceServiceStub(channel)

    def uploaded(self) -> list[str]:
        return [path.name for path in self.temporary.iterdir() if path.name.startswith("hotgraph-model-")]

    def call(self, model: str, rows: int = 1, version: str = "") -> Any:
        tensor = InferInput("x", [rows, 16], "FP32")
        tensor.set_data_from_numpy(np.ones((rows, 16), np.float32))
        return self.client.infer(model, [tensor], version)


@pytest.fixture(scope="module")
def control(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    root, temporary = tmp_path_factory.mktemp("repository"), tmp_path_factory.mktemp("temporary")
    shutil.copytree(saved_models["tf2_mlp"], root / "mlp" / "1" / "model.savedmodel")
    (root / "mlp" / "config.pbtxt").write_text(CONFIG)
    shutil.copytree(saved_models["tf1_softmax"], root / "softmax" / "3")
    shutil.copytree(saved_models["uninitialized"], root / "broken" / "1")
    (root / "not\na model").mkdir()
    words = ["--repository", str(root), "--model-control", "explicit", "--load-model", "mlp", "--port", "0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        with serve(*words) as serving, InferenceServerClient(serving.address) as client:
            yield Control(serving, client, root, temporary)


def files_of(folder: Path, number: int = 2) -> dict[str, bytes]:
    """A SavedModel as the files of a request."""
    return {
        f"file:{number}/model.savedmodel/{path.relative_to(folder)}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refusal(error: pytest.ExceptionInfo[InferenceServerException]) -> tuple[str, str]:
    return str(error.value.status()).removeprefix("StatusCode."), str(error.value.message())


def test_only_what_was_asked_for_is_loaded_at_start(control: Control) -> None:
    rows = {row[0]: row[1:] for row in control.index()}
    assert rows["mlp"] == ("1", "READY", "")
    assert rows["softmax"] == ("", "", "")
    assert rows["not\\na model"][1] == "UNAVAILABLE"
    assert "a control character" in rows["not\\na model"][2]
    assert control.index(ready=True) == [("mlp", "1", "READY", "")]
    assert control.client.is_server_ready()


def test_model_is_loaded_called_and_unloaded(control: Control) -> None:
    assert not control.client.is_model_ready("softmax")
    control.client.load_model("softmax")
    assert control.client.is_model_ready("softmax", "3")
    assert ("softmax", "3", "READY", "") in control.index()
    control.client.unload_model("softmax", unload_dependents=True)
    assert not control.client.is_model_ready("softmax")
    assert control.client.is_server_ready()
    control.client.unload_model("softmax")


def test_override_changes_what_the_model_takes_and_a_plain_load_takes_it_back(control: Control) -> None:
    control.call("mlp", 8)
    control.client.load_model("mlp", config=json.dumps({"max_batch_size": 4}))
    assert control.client.get_model_config("mlp").config.max_batch_size == 4
    control.call("mlp", 4)
    with pytest.raises(InferenceServerException, match="batch-size must be <= 4 for 'mlp'"):
        control.call("mlp", 8)
    control.client.load_model("mlp")
    assert control.client.get_model_config("mlp").config.max_batch_size == 8
    control.call("mlp", 8)


def test_no_call_fails_while_its_model_is_loaded_again_and_again(control: Control) -> None:
    ended, failures, answered = threading.Event(), [], []

    def keep_calling() -> None:
        while not ended.is_set():
            try:
                control.call("mlp")
                answered.append(1)
            except InferenceServerException as error:
                failures.append(str(error))

    caller = threading.Thread(target=keep_calling, name="caller")
    caller.start()
    try:
        for size in (3, 5, 7):
            control.client.load_model("mlp", config=json.dumps({"max_batch_size": size}))
        control.client.load_model("mlp")
    finally:
        ended.set()
        caller.join()
    assert failures == []
    assert answered


def test_files_of_a_request_are_served_from_a_private_folder_that_goes(
    control: Control, saved_models: SavedModels
) -> None:
    before = sorted(control.root.rglob("*"))
    control.client.load_model("brought", config="{}", files=files_of(saved_models["tf2_mlp"]))
    assert control.client.is_model_ready("brought", "2")
    answer = control.call("brought").as_numpy("scores")
    np.testing.assert_allclose(answer, control.call("mlp").as_numpy("scores"), rtol=1e-4)
    assert len(control.uploaded()) == 1
    control.client.unload_model("brought")
    control.serving.wait_for_text("model 'brought' version 2 is closed")
    # It is gone a moment later, by the thread that answers who asks for the index.
    until(lambda: control.index() and not control.uploaded())
    assert control.uploaded() == []
    assert sorted(control.root.rglob("*")) == before


def test_files_replace_a_model_and_the_repository_comes_back(
    control: Control, saved_models: SavedModels
) -> None:
    control.client.load_model("mlp", config="{}", files=files_of(saved_models["tf2_mlp"], 9))
    assert control.client.is_model_ready("mlp", "9")
    assert not control.client.is_model_ready("mlp", "1")
    control.client.load_model("mlp")
    assert control.client.is_model_ready("mlp", "1")
    assert not control.client.is_model_ready("mlp", "9")


@pytest.mark.parametrize(
    ("name", "override", "code", "text"),
    [
        ("nobody", {}, "INTERNAL", "failed to load 'nobody', failed to poll from model repository"),
        ("", {}, "INVALID_ARGUMENT", "Model name cannot be empty."),
        (" ", {}, "INVALID_ARGUMENT", "Model name cannot be empty."),
        ("../mlp", {}, "INVALID_ARGUMENT", "model name must not contain path traversal characters"),
        ("a/b", {}, "INVALID_ARGUMENT", "model name must not contain path traversal characters"),
        ("mlp", {"config": "{"}, "INVALID_ARGUMENT", "failed to load 'mlp', Invalid config override"),
        ("mlp", {"config": '{"max_batch_size": -1}'}, "INVALID_ARGUMENT", "failed to load 'mlp', "),
        ("mlp", {"files": {"file:1/saved_model.pb": b""}}, "INVALID_ARGUMENT", "requires a config"),
        ("mlp", {"config": "{}", "files": {"file:1/a": b""}}, "INTERNAL", "is not complete"),
        ("mlp", {"config": "{}", "files": {"file:1/saved_model.pb": b""}}, "INTERNAL", "no graph is tagged"),
        (
            "mlp",
            {"config": "{}", "files": {"file:1/saved_model.pb": b"x"}},
            "INTERNAL",
            "failed to load 'mlp', ",
        ),
        ("mlp", {"config": "{}", "files": {"file:1/../../x": b""}}, "INVALID_ARGUMENT", "the path of a file"),
        (
            "mlp",
            {"config": "{}", "files": {"file:/etc/cron.d/x": b""}},
            "INVALID_ARGUMENT",
            "the path of a file",
        ),
        ("mlp", {"config": "{}", "files": {"file:1/a\0b": b""}}, "INVALID_ARGUMENT", "the path of a file"),
    ],
)
def test_what_cannot_be_loaded_is_refused_and_the_model_goes_on(
    control: Control, name: str, override: dict[str, Any], code: str, text: str
) -> None:
    with pytest.raises(InferenceServerException) as error:
        control.client.load_model(name, **override)
    found, message = refusal(error)
    assert found == code
    assert text in message
    control.call("mlp", 8)
    assert control.client.is_server_ready()


def test_model_that_fails_its_first_run_is_unavailable_with_the_reason_until_it_is_unloaded(
    control: Control,
) -> None:
    with pytest.raises(InferenceServerException) as error:
        control.client.load_model("broken")
    assert refusal(error)[0] == "INTERNAL"
    row = next(row for row in control.index() if row[0] == "broken")
    assert row[2] == "UNAVAILABLE"
    assert row[3]
    assert not control.client.is_server_ready()
    assert control.client.is_server_live()
    control.client.unload_model("broken")
    assert control.client.is_server_ready()


def test_parameters_of_another_type_or_name_are_refused(control: Control) -> None:
    parameter = service_pb2.ModelRepositoryParameter
    wrong = {
        "config": (parameter(bytes_param=b"{}"), "invalid value type for load parameter"),
        "file:1/a": (parameter(string_param="x"), "invalid value type for load parameter"),
        "nonesuch": (parameter(bool_param=True), "unrecognized load parameter"),
    }
    with control.stub() as stub:
        for key, (value, text) in wrong.items():
            request = service_pb2.RepositoryModelLoadRequest(model_name="mlp", parameters={key: value})
            with pytest.raises(grpc.RpcError) as error:
                stub.RepositoryModelLoad(request)
            assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert text in str(error.value.details())
        both = {"repository_name": "r", "model_name": "m"}
        for method, request in (
            (stub.RepositoryIndex, service_pb2.RepositoryIndexRequest(repository_name="r")),
            (stub.RepositoryModelLoad, service_pb2.RepositoryModelLoadRequest(**both)),
            (stub.RepositoryModelUnload, service_pb2.RepositoryModelUnloadRequest(**both)),
        ):
            with pytest.raises(grpc.RpcError) as error:
                method(request)
            assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert "'repository_name' specification is not supported" in str(error.value.details())


def test_kserves_messages_are_understood_and_answered(control: Control) -> None:
    program = Path(__file__).with_name("kserve_model_control.py")
    run = subprocess.run(
        [sys.executable, str(program), control.serving.address, "softmax"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {
        "loaded": ["softmax", True],
        "ready": True,
        "unloaded": ["softmax", True],
        "ready after": False,
    }


def test_load_and_unload_are_off_unless_asked_for(address: str) -> None:
    with InferenceServerClient(address) as client:
        for call in (client.load_model, client.unload_model):
            with pytest.raises(InferenceServerException) as error:
                call("digits")
            code, message = refusal(error)
            assert code == "UNAVAILABLE"
            assert "explicit model load / unload is not allowed if polling is enabled" in message
        models = client.get_model_repository_index().models
        assert ("digits", "1", "READY") in {(row.name, row.version, row.state) for row in models}


def test_poll_follows_the_repository(saved_models: SavedModels, tmp_path: Path) -> None:
    shutil.copytree(saved_models["tf2_mlp"], tmp_path / "first" / "1")
    words = ["--repository", str(tmp_path), "--model-control", "poll", "--poll-s", "0.2", "--port", "0"]
    with serve(*words) as serving, InferenceServerClient(serving.address) as client:
        shutil.copytree(saved_models["tf2_mlp"], tmp_path / "second" / "4" / "model.savedmodel")
        serving.wait_for_text("model 'second' version 4 is live")
        (tmp_path / "first" / "config.pbtxt").write_text(CONFIG)
        serving.wait_for_text("model 'first' version 1 is live")
        shutil.rmtree(tmp_path / "second")
        serving.wait_for_text("model 'second' version 4 is closed")
        assert client.get_model_config("first").config.max_batch_size == 8
        assert not client.is_model_ready("second")


def test_start_over_a_broken_model_ends_with_one_line_unless_it_shall_go_on(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    shutil.copytree(saved_models["tf2_mlp"], tmp_path / "good" / "1")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.pbtxt").write_text("nonesuch: 1")
    words = ["--repository", str(tmp_path), "--port", "0"]
    with pytest.raises(AssertionError, match=r"bad/config\.pbtxt.*nonesuch"), serve(*words):
        raise RuntimeError("it must not start")
    with serve(*words, "--no-exit-on-error") as serving, InferenceServerClient(serving.address) as client:
        assert client.is_model_ready("good")
        assert not client.is_server_ready()
