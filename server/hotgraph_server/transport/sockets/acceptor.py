"""The sockets that connections come in through: accepting, pausing when there are no files left, closing."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
from collections.abc import Iterator, Sequence

from hotgraph_server.transport.accepting import NO_MORE_FILES, PAUSE_S
from hotgraph_server.transport.sockets.door import Door
from hotgraph_server.transport.sockets.handshakes import Handshakes, Shaken

_LOG = logging.getLogger(__name__)

# The system tries so long to get bytes across to a peer that answers nothing, not even by TCP.
_DEAD_PEER_MS = 60_000


class Acceptor:
    """Listening sockets, registered with a selector. For one thread at a time.

    Args:
        doors: whose listeners are bound and listening; closed in the end.
        selector: gets the listeners, each with its door, while connections can be accepted.
        handshakes: where connections of doors with TLS go first; started and stopped by its owner. None: no
            door has TLS.

    Attributes:
        paused_until: when accepting goes on, monotonic seconds; None: it is going on.
    """

    def __init__(
        self,
        doors: Sequence[Door],
        selector: selectors.BaseSelector,
        handshakes: Handshakes | None = None,
    ) -> None:
        self.paused_until: float | None = None
        self._doors = list(doors)
        self._selector = selector
        self._handshakes = handshakes
        self._full = False  # nothing could be accepted the last time
        self._held: list[Door] = []  # for want of room for handshakes

    def open(self) -> None:
        """Let connections come."""
        self.paused_until = None
        self._held.clear()
        for door in self._doors:
            door.listener.setblocking(False)
            self._watch(door)

    def accept(self, door: Door, now: float) -> socket.socket | None:
        """The next connection, ready for use without waiting; None if there is none after all, or it has a
        handshake before it, as everything has at a door with TLS: then `shaken` brings it."""
        if door.tls is None:
            return self._accept(door, now)
        handshakes = self._handshakes
        assert handshakes is not None
        if handshakes.is_full:
            # Callers stay in the backlog. Another door of this round may have shut them all.
            with contextlib.suppress(KeyError):
                self._selector.unregister(door.listener)
                self._held.append(door)
            return None
        sock = self._accept(door, now)
        if sock is not None:
            handshakes.begin(sock, door)
        return None

    def shaken(self) -> Iterator[Shaken]:
        """Connections whose handshake is done, each once."""
        handshakes = self._handshakes
        if handshakes is None:
            return
        while (shaken := handshakes.take()) is not None:
            yield shaken
        if self._held and not handshakes.is_full:
            held, self._held = self._held, []
            for door in held if self.paused_until is None else ():
                self._watch(door)

    def _accept(self, door: Door, now: float) -> socket.socket | None:
        try:
            sock, _ = door.listener.accept()
        except EOFError:
            # Who hands connections over will hand over none any more; a selector would say so for ever. Other
            # doors are not concerned.
            with contextlib.suppress(KeyError):
                self._selector.unregister(door.listener)
            return None
        except OSError as error:
            if error.errno in NO_MORE_FILES:
                # The caller stays in the backlog; to be told of it again at once would not help.
                if not self._full:
                    self._full = True
                    _LOG.warning("no more connections can be accepted for now: %s", error.strerror)
                self._shut()
                self.paused_until = now + PAUSE_S
            # Otherwise the caller has changed its mind.
            return None
        if self._full:
            self._full = False
            _LOG.info("connections are accepted again")
        try:
            sock.setblocking(False)
            _tune(sock)
        except OSError as error:
            _LOG.debug("a connection went as it came: %s", error)
            sock.close()
            door.closed()
            return None
        return sock

    def close(self) -> None:
        """Take no connections any more, for good."""
        self._shut()
        self.paused_until = None
        for door in self._doors:
            door.listener.close()
        self._doors.clear()
        self._held.clear()

    def _watch(self, door: Door) -> None:
        self._selector.register(door.listener, selectors.EVENT_READ, door)

    def _shut(self) -> None:
        for door in self._doors:
            with contextlib.suppress(KeyError):
                self._selector.unregister(door.listener)


def _tune(sock: socket.socket) -> None:
    """What a connection is told; a Unix socket needs none of it."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # Answers are written whole, so there is nothing to wait for.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MS)
