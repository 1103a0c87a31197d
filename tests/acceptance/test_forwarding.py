"""Two servers, of which each has one model: a call for the other's is answered by whichever is asked.

Callers are tritonclient, TensorFlow Serving's stubs, and plain HTTP; none of them says where a model is.
"""

from __future__ import annotations

import json
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tritonclient.grpc import InferenceServerClient, service_pb2, service_pb2_grpc

from hotgraph_client import Client
from hotgraph_server.fleet import eds

from ..ports import free_port
from ..saved_models import SavedModels
from .command import Serving, arguments, starting
from .fleet_envoy import endpoints, fleet_envoy, spec
from .triton_tensors import tensor

MARK = (("x-hotgraph-forwarded", "1"),)
TIMEOUT_S = 30.0


@dataclass
class Pair:
    """Server `a` has the model `a`, and `b` has `b`; each knows of the other by a file.

    Attributes:
        peers: the file.
        a, b: HOST:PORT for gRPC and HTTP.
        metrics: of each, by its name.
    """

    peers: Path
    a: str
    b: str
    metrics: dict[str, str]

    def figure(self, server: str, line: str) -> float:
        """A line of its metrics."""
        with urllib.request.urlopen(self.metrics[server], timeout=TIMEOUT_S) as answer:
            found = re.search(rf"^{re.escape(line)} (\S+)$", answer.read().decode(), re.MULTILINE)
        assert found is not None, line
        return float(found[1])

    def forwarded(self, server: str, outcome: str = "answered") -> float:
        return self.figure(server, f'hotgraph_forwarded_calls_total{{outcome="{outcome}"}}')


@pytest.fixture(scope="module")
def pair(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("forwarding")
    peers = folder / "endpoints.json"
    with ExitStack() as stack:
        started: dict[str, tuple[Serving, str]] = {}
        for name in ("a", "b"):
            rest, admin = str(free_port()), str(free_port())
            ports = ("--port", "0", "--rest-port", rest, "--admin-port", admin, "--peers-file", str(peers))
            model = f"{name}={saved_models['gated']}"
            serving = stack.enter_context(starting(arguments(model, *ports)))
            started[name] = serving, f"http://127.0.0.1:{admin}/metrics"
        for serving, _ in started.values():
            serving.until_it_serves()
        a, b = started["a"][0].address, started["b"][0].address
        written = eds.document(endpoints({a: ["a"], b: ["b", "stale"]}))
        aside = folder / "new"
        aside.write_text(written)
        os.replace(aside, peers)
        made = Pair(peers, a, b, {name: metrics for name, (_, metrics) in started.items()})
        done = threading.Event()
        for name in ("a", "b"):
            # The file is looked at each second.
            for _ in range(600):
                if made.figure(name, "hotgraph_forwarding_peers") == 1:
                    break
                done.wait(0.05)
            assert made.figure(name, "hotgraph_forwarding_peers") == 1
        yield made


@pytest.fixture
def channel(pair: Pair) -> Iterator[grpc.Channel]:
    """To the server that has not got `b`."""
    with grpc.insecure_channel(pair.a) as opened:
        yield opened


def predict_request(model: str) -> Any:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.inputs["x"].CopyFrom(tf_tensor(np.ones((1, 2), np.float32)))
    return request


def tf_tensor(array: Any) -> Any:
    from tensorflow.core.framework import tensor_pb2, types_pb2

    made = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_content=array.tobytes())
    for size in array.shape:
        made.tensor_shape.dim.add(size=size)
    return made


