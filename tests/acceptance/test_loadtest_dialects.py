"""Load tests' dialects against a real server: each payload is answered, right and alike in all of them; and
the server's own request log is read."""

from __future__ import annotations

import http.client
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from hotgraph_client.loadtest.checking import Checker, difference
from hotgraph_client.loadtest.dialects.description import Dialect
from hotgraph_client.loadtest.dialects.opening import SERVING_NAME, V2_NAME, open_dialect
from hotgraph_client.loadtest.inputs.opening import open_inputs
from hotgraph_client.loadtest.inputs.options import InputOptions
from hotgraph_client.loadtest.inputs.payloads import payloads_of, trace_of
from hotgraph_client.loadtest.load import Answer, Destination, Payload
from hotgraph_protos.tensors import Array

from ..saved_models import DTYPES, SavedModels
from .command import tensorflow_model_server
from .http_server import HttpServer

PROTOCOLS = (V2_NAME, SERVING_NAME)
MODELS = ("two_in_two_out", "strings", "scalar_input", "tf2_mlp", "default_input")
PATIENCE_S = 60.0


def over_grpc(address: str) -> Destination:
    host, _, port = address.rpartition(":")
    return Destination(host, int(port), address)


def over_http(server: HttpServer) -> Destination:
    return Destination("127.0.0.1", server.port, server.url, http=True)


def call(destination: Destination, payload: Payload) -> Answer:
    """One call by other means than the load's: its answer, as payload 0's."""
    if destination.http:
        connection = http.client.HTTPConnection(destination.host, destination.port, timeout=PATIENCE_S)
        try:
            connection.request("POST", payload.path, payload.body, dict(payload.headers))
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, body
            return Answer(0, tuple(response.getheaders()), body, 1)
        finally:
            connection.close()
    with grpc.insecure_channel(destination.authority) as channel:
        call: Any = channel.unary_unary(payload.path)
        return Answer(0, (), call(payload.body, timeout=PATIENCE_S), 1)


def outputs(destination: Destination, dialect: Dialect, inputs: Mapping[str, Array]) -> dict[str, Array]:
    return dialect.read(call(destination, dialect.payload(inputs)))


def sample(dtype: Any) -> Array:
    """[3, 2], with values at both ends of what the dtype holds."""
    if dtype is object:
        return np.array(
            [[b"", b"word"], [b"\x00\xff\x00", "na\u00efve".encode()], [b"a" * 300, b"0"]], object
        )
    if np.dtype(dtype).kind == "b":
        return np.array([[True, False], [False, True], [True, True]])
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        return np.array([[limits.min, limits.max], [0, 1], [2, 3]], dtype)
    if np.dtype(dtype).kind == "c":
        return np.array([[1 + 2j, -0.5j], [0, 1], [2, 3]], dtype)
    return np.array([[0.1, -2.5], [np.nan, np.inf], [-np.inf, 1e-3]]).astype(dtype)


def dtype_of(name: str) -> Any:
    import ml_dtypes

    return {"string": object, "half": np.float16, "bfloat16": ml_dtypes.bfloat16}.get(name, name)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_goes_there_and_back_over_grpc(address: str, name: str, protocol: str) -> None:
    if protocol == V2_NAME and name.startswith("complex"):
        pytest.skip("the Open Inference Protocol has no complex numbers")
    destination = over_grpc(address)
    dialect = open_dialect(destination, "every_dtype", "", f"echo_{name}", protocol)
    x = sample(dtype_of(name))
    answered = outputs(destination, dialect, {"x": x})
    assert difference(answered, {"y": x}, 0.0) == ""
    assert list(answered) == ["y"]


@pytest.fixture(scope="module")
def rest(saved_models: SavedModels) -> Iterator[HttpServer]:
    """A server over HTTP of the models that these tests need."""
    server = HttpServer(*(f"{name}={saved_models[name]}" for name in ("every_dtype", *MODELS)))
    yield server
    server.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", [name for name in DTYPES if not name.startswith("complex")])
def test_every_dtype_goes_there_and_back_over_http(rest: HttpServer, name: str, protocol: str) -> None:
    destination = over_http(rest)
    dialect = open_dialect(destination, "every_dtype", "", f"echo_{name}", protocol)
    x = sample(dtype_of(name))
    answered = outputs(destination, dialect, {"x": x})
    assert difference(answered, {"y": x}, 0.0) == ""
    assert list(answered) == ["y"]


