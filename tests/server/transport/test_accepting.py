"""How connections come into an event loop, and what happens when none can."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from hotgraph_server.transport import accepting
from hotgraph_server.transport.accepting import EventLoopAcceptor
from hotgraph_server.transport.listening import listen

PATIENCE_S = 30.0


class Hello(asyncio.Protocol):
    """Says so, and goes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.write(b"hello")
        transport.close()


class Scarce:
    """A listener for which there are files only now and then."""

    def __init__(self, sock: socket.socket, failures: Iterator[int]) -> None:
        self._sock = sock
        self._failures = failures
        self.tries = 0

    def accept(self) -> Any:
        self.tries += 1
        number = next(self._failures, 0)
        if number:
            raise OSError(number, "Too many open files")
        return self._sock.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


async def heard(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE_S)
    finally:
        writer.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    ((found,), _) = listen("127.0.0.1", 0)
    yield found
    found.close()


def test_connections_are_accepted_until_the_end(listener: socket.socket) -> None:
    async def main() -> None:
        port = listener.getsockname()[1]
        acceptor = EventLoopAcceptor([listener], Hello)
        acceptor.open()
        assert await asyncio.gather(*(heard(port) for _ in range(100))) == [b"hello"] * 100
        acceptor.close()
        acceptor.close()
        assert listener.fileno() == -1
        with pytest.raises(ConnectionRefusedError):
            await heard(port)

    asyncio.run(main())


def scarce(monkeypatch: pytest.MonkeyPatch, sock: socket.socket, *failures: int) -> Scarce:
    monkeypatch.setattr(accepting, "PAUSE_S", 0.0)
    return Scarce(sock, iter(failures))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_process_without_files_pauses_says_so_once_and_goes_on(
    number: int,
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        port = listener.getsockname()[1]
        without = scarce(monkeypatch, listener, *[number] * 5)
        acceptor = EventLoopAcceptor([without], Hello)  # type: ignore[list-item]
        acceptor.open()
        assert await heard(port) == b"hello"
        assert without.tries >= 6
        acceptor.close()

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    ours = [one.getMessage() for one in caplog.records if one.name == accepting.__name__]
    assert ours == [
        "no more connections can be accepted for now: Too many open files",
        "connections are accepted again",
    ]
    assert "Traceback" not in caplog.text


def test_caller_that_changed_its_mind_is_no_reason_to_pause(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        port = listener.getsockname()[1]
        gone = scarce(monkeypatch, listener, errno.ECONNABORTED)
        acceptor = EventLoopAcceptor([gone], Hello)  # type: ignore[list-item]
        acceptor.open()
        assert await heard(port) == b"hello"
        acceptor.close()

    asyncio.run(main())
    assert "no more connections" not in caplog.text


def test_acceptor_that_pauses_can_be_closed(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        port = listener.getsockname()[1]
        without = scarce(monkeypatch, listener, errno.EMFILE)
        monkeypatch.setattr(accepting, "PAUSE_S", 3600.0)
        acceptor = EventLoopAcceptor([without], Hello)  # type: ignore[list-item]
        acceptor.open()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        while not without.tries:
            await asyncio.sleep(0)
        acceptor.close()
        writer.close()
        assert listener.fileno() == -1

    asyncio.run(main())
