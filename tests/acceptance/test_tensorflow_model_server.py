"""`hotgraph tensorflow-model-server` in a process of its own, called by tensorflow-serving-api's stubs."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import create_server
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
import trustme
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from ..saved_models import SavedModels
from .command import tensorflow_arguments, tensorflow_model_server

PATIENCE_S = 60.0


@pytest.fixture
def models(saved_models: SavedModels, tmp_path: Path) -> Path:
    """A folder of models, each a folder of versions, as TensorFlow Serving's users have it."""
    folder = tmp_path / "models"
    for name in ("a", "b"):
        shutil.copytree(saved_models["tf2_mlp"], folder / name / "1")
    return folder


def config_of(*models: str) -> str:
    return "model_config_list {\n" + "\n".join(models) + "\n}\n"


def model(folder: Path, name: str, more: str = "") -> str:
    return f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" {more} }}'


def request(name: str, rows: int = 1) -> Any:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones((rows, 16), np.float32)))
    return request


@contextlib.contextmanager
def stub_of(address: str, credentials: grpc.ChannelCredentials | None = None) -> Iterator[Any]:
    # a pool of connections of its own: channels to one address share one
    options = [("grpc.use_local_subchannel_pool", 1)]
    channel = (
        grpc.secure_channel(address, credentials, options)
        if credentials
        else grpc.insecure_channel(address, options)
    )
    with channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def predict(stub: Any, name: str, rows: int = 1) -> Any:
    response = stub.Predict(request(name, rows), timeout=PATIENCE_S)
    assert response.model_spec.name == name
    return tf.make_ndarray(response.outputs["scores"])


def test_one_model_by_its_base_path_on_port_and_socket(models: Path, tmp_path: Path) -> None:
    socket = tmp_path / "s"
    flags = [
        "--port=0",
        "--model_name=a",
        f"--model_base_path={models / 'a'}",
        f"--grpc_socket_path={socket}",
        "--enable_profiler=false",
        "--enable_batching",
    ]
    # a port of 0 beside a socket is none there, so this one has a number; any that was free a moment ago
    with create_server(("127.0.0.1", 0)) as free:
        flags[0] = f"--port={free.getsockname()[1]}"
    with tensorflow_model_server(*flags) as serving:
        assert serving.address == f"127.0.0.1:{flags[0].removeprefix('--port=')}"
        text = "".join(serving.lines)
        assert "--enable_profiler has no meaning here: " in text
        assert "listening on all networks" not in text
        with stub_of(serving.address) as by_port, stub_of(f"unix:{socket}") as by_socket:
            answers = [predict(by_port, "a"), predict(by_socket, "a")]
            assert answers[0].shape == (1, 4)
            np.testing.assert_array_equal(*answers)
            with pytest.raises(grpc.RpcError) as raised:
                predict(by_port, "default")
            assert raised.value.code() is grpc.StatusCode.NOT_FOUND
        serving.process.send_signal(signal.SIGTERM)
        assert serving.status() == 0
    assert not socket.exists()


def test_socket_alone(models: Path, tmp_path: Path) -> None:
    socket = tmp_path / "s"
    flags = ["--port=0", f"--model_base_path={models / 'a'}", f"--grpc_socket_path={socket}"]
    with tensorflow_model_server(*flags) as serving:
        assert serving.address == f"unix:{socket}"
        with stub_of(serving.address) as stub:
            assert predict(stub, "default").shape == (1, 4)
        serving.process.send_signal(signal.SIGTERM)
        assert serving.status() == 0


def test_models_of_a_config_file_over_tls_with_batching_and_session_files(
    models: Path, tmp_path: Path
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    texts = {"server_key": certificate.private_key_pem.bytes(), "server_cert": chain}
    texts["custom_ca"] = authority.cert_pem.bytes()
    files = {
        "model_config_file": config_of(model(models, "a"), model(models, "b")),
        "ssl_config_file": "client_verify: true\n"
        + "\n".join(f"{field}: {pem.decode()!a}" for field, pem in texts.items()),
        "batching_parameters_file": "max_batch_size { value: 4 } allowed_batch_sizes: [2, 4]",
        "tensorflow_session_config_file": "intra_op_parallelism_threads: 1 inter_op_parallelism_threads: 1",
    }
    flags = ["--port=0", "--enable_batching"]
    for flag, text in files.items():
        (tmp_path / flag).write_text(text)
        flags.append(f"--{flag}={tmp_path / flag}")
    client = authority.issue_cert("client")
    credentials = grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(), client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes()
    )
    with tensorflow_model_server(*flags) as serving:
        with stub_of(serving.address, credentials) as stub, ThreadPoolExecutor(8) as callers:
            names = ["a", "b"] * 16
            answers = list(callers.map(lambda name: predict(stub, name), names))
            for answer in answers:
                np.testing.assert_allclose(answer, answers[0], rtol=1e-4)
            assert predict(stub, "a", rows=4).shape == (4, 4)
        no_certificate = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        with stub_of(serving.address, no_certificate) as stub, pytest.raises(grpc.RpcError) as raised:
            predict(stub, "a")
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


