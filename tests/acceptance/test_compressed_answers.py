"""tritonclient, unchanged, and a server that compresses its answers; what lies on the wire is counted."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from ..saved_models import SavedModels
from .triton_tensors import tensor

PATIENCE_S = 60.0
ROWS = 20_000
PLAIN_BYTES = ROWS * 3 * (4 + 4)


class Relay:
    """Passes connections on to a server, and counts what comes back."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.returned_bytes = 0
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += [caller, server]
                for pair in ((caller, server, False), (server, caller, True)):
                    self._threads.append(threading.Thread(target=self._pass, args=pair))
                    self._threads[-1].start()

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(2**16):
                if counts:
                    self.returned_bytes += len(data)
                target.sendall(data)

    def close(self) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


@pytest.fixture(scope="module", params=["fast lane", "grpc's own way"])
def compressing(request: pytest.FixtureRequest, saved_models: SavedModels) -> Iterator[str]:
    """HOST:PORT of a server of one model."""
    from hotgraph_server.server import Server
    from hotgraph_server.settings import (
        AdminSettings,
        ListenSettings,
        ModelSettings,
        RestSettings,
        ServerSettings,
    )

    listen = ListenSettings(port=0, fast_lane=request.param == "fast lane", compress_answers="low")
    models = (ModelSettings("two_in_two_out", saved_models["two_in_two_out"]),)
    server = Server(ServerSettings(models, listen, AdminSettings(admin_port=0), RestSettings(rest_port=0)))
    server.start()
    yield server.address
    server.stop()


@pytest.fixture
def relay(compressing: str) -> Iterator[Relay]:
    relay = Relay(compressing)
    yield relay
    relay.close()


@pytest.fixture
def client(relay: Relay) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(relay.address) as client:
        yield client


def inputs() -> list[Any]:
    return [tensor("a", np.ones((ROWS, 3), np.float32)), tensor("b", np.full((ROWS, 3), 7, np.int32))]


@pytest.mark.parametrize("request_compression", [None, "gzip", "deflate"])
def test_answer_is_right_and_a_tenth_of_its_size_however_the_request_came(
    client: InferenceServerClient, relay: Relay, request_compression: str | None
) -> None:
    answer = client.infer("two_in_two_out", inputs(), compression_algorithm=request_compression)
    assert np.array_equal(answer.as_numpy("product"), np.full((ROWS, 3), 7))
    assert np.array_equal(answer.as_numpy("sum"), np.full((ROWS, 3), 8))
    assert relay.returned_bytes < PLAIN_BYTES / 10


def test_answers_of_a_stream_are_right_and_in_their_order(
    client: InferenceServerClient, relay: Relay
) -> None:
    answers: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    client.start_stream(lambda result, error: answers.put((result, error)), compression_algorithm="gzip")
    small = [tensor("a", np.ones((1, 3), np.float32)), tensor("b", np.ones((1, 3), np.int32))]
    for number in range(6):
        client.async_stream_infer("two_in_two_out", small if number % 2 else inputs(), request_id=str(number))
    for number in range(6):
        result, error = answers.get(timeout=PATIENCE_S)
        assert error is None
        assert result.get_response().id == str(number)
        assert len(result.as_numpy("sum")) == (1 if number % 2 else ROWS)
    client.stop_stream()
    assert relay.returned_bytes < 3 * PLAIN_BYTES / 10


def test_error_is_an_error(client: InferenceServerClient) -> None:
    with pytest.raises(Exception, match="expected 2 inputs but got 3"):
        client.infer("two_in_two_out", [*inputs(), tensor("c", np.ones((1, 3), np.float32))])
