"""http/blocking.py, http/wire.py, http/asynchronous.py and http/tls.py: what HTTP alone can do to a call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme

from hotgraph_client import (
    AccessDenied,
    AsyncClient,
    Cancelled,
    Client,
    HotgraphError,
    InvalidCall,
    NotFound,
    ServerFault,
    Tls,
    TooLate,
    Unreachable,
)

from ..conftest import fake_models
from ..fake_http_server import FakeHttpServer

Connect = Callable[..., Any]

ONES = {"x": np.ones((1, 2), np.float32)}
LIVE = b'HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{"live":true}'


@contextmanager
def raw_server(*talks: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server whose n-th connection is talked to by the n-th of these, and by the last from then on."""
    ends = threading.Event()
    threads: list[threading.Thread] = []
    socks: list[socket.socket] = []

    def talk(sock: socket.socket, number: int) -> None:
        with sock:
            sock.settimeout(20)
            # the caller may leave
            with contextlib.suppress(OSError):
                talks[min(number, len(talks) - 1)](sock)

    def listen(listening: socket.socket) -> None:
        while True:
            sock, _ = listening.accept()
            if ends.is_set():
                sock.close()
                return
            socks.append(sock)
            threads.append(threading.Thread(target=talk, args=(sock, len(threads))))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        accepting = threading.Thread(target=listen, args=(listening,))
        accepting.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            ends.set()
            socket.create_connection(("127.0.0.1", port)).close()
            accepting.join()
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def head(sock: socket.socket) -> bytes:
    """The head of the next request; the ones that are used here have no body that matters."""
    got = b""
    while b"\r\n\r\n" not in got:
        chunk = sock.recv(65536)
        if not chunk:
            raise ConnectionError
        got += chunk
    return got


def answers_once(sock: socket.socket) -> None:
    head(sock)
    sock.sendall(LIVE)
    # without having said so
    sock.shutdown(socket.SHUT_RDWR)


def answers(sock: socket.socket) -> None:
    while True:
        head(sock)
        sock.sendall(LIVE)


def test_one_connection_carries_call_after_call(connect: Connect, http_server: FakeHttpServer) -> None:
    client = connect(http_server.address)
    for _ in range(5):
        client.predict("double", ONES)
    assert client.is_live()
    assert http_server.connections == 1


def test_connection_that_the_server_has_closed_costs_no_call(connect: Connect) -> None:
    with raw_server(answers_once, answers) as url:
        client = connect(url, retries=0)
        assert client.is_live()
        # for the end to arrive, which the loop of asyncio has to read as well
        time.sleep(0.05)
        if hasattr(client, "loop"):
            client.loop.run_until_complete(asyncio.sleep(0.01))
        assert client.is_live()


