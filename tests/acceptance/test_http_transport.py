"""HTTP itself, against a real server: codings, lengths, connections that go on, queues, callers who leave,
and the end of a server. Where Triton crashes, hangs or is silent, what happens here."""

from __future__ import annotations

import gzip
import http.client
import json
import signal
import socket
import zlib
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient as GrpcClient

from ..ports import free_port
from ..saved_models import SavedModels
from .command import serve
from .http_server import (
    PATIENCE_S,
    Answer,
    HttpServer,
    ask,
    ask_on,
    infer_path,
    tensor,
    two,
)
from .triton_tensors import tensor as grpc_tensor

Hold = Callable[..., AbstractContextManager[None]]

EXPECT = "Expect: 100-continue"
BODY = json.dumps({"inputs": two()}).encode()
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "x-gzip": gzip.compress,
}
UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}
COUNT = 1000
MANY = json.dumps({"inputs": [tensor("x", "FP32", [COUNT, 2], [0.5] * 2 * COUNT)]}).encode()


def doubling(http_server: HttpServer, model: str, **parameters: Any) -> Answer:
    return http_server.infer(model, [tensor("x", "FP32", [1, 2], [1, 2])], parameters=parameters)


def head(path: str, *headers: str, method: str = "POST", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: x", *headers, "", ""]
    return "\r\n".join(lines).encode()


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def answers(data: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each of several answers behind one another."""

    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = int(headers["content-length"])
        found.append((int(first.split(" ")[1]), rest[:length]))
        data = rest[length:]
    return found


class TestCodings:
    @pytest.mark.parametrize("coding", PACK)
    def test_requests_may_be_packed(self, http_server: HttpServer, coding: str) -> None:
        answer = http_server.post(infer_path("simple"), PACK[coding](BODY), content_encoding=coding)
        assert answer.output("sum")["data"] == [5, 7, 9]

    def test_lengths_are_of_what_is_unpacked(self, http_server: HttpServer) -> None:
        inputs = [tensor("a", "FP32", [1, 3], binary_data_size=12), two()[1]]
        text = json.dumps({"inputs": inputs}).encode()
        answer = http_server.post(
            *(infer_path("simple"), gzip.compress(text + bytes(12))),
            content_encoding="gzip",
            inference_header_content_length=str(len(text)),
        )
        assert answer.output("sum")["data"] == [4, 5, 6]

    def test_identity_is_none(self, http_server: HttpServer) -> None:
        assert http_server.post(infer_path("simple"), BODY, content_encoding="identity").status == 200

    def test_one_that_nobody_knows_hears_those_that_are(self, http_server: HttpServer) -> None:
        answer = http_server.post(infer_path("simple"), BODY, content_encoding="br")
        assert (answer.status, answer.headers["accept-encoding"]) == (415, "gzip, deflate")
        assert "br" in answer.error

    @pytest.mark.parametrize("coding", ["gzip", "deflate"])
    @pytest.mark.parametrize("spoil", [lambda data: data[:-3], lambda data: b"x" + data, lambda data: b""])
    def test_what_is_not_so_packed_is_refused(self, http_server: HttpServer, coding: str, spoil: Any) -> None:
        body = spoil(PACK[coding](BODY))
        status, text = http_server.post(infer_path("simple"), body, content_encoding=coding).refusal
        assert status == 400
        assert coding in text or text == "nothing to be decompressed" or "JSON" in text

    @pytest.mark.parametrize(
        ("accept", "coding"),
        [
            *(("gzip", "gzip"), ("deflate", "deflate"), ("GZIP", "gzip"), ("gzip, deflate", "gzip")),
            *(("gzip;q=0.1, deflate;q=0.9", "deflate"), ("identity;q=1, gzip;q=0.5", ""), ("*", "")),
            *(("br", ""), ("gzip;q=0", "")),
        ],
    )
    def test_answers_are_packed_as_the_caller_prefers(
        self, http_server: HttpServer, accept: str, coding: str
    ) -> None:
        answer = http_server.post(infer_path("shared"), MANY, accept_encoding=accept)
        assert answer.headers.get("content-encoding", "") == coding
        body = UNPACK[coding](answer.body) if coding else answer.body
        assert json.loads(body)["outputs"][0]["data"] == [1.0] * 2 * COUNT

    def test_a_length_is_of_json_before_it_is_packed(self, http_server: HttpServer) -> None:
        outputs = [{"name": "same", "parameters": {"binary_data": True}}]
        body = json.dumps({**json.loads(MANY), "outputs": outputs}).encode()
        answer = http_server.post(infer_path("shared"), body, accept_encoding="gzip")
        unpacked = gzip.decompress(answer.body)
        length = int(answer.headers["inference-header-content-length"])
        assert json.loads(unpacked[:length])["outputs"][0]["parameters"] == {"binary_data_size": 8 * COUNT}
        assert len(unpacked) == length + 8 * COUNT

    def test_only_answers_of_models_are_packed(self, http_server: HttpServer) -> None:
        answer = http_server.get("/v2/models/stats", accept_encoding="gzip")
        assert len(answer.json["model_stats"]) > 3
        assert "content-encoding" not in answer.headers

    def test_little_is_not_worth_it(self, http_server: HttpServer) -> None:
        answer = http_server.post(infer_path("simple"), BODY, accept_encoding="gzip")
        assert "content-encoding" not in answer.headers


class TestBodies:
    @pytest.mark.parametrize("size", [1, 7, 1000])
    def test_they_may_come_in_chunks(self, http_server: HttpServer, size: int) -> None:
        data = head(infer_path("simple"), "Transfer-Encoding: chunked", "Connection: close")
        ((status, body),) = answers(http_server.raw(data + chunked(BODY, size)))
        assert status == 200
        assert json.loads(body)["outputs"][0]["name"] in ("sum", "product")

    def test_chunks_may_have_tensors_behind_their_json(self, http_server: HttpServer) -> None:
        inputs = [tensor("a", "FP32", [1, 3], binary_data_size=12), two()[1]]
        text = json.dumps({"inputs": inputs, "outputs": [{"name": "sum"}]}).encode()
        data = head(
            *(infer_path("simple"), "Transfer-Encoding: chunked", "Connection: close"),
            f"Inference-Header-Content-Length: {len(text)}",
        )
        ((status, body),) = answers(http_server.raw(data + chunked(text + bytes(12), 5)))
        assert (status, json.loads(body)["outputs"][0]["data"]) == (200, [4, 5, 6])

    def test_six_hundred_thousand_chunks_of_a_byte(self, http_server: HttpServer) -> None:
        body = BODY + b" " * 600_000
        data = head(infer_path("simple"), "Transfer-Encoding: chunked", "Connection: close")
        ((status, _),) = answers(http_server.raw(data + chunked(body, 1)))
        assert status == 200

    def test_without_a_length_there_is_none(self, http_server: HttpServer) -> None:
        ((status, body),) = answers(http_server.raw(head(infer_path("simple"), "Connection: close")))
        assert (status, json.loads(body)["error"][:12]) == (400, "failed to pa")

    @pytest.mark.parametrize(
        ("headers", "body", "status"),
        [
            (["Transfer-Encoding: chunked"], b"zz\r\nabc\r\n0\r\n\r\n", 400),
            (["Transfer-Encoding: chunked"], b"-1\r\n\r\n", 400),
            (["Content-Length: x"], b"", 400),
            (["Content-Length: -1"], b"", 400),
            (["Content-Length: 3", "Transfer-Encoding: chunked"], b"0\r\n\r\n", 400),
            (["Content-Length: 3", "Content-Length: 4"], b"abcd", 400),
            ([f"Content-Length: {1 << 60}"], b"", 413),
        ],
    )
    def test_lengths_that_cannot_be_are_told_and_the_connection_ends(
        self, http_server: HttpServer, headers: Any, body: bytes, status: int
    ) -> None:
        ((found, said),) = answers(http_server.raw(head(infer_path("simple"), *headers) + body))
        assert (found, "error" in json.loads(said)) == (status, True)

    def test_who_asks_whether_to_go_on_is_told_so(self, http_server: HttpServer) -> None:
        with socket.create_connection(("127.0.0.1", http_server.port), PATIENCE_S) as connection:
            length = f"Content-Length: {len(BODY)}"
            connection.sendall(
                head(infer_path("simple"), length, "Expect: 100-continue", "Connection: close")
            )
            assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(BODY)
            assert connection.recv(12) == b"HTTP/1.1 200"

    def test_who_asks_so_for_nothing_is_refused_before_it_sends(self, http_server: HttpServer) -> None:
        data = head(infer_path("nobody"), f"Content-Length: {len(BODY)}", "Expect: 100-continue")
        ((status, _),) = answers(http_server.raw(data))
        assert status == 404


class TestConnections:
    def test_they_go_on_behind_errors_too(self, http_server: HttpServer) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", http_server.port, PATIENCE_S)) as connection:
            asked = [
                *(("GET", "/v2", None, 200), ("POST", infer_path("simple"), BODY, 200)),
                *(("POST", infer_path("simple"), b"{", 400), ("GET", "/nowhere", None, 404)),
                *(("POST", infer_path("nobody"), BODY, 404), ("GET", "/v2/health/live", None, 200)),
            ]
            connection.connect()
            socket_of_all = connection.sock
            for method, path, body, status in asked:
                assert ask_on(connection, method, path, body).status == status
                assert connection.sock is socket_of_all

    def test_requests_behind_one_another_are_answered_in_order(self, http_server: HttpServer) -> None:
        ends = f"Content-Length: {len(BODY)}"
        data = b"".join(
            [
                head("/v2/health/live", method="GET"),
                head("/v2/models/simple", method="GET"),
                head(infer_path("simple"), ends) + BODY,
                head("/nowhere", method="GET"),
                head("/v2/health/ready", "Connection: close", method="GET"),
            ]
        )
        found = answers(http_server.raw(data))
        assert [status for status, _ in found] == [200, 200, 200, 404, 200]
        assert json.loads(found[1][1])["name"] == "simple"
        assert json.loads(found[4][1]) == {"ready": True}

    @pytest.mark.parametrize("wish", ["keep-alive", "close"])
    def test_those_of_http_1_0_end_with_their_answer(self, http_server: HttpServer, wish: str) -> None:
        data = head("/v2/health/live", f"Connection: {wish}", method="GET", version="1.0")
        answer = http_server.raw(data)
        assert b"connection: close\r\n" in answer
        assert [status for status, _ in answers(answer)] == [200]

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"nonsense\r\n\r\n", 400),
            (b"GET /v2 HTTP/1.1\r\n\r\n", 400),
            (b"GET /v2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            (b"GET /v2 HTTP/1.1\r\nHost: a\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        ],
    )
    def test_what_is_no_request_is_told_so(self, http_server: HttpServer, data: bytes, status: int) -> None:
        ((found, said),) = answers(http_server.raw(data))
        assert (found, "error" in json.loads(said)) == (status, True)

    def test_both_ports_speak_both_protocols(self, http_server: HttpServer) -> None:
        grpc_port = int(http_server.address.rpartition(":")[2])
        assert ask(grpc_port, "GET", "/v2/models/simple").json["name"] == "simple"
        assert ask(grpc_port, "POST", infer_path("simple"), BODY).output("sum")["data"] == [5, 7, 9]
        assert ask(grpc_port, "GET", "/v1/models/simple").status == 200
        for address in (http_server.url, http_server.address):
            with GrpcClient(address) as client:
                assert client.is_model_ready("simple")


class TestQueues:
    """A run is held shut, so that what comes after it has to wait."""

    def test_a_full_queue_refuses_at_once(self, http_server: HttpServer, held_run: Hold) -> None:
        with ThreadPoolExecutor(3) as pool:
            with held_run(http_server.address, "full"):
                calls = [pool.submit(doubling, http_server, "full") for _ in range(3)]
                refusals = [_next_ended(calls) for _ in range(2)]
                for call in refusals:
                    status, text = call.result().refusal
                    assert (status, "Exceeds maximum queue size" in text) == (503, True)
                    assert int(call.result().headers["retry-after"]) >= 1
                assert http_server.metric("nv_inference_pending_request_count", model="full") == 1
            (last,) = calls
            assert last.result().output("doubled")["data"] == [2, 4]

    @pytest.mark.parametrize("parameters", [{}, {"timeout": 1000}, {"timeout": 10**9}])
    def test_who_waited_too_long_is_told_so(
        self, http_server: HttpServer, held_run: Hold, parameters: Any
    ) -> None:
        with held_run(http_server.address, "late"):
            status, text = doubling(http_server, "late", **parameters).refusal
        assert (status, "Request timeout expired" in text) == (503, True)

    def test_without_a_policy_a_timeout_is_a_deadline(self, http_server: HttpServer, held_run: Hold) -> None:
        with held_run(http_server.address, "free"):
            answer = doubling(http_server, "free", timeout=50_000)
        assert answer.status == 504
        assert answer.error

    def test_a_caller_who_leaves_takes_its_call_along(self, http_server: HttpServer, held_run: Hold) -> None:
        pending = ("nv_inference_pending_request_count",)
        body = json.dumps({"inputs": [tensor("x", "FP32", [1, 2], [1, 2])]}).encode()
        with held_run(http_server.address, "free"):
            with socket.create_connection(("127.0.0.1", http_server.port)) as connection:
                connection.sendall(head(infer_path("free"), f"Content-Length: {len(body)}") + body)
                http_server.wait_for_metric(1, *pending, model="free")
            http_server.wait_for_metric(0, *pending, model="free")

    def test_calls_of_both_protocols_wait_in_one_queue(self, http_server: HttpServer, held_run: Hold) -> None:
        def runs() -> dict[int, int]:
            (row,) = http_server.get("/v2/models/free/stats").json["model_stats"]
            return {one["batch_size"]: one["compute_infer"]["count"] for one in row["batch_stats"]}

        before = runs()
        with ThreadPoolExecutor(2) as pool, GrpcClient(http_server.address) as client:
            with held_run(http_server.address, "free"):
                over_http = pool.submit(doubling, http_server, "free")
                x = grpc_tensor("x", np.ones((1, 2), np.float32))
                over_grpc = pool.submit(client.infer, "free", [x])
                http_server.wait_for_metric(2, "nv_inference_pending_request_count", model="free")
            assert over_http.result().output("doubled")["data"] == [2, 4]
            assert over_grpc.result().as_numpy("doubled").tolist() == [[2, 2]]
        assert runs().get(2, 0) == before.get(2, 0) + 1


def _next_ended(calls: list[Future[Answer]]) -> Future[Answer]:
    """The next of them that has ended, taken off the list."""
    done, _ = wait(calls, PATIENCE_S, FIRST_COMPLETED)
    call = done.pop()
    calls.remove(call)
    return call


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_port(), free_port()


def test_a_server_that_is_told_to_stop_answers_what_it_has_taken(
    saved_models: SavedModels, held_run: Hold, ports: tuple[int, int]
) -> None:
    rest = ports[0]
    flags = (f"gated={saved_models['gated']}", "--port", "0", "--rest-port", str(rest))
    body = {"inputs": [tensor("x", "FP32", [1, 2], [1, 2])]}
    text = json.dumps(body).encode()
    with serve(*flags, "--admin-port", str(ports[1])) as serving, ThreadPoolExecutor(1) as pool:
        asking = closing(http.client.HTTPConnection("127.0.0.1", rest, PATIENCE_S))
        with asking as connection, ExitStack() as stack:
            assert ask_on(connection, "GET", "/v2/health/ready").status == 200
            with held_run(serving.address, "gated"):
                call = pool.submit(ask, rest, "POST", infer_path("gated"), body)
                server = _Pending(ports[1])
                server.wait_for_metric(1, "nv_inference_pending_request_count", model="gated")
                late, never = (
                    stack.enter_context(socket.create_connection(("127.0.0.1", rest), PATIENCE_S))
                    for _ in range(2)
                )
                for half in (late, never):
                    half.sendall(head(infer_path("gated"), f"Content-Length: {len(text)}", EXPECT))
                    assert half.recv(100).startswith(b"HTTP/1.1 100")
                serving.process.send_signal(signal.SIGTERM)
                # Then a connection without a request may go at any time.
                with suppress(ConnectionError):
                    while ask_on(connection, "GET", "/v2/health/ready").status == 200:
                        pass
                    refused = ask_on(connection, "POST", infer_path("gated"), body)
                    assert (refused.status, bool(refused.error)) == (503, True)
                late.sendall(text)
                server.wait_for_metric(2, "nv_inference_pending_request_count", model="gated")
            assert late.recv(1000).startswith(b"HTTP/1.1 200 OK")
            assert never.recv(1000).startswith(b"HTTP/1.1 503")
            assert call.result(PATIENCE_S).output("doubled")["data"] == [2, 4]
        serving.wait_for_text("all calls answered")
        assert serving.status() == 0


class _Pending(HttpServer):
    """Another process's metrics."""

    def __init__(self, admin_port: int) -> None:
        self.admin_port = admin_port
