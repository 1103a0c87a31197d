"""Two servers behind a real Envoy with the documented policies: what a mesh may rely on, row by row.

docs/operations.md has the table of these rows.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import InferenceServerClient, InferResult, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from hotgraph_protos import open_inference as oip

from ..ports import free_port
from ..saved_models import SavedModels
from .certificates import Mounted, Pems, issued, spiffe
from .command import Serving, arguments, starting
from .envoy import CONFIG, Change, Envoy, binary, clusters, envoy, hosts, protocol
from .triton_tensors import tensor
from .unequal_servers import shares, unequal_servers

FLOAT = np.float32
RATE = 150
SECONDS = 4
PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
MOST_QUEUED = 3
HELD_QUEUE = "max_batch_size: 8 dynamic_batching { default_queue_policy { max_queue_size: 1 } }"
_EJECTED = "cluster.grpc.outlier_detection.ejections_enforced_consecutive_gateway_failure"

HoldRun = Callable[..., AbstractContextManager[None]]


pytestmark = pytest.mark.usefixtures("envoy_program")


@pytest.fixture(scope="module")
def models(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags of servers.

    `gated` refuses by its own queue policy, with UNAVAILABLE; `limited` is the same SavedModel, and the
    server refuses calls to it for load, with RESOURCE_EXHAUSTED; the others are far from either.
    """
    root = tmp_path_factory.mktemp("models")
    repository = root / "repository"
    for name in ("gated", "pass_through", "unknown_rank"):
        (repository / name).mkdir(parents=True)
        (repository / name / "1").symlink_to(saved_models[name])
    (repository / "gated" / "config.pbtxt").write_text(HELD_QUEUE)
    settings = root / "server.toml"
    limited = {"path": str(saved_models["gated"]), "max_queued_calls": MOST_QUEUED}
    lines = [f"{name} = {json.dumps(value)}" for name, value in limited.items()]
    settings.write_text("[models.limited]\n" + "\n".join(lines) + "\n")
    control = ("--model-control", "explicit", "--load-model", "*")
    return ["--config", str(settings), "--repository", str(repository), *control]


@dataclass
class Started:
    """A server, HOST:PORT, and where its metrics are."""

    serving: Serving
    metrics: str

    @property
    def address(self) -> str:
        return self.serving.address


Start = Callable[..., AbstractContextManager[list[Started]]]


@pytest.fixture(scope="module")
def start(models: list[str]) -> Start:
    """Starts so many servers at once, with these flags."""

    @contextmanager
    def run(count: int, *flags: str) -> Iterator[list[Started]]:
        with ExitStack() as stack:
            started = []
            for _ in range(count):
                # REST is there if it has a port, and then on that of the calls too
                rest, admin = str(free_port()), str(free_port())
                ports = ("--port", "0", "--rest-port", rest, "--admin-port", admin)
                serving = stack.enter_context(starting(arguments(*models, *ports, *flags)))
                started.append(Started(serving, f"http://127.0.0.1:{admin}/metrics"))
            for one in started:
                one.serving.until_it_serves()
            yield started

    return run


@dataclass
class Pair:
    """Two servers, HOST:PORT each, and what starts an Envoy before them."""

    a: str
    b: str
    folder: Path
    metrics: str

    def behind(self, change: Change = lambda _: None) -> AbstractContextManager[Envoy]:
        return envoy([self.a, self.b], self.folder, change)

    def queued_at_a(self, model: str) -> int:
        """Calls that wait for that model's executor."""
        with urllib.request.urlopen(self.metrics, timeout=20) as page:
            lines = page.read().decode().splitlines()
        name = f'hotgraph_queue_calls{{model="{model}"'
        return sum(int(float(line.rpartition(" ")[2])) for line in lines if line.startswith(name))