def test_connection_that_says_it_will_be_closed_is_not_used_again(connect: Connect) -> None:
    def closes(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(b'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 13\r\n\r\n{"live":true}')

    with raw_server(closes) as url:
        client = connect(url, retries=0)
        assert [client.is_live() for _ in range(3)] == [True] * 3


def test_answer_in_chunks_or_up_to_the_end_is_read(connect: Connect) -> None:
    def chunks(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\n")
        sock.sendall(b'{"live\r\n7\r\n":true}\r\n0\r\n\r\n')

    def until_the_end(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(b'HTTP/1.0 200 OK\r\n\r\n{"live":true}')

    for talk in (chunks, until_the_end):
        with raw_server(talk) as url:
            assert connect(url, retries=0).is_live()


@pytest.mark.parametrize(
    ("start", "trickle"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x-more: 1\r\n"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["head", "body", "chunks"],
)
def test_answer_that_comes_in_drops_ends_with_the_calls_time(
    connect: Connect, start: bytes, trickle: bytes
) -> None:
    """Each wait is short, and there is no end to them."""

    def drips(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(start)
        while True:
            sock.sendall(trickle)
            time.sleep(0.02)

    with raw_server(drips) as url, pytest.raises(TooLate, match=r"no answer within 0\.3 s"):
        connect(url, retries=4).server_metadata(timeout_s=0.3)


def test_server_that_does_not_read_ends_with_the_calls_time(connect: Connect) -> None:
    ends = threading.Event()

    def waits(sock: socket.socket) -> None:
        ends.wait(20)

    with raw_server(waits) as url:
        with pytest.raises(TooLate):
            connect(url).predict("echo", {"x": np.zeros(40_000_000, np.uint8)}, timeout_s=0.3)
        ends.set()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "closed the connection and did not answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", "within its answer"),
        (b"\0\0\0\4\0\0\0\0\0\r\n\r\n", "does not speak HTTP/1.1"),
        (b"220 smtp.example ESMTP\r\n\r\n", "does not speak HTTP/1.1"),
    ],
    ids=["nothing", "half", "HTTP/2", "SMTP"],
)
def test_connection_that_ends_before_the_answer_is_unreachable(
    connect: Connect, said: bytes, why: str
) -> None:
    def ends(sock: socket.socket) -> None:
        head(sock)
        sock.sendall(said)

    with raw_server(ends) as url, pytest.raises(Unreachable, match=why) as caught:
        connect(url, retries=0).server_metadata()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_call_that_lost_its_connection_is_sent_again(connect: Connect) -> None:
    def hangs_up(sock: socket.socket) -> None:
        head(sock)

    with raw_server(hangs_up, answers) as url:
        assert connect(url, retries=1).is_live()


def test_server_that_refuses_before_it_has_read_is_heard(connect: Connect) -> None:
    """A body that is too large is refused by its length, while it is still being sent."""

    def refuses(sock: socket.socket) -> None:
        head(sock)
        said = json.dumps({"error": "too large"}).encode()
        sock.sendall(
            b"HTTP/1.1 413 x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(said), said)
        )
        # what is on its way is read, or the kernel would throw the answer away with it
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass

    with raw_server(refuses) as url, pytest.raises((InvalidCall, Unreachable)) as caught:
        connect(url, retries=0).predict("echo", {"x": np.zeros(1_000_000, np.uint8)})
    assert caught.value.details == "too large"


def test_pause_that_the_server_asks_for_does_not_outlast_the_call(
    connect: Connect, http_server: FakeHttpServer
) -> None:
    http_server.fail("ModelInfer", grpc.StatusCode.UNAVAILABLE, trailers=(("retry-after", "60"),))
    with pytest.raises(Unreachable) as caught:
        connect(http_server.address, timeout_s=20).predict("double", ONES)
    assert caught.value.pushback_ms == 60_000
    http_server.fail("ModelInfer", grpc.StatusCode.UNAVAILABLE, trailers=(("retry-after", "0"),))
    connect(http_server.address).predict("double", ONES)
    assert len(http_server.calls("ModelInfer")) == 3


def test_server_that_is_not_ready_is_not_asked_again_within_a_question(
    connect: Connect, http_server: FakeHttpServer
) -> None:
    http_server.ready = [False]
    assert not connect(http_server.address).is_ready()
    assert len(http_server.requests) == 1


def test_answers_in_json_are_arrays_too(connect: Connect, http_server: FakeHttpServer) -> None:
    http_server.in_json = True
    client = connect(http_server.address)
    answer = client.predict("double", [[0.25, 2]])
    assert (answer.dtype, answer.tolist()) == (np.float32, [[0.5, 4.0]])
    # the fake shouts bytes, which leaves what is no ASCII as it is
    assert client.predict("shout", ["aé"]).tolist() == ["Aé".encode()]
    assert client.predict("sum_and_difference", {"a": [2**62], "b": [1]})["sum"].tolist() == [2**62 + 1]


def test_names_and_a_base_path_are_in_the_path_as_they_are(
    connect: Connect, http_server: FakeHttpServer
) -> None:
    http_server.models["a/b ü%2F"] = http_server.models["double"]
    connect(http_server.address).predict("a/b ü%2F", ONES, version="1")
    assert http_server.paths == ["/v2/models/a%2Fb%20%C3%BC%252F/versions/1/infer"]
    with pytest.raises(NotFound):
        connect(f"{http_server.address}/behind/a%20proxy/").server_metadata()
    assert http_server.paths[-1] == "/behind/a%20proxy/v2"


def test_host_is_that_of_the_url_or_the_callers(connect: Connect, http_server: FakeHttpServer) -> None:
    connect(http_server.address).is_live()
    connect(http_server.address, headers={"Host": "model.example"}).is_live()
    assert [headers["host"] for headers in http_server.headers] == [
        f"127.0.0.1:{http_server.port}",
        "model.example",
    ]
    assert http_server.headers[0]["user-agent"].startswith("hotgraph-client/")
    assert http_server.headers[0]["accept-encoding"] == "identity"


def test_redirection_is_not_followed(connect: Connect, http_server: FakeHttpServer) -> None:
    """A key would go along."""
    http_server.page = (307, {"location": f"http://127.0.0.1:{http_server.port}/v2/elsewhere"}, b"")
    with pytest.raises(ServerFault, match="HTTP 307 Temporary Redirect, to http://127"):
        connect(http_server.address, key="k").server_metadata()
    assert http_server.paths == ["/v2"]


def test_page_of_a_proxy_is_no_answer(connect: Connect, http_server: FakeHttpServer) -> None:
    http_server.page = (407, {"content-type": "text/html"}, b"<html>who are you</html>")
    with pytest.raises(HotgraphError, match="HTTP 407 Proxy Authentication Required"):
        connect(http_server.address).server_metadata()
    http_server.page = (401, {"content-type": "text/plain"}, b"key wanted")
    with pytest.raises(AccessDenied, match="key wanted"):
        connect(http_server.address).server_metadata()


def test_large_tensors_go_and_come_whole(connect: Connect, http_server: FakeHttpServer) -> None:
    large = {"x": np.arange(3_000_000, dtype=np.int32), "y": np.arange(70_000, dtype=np.uint8)}
    for _ in range(2):
        answer = connect(http_server.address).predict("echo", large)
        np.testing.assert_array_equal(answer["x"], large["x"])
        np.testing.assert_array_equal(answer["y"], large["y"])
        assert answer["x"].flags.aligned


def test_closing_ends_the_pause_between_two_attempts(http_server: FakeHttpServer) -> None:
    http_server.fail("ServerMetadata", grpc.StatusCode.UNAVAILABLE, trailers=(("retry-after", "19"),))
    client = Client(http_server.address)
    ends: list[HotgraphError] = []

    def call() -> None:
        try:
            client.server_metadata()
        except HotgraphError as error:
            ends.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    while not http_server.requests:
        time.sleep(0.001)
    client.close()
    caller.join(10)
    assert [type(error) for error in ends] == [Cancelled]


def test_closing_ends_the_pause_between_two_attempts_of_a_task(http_server: FakeHttpServer) -> None:
    http_server.fail("ServerMetadata", grpc.StatusCode.UNAVAILABLE, trailers=(("retry-after", "19"),))

    async def close_during_pause() -> None:
        client = AsyncClient(http_server.address)
        call = asyncio.ensure_future(client.server_metadata())
        while not http_server.requests:
            await asyncio.sleep(0.001)
        await client.close()
        with pytest.raises(Cancelled):
            await asyncio.wait_for(call, 10)

    asyncio.run(close_during_pause())


def test_client_over_http_needs_no_package_and_the_one_for_asyncio_names_its_own(
    monkeypatch: pytest.MonkeyPatch, http_server: FakeHttpServer
) -> None:
    # how a package looks that is not there
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with Client(http_server.address) as client:
        assert client.is_live()
    with pytest.raises(ImportError, match=r"pip install 'hotgraph\[http\]'"):
        AsyncClient(http_server.address)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def over_tls(authority: trustme.CA, name: str, clients: trustme.CA | None = None) -> FakeHttpServer:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    if clients is not None:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return FakeHttpServer(models=fake_models(), tls=context)


def test_server_signed_by_a_trusted_authority_is_called(connect: Connect, authority: trustme.CA) -> None:
    large = {"x": np.arange(300_000, dtype=np.float32)}
    with over_tls(authority, "127.0.0.1") as server:
        assert server.address.startswith("https://")
        client = connect(server.address, tls=Tls(authority.cert_pem.bytes()))
        np.testing.assert_array_equal(client.predict("echo", large)["x"], large["x"])
        assert client.predict("double", ONES)["y"].tolist() == [[2, 2]]
        assert server.connections == 1


@pytest.mark.parametrize("trusting", [True, False])
def test_server_signed_by_another_authority_is_not(
    connect: Connect, authority: trustme.CA, trusting: bool
) -> None:
    """Nor one that only the system's authorities could vouch for."""
    with over_tls(authority, "127.0.0.1") as server:
        client = connect(
            server.address, tls=Tls(trustme.CA().cert_pem.bytes()) if trusting else None, retries=0
        )
        with pytest.raises(Unreachable, match=r"(?i)certificate"):
            client.server_metadata()
    assert server.requests == []


def test_system_authorities_are_those_that_its_owner_names(
    connect: Connect, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with over_tls(authority, "127.0.0.1") as server:
        assert connect(server.address).server_metadata().name == "fake"


def test_plain_client_does_not_get_through_to_a_tls_server(connect: Connect, authority: trustme.CA) -> None:
    with over_tls(authority, "127.0.0.1") as server, pytest.raises(Unreachable):
        connect(server.address.replace("https", "http"), retries=0).server_metadata()
    assert server.requests == []


def test_tls_client_does_not_get_through_to_a_plain_server(
    connect: Connect, http_server: FakeHttpServer
) -> None:
    with pytest.raises(Unreachable):
        connect(http_server.address.replace("http", "https"), retries=0).server_metadata()
    assert http_server.requests == []


def test_certificate_of_another_name_needs_to_be_asked_for(connect: Connect, authority: trustme.CA) -> None:
    roots = authority.cert_pem.bytes()
    with over_tls(authority, "model.example") as server:
        with pytest.raises(Unreachable):
            connect(server.address, tls=Tls(roots), retries=0).server_metadata()
        client = connect(server.address, tls=Tls(roots, server_name="model.example"))
        assert client.server_metadata().name == "fake"
        assert server.headers[0]["host"] == "model.example"


def test_server_that_asks_for_a_certificate_gets_it(connect: Connect, authority: trustme.CA) -> None:
    ours, roots = authority.issue_cert("client.example"), authority.cert_pem.bytes()
    tls = Tls(roots, ours.private_key_pem.bytes(), ours.cert_chain_pems[0].bytes())
    with over_tls(authority, "127.0.0.1", clients=authority) as server:
        assert connect(server.address, tls=tls).server_metadata().name == "fake"
        with pytest.raises(Unreachable):
            connect(server.address, tls=Tls(roots), retries=0).server_metadata()


def test_pem_that_holds_nothing_is_refused_at_once(connect: Connect, authority: trustme.CA) -> None:
    broken = b"-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n"
    ours, others = authority.issue_cert("a.example"), authority.issue_cert("b.example")
    for tls in (
        Tls(broken),
        Tls(None, broken, broken),
        Tls(None, ours.private_key_pem.bytes(), others.cert_chain_pems[0].bytes()),
    ):
        with pytest.raises(ValueError, match="PEM"):
            connect("https://127.0.0.1:1", tls=tls)


def test_silent_server_does_not_hold_up_a_handshake(connect: Connect) -> None:
    ends = threading.Event()

    def waits(sock: socket.socket) -> None:
        ends.wait(20)

    with raw_server(waits) as url:
        with pytest.raises(TooLate):
            connect(url.replace("http", "https")).server_metadata(timeout_s=0.2)
        ends.set()


def test_array_that_another_task_changes_is_sent_as_it_was(http_server: FakeHttpServer) -> None:
    array = np.full((1, 2), 3, np.float32)

    async def change_during_call() -> Any:
        async with AsyncClient(http_server.address) as client:
            http_server.fail("ModelInfer", grpc.StatusCode.UNAVAILABLE)
            call = asyncio.ensure_future(client.predict("double", {"x": array}))
            while not http_server.requests:
                await asyncio.sleep(0.001)
            array[:] = 4
            return await call

    assert asyncio.run(change_during_call())["y"].tolist() == [[6, 6]]
