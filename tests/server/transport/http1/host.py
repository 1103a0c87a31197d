"""Requests on a connection in memory, in a server that does nothing by itself."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import h11
import pytest

from hotgraph_server.errors import CallError
from hotgraph_server.transport.deadlines import Alarm
from hotgraph_server.transport.http import Content, Endpoint, HttpError, HttpReply, Request
from hotgraph_server.transport.http1.connection import HttpConnection
from hotgraph_server.transport.http1.exchange import Exchange
from hotgraph_server.transport.http1.incoming import Http
from hotgraph_server.transport.http2.admission import Admission
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.service import Failure, Tell

LIMIT = 2**20
SHORT = b"GET /echo HTTP/1.1\r\nHost: h\r\n\r\n"


def post(path: str, body: bytes, *lines: str) -> bytes:
    """A request with a body."""
    head = [f"POST {path} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def chunked(path: str, *chunks: bytes, lines: Sequence[str] = ()) -> bytes:
    """The same with its body in chunks."""
    head = [f"POST {path} HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", *lines]
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body + b"0\r\n\r\n"


class Answer(NamedTuple):
    """What a caller has heard."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


class Threads:
    """Those that keep no call waiting, held shut until the test lets them run."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], None]] = deque()

    def submit(self, work: Callable[[], None]) -> None:
        self.waiting.append(work)

    def run(self) -> None:
        while self.waiting:
            self.waiting.popleft()()


class Apart:
    """The place for very large JSON: full, shut, open, or not there.

    Attributes:
        jobs: that wait there.
        taken_back: how many were.
    """

    def __init__(self) -> None:
        self.there = True
        self.full: CallError | None = None
        self.jobs: list[tuple[Callable[[], None], Callable[[Exception], None]]] = []
        self.given: list[tuple[int, str, float]] = []
        self.taken_back = 0

    def submit(self, job: Any, failed: Any, *given: Any) -> Callable[[], object] | None:
        if not self.there:
            return None
        if self.full is not None:
            raise self.full
        self.given.append(given)
        entry = (job, failed)
        self.jobs.append(entry)

        def take_back() -> None:
            if entry in self.jobs:
                self.jobs.remove(entry)
                self.taken_back += 1

        return take_back

    def run(self) -> None:
        while self.jobs:
            self.jobs.pop(0)[0]()

    def fail(self, error: Exception) -> None:
        while self.jobs:
            self.jobs.pop(0)[1](error)


class Api:
    """``/echo`` answers with the body, ``/hold`` hands its replies to the test, ``/fail`` raises `error`.

    Attributes:
        endpoint_of: of each path, replaced or changed by the test.
        led: how many requests have been led to an endpoint.
        asked: every request that came to an endpoint, with its body.
        held: replies of ``/hold``.
        apart_place: see Apart.
    """

    def __init__(self) -> None:
        self.error_to_raise: Exception = ZeroDivisionError("the secret")
        self.led = 0
        self.asked: list[tuple[Request, bytes]] = []
        self.held: list[Any] = []
        self.apart_place = Apart()
        self.extra: Sequence[tuple[str, str]] = ()
        self.endpoint_of: dict[str, Endpoint] = {
            "/echo": Endpoint(self._echo, LIMIT),
            "/hold": Endpoint(self._hold, LIMIT, limited=True),
            "/fail": Endpoint(self._fail, LIMIT, limited=True),
            "/raw": Endpoint(self._echo, LIMIT, json_bytes=0),
            "/none": Endpoint(self._echo, 0),
        }

    def endpoint(self, request: Request) -> Endpoint:
        if request.path == "/bug":
            raise self.error_to_raise
        found = self.endpoint_of.get(request.path)
        if found is None:
            raise HttpError(404, f"no {request.path}")
        self.led += 1
        return found

    def error(self, request: Request, error: CallError) -> Content:
        status = error.http_status if isinstance(error, HttpError) else 503
        headers = error.headers if isinstance(error, HttpError) else ()
        text = json.dumps({"error": f"{type(error).__name__}: {error}"})
        return Content([text.encode()], status=status, headers=headers)

    def headers(self, request: Request) -> Sequence[tuple[str, str]]:
        return self.extra

    def apart(self, job: Any, failed: Any, nbytes: int, caller: str, deadline: float) -> Any:
        return self.apart_place.submit(job, failed, nbytes, caller, deadline)

    def _echo(self, body: Any, reply: HttpReply) -> None:
        self.asked.append((reply.request, bytes(body)))
        reply.finish(lambda: bytes(body))

    def _hold(self, body: Any, reply: HttpReply) -> None:
        self.asked.append((reply.request, bytes(body)))
        self.held.append(reply)

    def _fail(self, body: Any, reply: HttpReply) -> None:
        self.asked.append((reply.request, bytes(body)))
        raise self.error_to_raise


class StillHost:
    """A server in which things happen when the test says so; and the caller's side of its one connection.

    Attributes:
        now: its clock, seconds.
        api: what is answered; see Api.
        threads: see Threads.
        connection: under test.
        sent: all that it has said.
        told: requests that failed: their line and status, and whether one was at work for them.
        outputs: how often it has said that it has something to say.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch | None = None, **settings: Any) -> None:
        self.arrived_at = self.sends_at = self._now = 1000.0
        if monkeypatch is not None:
            monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.api = Api()
        self.threads = Threads()
        self.inflight = Inflight(settings.get("inflight", 16 * LIMIT))
        # Everything here happens as if in the thread that has it.
        lock = threading.Lock()
        lock.acquire()
        self.open_calls = OpenCalls()
        max_calls = settings.get("max_calls", 1000)
        self.admission = Admission((), lock, max_calls=max_calls, open_calls=self.open_calls)
        self.posted: deque[Exchange] = deque()
        self.told: list[tuple[str, str, bool]] = []
        self.tell: Tell | None = self._note
        self.expiring: list[Any] = []
        self.in_order: list[Any] = []
        self.http = Http(
            self.api,
            self.threads.submit,
            settings.get("answer_s", math.inf),
            settings.get("body_s", math.inf),
        )
        self.sent = b""
        self.outputs = 0
        self._given = b""  # and not taken in
        self.connection = HttpConnection("1.2.3.4:5", self, self.http, self._on_output, lambda: self.now)

    # What exchanges need of a server.

    @property
    def now(self) -> float:
        return self._now

    @now.setter
    def now(self, now: float) -> None:
        self.arrived_at = self.sends_at = self._now = now

    def _note(self, failure: Failure) -> None:
        # Nothing of it is kept, as nobody may.
        self.told.append((failure.method, failure.error.status.name, failure.leave is not None))

    def post(self, call: Any) -> None:
        self.posted.append(call)

    def expire_later(self, call: Any | Alarm, *, in_order: bool = False) -> None:
        (self.in_order if in_order else self.expiring).append(call)

    def _on_output(self) -> None:
        assert not self.connection.out
        self.outputs += 1

    # What the test makes happen.

    def send(self, *pieces: bytes, ends_at: float = math.inf) -> None:
        """The caller sends something; whatever can be taken in and answered at once is."""
        for piece in pieces:
            self._given += piece
            self._take_in(ends_at)

    def _take_in(self, ends_at: float = math.inf) -> None:
        while self._given and not self.connection.holds:
            buffer = bytearray(self._given)
            used = self.connection.receive(memoryview(buffer), ends_at)
            assert self.connection.unfinished is (used < len(buffer))
            # The memory is another's after the call.
            buffer[:] = b"\xee" * len(buffer)
            self._given = self._given[used:]
            self.deliver_posted()
            if ends_at != math.inf:
                break

    def deliver_posted(self) -> None:
        connection = self.connection
        while self.posted or connection.out:
            while self.posted:
                self.posted.popleft().deliver()
            out = connection.out
            assert connection.out_bytes == sum(map(len, out))
            connection.out, connection.out_bytes = [], 0
            self.sent += b"".join(out)
            # All of it has gone at once.
            if connection.crowded:
                connection.on_sent()

    def deliver(self) -> None:
        """What was posted is sent, and what is held back is taken in then."""
        self.deliver_posted()
        self._take_in()

    def settle(self) -> None:
        """All that waits in threads is done."""
        while self.posted or self.threads.waiting or self.api.apart_place.jobs:
            self.threads.run()
            self.api.apart_place.run()
            self.deliver()

    def pass_s(self, seconds: float) -> None:
        """Time passes, and whose time is up is told."""
        self.now += seconds
        for call in [*self.expiring, *self.in_order]:
            if call.open and call.deadline <= self.now:
                call.expire()
        self.deliver()

    def answers(self, *methods: str) -> list[Answer]:
        """What the caller has heard, by a reader that is another's: whole answers and nothing else.

        Args:
            methods: of the requests, where they are not all alike as far as answers go.
        """
        heard, data, found = list(methods), self.sent, []
        while data:
            method = heard.pop(0) if heard else "POST"
            reader = h11.Connection(h11.CLIENT)
            reader.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
            reader.send(h11.EndOfMessage())
            reader.receive_data(data)
            head, body = None, b""
            while True:
                event = reader.next_event()
                if isinstance(event, h11.Response):
                    head = event
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    break
                else:
                    assert isinstance(event, h11.InformationalResponse), event
            assert head is not None
            headers = {name.decode(): value.decode() for name, value in head.headers}
            assert len(headers) == len(head.headers), "said twice"
            found.append(Answer(head.status_code, headers, body))
            data = reader.trailing_data[0]
        return found

    def answer(self, *methods: str) -> Answer:
        """The only one."""
        (answer,) = self.answers(*methods)
        return answer

    def assert_nothing_is_left(self) -> None:
        """Whatever has come has been let go of."""
        assert self.inflight.nbytes == 0
        assert self.connection.held_bytes == 0
        assert self.admission.inside == 0
        assert self.open_calls.wait_until_none(0)
