"""The server's life as the admin port shows it; the graph is the test's, everything else is real."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families as parse
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc

from hotgraph_client import Client, HotgraphError
from hotgraph_protos import open_inference as pb
from hotgraph_server import server as server_module
from hotgraph_server.errors import LoadError, StartError
from hotgraph_server.model_control import opening as models_module
from hotgraph_server.models.opening import open_version
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.repository.layout import Found, Look
from hotgraph_server.repository.tree import Tree
from hotgraph_server.server import Server, Stopped
from hotgraph_server.settings import (
    AdminSettings,
    ListenSettings,
    ModelSettings,
    RepositorySettings,
    RestSettings,
    ServerSettings,
)
from hotgraph_server.transport.server import CallServer

from ..ports import free_port
from .fakes import HANG_S, FakeGraph, signature

V2 = "/inference.GRPCInferenceService"


class Life:
    """A server with the model `m` version 3, over a graph that the test holds.

    Attributes:
        may_load: loading ends when the test sets its result.
        leaderships: those that versions were loaded with.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        admin_port: int,
        listen: ListenSettings = ListenSettings(port=0),  # noqa: B008
        rest_port: int = 0,
    ) -> None:
        self.graph = FakeGraph(signature(), signature("refuses", {"x": None}))
        self.may_load: Future[None] = Future()
        self.leaderships: list[object] = []
        monkeypatch.setattr(models_module, "load_version", self._load)
        found = Look({3: Found(Path("unused"), Tree())})
        monkeypatch.setattr(models_module, "look_at", lambda *_: found)
        self.admin_port = admin_port
        self.rest_port = rest_port
        # Where `reload` says it is, so that it is no other one then.
        models = (ModelSettings("m", Path("/unused")),)
        settings = ServerSettings(models, listen, AdminSettings(admin_port), RestSettings(rest_port))
        self.server = Server(settings, make=lambda name, path, _: ModelSettings(name, path))
        self.loading = threading.Event()

    def _load(self, settings: ModelSettings, number: int, folder: Path, **given: object) -> Version:
        self.leaderships.append(given["leadership"])
        self.loading.set()
        self.may_load.result(HANG_S)
        graph = self.graph if settings.name == "m" else FakeGraph()
        return open_version(settings, number, graph.open, leadership=given["leadership"])  # type: ignore[arg-type]

    def get(self, path: str, port: int = 0) -> tuple[int, str]:
        """From the admin port, or the one given."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.admin_port, timeout=HANG_S)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the series of that name that have these labels."""
        status, body = self.get("/metrics")
        assert status == 200
        return sum(
            sample.value
            for family in parse(body)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Life]]:
    """``start()``: a server that has been started, on a free admin port or the one given."""
    lives: list[Life] = []

    def begin(admin_port: int | None = None) -> Life:
        life = Life(monkeypatch, free_port() if admin_port is None else admin_port)
        lives.append(life)
        life.may_load.set_result(None)
        life.server.start()
        return life

    yield begin
    for life in lives:
        life.graph.let_all_go()
        life.server.stop(HANG_S)


def test_what_reads_calls_and_what_runs_them_share_one_leadership(
    monkeypatch: pytest.MonkeyPatch, start: Callable[..., Life]
) -> None:
    """Without it everything works, but no executor leads, and each call is sent its answer by itself."""
    seen: list[object] = []

    class Seen(CallServer):
        def __init__(self, *given: Any) -> None:
            seen.append(given[4])
            super().__init__(*given)

    monkeypatch.setattr(server_module, "CallServer", Seen)
    seen += start().leaderships
    assert len(seen) == 2
    assert seen[0] is seen[1] is not None