@pytest.fixture(scope="module")
def pair(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with start(2) as (a, b):
        yield Pair(a.address, b.address, tmp_path_factory.mktemp("envoy"), a.metrics)


@pytest.fixture(scope="module")
def proxy(pair: Pair) -> Iterator[Envoy]:
    """The documented one, for tests that leave servers as they were."""
    with pair.behind() as running:
        yield running


def call(address: str, model: str = "pass_through", rows: int = 1, **options: Any) -> InferResult:
    with InferenceServerClient(address) as client:
        return client.infer(model, [tensor("x", np.ones((rows, 2), FLOAT))], **options)


def status_of(address: str, model: str = "pass_through", **options: Any) -> str:
    """OK, or the name of the status."""
    try:
        call(address, model, **options)
    except InferenceServerException as error:
        return str(error.status()).removeprefix("StatusCode.")
    return "OK"


@dataclass
class Result:
    """What a load test has found, once it has ended."""

    document: Any = None

    @property
    def step(self) -> Any:
        (step,) = self.document["steps"]
        return step


@contextmanager
def loading(proxy: Envoy, model: str, folder: Path, *flags: str) -> Iterator[Result]:
    """Calls come at a rate, by hotgraph loadtest, while the block runs; at its end they have ended."""
    command = [sys.executable, "-m", "hotgraph_server", "loadtest", proxy.address, model, *flags]
    out = folder / "loadtest.json"
    before = sum(proxy.calls().values())
    process = subprocess.Popen(
        [*command, "--warm-up", "0", "--json", str(out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        # what it asks of the model is four calls at most
        proxy.wait_until(
            lambda: sum(proxy.calls().values()) > before + 4 or process.poll() is not None, "no calls"
        )
        result = Result()
        yield result
        _, errors = process.communicate(timeout=60)
        assert out.exists(), errors
        result.document = json.loads(out.read_text())
    finally:
        process.kill()
        process.communicate()


def given(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {host: after[host] - before.get(host, 0) for host in after}


def test_documented_configuration_is_one(tmp_path: Path) -> None:
    """What deploy/envoy/envoy.yaml is without a change of the tests."""
    found = subprocess.run(
        [str(binary()), "--mode", "validate", "-c", str(CONFIG)], capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 0, found.stderr
    assert "deprecated" not in found.stderr.lower()


def test_calls_are_shared_evenly(pair: Pair, proxy: Envoy) -> None:
    before = proxy.calls()
    with InferenceServerClient(proxy.address) as client:
        for _ in range(40):
            client.infer("pass_through", [tensor("x", np.ones((1, 2), FLOAT))])
    assert given(before, proxy.calls()) == {pair.a: 20, pair.b: 20}


@contextmanager
def full(pair: Pair, model: str, held_run: HoldRun) -> Iterator[None]:
    """A's executor of that model is held shut, and as many calls wait as may."""
    most = 1 if model == "gated" else MOST_QUEUED
    with ThreadPoolExecutor(most) as pool:
        waiting: list[Future[InferResult]] = []
        with held_run(pair.a, model):
            for number in range(most):
                waiting.append(pool.submit(call, pair.a, model))
                while pair.queued_at_a(model) <= number:
                    time.sleep(0.01)
            yield
        for one in waiting:
            assert one.result().as_numpy("doubled").tolist() == [[2.0, 2.0]]


def test_unavailable_is_tried_on_the_other_and_ejects_for_a_while(pair: Pair, held_run: HoldRun) -> None:
    """A's model refuses by its queue policy: every call has its answer, of B; A is left alone for a while."""
    with pair.behind() as proxy:
        with full(pair, "gated", held_run):
            assert status_of(pair.a, "gated") == "UNAVAILABLE"
            assert [status_of(proxy.address, "gated") for _ in range(8)] == ["OK"] * 8
            assert proxy.stat("cluster.grpc.upstream_rq_retry_success") >= 3
            assert proxy.stat(_EJECTED) == 1
            assert proxy.healthy() == {pair.b}
            before = proxy.calls()
            assert [status_of(proxy.address, "gated") for _ in range(4)] == ["OK"] * 4
            assert given(before, proxy.calls()) == {pair.a: 0, pair.b: 4}
        # and comes back by itself
        of_a = proxy.calls()[pair.a]
        proxy.wait_until(lambda: bool(call(proxy.address)) and proxy.calls()[pair.a] > of_a, "A gets no call")


def test_what_is_refused_for_load_is_passed_on_and_ejects_nobody(
    pair: Pair, proxy: Envoy, held_run: HoldRun
) -> None:
    retries = proxy.stat("cluster.grpc.upstream_rq_retry")
    with full(pair, "limited", held_run):
        assert status_of(pair.a, "limited") == "RESOURCE_EXHAUSTED"
        found = [status_of(proxy.address, "limited") for _ in range(10)]
    assert sorted(found) == ["OK"] * 5 + ["RESOURCE_EXHAUSTED"] * 5
    assert proxy.healthy() == {pair.a, pair.b}
    assert proxy.stat("cluster.grpc.upstream_rq_retry") == retries


def test_wrong_requests_are_not_tried_again(pair: Pair, proxy: Envoy) -> None:
    before, retries = proxy.calls(), proxy.stat("cluster.grpc.upstream_rq_retry")
    with InferenceServerClient(proxy.address) as client:
        for _ in range(6):
            with pytest.raises(InferenceServerException, match="INVALID_ARGUMENT"):
                client.infer("pass_through", [tensor("y", np.ones((1, 2), FLOAT))])
    assert sum(given(before, proxy.calls()).values()) == 6
    assert proxy.stat("cluster.grpc.upstream_rq_retry") == retries
    assert proxy.healthy() == {pair.a, pair.b}


def _asks_for(service: str, made: dict[str, Any]) -> None:
    (check,) = clusters(made)["grpc"]["health_checks"]
    check |= {"grpc_health_check": {"service_name": service}, "unhealthy_threshold": 1}


def test_model_that_goes_takes_its_server_out_until_it_is_back(pair: Pair) -> None:
    with pair.behind(partial(_asks_for, "pass_through")) as proxy, InferenceServerClient(pair.a) as client:
        client.unload_model("pass_through")
        try:
            proxy.wait_for_healthy(pair.b)
            assert [status_of(proxy.address) for _ in range(6)] == ["OK"] * 6
        finally:
            client.load_model("pass_through")
        proxy.wait_for_healthy(pair.a, pair.b)


def _keeps_no_deadlines(made: dict[str, Any]) -> None:
    (host,) = hosts(made)
    del host["routes"][-1]["route"]["max_stream_duration"]


def test_deadlines_reach_the_servers(pair: Pair, held_run: HoldRun, tmp_path: Path) -> None:
    """The sender waits past them and Envoy keeps none, so that only the server can have ended the calls."""
    with envoy([pair.a], tmp_path, _keeps_no_deadlines) as proxy, held_run(pair.a, "limited"):
        flags = ("--rate", "4", "--duration", "1", "--arrivals", "uniform", "--deadline-ms", "200")
        with loading(proxy, "limited", tmp_path, *flags) as result:
            pass
    assert result.step["errors"] == {"DEADLINE_EXCEEDED": 4}


def test_messages_of_50_mb_go_both_ways(pair: Pair, proxy: Envoy) -> None:
    x = np.arange(50 * 2**20 // 4, dtype=FLOAT)[None]
    with InferenceServerClient(proxy.address) as client:
        found = client.infer("unknown_rank", [tensor("x", x)]).as_numpy("y")
    np.testing.assert_array_equal(found, x + 1)


SERVING = health_pb2.HealthCheckResponse.SERVING
STEADY = ("--rate", str(RATE), "--duration", str(SECONDS), "--connections", "4")


def service_config() -> str:
    """What docs/operations.md gives clients of gRPC."""
    (found,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(found)


class Caller:
    """A client of gRPC's own, with the documented service config and no proxy, which calls on and on."""

    def __init__(self, servers: Sequence[str]) -> None:
        options = [("grpc.service_config", service_config())]
        self._channel = grpc.insecure_channel("ipv4:" + ",".join(servers), options=options)
        self._infer = service_pb2_grpc.GRPCInferenceServiceStub(self._channel).ModelInfer
        x = service_pb2.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 2])
        x.contents.fp32_contents.extend([1, 2])
        self._request = service_pb2.ModelInferRequest(model_name="pass_through", inputs=[x])
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._call)
        self.answered = 0
        self.errors: list[str] = []

    def _call(self) -> None:
        while not self._end.wait(0.01):
            try:
                self._infer(self._request, timeout=20)
                self.answered += 1
            except grpc.RpcError as error:
                self.errors.append(f"{error.code()} {error.details()}")

    def __enter__(self) -> Caller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._channel.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_call_fails_when_one_of_two_ends(
    how: signal.Signals, pair: Pair, start: Start, tmp_path: Path
) -> None:
    """150 calls a second by the proxy, and some without: a drain by SIGTERM, and an end without any."""
    with start(1) as (other,), ExitStack() as stack:
        servers = [pair.b, other.address]
        proxy = stack.enter_context(envoy(servers, tmp_path))
        with Caller(servers) as caller, loading(proxy, "pass_through", tmp_path, *STEADY) as result:
            enough = RATE // 2
            proxy.wait_until(lambda: proxy.calls()[other.address] > enough, "not a call for it")
            proxy.wait_until(lambda: caller.answered > 10, "not a call without a proxy")
            other.serving.process.send_signal(how)
            if how == signal.SIGTERM:
                assert other.serving.status() == 0
            proxy.wait_for_healthy(pair.b)
            before = caller.answered
            proxy.wait_until(lambda: caller.answered > before + 10, "no call after it")
    assert result.step["errors"] == {}, result.step["error_texts"]
    assert result.step["calls"] > RATE * SECONDS / 2
    assert caller.errors == []


def test_page_shows_what_is_tried_here() -> None:
    """The policies of docs/operations.md are those of the file, and each test that it names is one."""
    text = PAGE.read_text()
    made = yaml.safe_load(CONFIG.read_text())
    (host,) = hosts(made)
    retries, breakers, *_ = (
        yaml.safe_load(part) for part in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[:2]
    )
    assert host["routes"][-1]["route"]["retry_policy"] == retries["retry_policy"]
    (thresholds,) = clusters(made)["grpc"]["circuit_breakers"]["thresholds"]
    assert thresholds["retry_budget"] == breakers["circuit_breakers"]["thresholds"][0]["retry_budget"]
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", text)
    assert named
    for file, test in named:
        assert f"def {test}(" in (Path(__file__).parent / file).read_text(), test


def _pings(made: dict[str, Any]) -> None:
    protocol(made)["connection_keepalive"] = {"interval": "1s", "timeout": "5s"}


def test_pings_each_second_close_no_connection(pair: Pair) -> None:
    """Of a proxy whose connections are idle: a server of gRPC's own defaults says GOAWAY (too_many_pings)."""
    with pair.behind(_pings) as proxy:
        call(proxy.address)
        call(proxy.address)
        opened = proxy.stat("cluster.grpc.upstream_cx_total")
        time.sleep(4)
        assert status_of(proxy.address) == "OK"
        assert proxy.stat("cluster.grpc.upstream_cx_close_notify") == 0
        assert proxy.stat("cluster.grpc.upstream_cx_total") == opened


@pytest.mark.parametrize(
    "settings",
    [
        {"initial_stream_window_size": 65_535, "initial_connection_window_size": 65_535},
        {"initial_stream_window_size": 2**31 - 1, "initial_connection_window_size": 2**31 - 1},
        {"hpack_table_size": 0},
        {"hpack_table_size": 2**16},
        {"max_concurrent_streams": 1},
    ],
    ids=lambda settings: "-".join(f"{name}={value}" for name, value in settings.items()),
)
def test_settings_of_http2_that_proxies_choose_are_kept_to(settings: dict[str, int], pair: Pair) -> None:
    """Many calls at once, small and large, with headers of which some are the same and some are not."""

    def set_them(made: dict[str, Any]) -> None:
        protocol(made).update(settings)

    def one(address: str, number: int) -> None:
        x = np.full((1 + number % 4 * 5_000, 2), number, FLOAT)
        with InferenceServerClient(address) as client:
            headers = {"x-number": str(number), "x-same": "same"}
            found = client.infer("pass_through", [tensor("x", x)], headers=headers)
            np.testing.assert_array_equal(found.as_numpy("same"), x)

    with pair.behind(set_them) as chosen, ThreadPoolExecutor(3) as pool:
        list(pool.map(partial(one, chosen.address), range(24)))
        assert chosen.stat("cluster.grpc.upstream_rq_retry") == 0


def test_browsers_call_by_grpc_web(proxy: Envoy) -> None:
    """HTTP/1.1 to Envoy, whose filter makes gRPC of it."""
    request = oip.ModelReadyRequest(name="pass_through").SerializeToString()
    asked = urllib.request.Request(
        f"http://{proxy.address}/inference.GRPCInferenceService/ModelReady",
        b"\0" + len(request).to_bytes(4, "big") + request,
        {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        body = answer.read()
        assert answer.headers["content-type"] == "application/grpc-web+proto"
    size = int.from_bytes(body[1:5], "big")
    assert oip.ModelReadyResponse.FromString(body[5 : 5 + size]).ready
    # the trailers are a frame of their own, whose first bit is set
    assert body[5 + size] == 0x80
    assert b"grpc-status:0" in body[5 + size + 5 :]


def test_rest_comes_through_the_same_port(proxy: Envoy) -> None:
    proxy.wait_until(lambda: len(proxy.healthy("rest")) == 2, "REST is not healthy")
    base = f"http://{proxy.address}"
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
    asked = urllib.request.Request(f"{base}/v2/models/pass_through/infer", json.dumps(body).encode())
    with urllib.request.urlopen(asked, timeout=20) as answer:
        outputs = {one["name"]: one["data"] for one in json.load(answer)["outputs"]}
    assert outputs == {"doubled": [2, 4], "same": [1, 2]}
    with urllib.request.urlopen(f"{base}/v1/models", timeout=20) as answer:
        assert answer.status == 200


def _tries_once(made: dict[str, Any]) -> None:
    (host,) = hosts(made)
    del host["routes"][-1]["route"]["retry_policy"]


def watching(channel: grpc.Channel, name: str) -> Any:
    """What health says of that name, as it changes, on one stream."""
    return health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=name), timeout=60)


def test_connections_that_grow_old_lose_no_call_and_no_stream(start: Start, tmp_path: Path) -> None:
    """They live for half a second, and nothing is tried twice; a stream without a word stays through it."""
    ages = ("--max-connection-age-s", "0.5", "--max-connection-idle-s", "0.5")
    with start(1, *ages) as (server,), envoy([server.address], tmp_path, _tries_once) as proxy:
        with (
            grpc.insecure_channel(proxy.address) as channel,
            InferenceServerClient(server.address) as control,
        ):
            silent = watching(channel, "unknown_rank")
            assert next(silent).status == SERVING
            with loading(proxy, "pass_through", tmp_path, *STEADY) as result:
                pass
            control.unload_model("unknown_rank")
            assert next(silent).status != SERVING
            silent.cancel()
        assert proxy.stat("cluster.grpc.upstream_cx_total") >= SECONDS
    assert result.step["errors"] == {}, result.step["error_texts"]
    assert result.step["calls"] > RATE * SECONDS / 2


def _shows(pems: Pems, authority: Path, folder: Path, health_port: int) -> Change:
    """The cluster speaks TLS and shows this certificate; health is asked in the clear, on its own port."""
    chain, key = folder / "envoy.crt", folder / "envoy.key"
    chain.write_bytes(pems.chain)
    key.write_bytes(pems.key)

    def change(made: dict[str, Any]) -> None:
        cluster = clusters(made)["grpc"]
        cluster["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": "localhost",
                "common_tls_context": {
                    "tls_certificates": [
                        {"certificate_chain": {"filename": str(chain)}, "private_key": {"filename": str(key)}}
                    ],
                    "validation_context": {
                        "trusted_ca": {"filename": str(authority)},
                        "match_typed_subject_alt_names": [
                            {"san_type": "DNS", "matcher": {"exact": "localhost"}}
                        ],
                    },
                },
            },
        }
        raw = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
        clear = {
            "name": "envoy.transport_sockets.raw_buffer",
            "typed_config": {"@type": f"type.googleapis.com/{raw}"},
        }
        cluster["transport_socket_matches"] = [
            {"name": "clear", "match": {"in_the_clear": True}, "transport_socket": clear}
        ]
        (check,) = cluster["health_checks"]
        check["transport_socket_match_criteria"] = {"in_the_clear": True}
        check["grpc_health_check"] = {"service_name": "readiness"}
        (locality,) = cluster["load_assignment"]["endpoints"]
        for one in locality["lb_endpoints"]:
            one["endpoint"]["health_check_config"] = {"port_value": health_port}
        # of REST nothing is said here
        made["static_resources"]["clusters"].remove(clusters(made)["rest"])
        (host,) = hosts(made)
        del host["routes"][0]

    return change


def test_mutual_tls_with_health_in_the_clear_and_names_that_are_allowed(start: Start, tmp_path: Path) -> None:
    """And a certificate that is renewed under load, as Kubernetes does it: no call fails."""
    authority, ca = trustme.CA(), tmp_path / "ca.crt"
    ca.write_bytes(authority.cert_pem.bytes())
    (tmp_path / "secret").mkdir()
    mounted = Mounted(tmp_path / "secret")
    mounted.swap(issued(authority, days=10), authority)
    web, health = "spiffe://cluster.local/ns/default/sa/web", free_port()
    flags = (
        *mounted.flags,
        "--tls-allow",
        web,
        "--health-port",
        str(health),
        "--max-connection-age-s",
        "0.5",
    )
    with start(1, *flags) as (server,):
        shows = partial(_shows, authority=ca, folder=tmp_path, health_port=health)
        with envoy([server.address], tmp_path, shows(spiffe(authority, web))) as proxy:
            with loading(proxy, "pass_through", tmp_path, *STEADY) as result:
                mounted.swap(issued(authority, days=20), authority)
            assert result.step["errors"] == {}, result.step["error_texts"]
        with envoy([server.address], tmp_path, shows(spiffe(authority, web + "/evil"))) as proxy:
            assert status_of(proxy.address) == "PERMISSION_DENIED"


def _weighs(made: dict[str, Any]) -> None:
    """By what the servers' answers say of their load (ORCA)."""
    cluster = clusters(made)["grpc"]
    del cluster["lb_policy"]
    policy = "envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3"
    cluster["load_balancing_policy"] = {
        "policies": [
            {
                "typed_extension_config": {
                    "name": "envoy.load_balancing_policies.client_side_weighted_round_robin",
                    "typed_config": {
                        "@type": f"type.googleapis.com/{policy}.ClientSideWeightedRoundRobin",
                        "blackout_period": "1s",
                        "weight_update_period": "0.5s",
                    },
                }
            }
        ]
    }


@pytest.mark.slow
def test_calls_go_to_the_server_that_has_less_to_do(tmp_path: Path) -> None:
    """One of two is nine times as slow, and says so in the trailers of its answers."""
    with (
        unequal_servers(tmp_path, "--load-reports", "always") as servers,
        envoy(servers, tmp_path, _weighs) as proxy,
        grpc.insecure_channel(proxy.address) as channel,
    ):
        found = shares(channel, until_s=6.0, warm_up_s=2.0)
    assert found.ratio >= 4, found