def rest(address: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Status and JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            text, status = answer.read(), answer.status
    except urllib.error.HTTPError as error:
        text, status = error.read(), error.code
    return status, json.loads(text or b"null")


def test_tritonclient_gets_the_answer_of_the_other_server(pair: Pair) -> None:
    before = pair.forwarded("a")
    with InferenceServerClient(pair.a) as client:
        for model in ("a", "b"):
            result = client.infer(model, [tensor("x", np.ones((1, 2), np.float32))])
            assert result.as_numpy("doubled").tolist() == [[2, 2]]
        assert client.is_model_ready("b")
        assert client.get_model_metadata("b").name == "b"
        assert client.get_model_config("b").config.name == "b"
        # What nobody has, nobody is asked for.
        assert not client.is_model_ready("c")
    assert pair.forwarded("a") == before + 4
    assert pair.figure("a", "hotgraph_forwarded_seconds_total") > 0


def test_stubs_of_tensorflow_serving_get_the_answer_of_the_other_server(channel: grpc.Channel) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    answer = stub.Predict(predict_request("b"), timeout=TIMEOUT_S)
    assert answer.model_spec.name == "b"
    assert list(answer.outputs["doubled"].float_val) == [2, 2]
    about = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    about.model_spec.name = "b"
    assert stub.GetModelMetadata(about, timeout=TIMEOUT_S).model_spec.name == "b"
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "b"
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    assert models.GetModelStatus(status, timeout=TIMEOUT_S).model_version_status


V2_BODY = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 1]}]}


def test_rest_gets_the_answer_of_the_other_server(pair: Pair) -> None:
    status, answer = rest(pair.a, "/v2/models/b/infer", V2_BODY)
    assert (status, answer["model_name"], answer["outputs"][0]["data"]) == (200, "b", [2.0, 2.0])
    status, answer = rest(pair.a, "/v1/models/b:predict", {"instances": [[1, 1]]})
    assert (status, answer) == (200, {"predictions": [[2.0, 2.0]]})
    assert rest(pair.a, "/v2/models/b")[1]["name"] == "b"
    assert rest(pair.a, "/v2/models/b/config")[1]["name"] == "b"
    assert rest(pair.a, "/v2/models/b/ready")[0] == 200
    assert rest(pair.a, "/v1/models/b")[1]["model_version_status"]
    assert rest(pair.a, "/v1/models/b/metadata")[1]["model_spec"]["name"] == "b"


def test_the_client_over_http_sends_its_binary_tensors_through(pair: Pair) -> None:
    with Client(f"http://{pair.a}") as client:
        array = np.ones((40_000, 2), np.float32)
        assert (client.predict("b", {"x": array})["doubled"] == 2).all()


def test_large_messages_go_both_ways(pair: Pair) -> None:
    with Client(pair.a) as client:
        array = np.ones((1_000_000, 2), np.float32)
        assert (client.predict("b", {"x": array})["doubled"] == 2).all()


def test_errors_come_back_as_the_other_server_says_them(pair: Pair, channel: grpc.Channel) -> None:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    with grpc.insecure_channel(pair.b) as direct:
        request = service_pb2.ModelInferRequest(model_name="b", id="mine")
        told = []
        for one in (stub, service_pb2_grpc.GRPCInferenceServiceStub(direct)):
            with pytest.raises(grpc.RpcError) as caught:
                one.ModelInfer(request, timeout=TIMEOUT_S)
            told.append((caught.value.code(), caught.value.details()))
    assert told[0] == told[1]
    assert told[0][0] is grpc.StatusCode.INVALID_ARGUMENT
    bad: dict[str, Any] = {"inputs": []}
    assert rest(pair.a, "/v2/models/b/infer", bad) == rest(pair.b, "/v2/models/b/infer", bad)


def test_a_call_is_sent_on_once(pair: Pair, channel: grpc.Channel) -> None:
    """The file says that b has `stale`, which it has not; and nobody sends on what was sent on already."""
    before = pair.forwarded("b"), pair.forwarded("b", "error")
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    for model, metadata in (("stale", ()), ("b", MARK)):
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(
                service_pb2.ModelInferRequest(model_name=model), metadata=metadata, timeout=TIMEOUT_S
            )
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert rest(pair.a, "/v2/models/stale/infer", V2_BODY)[0] == 404
    assert rest(pair.a, "/v2/models/b/infer", V2_BODY, **dict(MARK))[0] == 404
    assert before == (pair.forwarded("b"), pair.forwarded("b", "error"))


