"""HTTP/1.1: a connection's requests, whatever pieces they come in, and the answers to them."""

from __future__ import annotations

import math
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from fuzzing.rest_cases import RestCases
from fuzzing.targets import Target
from hotgraph_server.errors import CallError
from hotgraph_server.transport.http import Content, Endpoint, HttpError, HttpReply, Request
from hotgraph_server.transport.http1.connection import HttpConnection
from hotgraph_server.transport.http1.incoming import Http
from hotgraph_server.transport.http2.admission import Admission
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.service import Tell

_MAX_BYTES = 1000
_GET = b"GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n"
_POST = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
_CHUNKED = (
    b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nbod\r\n1;x\r\ny\r\n0\r\nT: u\r\n\r\n"
)
_LINES = (
    *(b"Host: h", b"Host: i", b"Content-Length: 0", b"Content-Length: 5", b"Content-Length: 2000"),
    *(
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Expect: 100-continue",
        b"Connection: close",
    ),
    *(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Encoding: gzip", b"Accept-Encoding: gzip"),
    *(b"HEAD / HTTP/1.1", b"GET / HTTP/1.0", b"CONNECT h:1 HTTP/1.1", b"PRI * HTTP/2.0", b"GET /"),
    *(b"", b" folded", b"X: \0", b"X : y", b"0", b"1", b"5;x", b"fffffffff", b"X: " + b"y" * 3000),
)
_ANSWER = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
_LENGTH = re.compile(rb"content-length: ([0-9]+)\r\n")


class _Echo:
    """An Api that answers with what has come, but for a path that there is not."""

    def __init__(self) -> None:
        self.begun: list[tuple[Request, bytes]] = []
        self.methods: list[str] = []

    def endpoint(self, request: Request) -> Endpoint:
        self.methods.append(request.method)
        if request.path == "/none":
            raise HttpError(404, "no such path")
        return Endpoint(self._begin, _MAX_BYTES, limited=True)

    def _begin(self, body: Any, reply: HttpReply) -> None:
        assert len(body) <= _MAX_BYTES
        content = bytes(body)
        self.begun.append((reply.request, content))
        reply.finish(lambda: content)

    def error(self, request: Request, error: CallError) -> Content:
        return Content(
            [str(error).encode()], status=error.http_status if isinstance(error, HttpError) else 400
        )

    def headers(self, request: Request) -> Sequence[tuple[str, str]]:
        return ()

    def apart(self, *_: Any) -> None:
        return None


class _Host:
    """A server in which what is to be done elsewhere is done at once."""

    def __init__(self) -> None:
        self.inflight = Inflight(1 << 20)
        lock = threading.Lock()
        lock.acquire()
        self.open_calls = OpenCalls()
        self.admission = Admission((), lock, max_calls=4, open_calls=self.open_calls)
        self.arrived_at = self.sends_at = time.monotonic()
        self.tell: Tell | None = None
        self.posted: deque[Any] = deque()

    def post(self, call: Any) -> None:
        self.posted.append(call)

    def expire_later(self, call: Any, *, in_order: bool = False) -> None:
        pass


def _connection() -> Target:
    cases = RestCases(seed=1)
    rest = [b"".join(cases.case(number).pieces) for number in range(40)]
    wires = [
        *(_GET, _POST, _CHUNKED, _GET + _GET + _POST, _POST + _POST + _CHUNKED + _POST),
        _POST.replace(b"\r\n\r\n", b"\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n") + _GET,
        _POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n") + _GET.replace(b"/a", b"/none"),
        *(wire for wire in rest if len(wire) < 1000),
    ]
    return Target(_run_connection, [bytes((at,)) + wire for at, wire in enumerate(wires)], change=_change)


def _change(data: bytes, chance: random.Random) -> bytes:
    """Lines left out, doubled, put elsewhere or replaced; or all of it again."""
    lines = data[1:].split(b"\r\n")
    for _ in range(chance.choice((1, 1, 2, 3))):
        at, what = chance.randrange(len(lines)), chance.randrange(6)
        if what == 0 and len(lines) > 1:
            del lines[at]
        elif what == 1:
            lines.insert(at, chance.choice(lines))
        elif what == 2:
            lines.insert(at, chance.choice(_LINES))
        elif what == 3:
            lines[at] = chance.choice(_LINES)
        elif what == 4:
            lines = lines + lines
        else:
            lines += chance.choice((_GET, _POST, _CHUNKED)).split(b"\r\n")
    return bytes((chance.randrange(256),)) + b"\r\n".join(lines)


def _run_connection(data: bytes) -> None:
    """In one piece and in pieces: what is begun and what is answered must be the same."""
    size = data[0] % 32 + 1 if data else 1
    whole, pieces = _heard(data[1:], max(len(data), 1)), _heard(data[1:], size)
    assert whole == pieces, f"whole: {whole}\nin pieces of {size}: {pieces}"


def _heard(sent: bytes, size: int) -> tuple[list[tuple[Request, bytes]], list[int]]:
    """What was begun, and the statuses of the answers."""
    host, api = _Host(), _Echo()

    def at_once(work: Callable[[], None]) -> None:
        work()

    connection = HttpConnection("h:1", host, Http(api, at_once), lambda: None, lambda: 0.0)
    out, rest = b"", b""
    for at in range(0, len(sent), size):
        rest += sent[at : at + size]
        while rest and not connection.holds:
            buffer = bytearray(rest)
            used = connection.receive(memoryview(buffer), math.inf)
            # The memory is another's after the call.
            buffer[:] = b"\xee" * len(buffer)
            rest = rest[used:]
            out += _sent(connection, host)
    assert not connection.holds, "everything is answered at once"
    connection.lose()
    assert host.inflight.nbytes == 0
    assert host.admission.inside == 0
    assert host.open_calls.wait_until_none(0)
    return api.begun, _statuses(out, api.methods)


def _sent(connection: HttpConnection, host: _Host) -> bytes:
    out = b""
    while host.posted or connection.out:
        while host.posted:
            host.posted.popleft().deliver()
        out += b"".join(connection.out)
        connection.out, connection.out_bytes = [], 0
        if connection.crowded:
            connection.on_sent()
    return out


def _statuses(data: bytes, methods: list[str]) -> list[int]:
    """Of answers that stand one behind the other, and nothing between them. A 100 may be missing where the
    body has come already. To HEAD a length is told and nothing sent: such conversations are left out."""
    found: list[int] = []
    if "HEAD" in methods:
        return found
    while data:
        head = _ANSWER.match(data)
        assert head is not None, f"we said {data[:200]!r}"
        status, length = int(head[1]), _LENGTH.search(head[2])
        data = data[head.end() :]
        if status == 100:
            continue
        assert length is not None
        assert len(data) >= int(length[1])
        data = data[int(length[1]) :]
        found.append(status)
    return found


TARGETS = {"http1": _connection}
