"""A server whose connections another process has accepted, and whose callers leave it before it stops."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import grpc
import pytest

from hotgraph_server.settings import ListenSettings
from hotgraph_server.transport.handed_over import HandedOver, hand_over
from hotgraph_server.transport.listening import listen
from hotgraph_server.transport.server import CallServer

from .conftest import PATIENCE_S, Toys, hot


class Behind:
    """Servers behind a port: a thread accepts, and hands connections to the newest.

    Attributes:
        given: to each server, how many.
    """

    def __init__(self, toys: Toys) -> None:
        self._toys = toys
        self.given: list[int] = []
        (self._listener,), self.port = listen("127.0.0.1", 0)
        self._channels: list[socket.socket] = []
        self._servers: list[CallServer] = []
        self._thread = threading.Thread(target=self._accept)

    def begin(self) -> CallServer:
        """Another server, which gets connections from now on."""
        channel, theirs = socket.socketpair()
        theirs.setblocking(False)
        server = CallServer(ListenSettings(), [self._toys.service], handed_over=HandedOver(theirs))
        server.start()
        self._servers.append(server)
        self.given.append(0)
        self._channels.append(channel)
        if not self._thread.ident:
            self._thread.start()
        return server

    def end_of(self, server: CallServer) -> None:
        """It gets no connection any more."""
        self._channels[self._servers.index(server)].shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._toys.release_all()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_S)
        self._listener.close()
        for server in self._servers:
            server.stop(0)
        for channel in self._channels:
            channel.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            hand_over(self._channels[-1], sock)
            self.given[-1] += 1
            sock.close()


@pytest.fixture
def behind(toys: Toys) -> Iterator[Behind]:
    behind = Behind(toys)
    yield behind
    behind.close()


Connected = Callable[[], grpc.Channel]


@pytest.fixture
def connected(behind: Behind) -> Iterator[Connected]:
    channels: list[grpc.Channel] = []

    def connect() -> grpc.Channel:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels.append(grpc.insecure_channel(f"127.0.0.1:{behind.port}", options))
        return channels[-1]

    yield connect
    for channel in channels:
        channel.close()


def echoed(channel: grpc.Channel) -> bytes:
    answer: bytes = hot(channel, "Echo")(b"well", timeout=PATIENCE_S)
    return answer


def test_callers_that_are_asked_to_leave_go_on_with_the_next_server(
    behind: Behind, connected: Connected, toys: Toys
) -> None:
    old = behind.begin()
    channels = [connected() for _ in range(3)]
    assert [echoed(one) for one in channels] == [b"well"] * 3
    new = behind.begin()
    behind.end_of(old)
    held = hot(channels[0], "Hold").future(b"", timeout=PATIENCE_S)
    _, reply = toys.held.get(timeout=PATIENCE_S)
    leaving = threading.Thread(target=old.leave, args=(PATIENCE_S,))
    leaving.start()
    # They are answered by one or the other, and by the old one what it has.
    for _ in range(20):
        assert [echoed(one) for one in channels] == [b"well"] * 3
    assert leaving.is_alive()
    toys.release(reply)
    assert held.result() == b"released"
    leaving.join(PATIENCE_S)
    assert not leaving.is_alive()
    assert old.stop(PATIENCE_S)
    assert [echoed(one) for one in channels] == [b"well"] * 3
    assert new.stop(PATIENCE_S)


def test_who_says_nothing_is_waited_for_no_longer_than_said(behind: Behind) -> None:
    old = behind.begin()
    with socket.create_connection(("127.0.0.1", behind.port)):
        while not behind.given[0]:
            pass
        behind.end_of(old)
        old.leave(0.05)
        assert old.stop(PATIENCE_S)


def test_some_callers_can_be_let_go(behind: Behind, connected: Connected) -> None:
    old = behind.begin()
    channels = [connected() for _ in range(4)]
    assert [echoed(one) for one in channels] == [b"well"] * 4
    behind.begin()
    old.shed(3)
    while behind.given[1] < 3:
        assert [echoed(one) for one in channels] == [b"well"] * 4
    # Whoever was asked is not asked again, and nobody else is.
    for _ in range(20):
        assert [echoed(one) for one in channels] == [b"well"] * 4
    assert behind.given == [4, 3]
