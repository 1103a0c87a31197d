"""A connection's socket: reads what is there, writes what can be written, TLS or not. Never waits.

Everything here requires the server's connections_lock (server.py).
"""

from __future__ import annotations

import functools
import itertools
import math
import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable

from hotgraph_server.errors import CallError
from hotgraph_server.transport.deadlines import Alarm
from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.sockets.spoken import Spoken

# What one read takes at most. A read costs a system call and, with it, a chance for other threads to take
# the interpreter; this many bytes are 80 calls of 3 kB, or a fifth of a large image.
RECEIVE_BYTES = 256 * 1024

MAX_UNSENT_BYTES = 8 * 2**20
"""With so much unsent a peer is not read from: each thing that it says could add to it."""

# What one connection is sent at a time; a peer that reads as fast as we write would be served for as long as
# its answer is. It is copied to the system at some GB/s.
_MAX_A_WRITE = 4 * 2**20

# A peer that goes on for so long does not listen; one that sends a body looks up when that is sent.
_MAX_PASSED_OVER_BYTES = 16 * 2**20
_PATIENTLY_PASSED_OVER_BYTES = 512 * 2**20

# Up to here joining pieces and one send is cheaper than handing the system a list of them.
_WORTH_LISTING = 64 * 1024
# What systems take in one call; POSIX promises 16, Linux and macOS have 1024.
_PIECES = 512

# Those that have no address: callers on Unix sockets.
_nameless = itertools.count(1)

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def nothing() -> None:
    """Nobody needs to know."""


class ConnectionLost(Exception):
    """The peer, or the way to it, is gone."""