def test_executor_leads_where_its_runs_are_short_and_only_then(start: Callable[..., Life]) -> None:
    life = start()

    def led() -> float:
        return life.metric("hotgraph_turns_total", leader="executor")

    with Client(life.server.address, timeout_s=HANG_S) as client:

        def call() -> None:
            answer = client.predict("m", {"x": np.ones((1, 2), np.float32)})
            np.testing.assert_array_equal(answer["y"], np.full((1, 2), 2.0))

        give_up_at = time.monotonic() + HANG_S
        while not led() and time.monotonic() < give_up_at:
            call()
        assert led()
        # What executors compute with is no matter of reading: they take 1e-40 for zero, where they compute.
        small = pb.ModelInferRequest(model_name="m")
        tensor = small.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        tensor.contents.fp32_contents.extend([1e-40, 2e-39])
        with grpc.insecure_channel(life.server.address) as channel:
            infer: Any = channel.unary_unary(f"{V2}/ModelInfer")
            before = led()
            while led() < before + 3:
                infer(small.SerializeToString(), timeout=HANG_S)
                bits = life.graph.runs[-1][0].view(np.uint32)
                np.testing.assert_array_equal(bits, np.array([[1e-40, 2e-39]], np.float32).view(np.uint32))
        # A run that was taken to be short and hangs: somebody goes on reading, and other callers hear.
        life.graph.shut()
        held = threading.Thread(target=call)
        held.start()
        life.graph.wait_until_held()
        with grpc.insecure_channel(life.server.address) as channel:
            request = pb.ServerLiveRequest().SerializeToString()
            live: Any = channel.unary_unary(f"{V2}/ServerLive")
            assert pb.ServerLiveResponse.FromString(live(request, timeout=HANG_S)).live
        life.graph.let_all_go()
        held.join(HANG_S)
        call()


def test_admin_port_tells_loading_live_and_draining_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(monkeypatch, free_port())
    starting = threading.Thread(target=life.server.start)
    starting.start()
    assert life.loading.wait(HANG_S)
    assert life.get("/healthz") == (200, "ok\n")
    assert life.get("/readyz") == (503, "loading\n")
    assert '"state":"loading"' in life.get("/api/status")[1]
    assert life.metric("hotgraph_ready") == 0
    life.may_load.set_result(None)
    starting.join(HANG_S)
    assert life.get("/readyz") == (200, "live\n")
    assert life.metric("hotgraph_ready") == 1
    assert life.metric("hotgraph_version_state", state="live") == 1

    life.graph.shut()
    stopped: Future[Stopped] = Future()
    with Client(life.server.address, timeout_s=HANG_S) as client:
        calling = threading.Thread(target=client.predict, args=("m", {"x": np.ones((1, 2), np.float32)}))
        calling.start()
        life.graph.wait_until_held()
        stopping = threading.Thread(target=lambda: stopped.set_result(life.server.stop(HANG_S)))
        stopping.start()
        while life.server.state is State.LIVE:
            pass
        assert life.get("/readyz") == (503, "draining\n")
        assert life.get("/healthz") == (200, "ok\n")
        assert life.metric("hotgraph_ready") == 0
        life.graph.let_all_go()
        calling.join(HANG_S)
    stopping.join(HANG_S)
    assert stopped.result() == Stopped(answered=True, ended=True)
    with pytest.raises(ConnectionRefusedError):
        life.get("/healthz")
    assert life.server.admin_address is None


