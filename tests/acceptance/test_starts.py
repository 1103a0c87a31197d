"""Starts that leave nobody in the dark: models that are not there yet, machines that lack something."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from ..ports import free_port
from ..saved_models import SavedModels
from .command import Serving, arguments, serve, starting, tensorflow_arguments
from .triton_tensors import tensor

PATIENCE_S = 60.0

# A file system of its own, of which nothing can be written to.
_READ_ONLY = "mount --make-rprivate / && mount -o bind,ro / / && mount -o remount,ro,bind / && cd /"
_NO_SHM = "mount -t tmpfs -o ro none /dev/shm"


def can_unshare(how: str, then: str) -> bool:
    try:
        return subprocess.run(["unshare", how, "sh", "-c", then], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def get(url: str, body: Any = None) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(url, data, PATIENCE_S) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until_it_listens(port: int) -> None:
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as found:
                # Where nobody listens a socket that was given this very port reaches itself.
                if found.getsockname() != found.getpeername():
                    return
        except ConnectionRefusedError:
            continue


def test_model_that_is_not_there_yet_is_told_on_every_port_until_it_comes(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    port, rest_port, folder = free_port(), free_port(), tmp_path / "m"
    folder.mkdir()
    flags = [
        f"--port={port}",
        f"--rest_api_port={rest_port}",
        f"--model_base_path={folder}",
        "--model_name=m",
    ]
    rest = f"http://127.0.0.1:{rest_port}/v1/models/m"
    scores = [tensor("x", np.ones((1, 16), np.float32))]
    with (
        starting(tensorflow_arguments(*flags)) as serving,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
        InferenceServerClient(f"127.0.0.1:{port}") as client,
    ):
        until_it_listens(port)
        health = health_pb2_grpc.HealthStub(channel)
        check = health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
        assert check.status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (client.is_server_live(), client.is_server_ready()) == (True, False)
        assert not client.is_model_ready("m")
        with pytest.raises(InferenceServerException, match=r"UNAVAILABLE.*the models are loading"):
            client.infer("m", scores)
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "m"
        with pytest.raises(grpc.RpcError, match="the models are loading"):
            model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=PATIENCE_S)
        for path, body in (("", None), ("/metadata", None), (":predict", {"instances": [[1.0] * 16]})):
            code, text = get(rest + path, body)
            assert (code, "the models are loading" in text) == (503, True), (path, text)
        second = f"http://127.0.0.1:{rest_port}/v2"
        assert get(f"{second}/health/live") == (200, '{"live":true}')
        code, text = get(f"{second}/health/ready")
        assert (code, json.loads(text)["ready"]) == (503, False)
        assert get(f"{second}/models/m/ready")[0] == 400
        said: tuple[tuple[str, Any], ...] = (("", None), ("/config", None), ("/infer", {"inputs": []}))
        for path, sent in said:
            code, text = get(f"{second}/models/m{path}", sent)
            assert (code, "the models are loading" in text) == (503, True), (path, text)
        assert not any(line.startswith("serving on ") for line in serving.lines)

        shutil.copytree(saved_models["tf2_mlp"], tmp_path / "copy")
        (tmp_path / "copy").rename(folder / "1")
        serving.until_it_serves()
        assert client.infer("m", scores).as_numpy("scores").shape == (1, 4)
        assert client.is_server_ready()
        assert get(rest)[0] == 200
        serving.process.send_signal(signal.SIGTERM)
        assert serving.status() == 0


@pytest.mark.parametrize("lane", ["--fast-lane", "--no-fast-lane"])
def test_localhost_is_reached_by_either_version_on_every_port(lane: str, saved_models: SavedModels) -> None:
    ports = [free_port() for _ in range(3)]
    words = [
        *(str(saved_models["tf2_mlp"]), "--host", "localhost", lane, "--port", str(ports[0])),
        *("--rest-port", str(ports[1]), "--admin-port", str(ports[2])),
    ]
    with serve(*words) as serving:
        assert serving.address == f"localhost:{ports[0]}"
        for host in ("127.0.0.1", "::1"):
            for port in ports:
                socket.create_connection((host, port), PATIENCE_S).close()


@pytest.mark.parametrize("more", [(), ("--processes", "2")])
def test_rest_port_in_use_ends_the_start_with_one_line(more: Sequence[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = arguments("--port", "0", "--rest-port", port, *more)
        ended = subprocess.run(words, capture_output=True, text=True, timeout=110)
    assert ended.returncode == 1
    last = ended.stderr.rstrip("\n").rpartition("\n")[2]
    assert last == f"hotgraph serve: rest-port {port}: cannot listen on 127.0.0.1:{port}: the port is in use"


@contextlib.contextmanager
def read_only(*more: str) -> Iterator[Serving]:
    """A server whose root cannot be written to, as in a container; nor what lies below it at these places."""
    # Bound to themselves, and not hidden: what is run may lie there.
    below = "".join(f"; mount --bind {one} {one}; mount -o remount,ro,bind {one}" for one in more)
    hidden = f'{_READ_ONLY}{below}; exec "$0" "$@"'
    with starting(["unshare", "-m", "sh", "-c", hidden, *arguments("--port", "0")]) as serving:
        yield serving


needs_mounts = pytest.mark.skipif(not can_unshare("-m", _READ_ONLY), reason="needs a mount namespace")


@needs_mounts
def test_root_that_cannot_be_written_to_is_good_enough() -> None:
    with read_only("/tmp") as serving:
        serving.until_it_serves()
        text = "".join(serving.lines)
        assert "nothing that needs a temporary folder can be done: " in text
        assert "Traceback" not in text
        with InferenceServerClient(serving.address) as client:
            assert client.is_model_ready("digits")


@needs_mounts
def test_machine_where_nothing_at_all_can_be_written_is_good_enough_or_told_in_one_line() -> None:
    with read_only("/tmp", "/dev/shm") as serving:
        if importlib.util.find_spec("matplotlib") is None:
            serving.until_it_serves()
        else:
            # Keras imports it where it is there, and it has to write.
            serving.wait_for_line("hotgraph serve: TensorFlow cannot be imported without a writable folder: ")
            assert serving.status() == 1
        assert "Traceback" not in "".join(serving.lines)


@pytest.mark.skipif(not can_unshare("-Urm", _NO_SHM), reason="needs namespaces of mounts and users")
def test_large_json_is_read_where_there_is_no_shared_memory(saved_models: SavedModels) -> None:
    port = free_port()
    hidden = f'{_NO_SHM} && exec "$0" "$@"'
    words = arguments(f"m={saved_models['tf2_mlp']}", "--port", "0", "--rest-port", str(port))
    with starting(["unshare", "-Urm", "sh", "-c", hidden, *words]) as serving:
        serving.until_it_serves()
        for _ in range(2):
            code, text = get(
                f"http://127.0.0.1:{port}/v1/models/m:predict", {"instances": [[0.123456789] * 16] * 2000}
            )
            assert (code, len(json.loads(text)["predictions"])) == (200, 2000)
        serving.process.send_signal(signal.SIGTERM)
        assert serving.status() == 0
        serving.wait_for_text("all calls answered")
        assert "is read in the server's own process" not in "".join(serving.lines)
