"""The connections that are open: read from, written to, and closed in their time.

What one of them does wrong costs that one: an exception while it is served is logged, and closes it. What is
to be done in the thread that owns the selector, and in no other, is noted and left to `tidy`: the thread that
notes it may hold locks which those need that are told that a connection has gone.

Everything here requires the server's connections_lock (server.py).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import random
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from hotgraph_server.errors import CallError
from hotgraph_server.transport.deadlines import Alarm
from hotgraph_server.transport.http2.connection import MAX_UNUSED_BYTES
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken
from hotgraph_server.transport.sockets.connection_age import ConnectionAge, ConnectionAged, Step
from hotgraph_server.transport.sockets.round_robin import RoundRobin
from hotgraph_server.transport.sockets.socket_io import RECEIVE_BYTES, ConnectionLost, SocketIO, nothing
from hotgraph_server.transport.sockets.spoken import Spoken
from hotgraph_server.transport.sockets.times import Times

_LOG = logging.getLogger(__name__)


class OpenConnections:
    """
    Args:
        selector: watches their sockets, each with its SocketIO for data.
        lock: the server's connections_lock.
        http2, http1: see SocketIO.
        expire_later: notes an alarm.
        most: that may be open; then the oldest of the address that has the most of them makes way for one
            more. None: any number.

    Attributes:
        sockets: those that are open.
        dirty: have something new to write.
        changed: wait for something else than the selector was told.
        times: see Times; may be replaced, and counts from the next round on.
        accepted: how many there have been so far.
        next_look: when `give_up_stuck` is due, monotonic seconds.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        lock: threading.Lock,
        times: Times,
        http2: Callable[[Callable[[], None]], Spoken],
        http1: Callable[[str, Callable[[], None]], Spoken] | None,
        expire_later: Callable[[Alarm], None],
        most: int | None = None,
    ) -> None:
        self.sockets: set[SocketIO] = set()
        self._most = most
        self._by_age: dict[SocketIO, None] = {}  # where there is a most: the same, the oldest first
        self.dirty: list[SocketIO] = []
        self.changed: list[SocketIO] = []
        self._gone: list[SocketIO] = []  # for the selector to forget
        self._lock = lock
        self._selector = selector
        self.times = times
        self._http2 = http2
        self._http1 = http1
        self._expire_later = expire_later
        self._round = RoundRobin[SocketIO]()
        # What is received lies here for the moment.
        self._buffer = bytearray(RECEIVE_BYTES + MAX_UNUSED_BYTES)
        self._view = memoryview(self._buffer)
        self.accepted = 0
        self.next_look = -math.inf

    @property
    def has_work(self) -> bool:
        """Is there something that can be done now?"""
        return bool(self.dirty or self._gone or self._round.unfinished or self._round.passed_over)

    def add(
        self,
        sock: socket.socket,
        closed: Callable[[], None] = nothing,
        *,
        grpc: bool = True,
        refusal: CallError | None = None,
    ) -> SocketIO | None:
        """A connection has been accepted, and TLS's handshake is done; None: it is closed already, because
        its peer offers nothing that is spoken here.

        Args:
            closed: called when it has been closed.
            grpc: is that spoken on it, or HTTP/1.1 alone?
            refusal: what all its calls are refused with; None: they are taken.
        """
        assert self._lock.locked()
        try:
            one = SocketIO(
                sock, self._http2 if grpc else None, self._http1, self.dirty, closed, refusal=refusal
            )
        except ConnectionLost as error:
            _LOG.debug("a connection is closed: %s", error)
            sock.close()
            closed()
            return None
        if self._most is not None:
            self._make_way(self._most)
            self._by_age[one] = None
        self.sockets.add(one)
        self.accepted += 1
        self._selector.register(sock, one.registered, one)
        if min(self.times.max_age_s, self.times.max_idle_s) != math.inf:
            self._watch(one, ConnectionAge(self.times, time.monotonic(), random.uniform(-1.0, 1.0)))
        return one

    def _make_way(self, most: int) -> None:
        """For one more, where there are as many as may be: whoever makes many shall lose his own."""
        while len(self._by_age) >= most:
            hosts = Counter(map(_host_of, self._by_age))
            crowd = max(hosts.values())
            self._drop(next(one for one in self._by_age if hosts[_host_of(one)] == crowd))

    def attend(self, ready: Sequence[SocketIO]) -> bool:
        """Every connection that has something is served once, as far as there is time. Returns whether there
        was none for some of what has come.

        Args:
            ready: what the selector says.
        """
        assert self._lock.locked()
        times = self.times
        ends_at = time.monotonic() + times.round_s
        turns = self._round.begin(ready, times.round_s, times.connection_share_s)
        for index, one in enumerate(turns):
            if index and time.monotonic() >= ends_at:
                self._round.pass_over(turns[index:])
                break
            if one.reads and one in self.sockets:
                self._read(one)
            if one in self._round.new and (
                one.connection.out or one.registered != selectors.EVENT_READ or one.closing
            ):
                # That it can be written to is all that one with output waits for.
                self._write(one)
        return bool(self._round.unfinished or self._round.passed_over)

    def write_dirty(self) -> None:
        """Send what connections have to say."""
        assert self._lock.locked()
        while self.dirty:
            self._write(self.dirty.pop())

    def tidy(self) -> None:
        """Tell the selector what has changed, and those who need to know what has gone; only in the thread
        that owns the selector."""
        assert self._lock.locked()
        while self.changed:
            one = self.changed.pop()
            if one in self.sockets and one.interest != one.registered:
                self._register(one)
        while self._gone:
            one = self._gone.pop()
            # The selector must forget it before its number can be another's.
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(one.sock)
            one.sock.close()
            one.connection.lose()
            one.closed()

    def _register(self, one: SocketIO) -> None:
        before, one.registered = one.registered, one.interest
        if not one.registered:
            # To be told again and again of what is not taken in would not help.
            self._selector.unregister(one.sock)
        elif not before:
            self._selector.register(one.sock, one.registered, one)
        else:
            self._selector.modify(one.sock, one.registered, one)

    def give_up_stuck(self, now: float) -> None:
        """Cut off peers that do nothing, and streams on which nothing moves, and say when to look again."""
        assert self._lock.locked()
        times = self.times
        self.next_look = now + times.looking_s
        for one in list(self.sockets):
            if one.stuck_since < now - times.stuck_s:
                _LOG.debug("a connection is cut off: its peer does nothing")
                self._drop(one)
            elif one.connection.give_up_stalled(int(times.stuck_s // times.looking_s)):
                _LOG.debug("a connection is closed: nothing moves on it")
                self._say_goodbye(one)

    def go_away(self, most: int | None = None) -> None:
        """Ask peers to go elsewhere with their next calls: every one, or so many that were not yet."""
        assert self._lock.locked()
        asked = 0
        for one in self.sockets:
            if asked == most:
                return
            asked += one.connection.go_away()

    def say_goodbye(self) -> None:
        """Read nothing any more, and close each once all is sent."""
        assert self._lock.locked()
        for one in self.sockets:
            self._say_goodbye(one)

    def close(self) -> None:
        """Drop every connection, and forget it."""
        assert self._lock.locked()
        for one in list(self.sockets):
            self._drop(one)
        self.tidy()

    def _watch(self, one: SocketIO, age: ConnectionAge) -> None:
        """Look at a connection's age when that is due."""
        if age.due_at != math.inf:
            one.ages = Alarm(age.due_at, functools.partial(self._look_at, one, age))
            self._expire_later(one.ages)

    def _look_at(self, one: SocketIO, age: ConnectionAge) -> None:
        assert self._lock.locked()
        connection, now = one.connection, time.monotonic()
        if one.closing:
            return
        step = age.look(now, connection.calls, connection.quiet)
        if step is Step.CUT:
            _LOG.debug("a connection is cut off: its time is over")
            times = self.times
            connection.cancel(ConnectionAged(times.max_age_s, times.age_grace_s))
            self._say_goodbye(one)
            one.ages = Alarm(now + times.last_words_s, functools.partial(self._drop, one))
            self._expire_later(one.ages)
            return
        if step is Step.CLOSE:
            _LOG.debug("a connection is closed: its peer was asked to go, and does not")
            self._say_goodbye(one)
            return
        if step is not Step.NOTHING:
            connection.go_away(at_once=step is Step.CLOSE_IF_QUIET)
        self._watch(one, age)

    def _say_goodbye(self, one: SocketIO) -> None:
        one.connection.say_goodbye()
        one.closing = True
        self.dirty.append(one)

    def _read(self, one: SocketIO) -> None:
        try:
            one.read(self._buffer, self._view, time.monotonic() + self._round.share_s)
        except Exception as error:
            self._end(one, error)
        else:
            if one.unfinished and one.reads:
                self._round.unfinished[one] = None
            if one.connection.ended or one.connection.holds:
                self.dirty.append(one)

    def _write(self, one: SocketIO) -> None:
        """Write what goes, and see what it waits for then."""
        if one not in self.sockets:
            return
        try:
            if one.write():
                return
        except Exception as error:
            self._end(one, error)
            if one not in self.sockets:
                return
        if one.connection.ended and not one.closing:
            one.closing = one.lingers = True
        if one.unfinished and one.reads:
            # It was not served while it took nothing.
            self._round.unfinished[one] = None
        if one.closing and not one.has_output:
            self._see_out(one)
        if one in self.sockets and one.interest != one.registered:
            self.changed.append(one)

    def _see_out(self, one: SocketIO) -> None:
        """Be done with one that has said all, at once or after a moment."""
        if not one.has_ended and one.lingers:
            patient = one.connection.patient
            ends_at = time.monotonic() + (self.times.long_linger_s if patient else self.times.linger_s)
            one.ends = Alarm(ends_at, functools.partial(self._drop, one))
            self._expire_later(one.ends)
        if not one.lingers or not one.pass_over(self._view):
            self._drop(one)

    def _end(self, one: SocketIO, error: Exception) -> None:
        """Something went wrong with a connection, which closes it."""
        if isinstance(error, ConnectionBroken):
            _LOG.debug("a connection is closed: %s", error)
            one.closing = one.lingers = True
            self.dirty.append(one)
            return
        if isinstance(error, ConnectionLost):
            _LOG.debug("a connection is gone: %s", error)
        else:
            _LOG.error("a connection is closed after an unexpected error", exc_info=error)
        self._drop(one)

    def _drop(self, one: SocketIO) -> None:
        """Be done with a connection, if that is not so already."""
        assert self._lock.locked()
        if one in self.sockets:
            self.sockets.discard(one)
            self._by_age.pop(one, None)
            self._gone.append(one)
            self._round.forget(one)
            for alarm in (one.ends, one.ages):
                # It would keep all of this until then.
                if alarm is not None:
                    alarm.take_back()
            # So that the serving thread is woken, whichever thread this is.
            self.changed.append(one)


def _host_of(one: SocketIO) -> str:
    return one.connection.peer.rpartition(":")[0]
