"""Health on a port of its own, beside a server whose own port says something else or nothing."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes as Setting

from hotgraph_protos import health as pb
from hotgraph_server.errors import AccessDenied, CallError, StartError
from hotgraph_server.transport import health_port
from hotgraph_server.transport.health import LIST, Health
from hotgraph_server.transport.health_port import HealthPort
from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.service import Admit

from ..fakes import until
from .conftest import PATIENCE_S
from .http2.conftest import Caller
from .http2.peer import REQUEST, greeting
from .test_health import NOT_SERVING, SERVING, check, next_status, watch

Open = Callable[..., HealthPort]
CHECK = "/grpc.health.v1.Health/Check"


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def open_port(health: Health) -> Iterator[Open]:
    ports: list[HealthPort] = []

    def open_one(admit: Admit | None = None) -> HealthPort:
        port = HealthPort("127.0.0.1", 0, health.service, admit)
        ports.append(port)
        port.start()
        return port

    yield open_one
    for port in ports:
        port.stop()


@pytest.fixture
def channel(open_port: Open) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(open_port().address) as channel:
        yield channel


def raw(channel: grpc.Channel, path: str, message: bytes) -> bytes:
    method: Any = channel.unary_unary(path)
    return bytes(method(message, timeout=PATIENCE_S))


def listed(channel: grpc.Channel) -> dict[str, int]:
    answer = pb.HealthListResponse.FromString(raw(channel, LIST, b""))
    return {name: int(one.status) for name, one in answer.statuses.items()}


def test_server_that_loads_is_live_and_not_ready(channel: grpc.Channel) -> None:
    assert check(channel, "liveness") == SERVING
    assert [check(channel, name) for name in ("", "readiness")] == [NOT_SERVING] * 2


def test_server_that_serves_is_ready_with_its_models_and_services(
    health: Health, channel: grpc.Channel
) -> None:
    health.serving(["model", "a.Service"])
    names = ("", "liveness", "readiness", "model", "a.Service")
    assert [check(channel, name) for name in names] == [SERVING] * 5


def test_server_that_drains_is_live_and_not_ready_and_goes_on_saying_so(
    health: Health, channel: grpc.Channel
) -> None:
    health.serving(["model"])
    live, ready = watch(channel, "liveness"), watch(channel, "readiness")
    assert (next_status(live), next_status(ready)) == (SERVING, SERVING)
    health.drain()
    assert next_status(ready) == NOT_SERVING
    with pytest.raises(StopIteration):
        next(ready)
    assert check(channel, "liveness") == SERVING
    assert [check(channel, name) for name in ("", "readiness", "model")] == [NOT_SERVING] * 3
    # Its watchers hear on: it may still end.
    health.live(False)
    assert next_status(live) == NOT_SERVING


def test_server_that_hangs_is_not_live_and_may_be_ready(health: Health, channel: grpc.Channel) -> None:
    health.serving([])
    watching = watch(channel, "liveness")
    assert next_status(watching) == SERVING
    health.live(False)
    assert next_status(watching) == NOT_SERVING
    assert check(channel, "readiness") == SERVING
    health.live(True)
    assert next_status(watching) == SERVING
    watching.cancel()


def test_liveness_is_each_processs_own(health: Health, channel: grpc.Channel) -> None:
    health.serving([])
    health.of_all(False)
    assert (check(channel, "readiness"), check(channel, "liveness")) == (NOT_SERVING, SERVING)


def test_model_that_is_called_like_a_probe_changes_no_probe(health: Health, channel: grpc.Channel) -> None:
    health.not_serving(["liveness", "readiness", ""])
    assert check(channel, "liveness") == SERVING
    health.live(False)
    health.serving(["liveness"])
    assert check(channel, "liveness") == NOT_SERVING
    health.not_serving(["readiness"])
    assert check(channel, "readiness") == SERVING


def test_list_has_every_name_with_its_status(health: Health, channel: grpc.Channel) -> None:
    health.serving(["model"])
    health.not_serving(["other"])
    assert listed(channel) == {
        "": SERVING,
        "liveness": SERVING,
        "readiness": SERVING,
        "model": SERVING,
        "other": NOT_SERVING,
    }
    health.drain()
    assert listed(channel) == dict.fromkeys(listed(channel), NOT_SERVING) | {"liveness": SERVING}


def test_list_alone_needs_what_its_group_does(open_port: Open) -> None:
    """Names of models are told to who may have them; a probe brings no key."""

    def nobody(path: str, header: Callable[[str], str | None]) -> CallError:
        return AccessDenied("metadata", closed=True)

    with grpc.insecure_channel(open_port(nobody).address) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            listed(channel)
        assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert check(channel, "liveness") == SERVING
        assert next_status(watch(channel, "liveness")) == SERVING


@pytest.mark.parametrize(
    "path",
    [
        "/inference.GRPCInferenceService/ServerLive",
        "/inference.GRPCInferenceService/ModelInfer",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics",
    ],
)
def test_nothing_else_is_answered(channel: grpc.Channel, path: str) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        raw(channel, path, b"")
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_http_is_not_spoken(open_port: Open) -> None:
    with socket.create_connection(_address(open_port()), PATIENCE_S) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        answer = b""
        while data := sock.recv(4096):
            answer += data
    assert b"HTTP/1.1 200" not in answer


def test_oldest_connection_makes_way_for_one_more(
    open_port: Open, monkeypatch: pytest.MonkeyPatch, health: Health
) -> None:
    """Whoever holds connections keeps no probe out."""
    monkeypatch.setattr(health_port, "MAX_CONNECTIONS", 4)
    port = open_port()
    silent = [socket.create_connection(_address(port), PATIENCE_S) for _ in range(8)]
    try:
        for _ in range(3):
            with grpc.insecure_channel(port.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                assert check(channel, "liveness") == SERVING
        for sock in silent[:5]:
            assert sock.recv(1) == b""
    finally:
        for sock in silent:
            sock.close()


def test_whoever_crowds_in_loses_connections_of_his_own(
    open_port: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand connections of one address put no probe out that came before them from another."""
    monkeypatch.setattr(health_port, "MAX_CONNECTIONS", 4)
    address = _address(open_port())
    try:
        probe = socket.create_connection(address, PATIENCE_S, ("127.0.0.2", 0))
    except OSError:
        pytest.skip("this system has one address of its own only")
    with contextlib.ExitStack() as stack:
        stack.enter_context(probe)
        probe.sendall(greeting())
        for _ in range(20):
            crowd = stack.enter_context(socket.create_connection(address, PATIENCE_S))
            crowd.sendall(greeting())
            assert crowd.recv(100)
        probe.sendall(frames.frame(frames.PING, 0, 0, b"are you?"))
        heard = b""
        while b"are you?" not in heard:
            piece = probe.recv(4096)
            assert piece, "it had to go"
            heard += piece


