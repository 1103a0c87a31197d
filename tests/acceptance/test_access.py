"""Who may call what, over every port and by others' clients: keys, closed groups, Triton's restricted
protocols, and where a caller's request logs may go."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from hotgraph_client import AccessDenied, Client
from hotgraph_server.access.groups import Group
from hotgraph_server.access.keys import hashed, new_key
from hotgraph_server.commands import cli

from ..ports import free_port
from ..saved_models import SavedModels
from .command import Serving, serve, tensorflow_model_server
from .triton_tensors import tensor

PATIENCE_S = 60.0
PIXELS = np.zeros((1, 784), np.float32)

INFERS, CONTROLS, WATCHES = (new_key() for _ in range(3))
RULES = {
    Group.INFER: INFERS,
    Group.METADATA: INFERS,
    Group.CONTROL: CONTROLS,
    Group.STATE: CONTROLS,
    Group.ADMIN: WATCHES,
}


def rules(keys: dict[Group, str]) -> str:
    return "".join(f'[groups.{group.value}]\nkeys = ["{hashed(key)}"]\n' for group, key in keys.items())


def sent(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def code_of(call: Callable[..., Any], *arguments: Any, **more: Any) -> str:
    """How a call with these arguments ends."""
    try:
        call(*arguments, **more)
    except InferenceServerException as error:
        return str(error.status()).removeprefix("StatusCode.")
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def ask(
    port: int, method: str, path: str, key: str | None = None, body: Any = None, **headers: str
) -> http.client.HTTPResponse:
    """One request of HTTP; the response's body has been read into `text`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request(
            method,
            path,
            None if body is None else json.dumps(body),
            {**headers, **(sent(key) if key else {})},
        )
        response = connection.getresponse()
        response.read()
        return response


@dataclass(frozen=True)
class Guarded:
    """A server of the digits whose groups have keys."""

    serving: Serving
    file: Path
    traces: Path
    rest: int
    admin: int

    @property
    def address(self) -> str:
        return self.serving.address


@pytest.fixture(params=["--fast-lane", "--no-fast-lane"])
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Guarded]:
    file, traces, rest, admin = tmp_path / "auth.toml", tmp_path / "traces.json", free_port(), free_port()
    file.write_text(rules(RULES))
    flags = ["--auth", str(file), "--trace-file", str(traces), "--verbose", "--port", "0", request.param]
    with serve(*flags, "--rest-port", str(rest), "--admin-port", str(admin)) as serving:
        yield Guarded(serving, file, traces, rest, admin)


def test_every_client_needs_the_key_of_what_it_calls(guarded: Guarded, tmp_path: Path) -> None:
    inputs = [tensor("images", PIXELS)]
    with InferenceServerClient(guarded.address) as client:
        assert client.is_server_live()
        assert client.is_model_ready("digits")
        for call, group in (
            (lambda sent: client.infer("digits", inputs, headers=sent), Group.INFER),
            (lambda sent: client.get_model_metadata("digits", headers=sent), Group.METADATA),
            (lambda sent: client.get_model_repository_index(headers=sent), Group.METADATA),
            (lambda sent: client.update_trace_settings(headers=sent), Group.CONTROL),
            (lambda sent: client.update_log_settings({}, headers=sent), Group.CONTROL),
        ):
            own = RULES[group]
            assert code_of(call, {}) == "UNAUTHENTICATED"
            assert code_of(call, sent(new_key())) == "UNAUTHENTICATED"
            other = INFERS if own == CONTROLS else CONTROLS
            assert code_of(call, sent(other)) == "PERMISSION_DENIED"
            assert code_of(call, sent(own)) == "OK"
        for call in (
            lambda sent: client.load_model("digits", headers=sent),
            lambda sent: client.register_system_shared_memory("r", "/r", 8, headers=sent),
        ):
            assert code_of(call, {}) == "UNAUTHENTICATED"
            # Off on this server, which only he is told who may know.
            assert code_of(call, sent(CONTROLS)) not in ("OK", "UNAUTHENTICATED", "PERMISSION_DENIED")
    with grpc.insecure_channel(guarded.address) as channel:
        prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        models = model_service_pb2_grpc.ModelServiceStub(channel)
        described = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        described.model_spec.name = "digits"
        status = get_model_status_pb2.GetModelStatusRequest(model_spec=described.model_spec)
        reload = model_management_pb2.ReloadConfigRequest()
        reload.config.model_config_list.SetInParent()
        for method, message, group, code in (
            (prediction.GetModelMetadata, described, Group.METADATA, "OK"),
            (models.GetModelStatus, status, Group.METADATA, "OK"),
            (models.HandleReloadConfigRequest, reload, Group.CONTROL, "UNIMPLEMENTED"),
        ):
            with_key = list(sent(RULES[group]).items())
            assert code_of(method, message, timeout=PATIENCE_S) == "UNAUTHENTICATED"
            assert code_of(method, message, timeout=PATIENCE_S, metadata=with_key) == code
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status == 1
    with Client(guarded.address) as ours, pytest.raises(AccessDenied):
        ours.predict("digits", PIXELS)
    with Client(guarded.address, key=INFERS) as ours:
        assert ours.predict("digits", PIXELS, outputs="probabilities").shape == (1, 10)
    (tmp_path / "key").write_text(f"{INFERS}\n")
    np.save(tmp_path / "x.npy", PIXELS)
    words = ["predict", guarded.address, "digits", "--input", str(tmp_path / "x.npy")]
    assert cli.main([*words, "--key-file", str(tmp_path / "key")]) == 0
    assert cli.main(words) == 1


