"""Flags of `hotgraph tensorflow-model-server` that change what clients hear, by the PyPI stubs and a
plain client of REST."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from ..saved_models import SavedModels
from .command import Serving, tensorflow_arguments, tensorflow_model_server

HeldRun = Callable[[str], AbstractContextManager[None]]

PATIENCE_S = 60.0
ONES = [1.0] * 16


@contextmanager
def stubs(serving: Serving) -> Iterator[tuple[Any, Any]]:
    """PredictionService and ModelService."""
    # a pool of connections of its own: channels to one address share one
    with grpc.insecure_channel(serving.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield (
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        )


def request(model: str, array: Any, label: str = "") -> Any:
    built = predict_pb2.PredictRequest()
    built.model_spec.name = model
    if label:
        built.model_spec.version_label = label
    built.inputs["x"].CopyFrom(tf.make_tensor_proto(np.asarray(array, np.float32)))
    return built


def refusal(call: Callable[[Any], Any], sent: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call(sent)
    return raised.value.code().name, str(raised.value.details())


def test_full_queue_is_unavailable(saved_models: SavedModels, tmp_path: Path, held_run: HeldRun) -> None:
    shutil.copytree(saved_models["gated"], tmp_path / "gated" / "1")
    batching = tmp_path / "batching"
    batching.write_text("max_batch_size { value: 2 } max_enqueued_batches { value: 1 }")
    flags = ["--port=0", "--model_name=gated", f"--model_base_path={tmp_path / 'gated'}", "--enable_batching"]
    flags.append(f"--batching_parameters_file={batching}")
    with (
        tensorflow_model_server(*flags) as serving,
        stubs(serving) as (prediction, _),
        ThreadPoolExecutor(3) as callers,
    ):
        with held_run(serving.address):
            calls = [
                callers.submit(prediction.Predict, request("gated", [[number, 0]]), PATIENCE_S)
                for number in range(3)
            ]
            # Two may wait, whichever they are; the run is held, so none of them can be answered.
            (refused,), waiting = wait(calls, PATIENCE_S, FIRST_COMPLETED)
            error = refused.exception()
            assert isinstance(error, grpc.RpcError)
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert "is full: 2 calls wait, the limit is 2" in str(error.details())
        for call in waiting:
            assert tf.make_ndarray(call.result().outputs["doubled"])[0, 0] == 2 * calls.index(call)


def live_versions(models: Any, name: str) -> list[int]:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    found = models.GetModelStatus(request, timeout=PATIENCE_S).model_version_status
    assert not any(one.status.error_message for one in found)
    return [one.version for one in found if one.state == one.AVAILABLE]


def labelled(base_path: Path, **labels: int) -> Any:
    """A request for a list of the model `a` with these labels."""
    reload = model_management_pb2.ReloadConfigRequest()
    one = reload.config.model_config_list.config.add(
        name="a", base_path=str(base_path), model_platform="tensorflow"
    )
    one.model_version_policy.all.SetInParent()
    for label, number in labels.items():
        one.version_labels[label] = number
    return reload


@pytest.mark.parametrize("ahead", [False, True])
def test_new_label_may_be_ahead_of_its_version_only_where_the_flag_says_so(
    saved_models: SavedModels, tmp_path: Path, ahead: bool
) -> None:
    base_path = tmp_path / "a"
    shutil.copytree(saved_models["tf2_mlp"], base_path / "1")
    flags = ["--port=0", "--model_name=a", f"--model_base_path={base_path}"]
    flags.append(f"--allow_version_labels_for_unavailable_models={str(ahead).lower()}")
    with tensorflow_model_server(*flags) as serving, stubs(serving) as (prediction, models):
        models.HandleReloadConfigRequest(labelled(base_path, stable=1), timeout=PATIENCE_S)
        early, moved = labelled(base_path, stable=1, next=2), labelled(base_path, stable=2)
        not_live = (
            "FAILED_PRECONDITION",
            "Request to assign label to version 2 of model a, which is not currently available for inference",
        )
        # A label that callers use is moved to a live version only, with the flag too.
        assert refusal(models.HandleReloadConfigRequest, moved) == not_live
        if not ahead:
            assert refusal(models.HandleReloadConfigRequest, early) == not_live
            return
        models.HandleReloadConfigRequest(early, timeout=PATIENCE_S)
        assert refusal(prediction.Predict, request("a", [ONES], label="next")) == (
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: next",
        )
        shutil.copytree(saved_models["tf2_mlp"], tmp_path / "copied")
        os.rename(tmp_path / "copied", base_path / "2")
        while 2 not in live_versions(models, "a"):
            pass
        answer = prediction.Predict(request("a", [ONES], label="next"), timeout=PATIENCE_S)
        assert answer.model_spec.version.value == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "custom_model_config { }",
            "custom_model_config is not supported; list the models in model_config_l",
        ),
        (
            'model_config_list { config { name: "a" base_path: "/a" model_platform: "pytorch" } }',
            "Model a requests unsupported platform pytorch",
        ),
    ],
)
def test_config_that_cannot_be_served_ends_the_start_with_one_line(
    text: str, told: str, tmp_path: Path
) -> None:
    config = tmp_path / "models.config"
    config.write_text(text)
    finished = subprocess.run(
        tensorflow_arguments("--port=0", f"--model_config_file={config}"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert finished.returncode == 1
    last = finished.stderr.rstrip("\n").rpartition("\n")[2]
    assert last.startswith(f"hotgraph tensorflow-model-server: {config}: {told}")
    assert "Traceback" not in finished.stderr


def test_config_without_models_is_served_and_may_be_filled_later(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    shutil.copytree(saved_models["tf2_mlp"], tmp_path / "a" / "1")
    config = tmp_path / "models.config"
    config.write_text("model_config_list { }")
    with (
        tensorflow_model_server("--port=0", f"--model_config_file={config}") as serving,
        stubs(serving) as (prediction, models),
    ):
        assert refusal(prediction.Predict, request("a", [ONES])) == (
            "NOT_FOUND",
            "Servable not found for request: Latest(a)",
        )
        models.HandleReloadConfigRequest(labelled(tmp_path / "a"), timeout=PATIENCE_S)
        assert prediction.Predict(request("a", [ONES]), timeout=PATIENCE_S).model_spec.version.value == 1


class Rest:
    """The REST port of a server."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def error(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        status, _, answer = self.ask(method, path, body)
        return status, json.loads(answer)["error"]


