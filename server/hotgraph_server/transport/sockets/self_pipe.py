"""How a thread that waits for sockets is woken: it waits for one more, which others write to."""

from __future__ import annotations

import contextlib
import socket


class SelfPipe:
    """To be registered with a selector. Closed by its owner."""

    def __init__(self) -> None:
        self._read_end, self._write_end = socket.socketpair()
        self._read_end.setblocking(False)
        self._write_end.setblocking(False)

    def fileno(self) -> int:
        """What a selector waits for, to read from."""
        return self._read_end.fileno()

    def wake(self) -> None:
        """Let who waits look; any thread."""
        # Full: it is being woken already. Closed: no thread waits any more.
        with contextlib.suppress(OSError):
            self._write_end.send(b"\0")

    def drain(self) -> None:
        """It has been woken, however often."""
        with contextlib.suppress(BlockingIOError):
            self._read_end.recv(4096)

    def close(self) -> None:
        """For good; may be called again."""
        self._read_end.close()
        self._write_end.close()
