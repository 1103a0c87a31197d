"""Sockets that never block, each with the conversation on it, and the wait for them."""

from __future__ import annotations

import contextlib
import enum
import os
import select
import selectors
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..load import Destination
from .calls import Conversation, Ended

LEAST_PAUSE_S = 0.1
_EITHER = selectors.EVENT_READ | selectors.EVENT_WRITE
_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class LinkLost(Exception):
    """The connection is gone, or never came about; the text says why."""


class State(enum.Enum):
    """Of a link, in this order."""

    CONNECTING = 1
    SHAKING_HANDS = 2
    OPEN = 3
    CLOSED = 4


@dataclass(eq=False)
class Address:
    """Where a socket is connected to: its family and address, as the system has them.

    Attributes:
        retry_at: monotonic seconds before which it is not tried again.
        pause_s: how long that will be, should it fail once more.
    """

    family: int
    where: Any
    retry_at: float = 0.0
    pause_s: float = LEAST_PAUSE_S


def addresses_of(destination: Destination) -> list[Address]:
    """All addresses behind a name, or the path of a Unix socket.

    Raises:
        OSError: the name is unknown.
    """
    if not destination.port:
        return [Address(socket.AF_UNIX, destination.host)]
    found = socket.getaddrinfo(destination.host, destination.port, type=socket.SOCK_STREAM)
    return [
        Address(family, where)
        for family, _, _, _, where in found
        if family in (socket.AF_INET, socket.AF_INET6)
    ]


class Poller:
    """Waits for sockets, to the microsecond.

    What the selectors of Linux wait is whole milliseconds, and rather more than less. select() knows shorter
    times, and a selector is itself something that it can wait for.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        fileno = getattr(self._selector, "fileno", None)
        self._own: Sequence[int] = () if fileno is None else (fileno(),)

    def wait(self, seconds: float) -> list[tuple[Link, int]]:
        """Links for which there is something to do, and what."""
        if seconds > 0 and self._own:
            if not select.select(self._own, (), (), seconds)[0]:
                return []
            seconds = 0
        return [(key.data, events) for key, events in self._selector.select(seconds)]

    def watch(self, link: Link, sock: socket.socket, events: int, before: int) -> None:
        """Wait for other events than before; 0: none."""
        if not before:
            self._selector.register(sock, events, link)
        elif events:
            self._selector.modify(sock, events, link)
        else:
            self._selector.unregister(sock)

    def close(self) -> None:
        """Wait for nothing more."""
        self._selector.close()


class Link:
    """A connection, from the first packet on. Used by one thread.

    Attributes:
        conversation: what is said on it.
        address: where it leads.
        since: when it was begun.
        is_listed: whoever chooses among links notes here that this one is among the free.
        has_answered: whether it was of use.

    Args:
        tls: how to encrypt; None: not.
        server_name: to look for in the server's certificate.

    Raises:
        LinkLost: already.
    """

    def __init__(
        self,
        address: Address,
        conversation: Conversation,
        poller: Poller,
        tls: ssl.SSLContext | None,
        server_name: str,
        since: float,
    ) -> None:
        self.address = address
        self.conversation = conversation
        self.since = since
        self.has_answered = False
        self.is_listed = False
        self.state = State.CONNECTING
        self._poller = poller
        self._tls = tls
        self._server_name = server_name
        self._unsent: bytes | memoryview = b""
        self._watched = 0
        self._sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            self._sock.setblocking(False)
            if address.family != socket.AF_UNIX:
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(BlockingIOError):
                self._sock.connect(address.where)
        except OSError as error:
            self._sock.close()
            raise LinkLost(error.strerror or str(error)) from None
        self._watch(selectors.EVENT_WRITE)

    @property
    def is_up(self) -> bool:
        """Whether calls can be sent on it, now or after others."""
        return self.state is State.OPEN and self.conversation.has_begun

    @property
    def takes_more(self) -> bool:
        """Whether another call may be sent: it is open, and the socket has taken what there was."""
        return self.state is State.OPEN and not self._unsent and self.conversation.takes_more

    def ready(self, events: int, buffer: memoryview, ended: Ended) -> None:
        """Go on, now that the socket can, and add the calls that are over.

        Raises:
            LinkLost: it is of no more use.
            WireError: so it is, for what the server sends.
        """
        try:
            if self.state is State.OPEN:
                if events & selectors.EVENT_READ:
                    self._read(buffer, ended)
                else:
                    self.flush()
            else:
                self._establish()
        except OSError as error:
            raise LinkLost(_text(error)) from None

    def flush(self) -> None:
        """Write what there is to be said, as far as the socket takes it.

        Raises:
            OSError: the connection is gone.
        """
        unsent = self._unsent or self.conversation.to_send()
        while unsent:
            try:
                sent = self._sock.send(unsent)
            except _NOT_NOW:
                break
            unsent = memoryview(unsent)[sent:] if sent < len(unsent) else self.conversation.to_send()
        self._unsent = unsent
        self._watch(_EITHER if unsent else selectors.EVENT_READ)

    def close(self) -> None:
        """Give the socket back."""
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self._watch(0)
            self._sock.close()

    def _establish(self) -> None:
        if self.state is State.CONNECTING:
            error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            self.state = State.SHAKING_HANDS
            if self._tls is not None:
                self._watch(0)
                self._sock = self._tls.wrap_socket(
                    self._sock, do_handshake_on_connect=False, server_hostname=self._server_name
                )
        if isinstance(self._sock, ssl.SSLSocket):
            try:
                self._sock.do_handshake()
            except ssl.SSLWantReadError:
                self._watch(selectors.EVENT_READ)
                return
            except ssl.SSLWantWriteError:
                self._watch(selectors.EVENT_WRITE)
                return
        self.state = State.OPEN
        self.flush()

    def _read(self, buffer: memoryview, ended: Ended) -> None:
        while True:
            try:
                count = self._sock.recv_into(buffer)
            except _NOT_NOW:
                break
            if not count:
                self.conversation.receive_end(ended)
                raise LinkLost("the server closed the connection")
            self.conversation.receive(buffer[:count], ended)
            # What TLS has decrypted already, no selector tells of.
            if not (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending()):
                break
        if not self.conversation.is_over:
            self.flush()

    def _watch(self, events: int) -> None:
        if events != self._watched:
            self._poller.watch(self, self._sock, events, self._watched)
            self._watched = events


def _text(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate: {error.verify_message}"
    return error.strerror or str(error)
