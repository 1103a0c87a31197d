"""One connection without its socket, for what no socket shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hotgraph_server.errors import CallError
from hotgraph_server.transport.http import Content, Endpoint, Request
from hotgraph_server.transport.http1.connection import HttpConnection
from hotgraph_server.transport.http1.exchange import Exchange
from hotgraph_server.transport.http1.incoming import Http
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import Tell

BODY_S = 1.0


class Told:
    """An API that holds every request and never answers by itself."""

    def __init__(self) -> None:
        self.held: list[Any] = []

    def endpoint(self, request: Request) -> Endpoint:
        """See Api."""
        return Endpoint(self._begin, 100)

    def _begin(self, body: Message, reply: Any) -> None:
        self.held.append(reply)

    def error(self, request: Request, error: CallError) -> Content:
        """See Api."""
        return Content([str(error).encode()], status=getattr(error, "http_status", 500))

    def headers(self, request: Request) -> Sequence[tuple[str, str]]:
        """See Api."""
        return ()

    def apart(self, *_: object) -> Callable[[], object] | None:
        """See Api."""
        return None


class Admitting:
    """Admits all."""

    answered = 0

    def failed(self, protocol: str, error: CallError) -> None:
        """See Admission."""

    def take(self, limited: bool) -> CallError | None:
        """See Admission."""
        return None

    def let_go(self, limited: bool) -> None:
        """See Admission."""


class OneHost:
    """A server with one connection, whose clock stands."""

    def __init__(self) -> None:
        self.admission: Any = Admitting()
        self.inflight = Inflight(1000)
        self.arrived_at = self.sends_at = 0.0
        self.tell: Tell | None = None
        self.posted: list[Exchange] = []
        self.later: list[Any] = []

    def post(self, call: Any) -> None:
        """See Host."""
        self.posted.append(call)

    def expire_later(self, call: Any, *, in_order: bool = False) -> None:
        """See Host."""
        if not in_order:
            self.later.append(call)


def test_who_watches_the_socket_is_told_when_a_late_body_ends_the_listening() -> None:
    # Else it would be told again and again of bytes that nobody takes.
    host, api, told = OneHost(), Told(), [0]

    def on_output() -> None:
        told[0] += 1

    http = Http(api, lambda job: job(), body_s=BODY_S)
    connection = HttpConnection("127.0.0.1:1", host, http, on_output, lambda: -BODY_S)
    connection.receive(memoryview(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"))
    connection.receive(memoryview(b"POST /late HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"))
    assert not connection.holds
    told[0] = 0
    (late,) = host.later
    late.expire()
    assert connection.holds
    assert told[0]
    assert not connection.out
    (slow,) = api.held
    slow.finish(lambda: b"well")
    slow.deliver()
    sent = b"".join(connection.out)
    assert sent.index(b"200 OK") < sent.index(b"408 ")
    assert connection.ended
