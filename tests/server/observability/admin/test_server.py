"""The admin port over real sockets; what it answers is the test's."""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus

import pytest

from hotgraph_server.errors import StartError
from hotgraph_server.observability.admin.http import Request, Response, text
from hotgraph_server.observability.admin.server import AdminServer

# Nothing here takes long; a test that waits this long has failed.
PATIENCE_S = 30.0

Answer = Callable[[Request], Response]


def say_path(request: Request) -> Response:
    return text(HTTPStatus.OK, request.path)


class Running:
    """An admin server on a free port."""

    def __init__(self, answer: Answer = say_path) -> None:
        self.server = AdminServer("127.0.0.1", 0, answer)
        self.server.start()
        self.port = int(self.server.address.rpartition(":")[2])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)

    def send(self, message: bytes) -> bytes:
        """All that comes back until the server closes."""
        with self.connect() as connection:
            connection.sendall(message)
            return read_all(connection)

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read()


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.fixture
def running() -> Iterator[Running]:
    running = Running()
    yield running
    running.server.stop()


def test_it_answers_with_what_it_was_given(running: Running) -> None:
    assert running.get("/healthz?x=1") == (200, b"/healthz\n")
    assert running.get("/healthz", "HEAD") == (200, b"")
    assert running.server.address == f"127.0.0.1:{running.port}"


def test_request_may_come_in_any_pieces(running: Running) -> None:
    with running.connect() as connection:
        for byte in b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n":
            connection.sendall(bytes([byte]))
        assert read_all(connection).endswith(b"/x\n")


def test_many_clients_that_say_nothing_do_not_keep_others_out(running: Running) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(running.connect()) for _ in range(400)]
        assert running.get("/healthz") == (200, b"/healthz\n")
        # The oldest had to go for the newest; these are still listened to.
        assert read_all(idle[0]) == b""
        idle[-1].sendall(b"GET /late HTTP/1.1\r\n\r\n")
        assert read_all(idle[-1]).endswith(b"/late\n")


def test_client_that_leaves_in_the_middle_disturbs_nobody(running: Running) -> None:
    for said in (b"", b"GET / HT", b"GET / HTTP/1.1\r\n"):
        with running.connect() as connection:
            connection.sendall(said)
    assert running.get("/x") == (200, b"/x\n")


def test_client_that_does_not_read_its_answer_disturbs_nobody() -> None:
    running = Running(lambda request: Response(HTTPStatus.OK, bytes(20_000_000)))
    with running.connect() as lazy:
        lazy.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert lazy.recv(4).startswith(b"HTTP")
        assert running.get("/")[0] == 200
        running.server.stop()


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", b"431 Request Header Fields Too Large"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, b"431 Request Header Fields Too Large"),
    ],
)
def test_bad_request_is_told_what_it_is(running: Running, message: bytes, status: bytes) -> None:
    with running.connect() as connection, contextlib.suppress(ConnectionError):
        connection.sendall(message)
        assert read_all(connection).startswith(b"HTTP/1.1 " + status)
    assert running.get("/x") == (200, b"/x\n")


def test_page_that_breaks_is_logged_and_takes_no_other_with_it(caplog: pytest.LogCaptureFixture) -> None:
    def answer(request: Request) -> Response:
        if request.path == "/broken":
            raise KeyError("secret")
        return say_path(request)

    running = Running(answer)
    with caplog.at_level(logging.ERROR):
        status, body = running.get("/broken")
    assert (status, b"secret" in body) == (500, False)
    assert "'/broken' broke" in caplog.text
    assert running.get("/x") == (200, b"/x\n")
    running.server.stop()


def test_port_in_use_is_one_line_that_names_flag_and_port(running: Running) -> None:
    second = AdminServer("127.0.0.1", running.port, say_path)
    with pytest.raises(StartError) as raised:
        second.start()
    line = f"admin-port {running.port}: cannot listen on 127.0.0.1:{running.port}: the port is in use"
    assert str(raised.value) == line
    second.stop()


def test_host_that_is_not_here_is_named() -> None:
    with pytest.raises(StartError, match=r"admin-port 0: cannot listen on 192\.0\.2\.1:0: "):
        AdminServer("192.0.2.1", 0, say_path).start()


def test_no_thread_and_no_socket_is_left_after_stop() -> None:
    before = set(threading.enumerate())
    running = Running()
    assert {thread.name for thread in set(threading.enumerate()) - before} == {"admin port"}
    with running.connect() as idle:
        assert running.get("/x") == (200, b"/x\n")
        running.server.stop()
        assert set(threading.enumerate()) == before
        with contextlib.suppress(ConnectionResetError):
            assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        running.connect()
    running.server.stop()


def test_port_can_be_taken_again_at_once(running: Running) -> None:
    assert running.get("/x")[0] == 200
    running.server.stop()
    second = AdminServer("127.0.0.1", running.port, say_path)
    second.start()
    assert running.get("/y") == (200, b"/y\n")
    second.stop()


def test_server_that_never_started_stops() -> None:
    AdminServer("127.0.0.1", 0, say_path).stop()


def test_answer_larger_than_the_systems_buffers_is_sent_whole_and_nothing_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """asyncio closes behind such an answer in another way than behind a small one."""
    running = Running(lambda request: Response(HTTPStatus.OK, bytes(20_000_000)))
    for _ in range(3):
        assert running.get("/") == (200, bytes(20_000_000))
    running.server.stop()
    assert not caplog.records
