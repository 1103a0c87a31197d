"""Bytes to a server over a connection of their own, and what comes back, until the server has closed it."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

CLOSE_S = 20.0
"""How long a server may take to close a connection whose caller has said all."""

_READ_BYTES = 65_536


class Said(NamedTuple):
    """What a server has said.

    Attributes:
        data: all of it.
        closed: it has closed the connection in time.
        waited_s: from the last byte that was sent until all was said, or patience was over.
    """

    data: bytes
    closed: bool
    waited_s: float


def exchange(
    address: str,
    pieces: Sequence[bytes],
    is_whole: Callable[[bytearray], bool],
    patience_s: float,
    linger_s: float,
) -> Said:
    """Send pieces, each in a send of its own; then read until the answer is whole, say that no more will
    come, and read until the server closes.

    Args:
        address: HOST:PORT.
        is_whole: has all been said that is waited for?
        patience_s: how long to wait for that; a case whose end is missing is never answered.
        linger_s: how long more may still come when it has.

    Raises:
        OSError: the server takes no connections.
    """
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=CLOSE_S) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = bytearray()
        try:
            for piece in pieces:
                peer.sendall(piece)
        except OSError:
            # It has heard enough; what it says of that may be there to be read.
            pass
        began = time.monotonic()
        ends = began + patience_s
        closed = False
        while not closed and not is_whole(data):
            closed = _read(peer, data, ends - time.monotonic())
            if time.monotonic() >= ends:
                break
        waited_s = time.monotonic() - began
        while not closed and linger_s:
            before = len(data)
            closed = _read(peer, data, linger_s)
            if len(data) == before:
                break
        with contextlib.suppress(OSError):
            peer.shutdown(socket.SHUT_WR)
        ends = time.monotonic() + CLOSE_S
        while not closed and time.monotonic() < ends:
            closed = _read(peer, data, ends - time.monotonic())
        return Said(bytes(data), closed, waited_s)


def _read(peer: socket.socket, data: bytearray, timeout_s: float) -> bool:
    """Add what comes next to `data`. Returns whether the connection is closed."""
    peer.settimeout(max(timeout_s, 1e-3))
    try:
        part = peer.recv(_READ_BYTES)
    except TimeoutError:
        return False
    except OSError:
        # Closed with something unread on its side, which is how a connection ends whose caller spoke on.
        return True
    data += part
    return not part