class TestWhileModelsLoad:
    """A client that finds the port of a server that is starting."""

    @pytest.fixture(params=[True, False], ids=["fast lane", "pools"])
    def loading(self, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Life]:
        life = Life(monkeypatch, 0, ListenSettings(port=0, fast_lane=request.param), free_port())
        starting = threading.Thread(target=life.server.start)
        starting.start()
        assert life.loading.wait(HANG_S)
        yield life
        if not life.may_load.done():
            life.may_load.set_result(None)
        starting.join(HANG_S)
        life.server.stop(HANG_S)

    @pytest.fixture
    def channel(self, loading: Life) -> Iterator[grpc.Channel]:
        with grpc.insecure_channel(loading.server.address) as channel:
            yield channel

    @staticmethod
    def ask(channel: grpc.Channel, path: str, request: Any, response: Any = None) -> Any:
        call: Any = channel.unary_unary(path)
        message = call(request.SerializeToString(), timeout=HANG_S)
        return response.FromString(message) if response is not None else message

    @pytest.mark.parametrize(
        "method",
        ["ModelInfer", "ModelMetadata", "ModelStatistics", "RepositoryModelLoad", "ModelStreamInfer"],
    )
    def test_calls_are_refused_at_once_with_the_reason(self, channel: grpc.Channel, method: str) -> None:
        with pytest.raises(grpc.RpcError) as raised:
            self.ask(channel, f"{V2}/{method}", pb.ModelInferRequest(model_name="m"))
        error: Any = raised.value
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "the models are loading")

    def test_the_server_lives_and_neither_it_nor_its_model_is_ready(self, channel: grpc.Channel) -> None:
        assert self.ask(channel, f"{V2}/ServerLive", pb.ServerLiveRequest(), pb.ServerLiveResponse).live
        assert not self.ask(
            channel, f"{V2}/ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse
        ).ready
        ready = self.ask(channel, f"{V2}/ModelReady", pb.ModelReadyRequest(name="m"), pb.ModelReadyResponse)
        assert not ready.ready

    def test_health_knows_the_model_and_says_no(self, loading: Life) -> None:
        names = ("", "m", "inference.GRPCInferenceService")
        assert {health(loading.server.address, name) for name in names} == {NOT_SERVING}

    def test_both_protocols_say_that_the_model_is_loading(self, channel: grpc.Channel) -> None:
        index = self.ask(
            channel, f"{V2}/RepositoryIndex", pb.RepositoryIndexRequest(), pb.RepositoryIndexResponse
        )
        assert [(row.name, row.version, row.state) for row in index.models] == [("m", "3", "LOADING")]
        assert self.status(channel, "m") == [(3, get_model_status_pb2.ModelVersionStatus.LOADING)]
        with pytest.raises(grpc.RpcError, match="the models are loading"):
            self.status(channel, "nobody knows yet")

    def status(self, channel: grpc.Channel, name: str) -> list[tuple[int, int]]:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        response = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=HANG_S)
        return [(one.version, one.state) for one in response.model_version_status]

    def test_rest_says_the_same(self, loading: Life) -> None:
        code, body = loading.get("/v1/models/m/metadata", loading.rest_port)
        assert (code, "the models are loading" in body) == (503, True), body
        code, body = loading.get("/v1/models/m", loading.rest_port)
        assert (code, '"LOADING"' in body) == (200, True), body

    def test_same_connection_is_answered_once_the_models_are_there(
        self, loading: Life, channel: grpc.Channel
    ) -> None:
        with pytest.raises(grpc.RpcError):
            self.ask(channel, f"{V2}/ModelMetadata", pb.ModelMetadataRequest(name="m"))
        loading.may_load.set_result(None)
        while loading.server.state is State.LOADING:
            pass
        self.ask(channel, f"{V2}/ModelMetadata", pb.ModelMetadataRequest(name="m"))
        assert self.status(channel, "m") == [(3, get_model_status_pb2.ModelVersionStatus.AVAILABLE)]
        with Client(loading.server.address, timeout_s=HANG_S) as client:
            client.predict("m", {"x": np.ones((1, 2), np.float32)})


