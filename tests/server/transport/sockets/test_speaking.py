"""HTTP/2 and HTTP/1.1 side by side on one port, over real sockets."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from hotgraph_server.errors import Draining
from hotgraph_server.transport.http import Endpoint
from hotgraph_server.transport.sockets.times import Times

from ..conftest import PATIENCE_S
from ..http1.host import SHORT, Api, post
from ..http2.conftest import Caller, Serving, Toys

Connect = Callable[..., Caller]
Serve = Callable[..., Serving]
HOLD = SHORT.replace(b"/echo", b"/hold")


class Client:
    """A caller of HTTP/1.1 on a socket; answers are read by Python's own reader."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self._file: Any = None

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self) -> tuple[int, bytes]:
        """The next one."""
        if self._file is None:
            self._file = self.sock.makefile("rb")
        # It must not read beyond an answer.
        line = self._file.readline()
        status = int(line.split()[1])
        fields = http.client.parse_headers(self._file)
        return status, self._file.read(int(fields["content-length"]))

    def until_closed(self) -> bytes:
        """What comes to the end, which the server makes."""
        received = b""
        try:
            while piece := self.sock.recv(2**16):
                received += piece
        except ConnectionError:
            pass
        return received

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self.sock.close()


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def call() -> Iterator[Callable[..., Client]]:
    """Opens connections to servers."""
    clients: list[Client] = []

    def open_connection(serving: Serving, tls: ssl.SSLContext | None = None) -> Client:
        clients.append(Client(serving.port, tls))
        return clients[-1]

    yield open_connection
    for client in clients:
        client.close()


Call = Callable[..., Client]


def until(true: Callable[[], Any]) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < ends_at
        time.sleep(0.001)


def finish(reply: Any, answer: bytes = b"well") -> None:
    reply.finish(lambda: answer)


class TestOnePort:
    def test_callers_of_both_are_answered(self, serve: Serve, connect: Connect, call: Call, api: Api) -> None:
        serving = serve(api=api)
        callers, clients = [connect(serving) for _ in range(3)], [call(serving) for _ in range(3)]
        for turn in range(20):
            numbers = [caller.call("Echo", b"grpc %d" % turn) for caller in callers]
            for client in clients:
                client.send(post("/echo", b"http %d" % turn))
            for caller, number in zip(callers, numbers, strict=True):
                assert caller.answer(number).messages == [b"grpc %d" % turn]
            assert [client.answer() for client in clients] == [(200, b"http %d" % turn)] * 3

    def test_answer_is_sent_by_the_thread_that_brings_it(self, serve: Serve, call: Call, api: Api) -> None:
        client = call(serve(api=api))
        for _ in range(3):
            client.send(HOLD)
            until(lambda: api.held)
            thread = threading.Thread(target=finish, args=(api.held.pop(),))
            thread.start()
            assert client.answer() == (200, b"well")
            thread.join(PATIENCE_S)

    def test_where_one_is_not_spoken_its_callers_are_shown_out(
        self, serve: Serve, connect: Connect, call: Call, api: Api
    ) -> None:
        only_grpc, only_http = serve(), serve(api=api, grpc=False)
        client = call(only_grpc)
        client.send(SHORT)
        assert b"gRPC" in client.until_closed()
        caller = connect(only_http)
        assert b"HTTP/1.1 400 " in caller.sock.recv(1000)
        client = call(only_http)
        client.send(SHORT)
        assert client.answer()[0] == 200

    def test_tls_goes_by_what_is_offered(self, serve: Serve, connect: Connect, call: Call, api: Api) -> None:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        context.set_alpn_protocols(["h2", "http/1.1"])
        serving = serve(api=api, tls=context)

        def offering(*protocols: str) -> ssl.SSLContext:
            client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            authority.configure_trust(client)
            if protocols:
                client.set_alpn_protocols(list(protocols))
            return client

        caller = connect(serving, offering("h2"))
        large = bytes(range(256)) * 2000
        for offered in ((), ("http/1.1",)):
            client = call(serving, offering(*offered))
            client.send(post("/raw", large) + HOLD)
            assert client.answer() == (200, large)
            until(lambda: api.held)
            finish(api.held.pop(), large * 10)
            assert client.answer() == (200, large * 10)
        assert caller.answer(caller.call("Echo", b"well")).messages == [b"well"]