def test_rest_and_the_admin_port_need_keys_as_well(guarded: Guarded) -> None:
    body = {"instances": PIXELS.tolist()}
    for method, path, own, other, content in (
        ("POST", "/v1/models/digits:predict", INFERS, CONTROLS, body),
        ("GET", "/v1/models/digits", INFERS, CONTROLS, None),
        ("GET", "/v1/models/digits/metadata", INFERS, CONTROLS, None),
    ):
        refused = ask(guarded.rest, method, path, body=content)
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert ask(guarded.rest, method, path, other, content).status == 403
        assert ask(guarded.rest, method, path, own, content).status == 200
    save = "/api/state/digits/latest/save"
    for method, path, own, status in (
        ("GET", "/metrics", WATCHES, 200),
        ("GET", "/", WATCHES, 200),
        ("GET", "/api/status", WATCHES, 200),
        ("GET", "/api/state", CONTROLS, 200),
        ("POST", save, CONTROLS, 409),
    ):
        refused = ask(guarded.admin, method, path)
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert ask(guarded.admin, method, path, INFERS).status == 403
        assert ask(guarded.admin, method, path, own).status == status
    assert ask(guarded.admin, "GET", "/healthz").status == 200
    assert ask(guarded.admin, "GET", "/readyz").status == 200
    assert ask(guarded.admin, "POST", save, CONTROLS, Origin="http://evil.example").status == 403
    assert ask(guarded.admin, "GET", "/metrics", WATCHES, Host="evil.example").status == 421


def test_keys_are_taken_back_by_a_signal_and_nobody_writes_them_down(guarded: Guarded) -> None:
    new = new_key()
    with InferenceServerClient(guarded.address) as client:
        client.update_trace_settings(
            settings={"trace_level": ["TIMESTAMPS", "TENSORS"], "trace_rate": "1"}, headers=sent(CONTROLS)
        )

        def infer(key: str) -> str:
            inputs = [tensor("images", PIXELS)]
            return code_of(client.infer, "digits", inputs, headers=sent(key))

        assert infer(INFERS) == "OK"
        guarded.file.write_text(rules({Group.INFER: new}) + "[groups.control]\nclosed = true\n")
        guarded.serving.process.send_signal(signal.SIGHUP)
        guarded.serving.wait_for_text("auth.toml was read again, and holds")
        assert (infer(INFERS), infer(new)) == ("UNAUTHENTICATED", "OK")
        assert code_of(client.get_log_settings, headers=sent(CONTROLS)) == "PERMISSION_DENIED"
        # What is said no more is open.
        assert code_of(client.get_model_metadata, "digits") == "OK"
        guarded.file.write_text("[groups.infr]\nclosed = true")
        guarded.serving.process.send_signal(signal.SIGHUP)
        told = guarded.serving.wait_for_text("who may call what stays as it is: ")
        assert "auth.toml: unknown group 'infr'" in told
        assert (infer(INFERS), infer(new)) == ("UNAUTHENTICATED", "OK")
    guarded.serving.process.send_signal(signal.SIGTERM)
    guarded.serving.wait_for_text("all calls answered")
    assert guarded.serving.status() == 0
    written = "".join(guarded.serving.lines) + guarded.traces.read_text()
    assert '"digits"' in written
    for key in (INFERS, CONTROLS, new):
        assert key not in written
        assert hashed(key).removeprefix("sha256:") not in written


@pytest.mark.parametrize("lane", ["--fast-lane", "--no-fast-lane"])
def test_tritons_restricted_protocols_need_their_header(lane: str) -> None:
    flags = [
        *("--grpc-restricted-protocol", "health,trace:admin-key=admin-value"),
        *("--grpc-restricted-protocol", "inference:infer-key=infer-value"),
    ]
    with serve(*flags, "--port", "0", lane) as serving, InferenceServerClient(serving.address) as client:
        inputs = [tensor("images", PIXELS)]
        admin = {"triton-grpc-protocol-admin-key": "admin-value"}
        infer = {"triton-grpc-protocol-infer-key": "infer-value"}
        assert client.get_server_metadata().name == "hotgraph"
        with pytest.raises(InferenceServerException) as error:
            client.infer("digits", inputs)
        assert error.value.status() == "StatusCode.UNAVAILABLE"
        assert error.value.message() == (
            "This protocol is restricted, expecting header 'triton-grpc-protocol-infer-key'"
        )
        assert code_of(client.infer, "digits", inputs, headers=admin) == "UNAVAILABLE"
        assert code_of(client.infer, "digits", inputs, headers=infer) == "OK"
        assert code_of(client.is_server_live) == "UNAVAILABLE"
        assert client.is_server_live(headers=admin)
        assert code_of(client.get_trace_settings) == "UNAVAILABLE"
        assert code_of(client.get_trace_settings, headers=admin) == "OK"
        answers: list[InferenceServerException | None] = []
        client.start_stream(lambda result, error: answers.append(error), headers=infer)
        client.async_stream_infer("digits", inputs)
        client.stop_stream()
        assert answers == [None]


