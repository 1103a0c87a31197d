"""One connection to a server, as http.client wants a socket, each wait of which ends at the call's deadline.

http.client sets a limit for each wait, of which a slow server can make as many as it likes; a call has one
limit for all of them. Besides, it sends head and body apart, and what is small should be one packet.
"""

from __future__ import annotations

import contextlib
import io
import select
import socket
import ssl
import time

from .route import HttpServer

# As much is put together before it is sent; larger pieces go as they are.
_JOINED_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024


class Wire:
    """A connected socket.

    Attributes:
        deadline: monotonic seconds; after it whoever waits here gets a TimeoutError.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._unsent: list[bytes | memoryview] = []
        self.deadline = deadline

    def sendall(self, data: bytes | memoryview) -> None:
        """Take note of `data`; `flush` sends it. (http.client's name.)"""
        self._unsent.append(data)

    def flush(self) -> None:
        """Send what was noted."""
        pieces, self._unsent = self._unsent, []
        small: list[bytes | memoryview] = []
        for piece in pieces:
            if len(piece) < _JOINED_BYTES:
                small.append(piece)
                continue
            self._send(b"".join(small))
            self._send(piece)
            small.clear()
        self._send(b"".join(small))

    def makefile(self, mode: str) -> io.BufferedReader:
        """What an answer is read from. (http.client's name.)"""
        return io.BufferedReader(_Reading(self), _READ_BYTES)

    def close(self) -> None:
        """Nothing: http.client closes before it reads, and whoever has the connection calls `end`."""

    def read_into(self, buffer: memoryview) -> int:
        """How many bytes came; 0: the server has closed."""
        self._sock.settimeout(left_s(self.deadline))
        return self._sock.recv_into(buffer)

    def is_quiet(self) -> bool:
        """Whether nothing has come since the last answer: neither its end nor bytes that nobody asked for."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return not poll.poll(0)

    def interrupt(self) -> None:
        """Wake whoever waits here, in another thread, with the end of the connection."""
        # what has ended by itself is not connected
        with contextlib.suppress(OSError):
            # not SSLSocket's own, which would have the reader go on without decryption
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def end(self) -> None:
        """Close the connection."""
        self._sock.close()

    def _send(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            self._sock.settimeout(left_s(self.deadline))
            view = view[self._sock.send(view) :]


class _Reading(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._wire.read_into(buffer)


def left_s(deadline: float) -> float:
    """Seconds until then.

    Raises:
        TimeoutError: there are none.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def connect(server: HttpServer, context: ssl.SSLContext | None, name: str, deadline: float) -> Wire:
    """A new connection.

    Args:
        context: None for plain text.
        name: to look for in the server's certificate.
        deadline: monotonic seconds.

    Raises:
        OSError: none came about; TimeoutError: not in time.
    """
    sock = _connected(server, deadline)
    try:
        # what is small is sent at once, in one piece
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(left_s(deadline))
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname=name)
    except BaseException:
        sock.close()
        raise
    return Wire(sock, deadline)


def _connected(server: HttpServer, deadline: float) -> socket.socket:
    found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    refusal: OSError = OSError(f"host '{server.host}' has no address")
    for index, (family, kind, protocol, _, address) in enumerate(found):
        sock = socket.socket(family, kind, protocol)
        try:
            # an address that does not answer leaves the others their share
            sock.settimeout(left_s(deadline) / (len(found) - index))
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            refusal = error
    raise refusal