@contextmanager
def rest_of(folder: Path, *flags: str) -> Iterator[tuple[Serving, Rest]]:
    """A server of the model `gated` with a REST port."""
    # 0 means none; any that was free a moment ago
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    flags = (
        *("--port=0", "--model_name=gated", f"--model_base_path={folder}", f"--rest_api_port={port}"),
        *flags,
    )
    with tensorflow_model_server(*flags) as serving:
        yield serving, Rest(port)


@pytest.fixture(scope="module")
def gated(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gated")
    shutil.copytree(saved_models["gated"], folder / "1")
    return folder


ROWS = b'{"instances": [[1, 2], [3, 4]]}'
PREDICT = "/v1/models/gated:predict"


def test_rest_without_further_flags(gated: Path) -> None:
    with rest_of(gated) as (_, rest):
        status, headers, answer = rest.ask("POST", PREDICT, ROWS)
        assert (status, json.loads(answer)) == (200, {"predictions": [[2, 4], [6, 8]]})
        assert "access-control-allow-origin" not in headers
        for path in ("/V1/Models/gated/Versions/1:Predict", "/v1/models/%67ated:predict"):
            assert rest.ask("POST", path, ROWS)[2] == answer
        assert rest.ask("POST", PREDICT, gzip.compress(ROWS), Content_Encoding="gzip")[2] == answer
        _, _, columns = rest.ask("POST", PREDICT, b'{"inputs": [[1, 2]]}')
        assert json.loads(columns) == {"outputs": [[2, 4]]}
        status, _, answer = rest.ask("GET", "/v1/models/gated")
        assert json.loads(answer) == {
            "model_version_status": [
                {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            ]
        }
        both = "/v1/models/gated/versions/1/labels/stable:predict"
        assert rest.error("POST", both, ROWS) == (400, f"Malformed request: POST {both}")
        assert rest.error("POST", "/v1/models/gated:multiInference", b"{}")[0] == 400
        assert rest.error("POST", "/v1/models/none:predict", ROWS) == (
            404,
            "Servable not found for request: Latest(none)",
        )
        assert rest.error("POST", PREDICT, b"{")[1].startswith("JSON Parse error: ")
        assert rest.ask("OPTIONS", PREDICT)[0] == 400
        assert rest.ask("GET", "/monitoring/prometheus/metrics")[0] == 404


def test_rest_with_its_flags(gated: Path, tmp_path: Path, held_run: HeldRun) -> None:
    monitoring = tmp_path / "monitoring"
    monitoring.write_text('prometheus_config { enable: true path: "/figures" }')
    flags = ["--rest_api_timeout_in_ms=100", "--rest_api_enable_cors_support"]
    flags.append(f"--monitoring_config_file={monitoring}")
    with rest_of(gated, *flags) as (serving, rest):
        assert rest.ask("GET", "/figures")[2].startswith(b"# TYPE ")
        assert rest.ask("GET", "/monitoring/prometheus/metrics")[0] == 404
        status, headers, _ = rest.ask("OPTIONS", PREDICT, Origin="https://a.example")
        assert (status, headers["access-control-allow-origin"]) == (200, "*")
        with held_run(serving.address):
            assert rest.error("POST", PREDICT, ROWS)[0] == 504


def test_version_is_printed_and_nothing_served() -> None:
    finished = subprocess.run(
        tensorflow_arguments("--version"), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith("hotgraph ")
