"""TLS's handshakes, in a thread of their own: they take a processor a millisecond or three each, and five
hundred callers that come at once would keep those who are there waiting for all of them.

What it does. Accepted sockets come in (`begin`), are wrapped, and shake hands without blocking, whoever has
something to say next; the cryptography is done without the interpreter's lock. What is through lies ready for
the serving thread (`take`), which is woken for it. Who fails, or is not through after `limit_s`, is closed.

Edges. At most `MAX_INSIDE` are inside; while there are so many (`is_full`) further callers are left in the
system's backlog. A caller that says nothing holds its place for `limit_s` at most, and for `CROWDED_S` while
others wait for one, so that a thousand silent ones keep nobody out for long.

Certificates. A handshake takes the context that its door has when it begins: so new files (certificates.py)
count for the next caller, and for none that is there. When it ends, the door may look at the names that the
caller's certificate has.

Threads. `begin`, `take` and `is_full` are the serving thread's, or of who leads in its place; `start` and
`stop` are the server's. In between lie deques, and two counters, each written by one side alone. Doors are
told of connections that are closed by `take` and `stop`, which are the serving thread's as all else of
theirs is.
"""

from __future__ import annotations

import logging
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from hotgraph_server.errors import CallError
from hotgraph_server.threads.joining import join_within
from hotgraph_server.transport.sockets.door import Door
from hotgraph_server.transport.sockets.self_pipe import SelfPipe

_LOG = logging.getLogger(__name__)

MAX_INSIDE = 1024
"""Handshakes at a time: about as many as a system's backlog has, and two seconds of one processor."""

CROWDED_S = 3.0
"""For each while there is no room for others, seconds: longer than a full house takes one processor."""


class Shaken(NamedTuple):
    """A connection that is through.

    Attributes:
        sock: not blocking.
        door: that it came by.
        refusal: what its calls are refused with, because of who it is; None: they are taken.
    """

    sock: ssl.SSLSocket
    door: Door
    refusal: CallError | None


class _Handshake:
    """One that is under way."""

    __slots__ = ("begun_at", "door", "events", "sock")

    def __init__(self, sock: ssl.SSLSocket, door: Door, begun_at: float) -> None:
        self.sock = sock
        self.door = door
        self.begun_at = begun_at
        self.events = selectors.EVENT_READ