class TestHolding:
    def test_caller_that_asks_on_waits_for_itself(
        self, serve: Serve, connect: Connect, call: Call, api: Api
    ) -> None:
        """Nothing of it is read meanwhile, and the server has nothing to do."""
        serving = serve(api=api)
        server = serving.server

        def has_work() -> bool:
            # Between rounds: within one there may be something for a moment, of the other caller too.
            with server.connections_lock:
                return server.connections.has_work

        client, other = call(serving), connect(serving)
        client.send(HOLD * 200)
        until(lambda: api.held and [one for one in serving.server.connections.sockets if one.registered == 0])
        (one,) = [one for one in serving.server.connections.sockets if one.registered == 0]
        assert not one.reads
        until(lambda: not has_work())
        assert other.answer(other.call("Echo", b"well")).messages == [b"well"]
        for _ in range(200):
            until(lambda: api.held)
            finish(api.held.pop())
            assert client.answer() == (200, b"well")
        client.send(SHORT)
        assert client.answer() == (200, b"")

    def test_caller_that_leaves_meanwhile_is_found_out_with_the_next_answer(
        self, serve: Serve, call: Call, api: Api
    ) -> None:
        serving = serve(api=api)
        client = call(serving)
        client.send(HOLD * 200)
        until(lambda: [one for one in serving.server.connections.sockets if one.registered == 0])
        client.close()
        while serving.server.connections.sockets:
            if api.held:
                finish(api.held.pop())
        assert serving.calls.wait_until_none(PATIENCE_S)

    def test_many_connections_that_hold_and_go_on(self, serve: Serve, call: Call, api: Api) -> None:
        """Answered by several threads, while the serving thread registers and forgets."""
        serving = serve(api=api)
        clients = [call(serving) for _ in range(4)]
        done = threading.Event()

        def work() -> None:
            while not done.is_set():
                try:
                    finish(api.held.pop())
                except IndexError:
                    time.sleep(0.0005)

        workers = [threading.Thread(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()
        for client in clients:
            client.send((HOLD + SHORT) * 150)
        for client in clients:
            assert [client.answer() for _ in range(300)] == [(200, b"well"), (200, b"")] * 150
        done.set()
        for worker in workers:
            worker.join(PATIENCE_S)
        serving.server.connections_lock.acquire()
        assert serving.server.inflight.nbytes == 0
        serving.server.connections_lock.release()


class TestEnd:
    def test_connection_is_closed_behind_the_last_answer(self, serve: Serve, call: Call, api: Api) -> None:
        serving = serve(api=api)
        for sent in (SHORT[:-2] + b"Connection: close\r\n\r\n", b"GET /echo HTTP/1.0\r\n\r\n"):
            client = call(serving)
            client.send(sent)
            assert client.until_closed().startswith(b"HTTP/1.1 200 ")

    def test_who_is_refused_and_sends_on_hears_of_it(self, serve: Serve, call: Call, api: Api) -> None:
        serving = serve(api=api)
        client = call(serving)
        # More than the sockets' buffers hold: it is read and passed over.
        client.send(post("/none/such", bytes(30 * 2**20)))
        assert client.answer()[0] == 404
        assert client.until_closed() == b""

    def test_answer_larger_than_the_socket_takes_goes_whole(self, serve: Serve, call: Call, api: Api) -> None:
        serving = serve(api=api)
        client = call(serving)
        large = bytes(range(251)) * 80_000
        for _ in range(2):
            client.send(HOLD + SHORT)
            until(lambda: api.held)
            finish(api.held.pop(), large)
            assert client.answer() == (200, large)
            assert client.answer() == (200, b"")

    def test_answer_that_is_not_taken_is_given_up_and_its_neighbours_go_on(
        self, serve: Serve, call: Call, api: Api
    ) -> None:
        serving = serve(api=api)
        stuck, idle = call(serving), call(serving)
        idle.send(SHORT)
        assert idle.answer()[0] == 200
        stuck.send(HOLD + HOLD)
        until(lambda: api.held)
        finish(api.held.pop(), bytes(30 * 2**20))
        serving.set_times(stuck_s=-1.0, looking_s=0.01)
        until(lambda: len(serving.server.connections.sockets) == 1)
        assert not api.held, "nothing is begun for one that reads nothing"
        assert serving.calls.wait_until_none(PATIENCE_S)
        idle.send(SHORT)
        assert idle.answer()[0] == 200

    def test_silent_caller_is_closed_when_its_time_is_up(
        self, serve: Serve, call: Call, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from hotgraph_server.transport.http1 import connection

        monkeypatch.setattr(connection, "HEAD_S", 0.0)
        monkeypatch.setattr(connection, "KEEP_ALIVE_S", 0.0)
        serving = serve(api=api, times=Times(looking_s=0.01))
        held = call(serving)
        held.send(HOLD)
        for sent in (SHORT[:-1], SHORT + SHORT[:5]):
            client = call(serving)
            client.send(sent)
            received = client.until_closed()
            assert received.count(b"HTTP/1.1") == sent.count(b"\r\n\r\n")
        until(lambda: api.held)
        finish(api.held.pop())
        assert held.answer() == (200, b"well")

    def test_bug_costs_the_connection(
        self, serve: Serve, call: Call, api: Api, caplog: pytest.LogCaptureFixture
    ) -> None:
        serving = serve(api=api)
        broken, other = call(serving), call(serving)

        def bug(request: Any) -> Any:
            raise ZeroDivisionError

        api.headers = bug  # type: ignore[method-assign]
        broken.send(SHORT * 3)
        assert broken.until_closed() == b""
        del api.headers
        assert "could not be told" in caplog.text
        other.send(SHORT)
        assert other.answer()[0] == 200
        assert serving.calls.wait_until_none(PATIENCE_S)


class TestLeaving:
    def test_caller_that_leaves_is_told_to_whom_it_asked(self, serve: Serve, call: Call, api: Api) -> None:
        serving = serve(api=api)
        client = call(serving)
        client.send(HOLD)
        until(lambda: api.held)
        left = threading.Event()
        api.held[0].when_gone(left.set)
        client.close()
        assert left.wait(PATIENCE_S)
        assert serving.calls.wait_until_none(PATIENCE_S)

    def test_call_ends_at_its_deadline(self, serve: Serve, call: Call, api: Api) -> None:
        client = call(serve(api=api, answer_s=0.02))
        client.send(HOLD * 2)
        assert [client.answer()[0] for _ in range(2)] == [503, 503]

    def test_deadline_of_the_endpoints_own_too(self, serve: Serve, call: Call, api: Api) -> None:
        client = call(serve(api=api))
        api.endpoint_of["/short"] = Endpoint(lambda body, reply: reply.expire_at(time.monotonic() + 0.02), 0)
        client.send(SHORT.replace(b"/echo", b"/short"))
        assert b"DeadlineExceeded" in client.answer()[1]

    def test_body_that_does_not_come_is_refused(self, serve: Serve, call: Call, api: Api) -> None:
        client = call(serve(api=api, body_s=0.02))
        client.send(post("/echo", b"abcd")[:-1])
        assert client.answer()[0] == 408
        assert client.until_closed() == b""


class TestStop:
    def test_callers_are_told_and_connections_closed(self, serve: Serve, call: Call, api: Api) -> None:
        serving = serve(api=api)
        idle, holding, coming, silent = (call(serving) for _ in range(4))
        idle.send(SHORT)
        assert idle.answer()[0] == 200
        holding.send(HOLD + HOLD)
        coming.send(post("/echo", b"abcd")[:-1])
        until(lambda: api.held)
        until(lambda: serving.server.inflight.nbytes == 3)
        serving.server.refuse(Draining("this server"))
        serving.server.close_port()
        assert idle.until_closed() == b""
        serving.stop()
        assert holding.until_closed().startswith(b"HTTP/1.1 503 ")
        assert coming.until_closed().startswith(b"HTTP/1.1 503 ")
        assert silent.until_closed() == b""
        assert serving.server.inflight.nbytes == 0

    def test_call_that_was_taken_is_answered_when_the_port_is_closed(
        self, serve: Serve, call: Call, api: Api, toys: Toys
    ) -> None:
        serving = serve(api=api)
        client = call(serving)
        client.send(HOLD)
        until(lambda: api.held)
        serving.server.close_port()
        finish(api.held.pop())
        assert client.answer() == (200, b"well")
        assert client.until_closed() == b""
