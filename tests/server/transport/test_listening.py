"""Sockets for hosts of every kind."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from hotgraph_server.errors import StartError
from hotgraph_server.transport.listening import is_here, listen, written

from ..fakes import HANG_S


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the name "many" stands for; filled by the test."""
    found: list[Any] = []
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if host != "many":
            return resolve(host, *arguments, **options)
        return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return found


V4, V4_TOO = (socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET, ("127.0.0.2", 0))
V6 = (socket.AF_INET6, ("::1", 0, 0, 0))
NOWHERE = (socket.AF_INET, ("192.0.2.1", 0))


def close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def test_every_address_of_a_name_is_listened_on_with_one_port(addresses: list[Any]) -> None:
    addresses += [V4, V6, V4_TOO, V4]
    sockets, port = listen("many", 0)
    assert [sock.getsockname()[:2] for sock in sockets] == [
        ("127.0.0.1", port),
        ("::1", port),
        ("127.0.0.2", port),
    ]
    for address in ("127.0.0.1", "::1", "127.0.0.2"):
        socket.create_connection((address, port), HANG_S).close()
    close(sockets)


def test_address_that_the_machine_does_not_have_is_passed_over_if_there_are_others(
    addresses: list[Any],
) -> None:
    """Most machines without version six still call ::1 localhost."""
    addresses += [NOWHERE, V4]
    sockets, port = listen("many", 0)
    assert [sock.getsockname() for sock in sockets] == [("127.0.0.1", port)]
    close(sockets)


def test_name_without_any_address_of_the_machines_is_told(addresses: list[Any]) -> None:
    addresses += [NOWHERE, (socket.AF_INET, ("203.0.113.9", 0))]
    with pytest.raises(StartError, match=r"cannot listen on many:0: the address is not this machine's"):
        listen("many", 0)


def test_port_that_is_in_use_on_one_address_is_told_and_no_socket_kept(addresses: list[Any]) -> None:
    addresses += [V4, V4_TOO]
    with socket.socket() as other:
        other.bind(("127.0.0.2", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StartError, match=f"cannot listen on many:{port}: the port is in use"):
            listen("many", port)
    sockets, _ = listen("many", port)
    close(sockets)


def test_port_zero_is_tried_again_until_it_is_free_on_every_address(
    addresses: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses += [V4, V4_TOO]
    tries = []

    class Unlucky(socket.socket):
        def bind(self, address: Any) -> None:
            tries.append(address[1])
            if len(tries) in (2, 4):
                raise OSError(errno.EADDRINUSE, "in use")
            super().bind(address)

    monkeypatch.setattr(socket, "socket", Unlucky)
    sockets, port = listen("many", 0)
    assert len(tries) == 6
    assert tries[0] == tries[2] == tries[4] == 0
    assert [sock.getsockname()[1] for sock in sockets] == [port, port]
    close(sockets)


def test_all_networks_of_version_six_are_those_of_version_four_too() -> None:
    sockets, port = listen("::", 0)
    socket.create_connection(("127.0.0.1", port), HANG_S).close()
    socket.create_connection(("::1", port), HANG_S).close()
    close(sockets)


HERE = {"0.0.0.0": ("127.0.0.1", "::1"), "localhost": ("127.0.0.1", "::1"), "LocalHost": ("::1",)}


@pytest.mark.parametrize(("host", "reached"), HERE.items())
def test_host_that_is_no_single_address_is_reached_by_either_version(
    host: str, reached: tuple[str, ...]
) -> None:
    sockets, port = listen(host, 0)
    for address in reached:
        socket.create_connection((address, port), HANG_S).close()
    close(sockets)


def test_localhost_is_not_the_other_networks() -> None:
    sockets, port = listen("localhost", 0)
    assert [sock.getsockname()[:2] for sock in sockets] == [("127.0.0.1", port), ("::1", port)]
    close(sockets)


@pytest.mark.parametrize("reason", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT])
@pytest.mark.parametrize("host", ["0.0.0.0", "localhost"])
def test_machine_without_version_six_is_reached_by_version_four(
    host: str, reason: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = socket.socket

    def without_six(family: int = socket.AF_INET, *arguments: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(reason, "there is none")
        return make(family, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", without_six)
        sockets, port = listen(host, 0)
    socket.create_connection(("127.0.0.1", port), HANG_S).close()
    assert len(sockets) == 1
    close(sockets)


@pytest.mark.parametrize(("host", "text"), [("::1", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("name", "name")])
def test_host_is_written_as_addresses_have_it(host: str, text: str) -> None:
    assert written(host) == text


@pytest.mark.parametrize(("host", "here"), [("127.0.0.1", True), ("localhost", True), ("192.0.2.1", False)])
def test_an_address_of_this_machine_is_told_from_others(host: str, here: bool) -> None:
    """The last is for documentation, and no machine's."""
    assert is_here(host) is here


def test_a_name_that_is_none_is_no_address_of_this_machine() -> None:
    assert not is_here("a..b")