class Handshakes:
    """
    Args:
        ready: called when something can be taken, or there is room again; any thread.
        limit_s: for each, seconds.
        max_inside: at a time.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        ready: Callable[[], None],
        limit_s: float,
        max_inside: int = MAX_INSIDE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ready = ready
        self._limit_s = limit_s
        self._max_inside = max_inside
        self._clock = clock
        self._begun = 0  # of the serving thread
        self._ended = 0  # of ours
        self._coming: deque[tuple[socket.socket, Door, float]] = deque()
        self._through: deque[Shaken] = deque()
        self._failed: deque[Door] = deque()
        # In the order of their coming, which is that of their deadlines; of our thread.
        self._shaking: dict[_Handshake, None] = {}
        self._selector = selectors.DefaultSelector()
        self._self_pipe = SelfPipe()
        self._stopped = False
        self._thread = threading.Thread(target=self._main, name="handshakes", daemon=True)

    @property
    def inside(self) -> int:
        """How many are under way."""
        return self._begun - self._ended

    @property
    def is_empty(self) -> bool:
        """Is none under way, or through and not taken?"""
        return not self.inside and not self._through

    @property
    def is_full(self) -> bool:
        """Is there no room for another one?"""
        return self.inside >= self._max_inside

    def start(self) -> None:
        """Begin."""
        self._selector.register(self._self_pipe, selectors.EVENT_READ)
        self._thread.start()

    def begin(self, sock: socket.socket, door: Door) -> None:
        """A connection has been accepted at a door that has TLS; it is not blocking."""
        self._begun += 1
        self._coming.append((sock, door, self._clock()))
        self._self_pipe.wake()

    def take(self) -> Shaken | None:
        """The next one that is through; None: there is none now."""
        while self._failed:
            self._failed.popleft().closed()
        return self._through.popleft() if self._through else None

    def stop(self, timeout_s: float) -> None:
        """Close all that are under way, or through and not taken, and end; may be called again."""
        self._stopped = True
        self._self_pipe.wake()
        if self._thread.ident and not join_within(self._thread, timeout_s):
            return
        left = [(sock, door) for sock, door, _ in (*self._coming, *self._through)]
        left += [(one.sock, one.door) for one in self._shaking]
        for sock, door in left:
            sock.close()
            self._failed.append(door)
        for those in (self._coming, self._through, self._shaking):
            those.clear()
        self.take()
        self._selector.close()
        self._self_pipe.close()

    # The thread

    def _main(self) -> None:
        while not self._stopped:
            due_at = self._due_at()
            wait_s = None if due_at is None else max(due_at - self._clock(), 0.0)
            for key, _ in self._selector.select(wait_s):
                if self._stopped:
                    return
                if key.data is None:
                    self._self_pipe.drain()
                else:
                    self._go_on(key.data)
            while self._coming and not self._stopped:
                self._take_in(*self._coming.popleft())
            self._give_up_late(self._clock())

    def _due_at(self) -> float | None:
        """When the time of the first one is up, by the clock; None: there is none."""
        first = next(iter(self._shaking), None)
        if first is None:
            return None
        limit_s = min(self._limit_s, CROWDED_S) if self.is_full else self._limit_s
        return first.begun_at + limit_s

    def _give_up_late(self, now: float) -> None:
        """Close those whose time is up."""
        while (due_at := self._due_at()) is not None and due_at <= now:
            one = next(iter(self._shaking))
            _LOG.debug("a connection is closed: TLS's handshake is not done after %g s", now - one.begun_at)
            self._fail(one)

    def _take_in(self, sock: socket.socket, door: Door, begun_at: float) -> None:
        assert door.tls is not None
        try:
            wrapped = door.tls().wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except Exception as error:
            _tell("a connection went as it came", error)
            self._close(sock, door)
            return
        one = _Handshake(wrapped, door, begun_at)
        self._shaking[one] = None
        self._selector.register(wrapped, one.events, one)
        # As a rule the caller has spoken already.
        self._go_on(one)

    def _go_on(self, one: _Handshake) -> None:
        try:
            one.sock.do_handshake()
            refusal = None if one.door.allows is None else one.door.allows(_names_of(one.sock))
        except ssl.SSLWantReadError:
            self._wait_for(one, selectors.EVENT_READ)
        except ssl.SSLWantWriteError:
            self._wait_for(one, selectors.EVENT_WRITE)
        except Exception as error:
            # One caller's trouble; the thread has others to look after.
            _tell("a connection is gone: TLS", error)
            self._fail(one)
        else:
            self._forget(one)
            self._through.append(Shaken(one.sock, one.door, refusal))
            self._end()

    def _wait_for(self, one: _Handshake, events: int) -> None:
        if events != one.events:
            one.events = events
            self._selector.modify(one.sock, events, one)

    def _forget(self, one: _Handshake) -> None:
        self._selector.unregister(one.sock)
        del self._shaking[one]

    def _fail(self, one: _Handshake) -> None:
        self._forget(one)
        self._close(one.sock, one.door)

    def _close(self, sock: socket.socket, door: Door) -> None:
        sock.close()
        self._failed.append(door)
        self._end()

    def _end(self) -> None:
        self._ended += 1
        self._ready()


def _names_of(sock: ssl.SSLSocket) -> list[tuple[str, str]]:
    """The subject alternative names of the caller's certificate, each with its kind. Raises ValueError."""
    found: Any = sock.getpeercert() or {}
    return [(kind, name) for kind, name, *_ in found.get("subjectAltName", ()) if isinstance(name, str)]


def _tell(what: str, error: Exception) -> None:
    if isinstance(error, OSError | ValueError):
        _LOG.debug("%s: %s", what, error)
    else:
        _LOG.error("%s, by an unexpected error", what, exc_info=error)