def test_rules_that_cannot_be_end_the_start_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "auth.toml"
    file.write_text("[groups.infr]\nclosed = true")
    for words, said in (
        (["serve", "--auth", str(file)], f"hotgraph serve: {file}: unknown group 'infr'"),
        (["serve", "--auth", str(tmp_path / "missing")], f"hotgraph serve: {tmp_path}/missing: No such file"),
        (["serve", "--grpc-restricted-protocol", "models:k=v"], "unknown restricted protocol 'models'"),
        (["serve", "--request-log-dir", str(file)], f"request-log-dir {file}: there is no such folder"),
        (
            ["tensorflow-model-server", f"--model_base_path={tmp_path}", f"--auth={file}"],
            f"hotgraph tensorflow-model-server: {file}: unknown group 'infr'",
        ),
        (
            ["tensorflow-model-server", f"--model_base_path={tmp_path}", f"--request_log_dir={file}"],
            f"request-log-dir {file}: there is no such folder",
        ),
    ):
        assert cli.main(words) == 1
        told = capsys.readouterr().err
        assert said in told
        assert told.count("\n") == 1


@dataclass(frozen=True)
class Reloaded:
    """A server of one model `m`, whose list of models its callers may change."""

    serving: Serving
    folder: Path

    def reload(self, prefix: str, name: str = "m") -> None:
        request = model_management_pb2.ReloadConfigRequest()
        model = request.config.model_config_list.config.add(
            name=name, base_path=str(self.folder), model_platform="tensorflow"
        )
        model.logging_config.log_collector_config.type = "tfrecord"
        model.logging_config.log_collector_config.filename_prefix = prefix
        model.logging_config.sampling_config.sampling_rate = 1
        with grpc.insecure_channel(self.serving.address) as channel:
            models = model_service_pb2_grpc.ModelServiceStub(channel)
            models.HandleReloadConfigRequest(request, timeout=PATIENCE_S)

    def refusal(self, prefix: str, name: str = "m") -> tuple[str, str]:
        with pytest.raises(grpc.RpcError) as error:
            self.reload(prefix, name)
        return error.value.code().name, str(error.value.details())

    def predict(self) -> None:
        """A call of the protocol whose calls are written down."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "m"
        request.inputs["id"].CopyFrom(tf.make_tensor_proto([0], tf.int32))
        with grpc.insecure_channel(self.serving.address) as channel:
            prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=PATIENCE_S)

    def infer(self, name: str = "m") -> str:
        with InferenceServerClient(self.serving.address) as client:
            return code_of(lambda: client.infer(name, [tensor("id", np.zeros(1, np.int32))]))


@contextlib.contextmanager
def reloaded(saved_models: SavedModels, folder: Path, *flags: str) -> Iterator[Reloaded]:
    (folder / "m").mkdir()
    (folder / "m" / "1").symlink_to(saved_models["embedding"])
    base = f"--model_base_path={folder / 'm'}"
    with tensorflow_model_server(base, "--model_name=m", "--port=0", *flags) as serving:
        yield Reloaded(serving, folder / "m")


def test_callers_cannot_have_calls_written_down_where_no_folder_is_theirs(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    with reloaded(saved_models, tmp_path) as server:
        code, text = server.refusal(f"{logs}/stolen", name="n")
        assert code == "INVALID_ARGUMENT"
        assert text.startswith("logging_config of model n: this server writes no calls down for its callers")
        assert "--request-log-dir" in text
        # Nothing of the request holds.
        assert (server.infer("m"), server.infer("n")) == ("OK", "NOT_FOUND")
        assert not logs.exists()


def test_callers_may_have_calls_written_down_in_the_folder_that_is_theirs(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    logs, secret = tmp_path / "logs", tmp_path / "secret"
    logs.mkdir()
    secret.mkdir()
    (logs / "out").symlink_to(secret)
    with reloaded(saved_models, tmp_path, f"--request_log_dir={logs}") as server:
        for prefix in (f"{secret}/a", "../secret/a", "out/a", "x/../../secret/a", str(logs), f"{logs}x/a"):
            code, text = server.refusal(prefix)
            assert code == "INVALID_ARGUMENT"
            assert "logging_config of model m: filename_prefix" in text
        assert server.infer() == "OK"
        assert not list(logs.glob("*.tfrecord"))
        server.reload("mine/a")
        server.predict()
        server.serving.process.send_signal(signal.SIGTERM)
        server.serving.wait_for_text("all calls answered")
    (file,) = (logs / "mine").iterdir()
    assert file.name.startswith("a-")
    assert file.stat().st_size
    assert not list(secret.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"logs", "secret", "m"}
