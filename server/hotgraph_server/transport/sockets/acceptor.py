"""The sockets that connections come in through: accepting, pausing when there are no files left, closing."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hotgraph_server.errors import CallError
from hotgraph_server.transport.accepting import NO_MORE_FILES, PAUSE_S
from hotgraph_server.transport.handed_over import HandedOver
from hotgraph_server.transport.sockets.socket_io import nothing

_LOG = logging.getLogger(__name__)

# The system tries so long to get bytes across to a peer that answers nothing, not even by TCP.
_DEAD_PEER_MS = 60_000


Allows = Callable[[Sequence[tuple[str, str]]], CallError | None]
"""Why a caller's calls are refused, by the subject alternative names of its certificate, each with its kind
(``URI``, ``DNS``); None: they are taken."""

Listener = socket.socket | HandedOver
"""What connections come from."""


class Door(NamedTuple):
    """A way in.

    Attributes:
        listener: what connections come from.
        tls: says what wraps the next of them, in the thread of handshakes; None: no TLS.
        grpc: is that spoken here, or HTTP/1.1 alone?
        closed: called for each that has been closed.
        allows: asked at the end of a handshake; None: whoever gets that far may call.
    """

    listener: Listener
    tls: Callable[[], ssl.SSLContext] | None = None
    grpc: bool = True
    closed: Callable[[], None] = nothing
    allows: Allows | None = None


class Acceptor:
    """Listening sockets, registered with a selector. For one thread at a time.

    Args:
        doors: whose listeners are bound and listening; closed in the end.
        selector: gets the listeners, each with its door, while connections can be accepted.

    Attributes:
        paused_until: when accepting goes on, monotonic seconds; None: it is going on.
    """

    def __init__(
        self,
        doors: Sequence[Door],
        selector: selectors.BaseSelector,
    ) -> None:
        self.paused_until: float | None = None
        self._doors = list(doors)
        self._selector = selector
        self._full = False  # nothing could be accepted the last time
        self._holds: list[Door] = []  # for want of room for handshakes

    @property
    def has_tls(self) -> bool:
        """Has one of the doors?"""
        return any(door.tls is not None for door in self._doors)

    @property
    def holds(self) -> bool:
        """Are callers at doors with TLS left in the backlog?"""
        return bool(self._holds)

    def open(self) -> None:
        """Let connections come."""
        self.paused_until = None
        self._holds.clear()
        for door in self._doors:
            door.listener.setblocking(False)
            self._watch(door)

    def hold(self, door: Door) -> None:
        """Leave the callers of a door in the backlog, until `let_in`."""
        self._holds.append(door)
        self._selector.unregister(door.listener)

    def let_in(self) -> None:
        """Those that were left there may come."""
        held, self._holds = self._holds, []
        for door in held if self.paused_until is None else ():
            self._watch(door)

    def accept(self, door: Door, now: float) -> socket.socket | None:
        """The next connection, ready for use without waiting, but for TLS's handshake; None if there is none
        after all."""
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
        self._holds.clear()

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
