"""Handshakes of real callers, in their thread; who never ends one holds nobody else."""

from __future__ import annotations

import logging
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import trustme

from hotgraph_server.errors import CallError, PeerNotAllowed
from hotgraph_server.transport.sockets.door import Door
from hotgraph_server.transport.sockets.handshakes import CROWDED_S, Handshakes, Shaken

from ...fakes import until
from ..conftest import PATIENCE_S

HELLO = b"\x16\x03\x01\x02\x00\x01"
"""How a caller's first record of TLS begins."""


class House:
    """Handshakes with a thread, a clock that stands still, and callers.

    Attributes:
        now: what the clock says.
        closed: counts what the door hears of.
    """

    def __init__(self, authority: trustme.CA, *, limit_s: float = 10.0, max_inside: int = 100) -> None:
        self.authority = authority
        self.now = 100.0
        self.closed = 0
        self.contexts = [self.context()]
        self.refusal: CallError | None = None
        self.asked: list[Sequence[tuple[str, str]]] = []
        self._news: queue.Queue[None] = queue.Queue()
        self.handshakes = Handshakes(lambda: self._news.put(None), limit_s, max_inside, lambda: self.now)
        listener: Any = None
        self.door = Door(listener, lambda: self.contexts[-1], True, self._count, self._allows)

    def context(self) -> ssl.SSLContext:
        """A new certificate, that asks for one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("localhost").configure_cert(context)
        self.authority.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _count(self) -> None:
        self.closed += 1

    def _allows(self, names: Sequence[tuple[str, str]]) -> CallError | None:
        self.asked.append(names)
        return self.refusal

    def come(self) -> socket.socket:
        """Somebody who says nothing yet."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.settimeout(PATIENCE_S)
        self.handshakes.begin(ours, self.door)
        return theirs

    def shake(self, theirs: socket.socket, name: str = "") -> ssl.SSLSocket:
        """The caller's half, with a certificate of this name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        if name:
            self.authority.issue_cert(name).configure_cert(context)
        return context.wrap_socket(theirs, server_hostname="localhost")

    def hear(self) -> None:
        """Wait for news."""
        self._news.get(timeout=PATIENCE_S)

    def taken(self) -> Shaken:
        """The next that is through."""
        while (found := self.handshakes.take()) is None:
            self.hear()
        found.sock.settimeout(PATIENCE_S)
        return found


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def make_house(authority: trustme.CA) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def make(**options: Any) -> House:
        made.append(House(authority, **options))
        made[-1].handshakes.start()
        return made[-1]

    yield make
    for house in made:
        house.handshakes.stop(PATIENCE_S)


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house()


def greets(house: House, sock: socket.socket | None = None) -> None:
    """A caller comes, is through, and is heard; the thread has seen who came before."""
    with house.shake(sock or house.come()) as theirs:
        through = house.taken()
        with through.sock:
            theirs.sendall(b"hello")
            assert through.sock.recv(100) == b"hello"
            assert through.door is house.door


def test_caller_is_through_and_not_blocking(house: House) -> None:
    with house.shake(house.come()) as _:
        house.hear()
        through = house.handshakes.take()
        assert through is not None
        with through.sock:
            assert not through.sock.getblocking()
        assert house.handshakes.take() is None
        assert house.handshakes.is_empty


def test_handshake_that_never_ends_holds_no_other_caller(house: House) -> None:
    silent, half = house.come(), house.come()
    with silent, half:
        half.sendall(HELLO)
        for _ in range(3):
            with house.shake(house.come()) as theirs, house.taken().sock as ours:
                theirs.sendall(b"hello")
                assert ours.recv(100) == b"hello"
        assert house.handshakes.inside == 2
        # Nor those two each other.
        greets_half = threading.Thread(target=lambda: house.shake(silent).close())
        greets_half.start()
        house.taken().sock.close()
        greets_half.join(PATIENCE_S)
        assert house.handshakes.inside == 1


@pytest.mark.parametrize("wrong", [b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b""])
def test_who_speaks_something_else_or_goes_is_closed_and_its_door_is_told(house: House, wrong: bytes) -> None:
    with house.come() as sock:
        sock.sendall(wrong)
        sock.shutdown(socket.SHUT_WR)
        house.hear()
    assert house.handshakes.take() is None
    assert house.closed == 1
    assert house.handshakes.is_empty
    greets(house)


def test_caller_that_trusts_another_authority_is_closed(house: House) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trustme.CA().configure_trust(context)
    with pytest.raises(ssl.SSLError):
        context.wrap_socket(house.come(), server_hostname="localhost")
    house.hear()
    assert house.handshakes.take() is None
    assert house.closed == 1


def test_error_of_ours_costs_one_caller(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.contexts.append(None)  # type: ignore[arg-type]
    with house.come() as sock:
        house.hear()
        assert sock.recv(100) == b""
    assert "unexpected error" in caplog.text
    house.contexts.pop()
    greets(house)


def test_late_one_is_closed_when_its_time_is_up_and_not_before(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    first = house.come()
    greets(house)
    house.now = 105.0
    second = house.come()
    with first, second, caplog.at_level(logging.DEBUG):
        house.now = 109.9
        greets(house)
        greets(house)
        assert house.handshakes.inside == 2
        house.now = 110.0
        greets(house)
        until(lambda: house.handshakes.inside == 1)
        assert first.recv(100) == b""
        assert "handshake is not done after 10 s" in caplog.text
        assert house.handshakes.take() is None
        assert house.closed == 1
        greets(house, second)


class TestEdges:
    def test_so_many_are_inside_at_most(self, make_house: Callable[..., House]) -> None:
        house = make_house(max_inside=2)
        with house.come(), house.come() as sock:
            assert house.handshakes.is_full
            house.shake(sock).close()
            house.hear()
            assert not house.handshakes.is_full

    def test_silent_ones_have_less_time_while_there_is_no_room(
        self, make_house: Callable[..., House]
    ) -> None:
        house = make_house(max_inside=3)
        with house.come() as silent:
            greets(house)
            house.now += CROWDED_S
            greets(house)
            assert house.handshakes.inside == 1
            # The next two fill the house.
            with house.come() as one, house.come() as other:
                assert silent.recv(100) == b""
                until(lambda: house.handshakes.inside == 2)
                greets(house, one)
                greets(house, other)

    def test_end_closes_all_and_tells_their_doors(self, house: House) -> None:
        through = house.shake(house.come())
        house.hear()
        with through, house.come() as silent:
            house.handshakes.stop(PATIENCE_S)
            assert silent.recv(100) == b""
            assert house.closed == 2
            house.handshakes.stop(PATIENCE_S)
            assert house.closed == 2

    def test_what_was_never_started_ends_too(self, authority: trustme.CA) -> None:
        house = House(authority)
        with house.come() as silent:
            house.handshakes.stop(PATIENCE_S)
            assert silent.recv(100) == b""
        assert house.closed == 1


def test_certificate_is_asked_for_at_each_handshake(house: House) -> None:
    shown = set()
    for _ in range(3):
        with house.shake(house.come()) as theirs:
            house.taken().sock.close()
            shown.add(theirs.getpeercert(binary_form=True))
        house.contexts.append(house.context())
    assert len(shown) == 3


def test_door_hears_the_names_of_the_callers_certificate_and_refuses_by_them(house: House) -> None:
    for name, expected in (("web.example", [("DNS", "web.example")]), ("", [])):
        house.refusal = PeerNotAllowed([name])
        with house.shake(house.come(), name):
            through = house.taken()
            through.sock.close()
        assert through.refusal is house.refusal
        assert house.asked[-1] == expected
    house.refusal = None
    with house.shake(house.come(), "web.example"):
        through = house.taken()
        through.sock.close()
    assert through.refusal is None
