"""What callers of a connection do costs that connection, and no other."""

from __future__ import annotations

import errno
import gc
import http.client
import logging
import math
import select
import socket
import threading
import weakref
from collections.abc import Callable
from typing import Any

import hyperframe.frame
import pytest

from hotgraph_server.transport.http2 import flood_limits, frames
from hotgraph_server.transport.http2.frames import Code
from hotgraph_server.transport.listening import listen
from hotgraph_server.transport.service import Reply
from hotgraph_server.transport.sockets import acceptor, connection_age, socket_io
from hotgraph_server.transport.sockets.times import Times

from ...fakes import until
from ..conftest import PATIENCE_S
from ..http1.host import Api
from ..http2.conftest import Caller, Serving, Toys
from ..http2.peer import parse_frames

Connect = Callable[..., Caller]
Serve = Callable[..., Serving]


def answer_of(reply: Reply, answer: bytes = b"well") -> None:
    reply.finish(lambda: answer)


def socket_io_of(serving: Serving, caller: Caller) -> socket_io.SocketIO:
    """The server's side of a caller's connection."""
    (found,) = [
        one
        for one in serving.server.connections.sockets
        if one.sock.getpeername() == caller.sock.getsockname()
    ]
    return found


@pytest.fixture
def well(serving: Serving, connect: Connect) -> Callable[[], bool]:
    other = connect(serving)
    return lambda: other.answer(other.call("Echo", b"well")).messages == [b"well"]


@pytest.mark.parametrize(
    "wire",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(100), frames.PREFACE + b"\xff" * 100, b"\x16\x03\x01"],
)
def test_other_protocols_are_shown_out(serving: Serving, well: Callable[[], bool], wire: bytes) -> None:
    with socket.create_connection(("127.0.0.1", serving.port), PATIENCE_S) as sock:
        sock.sendall(wire)
        received = b""
        try:
            while piece := sock.recv(1000):
                received += piece
        except ConnectionError:
            pass
    assert well()


def test_calls_of_a_connection_that_breaks_are_told(
    caller: Caller, toys: Toys, well: Callable[[], bool]
) -> None:
    caller.call("Hold")
    gone = threading.Event()
    toys.next_held().when_gone(gone.set)
    caller.sock.sendall(frames.frame(frames.PUSH_PROMISE, 0, 1))
    caller.until_closed()
    assert gone.wait(PATIENCE_S)
    assert well()


def test_peer_that_broke_the_protocol_hears_of_it_though_it_goes_on(
    serving: Serving, well: Callable[[], bool]
) -> None:
    with socket.create_connection(("127.0.0.1", serving.port), PATIENCE_S) as sock:
        wrong = frames.frame(frames.PUSH_PROMISE, 0, 1, bytes(4))
        sock.sendall(frames.PREFACE + frames.settings({}) + wrong + bytes(2**20))
        received = b""
        while piece := sock.recv(2**16):
            received += piece
    away = parse_frames(received)[-1]
    assert isinstance(away, hyperframe.frame.GoAwayFrame)
    assert away.error_code == Code.PROTOCOL_ERROR
    assert well()


def test_nothing_is_kept_of_a_peer_that_has_heard_the_end_and_closed(serve: Serve, connect: Connect) -> None:
    serving = serve(times=Times(linger_s=1000.0))
    with socket.create_connection(("127.0.0.1", serving.port), PATIENCE_S) as sock:
        until(lambda: serving.server.connections.sockets)
        (found,) = serving.server.connections.sockets
        kept = weakref.ref(found)
        del found
        sock.sendall(bytes(100))
        while sock.recv(1000):
            pass
        assert kept() is not None
    until(lambda: not serving.server.connections.sockets)
    # The last round that there was knows it still.
    connect(serving).ping()
    until(lambda: gc.collect() < 0 or kept() is None)


def test_peer_that_is_stuck_is_cut_off(serving: Serving, connect: Connect, toys: Toys) -> None:
    """One that says nothing at all, and one that does not take its answer; not one that is idle."""
    idle, unread = connect(serving), connect(serving)
    idle.ping()
    number = unread.call("Hold")
    answer_of(toys.next_held(), bytes(10 * 2**20))
    neighbour = unread.call("Hold")
    held = toys.next_held()
    serving.set_times(stuck_s=-1.0, looking_s=0.01)
    with socket.create_connection(("127.0.0.1", serving.port), PATIENCE_S) as silent:
        assert silent.recv(100) == b""
    assert unread.answer(number).reset == Code.CANCEL
    # It cost the stream that was not read, and no other of its connection.
    answer_of(held, b"well")
    assert unread.answer(neighbour).messages == [b"well"]
    assert serving.calls.wait_until_none(PATIENCE_S)
    assert idle.answer(idle.call("Echo", b"well")).messages == [b"well"]


def test_connection_on_which_nothing_moves_is_closed_whatever_its_peer_says(
    serving: Serving, caller: Caller, toys: Toys
) -> None:
    caller.call("Hold")
    answer_of(toys.next_held(), bytes(10 * 2**20))
    caller.ping()
    serving.set_times(stuck_s=0.02, looking_s=0.01)
    caller.until_closed()
    assert serving.calls.wait_until_none(PATIENCE_S)