def test_who_holds_messages_back_or_reads_no_answer_keeps_no_probe_from_its_own(
    open_port: Open, health: Health
) -> None:
    health.serving(f"model {number:0100}" for number in range(200))
    port = open_port()
    held = (16 << 10).to_bytes(5, "big") + bytes((16 << 10) - 1)
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            caller = Caller(_address(port)[1])
            stack.callback(caller.close)
            caller.client.h2.update_settings({Setting.INITIAL_WINDOW_SIZE: 0})
            caller.ping()
            for number in range(60):
                path, message = (LIST, bytes(5)) if number % 2 else (CHECK, held)
                headers = {**dict(REQUEST), ":path": path}
                stream = caller.client.request(headers=list(headers.items()))
                with contextlib.suppress(StreamClosedError):
                    caller.send(stream, message, end=bool(number % 2))
            caller.ping()
        with grpc.insecure_channel(port.address) as channel:
            for name in ("liveness", "readiness"):
                assert check(channel, name) == SERVING


def test_message_that_is_no_name_is_refused_and_the_next_caller_answered(channel: grpc.Channel) -> None:
    for message in (b"\xff" * 8, bytes(64 << 10)):
        with pytest.raises(grpc.RpcError):
            raw(channel, CHECK, message)
    assert check(channel, "liveness") == SERVING


def test_compressed_question_is_answered(open_port: Open) -> None:
    with grpc.insecure_channel(open_port().address, compression=grpc.Compression.Gzip) as channel:
        request = health_pb2.HealthCheckRequest(service="liveness")
        stub = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(request, timeout=PATIENCE_S).status == SERVING


def test_port_in_use_is_told_with_its_flag(open_port: Open, health: Health) -> None:
    _, port = _address(open_port())
    with pytest.raises(StartError, match=f"health-port {port}: "):
        HealthPort("127.0.0.1", port, health.service)


def test_stopped_port_is_closed(health: Health) -> None:
    port = HealthPort("127.0.0.1", 0, health.service)
    port.start()
    port.stop()

    def is_closed() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(_address(port)) != 0

    until(is_closed)


def _address(port: HealthPort) -> tuple[str, int]:
    host, _, number = port.address.rpartition(":")
    return host, int(number)
