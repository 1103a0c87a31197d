"""What `hotgraph fleet envoy` writes, to a real Envoy: it takes it, and calls go where their model is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from hotgraph_server.fleet.envoy import HEADER, config

from .envoy import clusters, running
from .fleet_envoy import fleet_envoy, short, spec, write
from .unequal_servers import shares, unequal_servers

SERVICE = "inference.GRPCInferenceService"
MODELS = [f"m{number}" for number in range(600)]
CALLS = 12
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


pytestmark = pytest.mark.usefixtures("envoy_program")


class _SaysWhoItIs(grpc.GenericRpcHandler):
    """`Echo` answers what it is told, all others who it is; `Refuse` refuses where the call says so."""

    def __init__(self, name: str, metadata: list[dict[str, Any]]) -> None:
        self._name, self._metadata = name, metadata

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        if details.method.startswith("/grpc.health"):
            return None
        said = dict(details.invocation_metadata or ())
        self._metadata.append(said)

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            if details.method.endswith("/Refuse") and said["refused-by"] == self._name:
                context.abort(grpc.StatusCode.UNAVAILABLE, "it drains")
            return request if details.method.endswith("/Echo") else self._name.encode()

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def servers(count: int) -> Iterator[tuple[list[str], list[dict[str, Any]]]]:
    """So many that answer each call with their address, and what their callers said."""
    started, addresses, metadata = [], [], list[dict[str, Any]]()
    for _ in range(count):
        server = grpc.server(ThreadPoolExecutor(2, "fake replica"), options=UNLIMITED)
        healthy = health.HealthServicer()
        healthy.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.add_generic_rpc_handlers((_SaysWhoItIs(address, metadata),))
        server.start()
        started.append(server)
        addresses.append(address)
    try:
        yield addresses, metadata
    finally:
        for server in started:
            server.stop(0).wait()


@pytest.mark.parametrize("everywhere", [False, True])
def test_envoy_takes_what_is_written(everywhere: bool, envoy_program: Path, tmp_path: Path) -> None:
    of = spec(tmp_path, everywhere=everywhere)
    write(of, {"127.0.0.1:8500": ["a"]})
    written = tmp_path / "envoy.yaml"
    written.write_text(config(of))
    command = [str(envoy_program), "--mode", "validate", "-c", str(written), "--log-level", "error"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr


def test_calls_go_where_their_model_is_and_a_change_holds_at_once(tmp_path: Path) -> None:
    """Each of hundreds of models on two of three servers, then on two others; and one on the fourth alone."""
    of = spec(tmp_path)
    with servers(4) as (addresses, metadata):

        def placed(turn: int) -> dict[str, list[str]]:
            spread = [
                [name for number, name in enumerate(MODELS) if (number + turn) % 3 != index]
                for index in range(3)
            ]
            return dict(zip(addresses, [*spread, ["alone"]], strict=True))

        write(of, placed(0))
        with fleet_envoy(of) as proxy, grpc.insecure_channel(proxy.address) as channel:
            proxy.wait_for_healthy(*addresses)
            call: Any = channel.unary_unary("/a.Service/Method")

            def answering(model: str = "") -> set[str]:
                said = [(HEADER, model)] if model else []
                said.append(("x-hotgraph-forwarded", "1"))
                return {call(b"", metadata=said, timeout=20).decode() for _ in range(CALLS)}

            def having(model: str, turn: int) -> set[str]:
                return {address for address, models in placed(turn).items() if model in models}

            assert answering("alone") == {addresses[3]}
            for model in MODELS[::150]:
                assert answering(model) <= having(model, 0)
            # Who says nothing, or what nobody has, may get to anybody.
            assert answering() <= set(addresses)
            assert answering("nobody's") <= set(addresses)
            assert all("x-hotgraph-forwarded" not in said for said in metadata)
            for turn in (1, 2):
                write(of, placed(turn))
                gone = next(iter(having("m0", turn - 1) - having("m0", turn)))
                proxy.wait_until(lambda gone=gone: gone not in answering("m0"), "the change is not seen")  # type: ignore[misc]
                for model in MODELS[::150]:
                    assert answering(model) <= having(model, turn)


def test_who_is_taken_off_the_list_gets_no_call_though_it_is_healthy(tmp_path: Path) -> None:
    of = spec(tmp_path)
    with servers(2) as (addresses, _):
        write(of, {address: ["a"] for address in addresses})
        with fleet_envoy(of) as proxy, grpc.insecure_channel(proxy.address) as channel:
            proxy.wait_for_healthy(*addresses)
            call: Any = channel.unary_unary("/a.Service/Method")
            write(of, {addresses[0]: ["a"]})
            proxy.wait_for_healthy(addresses[0])
            answers = {call(b"", metadata=[(HEADER, "a")], timeout=20).decode() for _ in range(CALLS)}
            assert answers == {addresses[0]}


def test_what_one_refuses_is_tried_on_another_that_has_the_model(tmp_path: Path) -> None:
    of = spec(tmp_path)
    with servers(3) as (addresses, _):
        write(of, {addresses[0]: ["a"], addresses[1]: ["a"], addresses[2]: ["b"]})
        with fleet_envoy(of) as proxy, grpc.insecure_channel(proxy.address) as channel:
            proxy.wait_for_healthy(*addresses)
            call: Any = channel.unary_unary("/a.Service/Refuse")
            said = [(HEADER, "a"), ("refused-by", addresses[0])]
            answers = {call(b"", metadata=said, timeout=20).decode() for _ in range(CALLS)}
            assert answers == {addresses[1]}


def test_messages_of_50_mb_go_both_ways(tmp_path: Path) -> None:
    of = spec(tmp_path)
    with servers(1) as (addresses, _):
        write(of, {addresses[0]: ["a"]})
        with fleet_envoy(of) as proxy, grpc.insecure_channel(proxy.address, UNLIMITED) as channel:
            proxy.wait_for_healthy(*addresses)
            call: Any = channel.unary_unary("/a.Service/Echo")
            message = bytes(50_000_000)
            assert call(message, metadata=[(HEADER, "a")], timeout=60) == message


@pytest.mark.slow
def test_where_every_model_is_everywhere_the_server_that_has_less_to_do_gets_the_calls(
    tmp_path: Path,
) -> None:
    """One of two is nine times as slow; both tell beside the calls, unasked."""
    of = spec(tmp_path, everywhere=True)
    made = short(of)
    (policy,) = clusters(made)["grpc"]["load_balancing_policy"]["policies"]
    policy["typed_extension_config"]["typed_config"] |= {
        "blackout_period": "1s",
        "weight_update_period": "0.5s",
    }
    with unequal_servers(tmp_path) as unequal:
        write(of, {server: ["work"] for server in unequal})
        with running(made, tmp_path) as proxy, grpc.insecure_channel(proxy.address) as channel:
            proxy.wait_for_healthy(*unequal)
            found = shares(channel, until_s=7.0, warm_up_s=3.0)
    assert found.ratio >= 4, found
