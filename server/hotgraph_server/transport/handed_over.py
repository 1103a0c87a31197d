"""Connections that another process has accepted, and hands over one by one.

A stand-in for a listening socket: what accepts here gets connections from a Unix socket by which the process
that listens sends them (SCM_RIGHTS). In the other direction goes a byte for each that was taken, and one for
each that has been closed. So who hands over knows how many are open, and which were on their way when this
process has ended: those it can hand to another one.

When the other side will send no more, `accept` says so once with EOFError; connections that were on their way
come before that.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading

TAKEN, CLOSED = b"+", b"-"


class HandedOver:
    """One end of a pair of connected stream sockets. Of the thread that accepts, but for what waits.

    Args:
        channel: the end that receives; closed by `close`.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._unreported = b""
        self._changed = threading.Condition(threading.Lock())  # guards what follows
        self._open = 0
        self._ended = False

    def fileno(self) -> int:
        """For a selector."""
        return self._channel.fileno()

    def setblocking(self, flag: bool) -> None:
        """See socket.socket."""
        self._channel.setblocking(flag)

    def accept(self) -> tuple[socket.socket, object]:
        """The next connection.

        Raises:
            OSError: there is none now; or (EMFILE) this process has no file left for it, and it is lost.
            EOFError: there will be none any more.
        """
        # One byte at a time: so a connection comes with its byte, and never two together.
        data, files, _, _ = socket.recv_fds(self._channel, 1, 1)
        if not data:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            raise EOFError("no connection is handed over any more")
        with self._changed:
            self._open += 1
        self._report(TAKEN)
        if not files:
            self.closed()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        # Programs that are started from here do not get it.
        os.set_inheritable(files[0], False)
        return socket.socket(fileno=files[0]), None

    def closed(self) -> None:
        """A connection that `accept` has brought is closed; the other side is told."""
        with self._changed:
            self._open -= 1
            self._changed.notify_all()
        self._report(CLOSED)

    def _report(self, what: bytes) -> None:
        self._unreported += what
        # If the other side reads nothing now, it hears of it with the next one.
        with contextlib.suppress(OSError):
            self._unreported = self._unreported[self._channel.send(self._unreported) :]

    def close(self) -> None:
        """Take none any more; those on their way stay with who has handed them over."""
        self._channel.close()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for_the_last(self, timeout_s: float) -> bool:
        """Wait until `accept` has said that no more will come; returns whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended, timeout_s)

    def wait_until_none(self, timeout_s: float) -> bool:
        """Wait until all connections are closed. Returns whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, timeout_s)


def hand_over(channel: socket.socket, sock: socket.socket) -> None:
    """Send a connection to who has the other end of a channel. Here it is closed by the caller, once taken.

    Raises:
        BlockingIOError: too many are on their way.
        OSError: nobody takes them.
    """
    socket.send_fds(channel, [b"\0"], [sock.fileno()])
