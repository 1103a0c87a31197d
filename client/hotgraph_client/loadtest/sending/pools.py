"""The connections of a process: which of them takes a call, when there are more, and what if there is none.

- gRPC has as many as it was told, which take calls in turn. HTTP/1.1 has one call on each, so that there are
  more as calls wait, up to `MOST_HTTP`; they stay open.
- A call that finds no connection free waits for one, in the order in which calls were due.
- A connection that is lost ends its calls with `DISCONNECTED`, and is made anew: at once if it had answered
  anything or lay idle, else after 0.1 s, which doubles up to a second.
- While there is none and none on its way, calls end with `UNREACHABLE`.
- A call with which the server says it has not begun is sent once more, as gRPC's own clients do.
- Addresses behind one name are taken in turn, and the next is tried where one fails.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ...http.tls import tls_context
from ..load import Assignment, Destination
from . import statuses
from .calls import Call, Conversation, Ended, Reply, WireError
from .http1 import HttpConversation, HttpRequest
from .http2 import GrpcConversation, GrpcRequest
from .links import LEAST_PAUSE_S, Address, Link, LinkLost, Poller, State, addresses_of

MOST_HTTP = 256
"""Connections of one process to an HTTP/1.1 server, unless more were asked for."""

_READ_BYTES = 1 << 17
_CONNECT_S = 3.0
_MOST_PAUSE_S = 1.0
_YOUNG_S = 5.0

OnEnd = Callable[[Call, Reply, float], None]


def requests_of(assignment: Assignment) -> list[Any]:
    """The payloads as the wire has them, in their order."""
    to = assignment.destination
    scheme = "http" if to.tls is None else "https"
    return [
        HttpRequest(to.authority, payload.path, to.headers + payload.headers, payload.body)
        if to.http
        else GrpcRequest(scheme, to.authority, payload.path, to.headers + payload.headers, payload.body)
        for payload in assignment.payloads
    ]


class Pool:
    """Of one assignment. Used by one thread; whoever made it closes it.

    Args:
        requests: `requests_of` the assignment.
        on_end: hears of each call that is over, how, and when that was read.

    Raises:
        OSError: the host's name is unknown.
        ValueError: TLS settings that cannot be read.
    """

    def __init__(
        self,
        assignment: Assignment,
        requests: Sequence[Any],
        on_end: OnEnd,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        to = assignment.destination
        self._requests = requests
        self._deadline_s = assignment.deadline_s
        self._on_end = on_end
        self._clock = clock
        self._least = max(assignment.connections, 1)
        self._most = max(self._least, MOST_HTTP) if to.http else self._least
        self._converse: Callable[[], Conversation] = HttpConversation if to.http else GrpcConversation
        protocol = "http/1.1" if to.http else "h2"
        self._tls = None if to.tls is None else tls_context(to.tls, protocol)
        self._server_name = _server_name(to)
        self._addresses = deque(addresses_of(to))
        self._poller = Poller()
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._links: set[Link] = set()
        self._leaving: set[Link] = set()
        self._free: deque[Link] = deque()
        self._waiting: deque[Call] = deque()
        self._why = ""

    @property
    def waiting(self) -> int:
        """Calls for which no connection is free."""
        return len(self._waiting)

    def open(self, most_s: float) -> None:
        """Connect, and wait until that has been tried."""
        until = self._clock() + most_s
        self.tend(self._clock())
        while any(not link.is_up for link in self._links) and self._clock() < until:
            self.turn(0.01)
            self.tend(self._clock())

    def send(self, call: Call, now: float) -> None:
        """Send a call, or have it wait for a connection, or end it as one that reaches nobody."""
        if self._waiting or not self._start(call, now):
            self._waiting.append(call)
            self._grow(now)
            if not self._links:
                self._strand(now)

    def give_up(self, call: Call) -> None:
        """Have nobody wait for a call any more; whoever says so has ended it."""
        link = call.link
        if link is not None:
            call.link = None
            link.conversation.cancel(call)
            self._flush(link, self._clock())
        while self._waiting and self._waiting[0].over:
            self._waiting.popleft()

    def turn(self, wait_s: float) -> None:
        """Read and write what can be, waiting for it as long as asked."""
        for link, events in self._poller.wait(wait_s):
            if link.state is State.CLOSED:
                continue
            ended: Ended = []
            why = None
            try:
                link.ready(events, self._buffer, ended)
            except (LinkLost, WireError) as error:
                why = str(error)
            now = self._clock()
            for call, reply in ended:
                call.link = None
                link.has_answered = True
                if reply.unbegun and not call.again:
                    call.again = True
                    self._waiting.appendleft(call)
                else:
                    self._on_end(call, reply, now)
            if why is None:
                self._look_at(link, now)
            else:
                self._lose(link, why, now)
        if self._waiting and self._free:
            self._drain(self._clock())

    def tend(self, now: float) -> None:
        """Make connections that are missing, and give up those that do not come about."""
        for link in [link for link in self._links if not link.is_up]:
            if now - link.since > _CONNECT_S:
                self._lose(link, f"no connection within {_CONNECT_S:g} s", now)
        self._grow(now)

    def close(self) -> None:
        """Hang up."""
        for link in self._links | self._leaving:
            link.close()
        self._poller.close()

    def _start(self, call: Call, now: float) -> bool:
        free = self._free
        while free:
            link = free.popleft()
            link.is_listed = False
            if not link.takes_more:
                continue
            left_s = None if self._deadline_s is None else call.due + self._deadline_s - now
            call.link = link
            try:
                link.conversation.start(call, self._requests[call.payload], left_s)
            except WireError as error:
                call.link = None
                self._lose(link, str(error), now)
                continue
            self._flush(link, now)
            return True
        return False

    def _flush(self, link: Link, now: float) -> None:
        try:
            link.flush()
        except OSError as error:
            self._lose(link, error.strerror or str(error), now)
        else:
            self._look_at(link, now)

    def _look_at(self, link: Link, now: float) -> None:
        """Find out what a link is good for, now that something has happened on it."""
        conversation = link.conversation
        if conversation.is_over:
            self._lose(link, conversation.goodbye, now)
        elif conversation.is_leaving:
            if link in self._links:
                self._links.remove(link)
                self._leaving.add(link)
                self._grow(now)
        elif not link.is_listed and link.takes_more:
            link.is_listed = True
            self._free.append(link)

    def _drain(self, now: float) -> None:
        waiting = self._waiting
        while waiting:
            if waiting[0].over or self._start(waiting[0], now):
                waiting.popleft()
            else:
                break

    def _grow(self, now: float) -> None:
        while True:
            count = len(self._links)
            if count >= self._most:
                return
            if count >= self._least:
                coming = sum(not link.is_up for link in self._links)
                if coming >= len(self._waiting):
                    return
            if not self._connect(now):
                return

    def _connect(self, now: float) -> bool:
        """Begin a connection to the next address that may be tried; False: there is none."""
        for _ in range(len(self._addresses)):
            address = self._addresses[0]
            self._addresses.rotate(-1)
            if now >= address.retry_at:
                try:
                    self._links.add(self._link_to(address, now))
                except LinkLost as error:
                    self._fail(address, str(error), now)
                else:
                    return True
        return False

    def _link_to(self, address: Address, now: float) -> Link:
        return Link(address, self._converse(), self._poller, self._tls, self._server_name, now)

    def _lose(self, link: Link, why: str, now: float) -> None:
        if link.state is State.CLOSED:
            return
        link.close()
        self._links.discard(link)
        self._leaving.discard(link)
        if link.has_answered:
            link.address.pause_s = LEAST_PAUSE_S
        elif now - link.since < _YOUNG_S:
            # Of one that lay idle for longer, servers have the right to grow tired.
            self._fail(link.address, why, now)
        for call in link.conversation.calls:
            call.link = None
            self._on_end(call, Reply(statuses.DISCONNECTED, why.encode()), now)
        self._grow(now)
        if not self._links:
            self._strand(now)

    def _fail(self, address: Address, why: str, now: float) -> None:
        self._why = why
        # Of several that fail together, the first one counts.
        if now >= address.retry_at:
            address.retry_at = now + address.pause_s
            address.pause_s = min(2 * address.pause_s, _MOST_PAUSE_S)

    def _strand(self, now: float) -> None:
        while self._waiting:
            call = self._waiting.popleft()
            if not call.over:
                self._on_end(call, Reply(statuses.UNREACHABLE, self._why.encode()), now)


def _server_name(to: Destination) -> str:
    if to.tls is not None and to.tls.server_name is not None:
        return to.tls.server_name
    return to.host
