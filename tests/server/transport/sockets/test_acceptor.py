"""How connections come in, and what happens when none can."""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from hotgraph_server.transport.accepting import PAUSE_S
from hotgraph_server.transport.handed_over import HandedOver, hand_over
from hotgraph_server.transport.listening import listen
from hotgraph_server.transport.sockets.acceptor import Acceptor
from hotgraph_server.transport.sockets.door import Door

from ..conftest import PATIENCE_S


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as selector:
        yield selector


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    listeners = [*listen("127.0.0.1", 0)[0], *listen("127.0.0.1", 0)[0]]
    yield listeners
    for listener in listeners:
        listener.close()


def watched(selector: selectors.BaseSelector) -> list[Any]:
    return [key.fileobj for key in selector.get_map().values()]


def test_connection_is_accepted_and_waits_for_nothing(
    selector: selectors.BaseSelector, listeners: list[socket.socket]
) -> None:
    acceptor = Acceptor([Door(one) for one in listeners], selector)
    acceptor.open()
    with socket.create_connection(listeners[1].getsockname(), PATIENCE_S):
        ((key, _),) = selector.select(PATIENCE_S)
        assert key.fileobj is listeners[1]
        sock = acceptor.accept(key.data, 0.0)
        assert sock is not None
        with sock:
            assert not sock.getblocking()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert acceptor.accept(key.data, 0.0) is None
        assert acceptor.paused_until is None


def test_end_of_what_hands_connections_over_is_said_once_and_closes_no_other_door(
    selector: selectors.BaseSelector, listeners: list[socket.socket]
) -> None:
    ours, theirs = socket.socketpair()
    handed_over = HandedOver(theirs)
    door = Door(handed_over)
    acceptor = Acceptor([door, Door(listeners[0])], selector)
    acceptor.open()
    caller, accepted = socket.socketpair()
    with caller, accepted:
        hand_over(ours, accepted)
        ours.shutdown(socket.SHUT_WR)
        sock = acceptor.accept(door, 0.0)
        assert sock is not None
        sock.close()
        assert watched(selector) == [handed_over, listeners[0]]
        assert acceptor.accept(door, 0.0) is None
        assert watched(selector) == [listeners[0]]
    acceptor.close()
    assert ours.recv(9) == b"+"
    ours.close()


class FullHouse:
    """Handshakes without room, until there is."""

    def __init__(self) -> None:
        self.is_full = True
        self.begun: list[socket.socket] = []

    def begin(self, sock: socket.socket, door: Door) -> None:
        self.begun.append(sock)

    def take(self) -> None:
        return None


def test_callers_at_a_door_with_tls_wait_outside_while_there_is_no_room_for_handshakes(
    selector: selectors.BaseSelector, listeners: list[socket.socket]
) -> None:
    house: Any = FullHouse()
    with_tls = Door(listeners[0], lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    acceptor = Acceptor([with_tls, Door(listeners[1])], selector, house)
    acceptor.open()
    with socket.create_connection(listeners[0].getsockname(), PATIENCE_S):
        selector.select(PATIENCE_S)
        for _ in range(2):
            assert acceptor.accept(with_tls, 0.0) is None
        assert watched(selector) == [listeners[1]]
        assert list(acceptor.shaken()) == []
        assert watched(selector) == [listeners[1]]
        house.is_full = False
        assert list(acceptor.shaken()) == []
        assert set(watched(selector)) == set(listeners)
        # Its handshake is before it; `shaken` brings it.
        assert acceptor.accept(with_tls, 0.0) is None
        (sock,) = house.begun
        sock.close()


def test_house_that_is_full_while_no_files_are_left_waits_for_both(
    selector: selectors.BaseSelector, listeners: list[socket.socket]
) -> None:
    house: Any = FullHouse()
    with_tls = Door(listeners[0], lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    acceptor = Acceptor([with_tls, Door(listeners[1])], selector, house)
    acceptor.open()
    for door in (Door(Full(errno.EMFILE)), with_tls):  # type: ignore[arg-type]
        assert acceptor.accept(door, 0.0) is None
    house.is_full = False
    assert list(acceptor.shaken()) == []
    assert watched(selector) == []
    acceptor.open()
    assert set(watched(selector)) == set(listeners)


class Full:
    """A listener of a process that has no file left."""

    def __init__(self, number: int) -> None:
        self._number = number

    def accept(self) -> Any:
        raise OSError(self._number, "no more")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_process_without_files_pauses_and_every_listener_at_once(
    selector: selectors.BaseSelector,
    listeners: list[socket.socket],
    number: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    acceptor, full = Acceptor([Door(one) for one in listeners], selector), Full(number)
    acceptor.open()
    with caplog.at_level(logging.WARNING):
        # Both listeners were ready in the round that hears of it.
        for _ in listeners:
            assert acceptor.accept(Door(full), 100.0) is None  # type: ignore[arg-type]
    assert acceptor.paused_until == 100.0 + PAUSE_S
    assert watched(selector) == []
    assert "no more connections" in caplog.text
    acceptor.open()
    assert acceptor.paused_until is None
    assert watched(selector) == listeners


def test_caller_that_changed_its_mind_is_no_reason_to_pause(
    selector: selectors.BaseSelector, listeners: list[socket.socket]
) -> None:
    acceptor, gone = Acceptor([Door(one) for one in listeners], selector), Full(errno.ECONNABORTED)
    acceptor.open()
    assert acceptor.accept(Door(gone), 0.0) is None  # type: ignore[arg-type]
    assert acceptor.paused_until is None
    assert watched(selector) == listeners


@pytest.mark.parametrize("state", ["never opened", "open", "paused"])
def test_closed_acceptor_is_closed_in_every_state(
    selector: selectors.BaseSelector, listeners: list[socket.socket], state: str
) -> None:
    acceptor = Acceptor([Door(one) for one in listeners], selector)
    if state != "never opened":
        acceptor.open()
    if state == "paused":
        acceptor.accept(Door(Full(errno.EMFILE)), 0.0)  # type: ignore[arg-type]
    acceptor.close()
    acceptor.close()
    assert acceptor.paused_until is None
    assert watched(selector) == []
    assert all(listener.fileno() == -1 for listener in listeners)


def test_connection_that_went_as_it_came_is_told_to_its_door(
    selector: selectors.BaseSelector,
) -> None:
    class Gone:
        def accept(self) -> Any:
            sock = socket.socket()
            sock.close()
            return sock, None

    closed: list[bool] = []
    door = Door(Gone(), closed=lambda: closed.append(True))  # type: ignore[arg-type]
    assert Acceptor([door], selector).accept(door, 0.0) is None
    assert closed == [True]
