"""What connections speak: makes those of HTTP/2, with the calls on them, and those of HTTP/1.1.

Everything here requires the server's connections_lock (server.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from hotgraph_server.transport.http1 import incoming
from hotgraph_server.transport.http1.connection import HttpConnection
from hotgraph_server.transport.http1.incoming import Http
from hotgraph_server.transport.http2 import call
from hotgraph_server.transport.http2.admission import UnaryRoute
from hotgraph_server.transport.http2.call import RefusedCall
from hotgraph_server.transport.http2.connection import Connection
from hotgraph_server.transport.http2.header_blocks import Head
from hotgraph_server.transport.http2.stream import Stream
from hotgraph_server.transport.http2.stream_call import StreamCall
from hotgraph_server.transport.http2.unary_call import UnaryCall
from hotgraph_server.transport.service import StreamingMethod


class Host(incoming.Host, call.Host, Protocol):
    """The server, as calls of either protocol see it."""


class Speaking:
    """
    Args:
        host: the server.
        max_streams, max_header_bytes: see Connection.
        http: what is answered over HTTP/1.1; None: that is not spoken.

    Attributes:
        http1: makes a connection that speaks HTTP/1.1, given its peer and what it calls when it has something
            to send; None: that is not spoken.
    """

    def __init__(self, host: Host, max_streams: int, max_header_bytes: int, http: Http | None) -> None:
        self._host = host
        self._max_streams = max_streams
        self._max_header_bytes = max_header_bytes
        self.http1: Callable[[str, Callable[[], None]], HttpConnection] | None = None
        if http is not None:
            self.http1 = lambda peer, on_output: HttpConnection(peer, host, http, on_output, time.monotonic)

    def http2(self, on_output: Callable[[], None]) -> Connection:
        """A connection that speaks HTTP/2."""
        return Connection(
            self._open_stream, self._max_streams, on_output, time.monotonic, self._max_header_bytes
        )

    def _open_stream(self, connection: Connection, number: int, head: Head) -> Stream:
        host = self._host
        decided = connection.refusal or host.admission.decide(head)
        if isinstance(decided, UnaryRoute):
            return UnaryCall(connection, number, head, host, decided.method, decided.limited)
        if isinstance(decided, StreamingMethod):
            return StreamCall(connection, number, head, host, decided)
        return RefusedCall(connection, number, head, host, decided)
