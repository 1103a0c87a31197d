"""Who comes in over HTTP, and through which door: TLS, keys, Triton's restricted APIs, several processes,
pages of the web. Each server's gRPC port speaks HTTP too, and keeps to the same rules."""

from __future__ import annotations

import contextlib
import http.client
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme
from tritonclient.grpc import InferenceServerClient as GrpcClient
from tritonclient.http import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from hotgraph_server.access.keys import hashed, new_key

from ..ports import free_port
from ..saved_models import SavedModels
from .command import serve
from .http_server import PATIENCE_S, Answer, HttpServer, ask, ask_on, infer_path, raw, two

BODY = {"inputs": two()}
INFER = infer_path("simple")
INFERS, CONTROLS = new_key(), new_key()


def sums(client: InferenceServerClient, **headers: str) -> Any:
    a, b = InferInput("a", [1, 3], "FP32"), InferInput("b", [1, 3], "INT32")
    a.set_data_from_numpy(np.array([[1, 2, 3]], np.float32))
    b.set_data_from_numpy(np.array([[4, 5, 6]], np.int32), binary_data=False)
    return client.infer("simple", [a, b], headers=headers).as_numpy("sum").tolist()


@contextlib.contextmanager
def started(saved_models: SavedModels, *flags: str) -> Iterator[HttpServer]:
    server = HttpServer(f"simple={saved_models['two_in_two_out']}", *flags)
    try:
        yield server
    finally:
        server.close()


class Certificates:
    """Of a server, and of callers; `flags` are the server's."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        server = self.authority.issue_cert("127.0.0.1", "localhost")
        self.chain, self.key, self.root = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
        self.chain.write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
        self.key.write_bytes(server.private_key_pem.bytes())
        self.authority.cert_pem.write_to_path(str(self.root))
        self.flags = ("--tls-cert", str(self.chain), "--tls-key", str(self.key))

    def context(self, *, known: bool = False) -> ssl.SSLContext:
        """A caller's; `known`: it has a certificate."""
        context = ssl.create_default_context(cafile=str(self.root))
        if known:
            self.authority.issue_cert("caller").configure_cert(context)
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


def ask_over_tls(port: int, context: ssl.SSLContext, *asked: Any) -> Answer:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE_S, context=context)
    with contextlib.closing(connection):
        return ask_on(connection, *asked)


class TestTls:
    def test_both_ports_have_it_and_speak_both(
        self, saved_models: SavedModels, certificates: Certificates
    ) -> None:
        context = certificates.context()
        with started(saved_models, *certificates.flags) as server:
            grpc_port = int(server.address.rpartition(":")[2])
            for port in (server.port, grpc_port):
                answer = ask_over_tls(port, context, "POST", INFER, BODY)
                assert answer.output("sum")["data"] == [5, 7, 9]
                channel = grpc.ssl_channel_credentials(certificates.root.read_bytes())
                with GrpcClient(f"localhost:{port}", creds=channel) as client:
                    assert client.is_model_ready("simple")
                # In the clear nobody is answered.
                assert b"200" not in _what_comes_back(port)
            made = {"ssl": True, "ssl_context_factory": lambda: context}
            with InferenceServerClient(f"localhost:{server.port}", **made) as client:
                assert sums(client) == [[5, 7, 9]]
                assert client.is_server_ready()

    def test_only_callers_with_a_certificate_where_that_is_asked_for(
        self, saved_models: SavedModels, certificates: Certificates
    ) -> None:
        flags = (*certificates.flags, "--tls-client-ca", str(certificates.root))
        with started(saved_models, *flags) as server:
            known = certificates.context(known=True)
            assert ask_over_tls(server.port, known, "GET", "/v2/health/live").status == 200
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
                ask_over_tls(server.port, certificates.context(), "GET", "/v2/health/live")