def test_request_log_is_a_warm_up_file_of_the_next_version(models: Path, tmp_path: Path) -> None:
    logging = (
        f'logging_config {{ log_collector_config {{ type: "tfrecord" filename_prefix: "{tmp_path}/logs/a" }}'
        " sampling_config { sampling_rate: 1.0 } }"
    )
    config = tmp_path / "models.config"
    config.write_text(config_of(model(models, "a", logging), model(models, "b")))
    flags = ["--port=0", f"--model_config_file={config}"]
    with tensorflow_model_server(*flags) as serving:
        with stub_of(serving.address) as stub:
            expected = predict(stub, "a", rows=3)
            predict(stub, "b")
            with pytest.raises(grpc.RpcError):
                stub.Predict(predict_pb2.PredictRequest(), timeout=PATIENCE_S)
        serving.process.send_signal(signal.SIGTERM)
        assert serving.status() == 0
    (file,) = (tmp_path / "logs").iterdir()
    (record,) = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    log = prediction_log_pb2.PredictionLog.FromString(record)
    assert log.predict_log.request == request("a", rows=3)
    np.testing.assert_array_equal(tf.make_ndarray(log.predict_log.response.outputs["scores"]), expected)
    assert log.log_metadata.model_spec.version.value == 1
    shutil.copytree(models / "a" / "1", models / "a" / "2")
    extra = models / "a" / "2" / "assets.extra"
    extra.mkdir()
    shutil.copy(file, extra / "tf_serving_warmup_requests")
    with tensorflow_model_server(*flags) as serving, stub_of(serving.address) as stub:
        assert stub.Predict(request("a"), timeout=PATIENCE_S).model_spec.version.value == 2


def test_config_file_is_read_again_and_a_wrong_one_changes_nothing(models: Path, tmp_path: Path) -> None:
    config = tmp_path / "models.config"
    config.write_text(config_of(model(models, "a")))
    flags = ["--port=0", f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=1"]
    with tensorflow_model_server(*flags) as serving, stub_of(serving.address) as stub:
        predict(stub, "a")
        config.write_text(config_of(model(models, "a"), model(models, "b")))
        serving.wait_for_text("model 'b' version 1 is live")
        config.write_text(config_of(model(models, "b"), "config { nme: 'c' }"))
        told = serving.wait_for_text("the models stay as they are: ")
        assert f"{config}:3:10: in model_config_list.config: " in told
        config.write_text(config_of(model(models, "b"), model(models, "b")))
        told = serving.wait_for_text("the models stay as they are: ")
        assert "Illegal to list model b multiple times" in told
        for name in ("a", "b"):
            predict(stub, name)


@pytest.mark.parametrize(
    ("flags", "status", "told"),
    [
        (["--prot=1"], 2, r"usage: .*\nhotgraph tensorflow-model-server: unknown flag --prot; .* --port\?"),
        ([], 1, "hotgraph tensorflow-model-server: give --model_base_path=/DIR"),
        (["--model_config_file=/nonesuch"], 1, "/nonesuch: No such file or directory"),
        (["--model_base_path=models"], 1, "--model_base_path must be absolute"),
        (
            ["--model_base_path=/m", "--batching_parameters_file=/b"],
            1,
            "--batching_parameters_file needs --enable_batching",
        ),
        (["--model_base_path=/m", "--use_alts_credentials"], 1, "--use_alts_credentials is not served"),
        (
            [
                "--model_base_path=/m",
                "--tensorflow_session_parallelism=1",
                "--tensorflow_intra_op_parallelism=1",
                "--tensorflow_inter_op_parallelism=1",
            ],
            1,
            "--tensorflow_session_parallelism is short for",
        ),
    ],
)
def test_what_cannot_be_served_is_one_line_and_a_status(flags: list[str], status: int, told: str) -> None:
    finished = subprocess.run(
        tensorflow_arguments(*flags), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert finished.returncode == status
    assert finished.stdout == ""
    assert re.search(told, finished.stderr), finished.stderr
    assert "Traceback" not in finished.stderr
