"""A way in: what connections come from, and what is asked of them there."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hotgraph_server.errors import CallError
from hotgraph_server.transport.handed_over import HandedOver
from hotgraph_server.transport.sockets.socket_io import nothing

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
