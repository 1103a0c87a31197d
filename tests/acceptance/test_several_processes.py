"""`--processes`: two servers behind one port; one start of them for most that is asked here."""

from __future__ import annotations

import contextlib
import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferenceServerException, service_pb2, service_pb2_grpc

from ..ports import free_port
from ..saved_models import SavedModels
from .command import Serving, arguments, serve, starting, tensorflow_model_server
from .triton_tensors import tensor

FLOAT = np.float32
PATIENCE_S = 60.0
ALONE = [("grpc.use_local_subchannel_pool", 1)]


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    """Of the admin page, and of REST."""
    return free_port(), free_port()


@pytest.fixture(scope="module")
def file(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("processes") / "server.toml"
    file.write_text(f'processes = 2\nport = 0\n[models.a]\npath = "{saved_models["tf2_mlp"]}"\n')
    return file


@pytest.fixture(scope="module")
def serving(file: Path, ports: tuple[int, int]) -> Iterator[Serving]:
    admin, rest = ports
    with serve("--config", str(file), "--admin-port", str(admin), "--rest-port", str(rest)) as serving:
        yield serving
        serving.process.send_signal(signal.SIGTERM)
        assert serving.status() == 0


@contextlib.contextmanager
def clients(address: str, count: int) -> Iterator[list[InferenceServerClient]]:
    """Each with a connection of its own."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(InferenceServerClient(address, channel_args=ALONE)) for _ in range(count)]


def infer(client: InferenceServerClient, model: str = "a") -> None:
    client.infer(model, [tensor("x", np.ones((1, 16), FLOAT))])


def page(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
        text: str = answer.read().decode()
    return text


def test_both_answer_and_one_page_shows_it(serving: Serving, ports: tuple[int, int]) -> None:
    with clients(serving.address, 4) as callers:
        for client in callers:
            assert client.is_server_ready()
            infer(client)
    counts = {
        line.partition('process="')[2][0]: float(line.rpartition(" ")[2])
        for line in page(ports[0], "/metrics").splitlines()
        if line.startswith("hotgraph_calls_total") and 'outcome="answered"' in line
    }
    assert counts == {"0": 2.0, "1": 2.0}
    assert 'outcome="answered",signature="serving_default",version="1"} 4.0' in page(
        ports[0], "/metrics/sums"
    )
    assert '"answered":4' in page(ports[0], "/api/status")
    assert "<html" in page(ports[0], "/")
    assert "AVAILABLE" in page(ports[1], "/v1/models/a")


def test_what_would_change_one_process_alone_is_refused(serving: Serving) -> None:
    with clients(serving.address, 1) as (client,):
        changes: tuple[Callable[[], object], ...] = (
            lambda: client.load_model("a"),
            lambda: client.unload_model("a"),
            lambda: client.update_log_settings({"log_info": False}),
            lambda: client.update_trace_settings(settings={"trace_rate": "1"}),
        )
        for change in changes:
            with pytest.raises(InferenceServerException, match="--processes 1 takes it"):
                change()
        assert client.get_log_settings().settings["log_info"].bool_param
        with pytest.raises(InferenceServerException, match="client shared memory is off"):
            client.register_system_shared_memory("r", "/r", 4)


def test_new_configuration_replaces_both_without_a_failed_call(
    serving: Serving, file: Path, saved_models: SavedModels
) -> None:
    before = file.read_text()
    with clients(serving.address, 4) as callers:
        failed = []
        file.write_text(before + f'[models.b]\npath = "{saved_models["tf2_mlp"]}"\n')
        serving.process.send_signal(signal.SIGHUP)
        while True:
            try:
                for client in callers:
                    infer(client)
                infer(callers[0], "b")
                infer(callers[3], "b")
                break
            except InferenceServerException as error:
                if "unknown model" not in str(error).lower():
                    failed.append(error)
        serving.wait_for_text("is taken by all 2 processes")
        assert failed == []
        for client in callers:
            infer(client, "b")
    file.write_text(before + '[models.c]\npath = "/nowhere"\n')
    serving.process.send_signal(signal.SIGHUP)
    assert "/nowhere" in serving.wait_for_text("the processes stay as they are")
    file.write_text(before)


def test_stateful_model_ends_the_start_with_the_reason(saved_models: SavedModels) -> None:
    words = arguments(str(saved_models["counter"]), "--port", "0", "--processes", "2")
    with starting(words) as serving:
        assert "may change state" in serving.wait_for_text("--processes 1 only")
        assert serving.status() == 1


@pytest.mark.slow
def test_drop_in_command_has_it_too(saved_models: SavedModels, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "1").symlink_to(saved_models["tf2_mlp"])
    socket = tmp_path / "socket"
    flags = [
        "--port=0",
        "--processes=2",
        f"--model_base_path={tmp_path / 'm'}",
        f"--grpc_socket_path={socket}",
    ]
    with tensorflow_model_server(*flags) as serving:
        assert serving.address == f"unix:{socket}"
        with grpc.insecure_channel(serving.address) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            assert stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=PATIENCE_S).ready
        serving.process.send_signal(signal.SIGTERM)
        assert serving.status() == 0
    assert not socket.exists()
