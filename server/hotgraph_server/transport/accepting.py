"""Connections for an event loop: accepted some at a time, with a pause where the process has no file left.

asyncio's own loop of this kind logs a stack for every place in its backlog, thousands a second, while there
is no file for a connection.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence

_LOG = logging.getLogger(__name__)

NO_MORE_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
PAUSE_S = 0.5
"""When the process has no file left for a connection, the next try is made after so long."""

# Then what else the loop has to do comes first.
_AT_A_TIME = 64


class SocketAcceptor:
    """Listening sockets of one event loop, in whose thread everything is called.

    Args:
        sockets: bound and listening; closed in the end.
        take: gets each connection, not blocking.
        at_a_time: connections taken at most before other things come.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        take: Callable[[socket.socket], object],
        at_a_time: int = _AT_A_TIME,
    ) -> None:
        self._sockets = list(sockets)
        self._take = take
        self._at_a_time = at_a_time
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._full = False

    def open(self) -> None:
        """Let connections come."""
        self._stop_pausing()
        for listener in self._sockets:
            listener.setblocking(False)
            self._loop.add_reader(listener, self._accept, listener)

    def hold(self) -> None:
        """Let connections wait in the backlog, until `open`."""
        self._stop_pausing()
        self._shut()

    def close(self) -> None:
        """Take no connections any more, for good."""
        self.hold()
        for listener in self._sockets:
            listener.close()
        self._sockets.clear()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(self._at_a_time):
            try:
                sock, _ = listener.accept()
            except OSError as error:
                if error.errno in NO_MORE_FILES:
                    self._wait(error)
                # Otherwise no caller is left, or the caller has changed its mind.
                return
            if self._full:
                self._full = False
                _LOG.info("connections are accepted again")
            sock.setblocking(False)
            self._take(sock)

    def _wait(self, error: OSError) -> None:
        """Callers stay in the backlog; to be told of them again at once would not help."""
        if self._pause is not None:
            return
        if not self._full:
            self._full = True
            _LOG.warning("no more connections can be accepted for now: %s", error.strerror)
        self._shut()
        self._pause = self._loop.call_later(PAUSE_S, self.open)

    def _stop_pausing(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _shut(self) -> None:
        for listener in self._sockets:
            self._loop.remove_reader(listener)


class EventLoopAcceptor(SocketAcceptor):
    """The same for connections that talk to a protocol of this event loop.

    Args:
        protocol: makes what a connection talks to.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        protocol: Callable[[], asyncio.BaseProtocol],
        at_a_time: int = _AT_A_TIME,
    ) -> None:
        super().__init__(sockets, self._begin, at_a_time)
        self._protocol = protocol
        self._connecting: set[asyncio.Task[object]] = set()

    def _begin(self, sock: socket.socket) -> None:
        task: asyncio.Task[object] = self._loop.create_task(self._connect(sock))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, sock)
        except OSError as error:
            _LOG.debug("a connection went as it came: %s", error)
            sock.close()
