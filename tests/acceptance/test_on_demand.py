"""More models than memory, as docs/many-models.md tells it: servers of their own, and clients that see
nothing of it but time. What is compared are counts and answers, never times.
"""

from __future__ import annotations

import json
import queue
import re
import shlex
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc
from tritonclient.grpc import InferenceServerClient, InferInput, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from hotgraph_client import Client
from hotgraph_client.errors import HotgraphError

from ..ports import free_port
from ..saved_models import SavedModels
from ..saved_models.tf2 import build_counter, function, save
from ..server.fakes import until
from .command import Serving, arguments, serve, starting, tensorflow_model_server

PAGE = Path(__file__).parents[2] / "docs" / "many-models.md"
MODELS = 5
LIMIT_MB = 260
# So few of them fit at a time that all of them together cannot.
BALLAST_MB = 24


def build_adder(directory: Path, number: int) -> None:
    """`x` float32 [-1, 2] -> `y` = x + number, with `BALLAST_MB` of variables."""
    import tensorflow as tf

    ballast = tf.Variable(np.zeros((2, BALLAST_MB * 2**20 // 8), np.float32))

    def run(x: Any) -> Any:
        return {"y": x + tf.reduce_sum((x @ ballast)[:, :1], 1, keepdims=True) + float(number)}

    save(directory, [ballast], serving_default=function(run, x=([None, 2], tf.float32)))


@pytest.fixture(scope="module")
def adders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    for number in range(MODELS):
        build_adder(root / f"m{number}" / "1", number)
    return root


class Auto:
    """A server of the adders, of `counter`, and of one that does not load.

    Attributes:
        rest, admin: the numbers of its other ports.
    """

    def __init__(self, serving: Serving, rest: int, admin: int) -> None:
        self.serving = serving
        self.rest = rest
        self.admin = admin

    def ask(self, path: str, body: Any = None) -> Any:
        """An answer of the REST port, as JSON."""
        sent = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}{path}", sent, timeout=60) as answer:
            return json.loads(answer.read())

    def figures(self) -> Mapping[str, float]:
        """The metrics that have no label but `found`, each by its name and that."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        lines = re.findall(r'^(hotgraph_\w+)(?:\{found="(\w+)"\})? (\S+)$', text, re.MULTILINE)
        return {f"{name} {found}".strip(): float(value) for name, found, value in lines}

    def stub(self, channel: grpc.Channel) -> Any:
        return service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def auto(adders: Path, saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Auto]:
    root, rest, admin = tmp_path_factory.mktemp("all"), free_port(), free_port()
    for folder in adders.iterdir():
        (root / folder.name).symlink_to(folder)
    (root / "broken").mkdir()
    (root / "broken" / "1").symlink_to(saved_models["uninitialized"])
    build_counter(root / "counter" / "1")
    words = ["--repository", str(root), "--model-control", "auto", "--memory-mb", str(LIMIT_MB)]
    words += ["--state-dir", str(tmp_path_factory.mktemp("state")), "--state-every-s", "3600"]
    with serve(*words, "--port", "0", "--rest-port", str(rest), "--admin-port", str(admin)) as serving:
        yield Auto(serving, rest, admin)


@pytest.fixture
def client(auto: Auto) -> Iterator[Client]:
    with Client(auto.serving.address, timeout_s=120.0) as client:
        yield client


ZEROS = np.zeros((1, 2), np.float32)


def adds(client: Client, number: int) -> bool:
    """Does the model answer, and as itself?"""
    return bool(client.predict(f"m{number}", {"x": ZEROS})["y"].tolist() == [[number, number]])


def states(auto: Auto) -> dict[str, tuple[str, str]]:
    """By model: what the index says."""
    rows = auto.ask("/v2/repository/index", {})
    return {row["name"]: (row["state"], row.get("reason", "")) for row in rows}


KNOWN = ("UNAVAILABLE", "known, loaded at its first call")


def test_models_are_known_and_ready_before_anybody_has_called_them(auto: Auto, client: Client) -> None:
    names = [*(f"m{number}" for number in range(MODELS)), "broken", "counter"]
    assert states(auto) == dict.fromkeys(names, KNOWN)
    assert auto.ask("/v2/models/m1/ready") == {"name": "m1", "ready": True}
    (version,) = auto.ask("/v1/models/m1")["model_version_status"]
    assert (version["version"], version["state"]) == ("1", "START")
    with grpc.insecure_channel(auto.serving.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(service="m1")).status == 1
    assert auto.figures()["hotgraph_demand_loads_total"] == 0


def test_every_model_is_answered_by_itself_whoever_calls_and_the_limit_holds(
    auto: Auto, client: Client
) -> None:
    rounds, wrong, most = 2, list[object](), list[float]()

    def call(which: int) -> None:
        try:
            for turn in range(rounds):
                number = (which + turn) % MODELS
                if not adds(client, number):
                    wrong.append(number)
        except HotgraphError as error:
            wrong.append(error)

    threads = [threading.Thread(target=call, args=(which,)) for which in range(2 * MODELS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most.append(auto.figures()["hotgraph_models_memory_bytes"])
        threads[0].join(0.1)
        for thread in threads:
            thread.join(0.05)
    assert wrong == []
    # What is estimated before a load is not what is measured at it, but near.
    assert max(most) <= 1.2 * LIMIT_MB * 2**20
    figures = auto.figures()
    calls = sum(figures[f"hotgraph_demand_calls_total {found}"] for found in ("live", "waited"))
    assert calls >= 2 * MODELS * rounds
    assert figures["hotgraph_evictions_total"] >= 1
    assert figures["hotgraph_load_waiting_calls"] == 0
    # However many came, a model is loaded for those who wait for it together.
    assert figures["hotgraph_demand_loads_total"] < calls
    assert {state for state, _ in states(auto).values()} >= {"READY", "UNAVAILABLE"}


@pytest.mark.slow
def test_all_protocols_wait_alike(auto: Auto) -> None:
    """Each door is tried on a model that was given up a moment before."""
    with (
        InferenceServerClient(auto.serving.address) as triton,
        grpc.insecure_channel(auto.serving.address) as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        def infer() -> object:
            tensor = InferInput("x", [1, 2], "FP32")
            tensor.set_data_from_numpy(ZEROS)
            return triton.infer("m3", [tensor]).as_numpy("y").tolist()

        def stream() -> object:
            answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
            tensor = InferInput("x", [1, 2], "FP32")
            tensor.set_data_from_numpy(ZEROS)
            triton.start_stream(lambda result, error: answers.put((result, error)))
            try:
                triton.async_stream_infer("m3", [tensor])
                result, error = answers.get(timeout=120)
            finally:
                triton.stop_stream()
            assert error is None
            return result.as_numpy("y").tolist()

        def predict() -> object:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "m3"
            request.inputs["x"].dtype = 1
            request.inputs["x"].tensor_shape.dim.add(size=1)
            request.inputs["x"].tensor_shape.dim.add(size=2)
            request.inputs["x"].float_val.extend([0.0, 0.0])
            return [list(stub.Predict(request).outputs["y"].float_val)]

        def metadata() -> object:
            assert [one.name for one in triton.get_model_metadata("m3").inputs] == ["x"]
            return [[3.0, 3.0]]

        def signatures() -> object:
            request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
            request.model_spec.name = "m3"
            assert stub.GetModelMetadata(request).model_spec.version.value == 1
            return [[3.0, 3.0]]

        def rest_v1() -> object:
            return auto.ask("/v1/models/m3:predict", {"instances": [[0.0, 0.0]]})["predictions"]

        def rest_v2() -> object:
            tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.0, 0.0]}
            return [auto.ask("/v2/models/m3/infer", {"inputs": [tensor]})["outputs"][0]["data"]]

        def rest_about() -> object:
            assert auto.ask("/v2/models/m3/config")["name"] == "m3"
            return [[3.0, 3.0]]

        def rest_signatures() -> object:
            assert "serving_default" in str(auto.ask("/v1/models/m3/metadata"))
            return [[3.0, 3.0]]

        doors = (infer, stream, predict, metadata, signatures, rest_v1, rest_v2, rest_about, rest_signatures)
        for door in doors:
            triton.unload_model("m3")
            before = auto.figures()["hotgraph_demand_calls_total waited"]
            assert door() == [[3.0, 3.0]], door.__name__
            assert auto.figures()["hotgraph_demand_calls_total waited"] == before + 1, door.__name__


def test_a_model_that_cannot_be_loaded_says_why_and_is_not_tried_again_at_once(
    auto: Auto, client: Client
) -> None:
    def refusal() -> HotgraphError:
        with (
            Client(auto.serving.address, timeout_s=120.0, retries=0) as once,
            pytest.raises(HotgraphError) as raised,
        ):
            once.predict("broken", {"x": ZEROS})
        return raised.value

    first, second = refusal(), refusal()
    for error in (first, second):
        assert error.code is grpc.StatusCode.UNAVAILABLE
        assert "model 'broken' cannot be loaded" in str(error)
    assert "not tried again for" in str(second)
    state, reason = states(auto)["broken"]
    assert state == "UNAVAILABLE"
    assert reason != KNOWN[1]
    with InferenceServerClient(auto.serving.address) as triton:
        assert not triton.is_model_ready("broken")
        assert triton.is_server_ready()
        with pytest.raises(InferenceServerException, match="failed to load 'broken'"):
            triton.load_model("broken")


def test_who_leaves_while_it_waits_is_forgotten_and_a_short_deadline_is_kept(auto: Auto) -> None:
    with InferenceServerClient(auto.serving.address) as triton:
        triton.unload_model("m4")
        tensor = InferInput("x", [1, 2], "FP32")
        tensor.set_data_from_numpy(ZEROS)
        with pytest.raises(InferenceServerException) as raised:
            triton.infer("m4", [tensor], client_timeout=0.02)
        assert raised.value.status() in {
            "StatusCode.DEADLINE_EXCEEDED",
            "StatusCode.RESOURCE_EXHAUSTED",
        }
        until(lambda: auto.figures()["hotgraph_load_waiting_calls"] == 0)
        # And nobody is kept from it.
        assert triton.infer("m4", [tensor]).as_numpy("y").tolist() == [[4.0, 4.0]]


def test_models_come_and_go_by_request(auto: Auto) -> None:
    with InferenceServerClient(auto.serving.address) as triton:
        triton.load_model("m4")
        assert states(auto)["m4"] == ("READY", "")
        triton.unload_model("m4")
        until(lambda: states(auto)["m4"] == KNOWN)
        with pytest.raises(InferenceServerException, match="failed to load 'nobody'"):
            triton.load_model("nobody")
        with pytest.raises(InferenceServerException, match="as its repository has it"):
            triton.load_model("m4", config="{}")


@pytest.mark.slow
def test_a_model_larger_than_the_limit_is_refused_with_both_sizes(adders: Path) -> None:
    words = ["--model-control", "auto", "--memory-mb", "16", "--port", "0"]
    with serve(f"m1={adders / 'm1'}", *words) as serving, Client(serving.address, retries=0) as client:
        with pytest.raises(HotgraphError, match=r"needs \d+ MiB of memory, .* 16 MiB") as raised:
            adds(client, 1)
        assert raised.value.code is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.slow
def test_pinned_models_that_do_not_fit_end_the_start_with_one_line(adders: Path, tmp_path: Path) -> None:
    config = tmp_path / "server.toml"
    config.write_text(
        f"""model_control = "auto"
memory_mb = 16
[models.m1]
path = "{adders / "m1"}"
pin = true
"""
    )
    with starting(arguments("--config", str(config), "--port", "0")) as serving:
        line = serving.wait_for_text("it is pinned")
        assert "model 'm1' needs" in line
        assert serving.status() == 1


def test_what_was_learnt_is_saved_before_a_model_goes_and_is_there_when_it_comes_again(
    auto: Auto, client: Client
) -> None:
    for _ in range(3):
        client.predict("counter", {"by": np.int64(2)}, signature="increment")
    with InferenceServerClient(auto.serving.address) as triton:
        triton.unload_model("counter")
    assert client.predict("counter", {}, signature="read")["count"] == 6


@pytest.mark.slow
def test_commands_of_the_page_serve_as_they_stand(adders: Path, tmp_path: Path) -> None:
    block = re.search(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    lines = block[1].splitlines()
    assert len(lines) == 3
    config = tmp_path / "models.config"
    m2 = f'name: "m2" base_path: "{adders / "m2"}" model_platform: "tensorflow"'
    config.write_text(f"model_config_list {{ config {{ {m2} }} }}")
    places = {"/models.config": str(config), "/models/a": str(adders / "m0"), "/models/b": str(adders / "m1")}
    places["/models"] = str(adders)
    asked = (("m2", 2.0), ("a", 0.0), ("m2", 2.0))
    for line, (model, number) in zip(lines, asked, strict=True):
        for place, here in places.items():
            line = re.sub(rf"(?<=[ =]){re.escape(place)}(?= |$)", here, line)
        program, command, *words = shlex.split(line)
        assert program == "hotgraph"
        run = serve if command == "serve" else tensorflow_model_server
        port = ["--port", "0"] if command == "serve" else ["--port=0"]
        with run(*words, *port) as serving, Client(serving.address, timeout_s=120.0) as client:
            assert client.predict(model, {"x": ZEROS})["y"].tolist() == [[number, number]]