@pytest.mark.parametrize("model", MODELS)
def test_all_dialects_get_the_same_answers(address: str, rest: HttpServer, model: str) -> None:
    # which knows the inputs that have a default, and leaves them away
    description = open_dialect(over_grpc(address), model, protocol=SERVING_NAME).description
    rows = "1,3" if description.has_rows else ""
    inputs = open_inputs(description, InputOptions(rows=rows, items=4))
    found: dict[str, list[dict[str, Array]]] = {}
    for destination in (over_grpc(address), over_http(rest)):
        for protocol in PROTOCOLS:
            dialect = open_dialect(destination, model, protocol=protocol)
            payloads = payloads_of(dialect, inputs, 2**20).payloads
            found[dialect.description.protocol] = [
                dialect.read(call(destination, payload)) for payload in payloads
            ]
    assert len(found) == 4
    first, *others = found.values()
    assert len(first) == 4
    for other in others:
        for ours, theirs in zip(first, other, strict=True):
            assert difference(theirs, ours) == ""
            assert theirs.keys() == ours.keys()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_descriptions_are_those_of_the_model(address: str, rest: HttpServer, protocol: str) -> None:
    for destination in (over_grpc(address), over_http(rest)):
        description = open_dialect(destination, "tf2_mlp", protocol=protocol).description
        assert description.model == "tf2_mlp"
        assert description.signature == "serving_default"
        assert [str(tensor) for tensor in description.inputs] == ["x (FP32 [-1, 16])"]
        assert [str(tensor) for tensor in description.outputs] == ["scores (FP32 [-1, 4])"]
        if protocol == V2_NAME:
            assert (description.server, description.max_batch_rows) == ("hotgraph", 64)


def test_checker_finds_one_wrong_answer_among_right_ones(address: str) -> None:
    destination = over_grpc(address)
    dialect = open_dialect(destination, "tf2_mlp")
    payloads = payloads_of(dialect, open_inputs(dialect.description, InputOptions(items=2)), 2**20)
    first, second = (call(destination, payload) for payload in payloads.payloads)
    checker = Checker(payloads.items, dialect.read)
    of_both = [Answer(0, (), first.body, 5), Answer(1, (), second.body, 5)]
    assert (checker.check(of_both).right, checker.check(of_both).wrong) == (10, 0)
    mixed_up = checker.check([Answer(1, (), first.body, 1)])
    assert (mixed_up.right, mixed_up.wrong) == (0, 1)
    assert mixed_up.why.startswith("input 2 of 2, against the first answer to it: output 'scores'[0, ")


def test_request_log_of_a_server_is_replayed(saved_models: SavedModels, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    config = tmp_path / "models.config"
    shutil.copytree(saved_models["tf2_mlp"], tmp_path / "mlp" / "1")
    config.write_text(
        f'model_config_list {{ config {{ name: "mlp" base_path: "{tmp_path / "mlp"}"'
        ' model_platform: "tensorflow"'
        f' logging_config {{ log_collector_config {{ filename_prefix: "{logs}/mlp" }}'
        " sampling_config { sampling_rate: 1.0 } } } }"
    )
    with tensorflow_model_server("--port=0", f"--model_config_file={config}") as serving:
        destination = over_grpc(serving.address)
        dialect = open_dialect(destination, "mlp", protocol=SERVING_NAME)
        sent = payloads_of(dialect, open_inputs(dialect.description, InputOptions(items=3)), 2**20)
        for payload in (*sent.payloads, sent.payloads[0]):
            call(destination, payload)
        serving.process.send_signal(signal.SIGTERM)
        assert serving.status() == 0
    logged = open_inputs(dialect.description, InputOptions(data=[str(logs)], check="data"))
    replayed = payloads_of(dialect, logged, 2**20)
    assert replayed.payloads == sent.payloads
    moments, order = trace_of(replayed)
    assert order.tolist() == [0, 1, 2, 0]
    assert moments.tolist() == sorted(moments)
    assert moments[0] == 0
    assert all(item.expected for item in replayed.items)