def test_readiness_of_the_very_server_can_be_asked_for(channel: grpc.Channel) -> None:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    request = service_pb2.ModelReadyRequest(name="b")
    assert stub.ModelReady(request, timeout=TIMEOUT_S).ready
    assert not stub.ModelReady(request, metadata=MARK, timeout=TIMEOUT_S).ready


def waits_at_b(pair: Pair, calls: int) -> None:
    """Returns when so many calls wait for b's executor."""
    looking = threading.Event()
    for _ in range(600):
        if pair.figure("b", 'hotgraph_queue_calls{model="b",version="1"}') == calls:
            return
        looking.wait(0.05)
    raise AssertionError(f"no {calls} calls wait")


@pytest.mark.parametrize("how", ["cancelled", "deadline"])
def test_a_caller_that_leaves_leaves_the_other_server_too(
    how: str, pair: Pair, channel: grpc.Channel, held_run: Callable[..., AbstractContextManager[None]]
) -> None:
    before = pair.forwarded("a", "left") + pair.forwarded("a", "error")
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    with held_run(pair.b, "b"):
        call = stub.Predict.future(predict_request("b"), timeout=TIMEOUT_S if how == "cancelled" else 3)
        if how == "cancelled":
            waits_at_b(pair, 1)
            call.cancel()
        else:
            assert call.exception(TIMEOUT_S).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        waits_at_b(pair, 0)
    assert pair.figure("a", "hotgraph_forwarding_calls") == 0
    assert pair.forwarded("a", "left") + pair.forwarded("a", "error") == before + 1


def test_streams_are_not_sent_on_and_say_that_the_model_is_not_here(channel: grpc.Channel) -> None:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    request = service_pb2.ModelInferRequest(model_name="b")
    (answer,) = stub.ModelStreamInfer(iter([request]), timeout=TIMEOUT_S)
    assert "'b' is not found" in answer.error_message


@pytest.mark.usefixtures("envoy_program")
def test_behind_envoy_a_call_that_says_its_model_goes_there_and_any_other_is_sent_on(pair: Pair) -> None:
    def forwarded() -> float:
        return pair.forwarded("a") + pair.forwarded("b")

    with fleet_envoy(spec(pair.peers.parent)) as proxy:
        for cluster in ("grpc", "rest"):
            proxy.wait_for_healthy(pair.a, pair.b, cluster=cluster)
        before = forwarded()
        with Client(proxy.address) as client:
            for _ in range(10):
                client.predict("b", {"x": np.ones((1, 2), np.float32)})
        for _ in range(5):
            assert rest(proxy.address, "/v2/models/b/infer", V2_BODY)[0] == 200
            assert rest(proxy.address, "/v1/models/b:predict", {"instances": [[1, 1]]})[0] == 200
        assert forwarded() == before
        assert proxy.calls()[pair.b] == 10
        with InferenceServerClient(proxy.address) as silent:
            # Envoy chooses by chance: so many calls all went right by a chance of one to a billion.
            for _ in range(30):
                silent.infer("b", [tensor("x", np.ones((1, 2), np.float32))])
        assert forwarded() > before


@pytest.mark.slow
def test_a_model_that_is_loaded_when_it_is_called_is_sent_nowhere(
    pair: Pair, saved_models: SavedModels, tmp_path: Path
) -> None:
    """It knows `b`, which the file says that server b has, and not `a`."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1").symlink_to(saved_models["gated"])
    admin = str(free_port())
    control = ("--repository", str(tmp_path), "--model-control", "auto", "--memory-mb", "4000")
    flags = (*control, "--port", "0", "--admin-port", admin, "--peers-file", str(pair.peers))
    with starting(arguments(*flags)) as serving:
        serving.until_it_serves()
        third = Pair(pair.peers, serving.address, pair.b, {"a": f"http://127.0.0.1:{admin}/metrics"})
        with InferenceServerClient(third.a) as client:
            for model, forwarded in (("b", 0), ("a", 1)):
                result = client.infer(model, [tensor("x", np.ones((1, 2), np.float32))])
                assert result.as_numpy("doubled").tolist() == [[2, 2]]
                assert third.forwarded("a") == forwarded