def _what_comes_back(port: int) -> bytes:
    with contextlib.suppress(ConnectionError):
        return raw(port, b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
    return b""


@pytest.fixture(scope="module")
def keyed(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    file = tmp_path_factory.mktemp("keys") / "auth.toml"
    groups = {"infer": INFERS, "metadata": INFERS, "control": CONTROLS}
    file.write_text("".join(f'[groups.{name}]\nkeys = ["{hashed(key)}"]\n' for name, key in groups.items()))
    with started(saved_models, "--auth", str(file)) as server:
        yield server


class TestKeys:
    @pytest.mark.parametrize(
        ("method", "path", "body", "own", "other"),
        [
            ("POST", INFER, BODY, INFERS, CONTROLS),
            ("POST", "/v2/models/simple/generate", {"a": [1, 2, 3], "b": [1, 2, 3]}, INFERS, CONTROLS),
            ("GET", "/v2/models/simple", None, INFERS, CONTROLS),
            ("GET", "/v2/models", None, INFERS, CONTROLS),
            ("GET", "/v2/models/stats", None, INFERS, CONTROLS),
            ("POST", "/v2/repository/index", None, INFERS, CONTROLS),
            ("GET", "/v2/logging", None, CONTROLS, INFERS),
            ("POST", "/v2/trace/setting", {}, CONTROLS, INFERS),
        ],
        # Keys are others in each process that runs tests, which shall collect the same.
        ids=["infer", "generate", "metadata", "models", "statistics", "index", "log", "trace"],
    )
    def test_each_group_needs_its_own_at_every_door(
        self, keyed: HttpServer, method: str, path: str, body: Any, own: str, other: str
    ) -> None:
        for port in (keyed.port, int(keyed.address.rpartition(":")[2])):
            refused = ask(port, method, path, body)
            assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert refused.error
            assert ask(port, method, path, body, authorization=f"Bearer {new_key()}").status == 401
            assert ask(port, method, path, body, authorization=f"Bearer {other}").status == 403
            assert ask(port, method, path, body, authorization=f"Bearer {own}").status == 200

    def test_health_needs_none(self, keyed: HttpServer) -> None:
        for what in ("live", "ready"):
            assert keyed.get(f"/v2/health/{what}").status == 200

    def test_who_may_not_is_refused_before_it_sends(self, keyed: HttpServer) -> None:
        length = "Content-Length: 1000000000\r\nExpect: 100-continue"
        said = raw(keyed.port, f"POST {INFER} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode())
        assert said.startswith((b"HTTP/1.1 401", b"HTTP/1.1 413"))

    def test_clients_send_theirs(self, keyed: HttpServer) -> None:
        with InferenceServerClient(keyed.url) as client:
            with pytest.raises(InferenceServerException) as caught:
                sums(client)
            assert caught.value.status() == "401"
            assert sums(client, authorization=f"Bearer {INFERS}") == [[5, 7, 9]]


class TestRestrictedApis:
    def test_they_need_their_header(self, saved_models: SavedModels) -> None:
        restricted = "--http-restricted-api"
        flags = (restricted, "model-repository,health:admin-key=v1", restricted, "inference:infer-key=v2")
        with started(saved_models, *flags) as server:
            for port in (server.port, int(server.address.rpartition(":")[2])):
                assert ask(port, "GET", "/v2/models/simple").status == 200
                for method, path, body, name, value in (
                    ("POST", INFER, BODY, "infer-key", "v2"),
                    ("POST", "/v2/models/simple/generate", {"a": [1] * 3, "b": [1] * 3}, "infer-key", "v2"),
                    ("POST", "/v2/repository/index", None, "admin-key", "v1"),
                    ("GET", "/v2/models", None, "admin-key", "v1"),
                    ("GET", "/v2/health/live", None, "admin-key", "v1"),
                ):
                    text = f"This API is restricted, expecting header '{name}'"
                    assert ask(port, method, path, body).refusal == (403, text)
                    assert ask(port, method, path, body, **{name: "other"}).refusal == (403, text)
                    assert ask(port, method, path, body, **{name: value}).status == 200
            # It says nothing of gRPC.
            with GrpcClient(server.address) as client:
                assert client.is_server_live()

    def test_restrictions_of_grpc_alone_leave_no_door_open_beside(self, saved_models: SavedModels) -> None:
        words = (f"simple={saved_models['two_in_two_out']}", "--port", "0")
        import argparse

        from hotgraph_server.commands import serve as command
        from hotgraph_server.server import Server

        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        flags = ("--grpc-restricted-protocol", "inference:infer-key=v", "--admin-port", "0")
        server = Server(command.settings_from(vars(parser.parse_args([*words, *flags]))))
        server.start()
        try:
            assert server.rest_address is None
            port = int(server.address.rpartition(":")[2])
            assert b"200" not in _what_comes_back(port)
        finally:
            server.stop()


class TestPagesOfTheWeb:
    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/v2/repository/models/simple/unload", None),
            ("/v2/repository/models/simple/load", None),
            ("/v2/logging", {"log_info": False}),
            ("/v2/trace/setting", {"trace_rate": "1"}),
            ("/v2/systemsharedmemory/unregister", None),
        ],
    )
    def test_they_change_nothing(self, http_server: HttpServer, path: str, body: Any) -> None:
        answer = http_server.post(path, body, origin="http://evil.example")
        assert (answer.status, "Origin" in answer.error) == (403, True)
        assert "access-control-allow-origin" not in answer.headers

    def test_from_anywhere_they_may_call_only_where_that_is_allowed(
        self, saved_models: SavedModels, tmp_path: Path
    ) -> None:
        file = tmp_path / "server.toml"
        file.write_text("rest_cors = true\n")
        with started(saved_models, "--config", str(file)) as server:
            asked = server.ask("OPTIONS", INFER, Origin="http://x", Access_Control_Request_Method="POST")
            assert asked.status == 200
            assert asked.headers["access-control-allow-origin"] == "*"
            allowed = asked.headers["access-control-allow-headers"]
            assert "Inference-Header-Content-Length" in allowed
            answer = server.post(INFER, BODY, origin="http://x")
            assert answer.headers["access-control-allow-origin"] == "*"
            assert server.get("/nowhere").headers["access-control-allow-origin"] == "*"


def test_without_the_fast_lane_its_port_answers_alike(saved_models: SavedModels) -> None:
    with started(saved_models, "--no-fast-lane") as server:
        assert server.post(INFER, BODY).output("sum")["data"] == [5, 7, 9]
        with InferenceServerClient(server.url) as client, GrpcClient(server.address) as other:
            assert sums(client) == [[5, 7, 9]]
            assert other.is_model_ready("simple")
            assert client.get_inference_statistics("simple")["model_stats"][0]["inference_count"] == 2


def test_several_processes_answer_and_change_nothing(saved_models: SavedModels) -> None:
    rest, admin = free_port(), free_port()
    ports = ("--port", "0", "--rest-port", str(rest), "--admin-port", str(admin))
    words = (f"simple={saved_models['two_in_two_out']}", *ports, "--processes", "2")
    with serve(*words) as serving:
        with contextlib.ExitStack() as stack:
            callers = [
                stack.enter_context(
                    contextlib.closing(http.client.HTTPConnection("127.0.0.1", rest, timeout=PATIENCE_S))
                )
                for _ in range(4)
            ]
            for _ in range(3):
                for caller in callers:
                    answer = ask_on(caller, "POST", INFER, BODY)
                    assert answer.output("sum")["data"] == [5, 7, 9]
            assert ask_on(callers[0], "GET", "/v2/health/ready").status == 200
            counts = {
                line.partition('process="')[2][0]: float(line.rpartition(" ")[2])
                for line in ask(admin, "GET", "/metrics").body.decode().splitlines()
                if line.startswith("hotgraph_calls_total") and 'outcome="answered"' in line
            }
            assert sum(counts.values()) == 12
            for path, body in (
                ("/v2/repository/models/simple/unload", None),
                ("/v2/logging", {"log_info": False}),
                ("/v2/trace/setting", {"trace_rate": "1"}),
            ):
                answer = ask_on(callers[0], "POST", path, body)
                assert "--processes 1 takes it" in answer.error
        serving.process.send_signal(signal.SIGTERM)
        assert serving.status() == 0