def test_connection_with_much_to_ask_waits_while_others_have_their_turn(
    serve: Serve, connect: Connect, toys: Toys
) -> None:
    serving = serve(times=Times(connection_share_s=0.0))
    greedy, modest = connect(serving), connect(serving)
    for caller in (greedy, modest):
        caller.ping()
    # Both have come before the serving thread looks.
    with serving.server.connections_lock:
        for _ in range(50):
            greedy.call("Hold", b"greedy")
        modest.call("Hold", b"modest")
        for one in serving.server.connections.sockets:
            assert select.select([one.sock], [], [], PATIENCE_S)[0]
    order = [bytes(toys.held.get(timeout=PATIENCE_S)[0]) for _ in range(51)]
    assert order.index(b"modest") <= 5


def test_everybody_has_a_turn_however_many_there_are(serve: Serve, connect: Connect, toys: Toys) -> None:
    """Also where a whole round is time for one of them only."""
    serving = serve(times=Times(round_s=0.0))
    callers = [connect(serving) for _ in range(8)]
    for _ in range(3):
        numbers = [[caller.call("Echo", b"well") for _ in range(5)] for caller in callers]
        for caller, calls in zip(callers, numbers, strict=True):
            assert [caller.answer(number).messages for number in calls] == [[b"well"]] * 5


def test_flood_of_pings_by_a_peer_that_does_not_read_is_not_kept(
    serving: Serving, connect: Connect, well: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_io, "MAX_UNSENT_BYTES", 2**16)
    monkeypatch.setattr(flood_limits, "MAX", math.inf)
    flooding = connect(serving)
    flooding.ping()
    flooded = socket_io_of(serving, flooding)
    flooding.sock.setblocking(False)
    ping = frames.frame(frames.PING, 0, 0, bytes(8)) * 1000
    sent, stopped, wire = 0, 0, ping
    while stopped < 5 and sent < 100 * 2**20:
        try:
            count = flooding.sock.send(wire)
            sent, stopped, wire = sent + count, 0, wire[count:] or ping
        except BlockingIOError:
            # The server reads no more, or has not yet; a call of another's takes it some rounds.
            stopped += 1
            assert well()
    assert stopped == 5
    assert flooded.unsent_bytes < 2**20


def test_process_without_files_accepts_again_later(
    serve: Serve,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(acceptor, "PAUSE_S", 0.0)
    failures = iter([errno.EMFILE, errno.ENFILE, errno.ECONNABORTED])

    class Scarce(socket.socket):
        """The listener of a process that has no file left for some time."""

        def accept(self) -> Any:
            number = next(failures, None)
            if number:
                raise OSError(number, "no more files")
            return super().accept()

    (listener,), _ = listen("127.0.0.1", 0)
    serving = serve(listener=Scarce(fileno=listener.detach()))
    with caplog.at_level(logging.WARNING):
        late = connect(serving)
        assert late.answer(late.call("Echo", b"well")).messages == [b"well"]
    assert next(failures, None) is None
    assert caplog.text.count("no more connections can be accepted") == 1


def test_unexpected_error_costs_the_connection(
    serving: Serving,
    connect: Connect,
    well: Callable[[], bool],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert well()
    broken = connect(serving)
    broken.ping()

    def bug(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(socket_io_of(serving, broken), "read", bug)
    with caplog.at_level(logging.ERROR):
        broken.call("Echo")
        broken.until_closed()
    assert "unexpected error" in caplog.text
    assert well()


class TestAgesOverHttp1:
    """Which has no word for it but the last answer's. Over HTTP/2: ../test_connection_ages.py."""

    @pytest.fixture
    def api(self) -> Api:
        return Api()

    def test_next_answer_says_that_it_is_the_last_and_no_request_fails(
        self,
        serve: Serve,
        api: Api,
    ) -> None:
        serving = serve(api=api, times=Times(max_age_s=0.03))
        client = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=PATIENCE_S)
        closes = 0
        while closes < 4:
            client.request("POST", "/echo", b"hello", {"Content-Type": "application/json"})
            answer = client.getresponse()
            assert answer.read() == b"hello"
            closes += answer.getheader("connection") == "close"
        client.close()

    def test_request_under_way_is_answered(self, serve: Serve, api: Api) -> None:
        serving = serve(api=api, times=Times(max_age_s=0.03))
        client = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=PATIENCE_S)
        other = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=PATIENCE_S)
        client.request("POST", "/hold", b"hello", {"Content-Type": "application/json"})
        # Until a second one that came later has its age.
        closes = 0
        while closes < 2 or not api.held:
            other.request("GET", "/echo")
            answer = other.getresponse()
            answer.read()
            closes += answer.getheader("connection") == "close"
        api.held[0].finish(lambda: b"late, and well")
        late = client.getresponse()
        assert late.read() == b"late, and well"
        assert late.getheader("connection") == "close"
        client.close()
        other.close()

    def test_connection_that_asks_nothing_is_closed(self, serve: Serve, api: Api) -> None:
        serving = serve(api=api, times=Times(max_idle_s=0.05))
        with socket.create_connection(("127.0.0.1", serving.port), PATIENCE_S) as sock:
            sock.sendall(b"GET /echo HTTP/1.1\r\nHost: h\r\n\r\n")
            received = b""
            while piece := sock.recv(2**16):
                received += piece
            assert received.startswith(b"HTTP/1.1 200")
            assert b"connection: close" not in received.lower()


def test_peer_that_was_asked_to_go_and_does_not_hear_of_it_is_closed(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers no pings; the socket tells it."""
    for name in ("QUIET_S", "DEAF_S"):
        monkeypatch.setattr(connection_age, name, 0.01)
    deaf = connect(serve(times=Times(max_age_s=0.01)))
    deaf.until_closed()