class SocketIO:
    """A socket with its connection, which speaks HTTP/2 unless the peer begins with something else.

    Args:
        sock: accepted and not blocking; if it is TLS, wrapped, and the handshake is done.
        http2: makes a connection that speaks HTTP/2, given what it calls when it has something to send; None:
            that is not spoken here.
        http1: the same of HTTP/1.1, which gets the peer's name too.
        dirty: gets this when it has something to write.
        closed: called when it has been closed.
        refusal: see Spoken.

    Raises:
        ConnectionLost: TLS's handshake has not agreed on anything that is spoken here.

    Attributes:
        connection: what is spoken on it.
        closing: nothing is read any more, and it shall be closed once all is sent.
        lingers: once all is sent, what still comes is passed over for a moment before it is closed: a system
            that closes a connection with something unread in it may take back what was sent last.
        ends: cuts a lingering one off; None: it does not linger.
        ages: looks at its age (connection_age.py); None: that has no limit.
        registered: the events that the selector was told; who registers it keeps it.
        unfinished: something is left of what was received, for which there was no time.
    """

    def __init__(
        self,
        sock: socket.socket,
        http2: Callable[[Callable[[], None]], Spoken] | None,
        http1: Callable[[str, Callable[[], None]], Spoken] | None,
        dirty: list[SocketIO],
        closed: Callable[[], None] = nothing,
        refusal: CallError | None = None,
    ) -> None:
        self.sock = sock
        self.closed = closed
        self._tls = sock if isinstance(sock, ssl.SSLSocket) else None
        self._on_output = functools.partial(dirty.append, self)
        self._http1 = http1 if http2 is not None else None  # while it is not known what is spoken
        if http2 is not None and self._tls is not None and self._tls.selected_alpn_protocol() != "h2":
            if http1 is None:
                raise ConnectionLost("TLS: the caller does not offer h2 (ALPN), which gRPC demands")
            http2 = self._http1 = None
        if http2 is not None:
            self.connection = http2(self._on_output)
            self.connection.peer = _peer_of(sock)
        else:
            assert http1 is not None
            self.connection = http1(_peer_of(sock), self._on_output)
        self.connection.refusal = refusal
        self.closing = False
        self.lingers = False
        self.ends: Alarm | None = None
        self.ages: Alarm | None = None
        self._passed_over = -1  # bytes, since the end was said; below zero: it was not
        self.registered = _READ
        self._accepted_at = time.monotonic()
        self._stuck_since = math.inf  # since when the system takes nothing of what is to be sent
        self.unfinished = False
        # Received, and not used yet: the beginning of a frame, or what there was no time for.
        self._rest: bytes | memoryview = b""
        self._unsent: deque[bytes | memoryview] = deque()
        self._unsent_bytes = 0

    @property
    def stuck_since(self) -> float:
        """Since when it waits for its peer, monotonic seconds; infinite if it does not.

        Whatever the peer says meanwhile: what counts is that it greets us, and that it takes what it is sent.
        Of single streams the connection knows more (`Connection.give_up_stalled`).
        """
        return self._stuck_since if self.connection.greeted else self._accepted_at

    @property
    def reads(self) -> bool:
        """Is anything to be read?"""
        connection = self.connection
        if self.closing or connection.holds:
            return False
        return self._unsent_bytes + connection.out_bytes <= MAX_UNSENT_BYTES

    @property
    def has_output(self) -> bool:
        """Is there something to send?"""
        return bool(self.connection.out or self._unsent)

    @property
    def unsent_bytes(self) -> int:
        """How much there is to send."""
        return self._unsent_bytes + self.connection.out_bytes

    @property
    def interest(self) -> int:
        """The selector events that it waits for now; 0: none."""
        if self.connection.holds and not self.closing:
            return _WRITE if self.connection.out or self._unsent else 0
        if not (self.connection.out or self._unsent):
            return _READ
        return _WRITE if self.closing or self.unsent_bytes > MAX_UNSENT_BYTES else _READ | _WRITE

    def read(self, buffer: bytearray, view: memoryview, ends_at: float = math.inf) -> None:
        """Read once, or as often as TLS has more, and take it in, as far as there is time.

        Args:
            buffer: RECEIVE_BYTES and room for a rest; another's after the call. `view` is its memory.
            ends_at: when to leave the rest for later, monotonic seconds.

        Raises:
            ConnectionLost: there is nothing to be had any more.
            ConnectionBroken: the peer broke the protocol; `write` still sends why.
        """
        self.unfinished = False
        if self.connection.unfinished:
            # Nothing more is read while something is left, so a peer that asks for much waits for itself.
            rest = memoryview(self._rest)
            self._rest = rest[self.connection.receive(rest, ends_at) :]
            if self.connection.unfinished:
                self.unfinished = True
                return
        while True:
            kept = len(self._rest)
            buffer[:kept] = self._rest
            try:
                count = self.sock.recv_into(view[kept : kept + RECEIVE_BYTES])
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                raise ConnectionLost(str(error)) from error
            if not count:
                raise ConnectionLost("the peer closed the connection")
            received = view[: kept + count]
            if self._http1 is not None:
                self._choose(received, self._http1)
            used = self.connection.receive(received, ends_at)
            self._rest = bytes(received[used:])
            if self.connection.unfinished:
                self.unfinished = True
                return
            # The selector does not tell of what TLS has decrypted already.
            if self._tls is None or not self._tls.pending():
                return
            if time.monotonic() >= ends_at:
                self.unfinished = True
                return

    def _choose(self, received: memoryview, http1: Callable[[str, Callable[[], None]], Spoken]) -> None:
        """HTTP/2 has a preface, whose beginning is no request of HTTP/1.1; the peer's first bytes tell."""
        first = bytes(received[: len(frames.PREFACE)])
        if not frames.PREFACE.startswith(first):
            refusal = self.connection.refusal
            self.connection = http1(self.connection.peer, self._on_output)
            self.connection.refusal = refusal
        elif len(first) < len(frames.PREFACE):
            return
        self._http1 = None

    @property
    def has_ended(self) -> bool:
        """Has it said its end, and lingers?"""
        return self._passed_over >= 0

    def pass_over(self, view: memoryview) -> bool:
        """Say the end, and read what still comes and pass it over. Returns whether more may come."""
        try:
            if self._passed_over < 0:
                self._passed_over = 0
                self.sock.shutdown(socket.SHUT_WR)
            count = self.sock.recv_into(view[:RECEIVE_BYTES])
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        except OSError:
            return False
        self._passed_over += count
        most = _PATIENTLY_PASSED_OVER_BYTES if self.connection.patient else _MAX_PASSED_OVER_BYTES
        return count > 0 and self._passed_over < most

    def write(self) -> bool:
        """Write as much as goes. Returns whether it is plain that nothing else has to be seen to now.

        Raises:
            ConnectionLost: nothing can be written any more.
        """
        connection = self.connection
        if len(connection.out) == 1 and not self._unsent and self._write_whole(connection.out[0]):
            # What nearly all answers are, in as few steps as can be.
            connection.out, connection.out_bytes, self._stuck_since = [], 0, math.inf
            if connection.crowded:
                connection.on_sent()
            waits = self.closing or self.unfinished or connection.ended or connection.holds
            return self.registered == _READ and not waits
        self._unsent.extend(connection.out)
        self._unsent_bytes += connection.out_bytes
        connection.out, connection.out_bytes = [], 0
        try:
            left_at_most = self._unsent_bytes - _MAX_A_WRITE
            while self._unsent and self._write_once() and self._unsent_bytes > left_at_most:
                pass
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        connection.unsent_bytes = self._unsent_bytes
        if not self._unsent:
            self._stuck_since = math.inf
            if connection.crowded:
                connection.on_sent()
        elif self._stuck_since == math.inf:
            self._stuck_since = time.monotonic()
        return False

    def _write_whole(self, data: bytes | memoryview) -> bool:
        """Send all that there is, if it goes at once; what goes of it is taken off. Raises ConnectionLost."""
        if self._tls is not None or len(data) > _WORTH_LISTING:
            return False
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        if sent == len(data):
            return True
        connection = self.connection
        connection.out[0] = memoryview(data)[sent:]
        connection.out_bytes -= sent
        return False

    def _write_once(self) -> bool:
        """One system call. Returns whether all that it was given went."""
        if self._tls is None and self._unsent_bytes > _WORTH_LISTING:
            pieces = list(itertools.islice(self._unsent, _PIECES))
            wanted = sum(map(len, pieces))
            sent = self.sock.sendmsg(pieces)
        else:
            # What TLS could not send must be given again; as the beginning of more it is.
            if len(self._unsent) > 1:
                self._join_first()
            wanted = len(self._unsent[0])
            sent = self.sock.send(self._unsent[0])
        self._unsent_bytes -= sent
        self._stuck_since = math.inf
        complete = sent == wanted
        if complete and wanted == self._unsent_bytes + sent:
            self._unsent.clear()
            return True
        while sent:
            piece = self._unsent.popleft()
            if sent < len(piece):
                self._unsent.appendleft(memoryview(piece)[sent:])
                break
            sent -= len(piece)
        return complete

    def _join_first(self) -> None:
        """Make one piece of the first ones, up to what is worth one send."""
        size, pieces = 0, []
        while self._unsent and size < _WORTH_LISTING:
            piece = self._unsent.popleft()
            size += len(piece)
            pieces.append(piece)
        self._unsent.appendleft(b"".join(pieces))


def _peer_of(sock: socket.socket) -> str:
    try:
        address = sock.getpeername()
    except OSError:  # It has gone as it came.
        address = ""
    return "{}:{}".format(*address) if isinstance(address, tuple) else f"unix:{next(_nameless)}"