def test_model_that_is_loaded_is_not_ready_while_another_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calls are refused as well, and whoever waits for it shall not be told otherwise."""
    life = Life(monkeypatch, 0)
    first = threading.Event()

    def load(settings: ModelSettings, number: int, folder: Path, **_: object) -> Version:
        if settings.name == "n":
            first.set()
            life.may_load.result(HANG_S)
        return open_version(settings, number, FakeGraph().open)

    monkeypatch.setattr(models_module, "load_version", load)
    models = (ModelSettings("m", Path("unused")), ModelSettings("n", Path("unused")))
    one_by_one = RepositorySettings(load_threads=1)
    settings = ServerSettings(
        models, ListenSettings(port=0), AdminSettings(0), RestSettings(0), repository=one_by_one
    )
    server = Server(settings)
    starting = threading.Thread(target=server.start)
    starting.start()
    # The other one comes first, and is there when this one loads.
    assert first.wait(HANG_S)
    with grpc.insecure_channel(server.address) as channel:
        loading = TestWhileModelsLoad()
        assert server.registry.find("m") is not None
        request = pb.ModelReadyRequest(name="m")
        assert not loading.ask(channel, f"{V2}/ModelReady", request, pb.ModelReadyResponse).ready
        assert loading.status(channel, "m") == [(3, get_model_status_pb2.ModelVersionStatus.LOADING)]
        index = loading.ask(
            channel, f"{V2}/RepositoryIndex", pb.RepositoryIndexRequest(), pb.RepositoryIndexResponse
        )
        assert [row.state for row in index.models] == ["LOADING", "LOADING"]
        life.may_load.set_result(None)
        starting.join(HANG_S)
        assert loading.ask(channel, f"{V2}/ModelReady", request, pb.ModelReadyResponse).ready
    server.stop(HANG_S)


def test_metrics_and_statistics_call_count_the_same(start: Callable[..., Life]) -> None:
    life = start()
    with Client(life.server.address, timeout_s=HANG_S) as client:
        for rows in (1, 3, 3):
            client.predict("m", {"x": np.ones((rows, 2), np.float32)})
        (figures,) = client.statistics("m", 3)
    labels = {"model": "m", "version": "3", "signature": "serving_default"}
    assert life.metric("hotgraph_calls_total", outcome="answered", **labels) == 3 == figures.success.count
    assert life.metric("hotgraph_calls_total", **labels) == 3
    assert life.metric("hotgraph_batch_rows_sum", **labels) == 7 == figures.rows
    assert life.metric("hotgraph_batch_rows_count", **labels) == 3 == figures.runs
    assert life.metric("hotgraph_batch_rows_bucket", le="1.0", **labels) == 1
    assert life.metric("hotgraph_batch_rows_bucket", le="4.0", **labels) == 3
    assert life.metric("hotgraph_call_duration_seconds_count", **labels) == 3
    assert life.metric("hotgraph_queue_calls") == 0
    assert life.metric("hotgraph_calls_total", signature="refuses") == 0


def test_calls_that_wait_are_shown_as_the_queue(start: Callable[..., Life]) -> None:
    life = start()
    life.graph.shut()
    message = {"x": np.ones((1, 2), np.float32)}
    with Client(life.server.address, timeout_s=HANG_S) as client:
        callers = [threading.Thread(target=client.predict, args=("m", message)) for _ in range(4)]
        callers[0].start()
        life.graph.wait_until_held()
        for caller in callers[1:]:
            caller.start()
        while life.metric("hotgraph_queue_calls", model="m") != 3:
            pass
        life.graph.let_all_go()
        for caller in callers:
            caller.join(HANG_S)
    assert life.metric("hotgraph_queue_calls", model="m") == 0


def test_admin_port_in_use_is_known_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        life = Life(monkeypatch, port)
        before = set(threading.enumerate())
        with pytest.raises(StartError, match=f"^admin-port {port}: .* the port is in use$"):
            life.server.start()
    assert not life.loading.is_set()
    assert {thread.name for thread in set(threading.enumerate()) - before if "admin" in thread.name} == set()


def test_rest_port_in_use_is_known_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        life = Life(monkeypatch, admin_port=0, rest_port=port)
        with pytest.raises(StartError, match=f"^rest-port {port}: .* the port is in use$"):
            life.server.start()
    assert not life.loading.is_set()


def test_rest_port_is_told_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    life = Life(monkeypatch, admin_port=0, rest_port=port)
    life.may_load.set_result(None)
    with caplog.at_level("INFO", "hotgraph_server"):
        life.server.start()
        life.server.stop(0)
    told = [line for line in caplog.messages if str(port) in line]
    assert told == [f"REST port: http://127.0.0.1:{port}/"]


def test_rest_port_0_is_none(start: Callable[..., Life]) -> None:
    assert start(admin_port=0).server.rest_address is None


def test_model_that_cannot_be_loaded_closes_the_admin_port(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(monkeypatch, free_port())
    life.may_load.set_exception(LoadError("m", "broken"))
    with pytest.raises(LoadError):
        life.server.start()
    with pytest.raises(ConnectionRefusedError):
        life.get("/healthz")


def test_admin_port_0_is_none(start: Callable[..., Life]) -> None:
    before = set(threading.enumerate())
    life = start(admin_port=0)
    assert life.server.admin_address is None
    assert not any(thread.name == "admin port" for thread in set(threading.enumerate()) - before)
    with grpc.insecure_channel(life.server.address) as channel:
        grpc.channel_ready_future(channel).result(HANG_S)


def reload(address: str, *models: str) -> None:
    """Ask for these models, and wait until they are settled; raises grpc.RpcError."""
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    for name in models:
        request.config.model_config_list.config.add(
            name=name, base_path="/unused", model_platform="tensorflow"
        )
    with grpc.insecure_channel(address) as channel:
        model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(request, timeout=HANG_S)


def health(address: str, name: str) -> int:
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return int(stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=HANG_S).status)


SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def test_new_list_of_models_is_followed_by_calls_health_metrics_and_the_page(
    start: Callable[..., Life],
) -> None:
    life = start()
    reload(life.server.address, "m", "n")
    with Client(life.server.address, timeout_s=HANG_S) as client:
        client.predict("n", {"x": np.ones((1, 2), np.float32)})
    assert (health(life.server.address, "m"), health(life.server.address, "n")) == (SERVING, SERVING)
    assert life.metric("hotgraph_version_state", model="n", state="live") == 1

    reload(life.server.address, "n")
    assert (health(life.server.address, "m"), health(life.server.address, "")) == (NOT_SERVING, SERVING)
    assert life.metric("hotgraph_version_state", model="m", state="live") == 0
    assert '"name":"m"' not in life.get("/api/status")[1]
    with Client(life.server.address, timeout_s=HANG_S) as client, pytest.raises(HotgraphError, match="'m'"):
        client.predict("m", {"x": np.ones((1, 2), np.float32)})


def test_wrong_list_of_models_changes_nothing(start: Callable[..., Life]) -> None:
    life = start()
    with pytest.raises(grpc.RpcError) as raised:
        reload(life.server.address, "n", "n")
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.details() == "Illegal to list model n multiple times in config list"
    with Client(life.server.address, timeout_s=HANG_S) as client:
        client.predict("m", {"x": np.ones((1, 2), np.float32)})


def test_caller_may_leave_a_reload_whose_model_still_loads(start: Callable[..., Life]) -> None:
    """And no thread was held by it: the server goes on answering, and the model comes later."""
    life = start()
    life.may_load = Future()
    request = model_management_pb2.ReloadConfigRequest()
    for name in ("m", "n"):
        request.config.model_config_list.config.add(
            name=name, base_path="/unused", model_platform="tensorflow"
        )
    with grpc.insecure_channel(life.server.address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        reloading = stub.HandleReloadConfigRequest.future(request, timeout=HANG_S)
        while not life.server.repository.statuses("n"):
            pass
        assert health(life.server.address, "n") == NOT_SERVING
        with Client(life.server.address, timeout_s=HANG_S) as client:
            client.predict("m", {"x": np.ones((1, 2), np.float32)})
        assert not reloading.done()
        reloading.cancel()
        life.may_load.set_result(None)
        stub.HandleReloadConfigRequest(request, timeout=HANG_S)
    while life.server.registry.find("n") is None:
        pass
    assert health(life.server.address, "n") == SERVING


@pytest.mark.parametrize(("host", "told"), [("127.0.0.1", 0), ("127.1", 1)])
def test_open_groups_are_told_once_where_the_host_is_not_plainly_this_machine(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, host: str, told: int
) -> None:
    # The second is the first, in a form that nobody takes for it: no test listens on a network.
    life = Life(monkeypatch, free_port(), ListenSettings(host, port=0))
    life.may_load.set_result(None)
    life.server.start()
    life.server.stop()
    lines = [one for one in caplog.records if "open: whoever reaches this server" in one.getMessage()]
    assert len(lines) == told
    assert all(one.levelname == "WARNING" and "--auth FILE" in one.getMessage() for one in lines)
