"""The blocking client's way over HTTP: http.client, and a pool of connections for its threads."""

from __future__ import annotations

import http.client
import threading
import time
from typing import Any, NamedTuple

import grpc

from ..errors import Cancelled, HotgraphError, from_status
from ..model_header import ModelHeaders
from ..protocol import Method
from .answers import read_response
from .attempts import Attempts, Turns
from .requests import HttpRequest, http_request
from .route import HttpRoute, HttpServer
from .tls import tls_context
from .wire import Wire, connect, left_s

# Of an answer; what is smaller is not copied.
_MOST_AT_ONCE_BYTES = 64 * 2**20

# More are not kept for each server when their calls are done.
_MAX_IDLE = 64


class _Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    reusable: bool


class HttpTransport:
    """Carries calls over HTTP, from any number of threads at once: each has a connection for itself.

    Raises:
        ValueError: TLS settings that cannot be read.
    """

    def __init__(self, route: HttpRoute) -> None:
        self.address = route.address
        self._route = route
        self._headers = ModelHeaders(route.headers)
        self._context = tls_context(route.tls) if route.secure else None
        self._turns = Turns(len(route.servers))
        self._ending = threading.Event()
        # guards the two below
        self._wires_lock = threading.Lock()
        self._idle: list[list[Wire]] = [[] for _ in route.servers]
        self._busy: set[Wire] = set()

    def call(self, method: Method[Any, Any], message: Any, timeout_s: float, model: str) -> Any:
        """The answer to one call.

        Raises:
            HotgraphError: there is none, or it is an error.
        """
        deadline = time.monotonic() + timeout_s
        request = http_request(method, message)
        attempts = Attempts(self._route.retries, deadline)
        while True:
            try:
                answer = self._exchange(request, deadline, timeout_s, model)
                return read_response(
                    method, answer.status, answer.headers, answer.body, address=self.address, model=model
                )
            except HotgraphError as error:
                pause_s = attempts.pause_s(error, time.monotonic())
            if self._ending.wait(pause_s):
                raise self._cancelled(model)

    def close(self) -> None:
        """Let go of the connections; calls under way end as Cancelled. Closing twice does nothing."""
        self._ending.set()
        with self._wires_lock:
            idle = [wire for wires in self._idle for wire in wires]
            busy = list(self._busy)
            for wires in self._idle:
                wires.clear()
        for wire in idle:
            wire.end()
        for wire in busy:
            # its call, which waits in another thread, ends it
            wire.interrupt()

    def _exchange(self, request: HttpRequest, deadline: float, timeout_s: float, model: str) -> _Answer:
        try:
            index, wire = self._wire(deadline, model)
            wire.deadline = deadline
            answer = None
            try:
                answer = _ask(wire, self._route.servers[index], self._headers.of(model), request)
            finally:
                self._give_back(index, wire, reusable=answer is not None and answer.reusable)
        except (OSError, http.client.HTTPException) as error:
            if self._ending.is_set():
                raise self._cancelled(model) from None
            # one with a number is the system's, which gives a connection up by itself
            late = isinstance(error, TimeoutError) and error.errno is None
            raise from_status(
                grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.UNAVAILABLE,
                f"no answer within {timeout_s:g} s" if late else told(error),
                None,
                address=self.address,
                model=model,
            ) from None
        if self._ending.is_set():
            raise self._cancelled(model)
        return answer

    def _wire(self, deadline: float, model: str) -> tuple[int, Wire]:
        """A connection to the server whose turn it is, or to one that is there, and the server's number."""
        order = self._turns.order(time.monotonic())
        for position, index in enumerate(order):
            wire = self._idle_wire(index)
            if wire is None:
                try:
                    # a server that does not answer leaves the others their share of the time
                    share_s = left_s(deadline) / (len(order) - position)
                    wire = self._new_wire(index, time.monotonic() + share_s)
                except OSError:
                    self._turns.down(index, time.monotonic())
                    if position == len(order) - 1:
                        raise
                    continue
            with self._wires_lock:
                closed = self._ending.is_set()
                if not closed:
                    self._busy.add(wire)
            if closed:
                wire.end()
                raise self._cancelled(model)
            return index, wire
        raise AssertionError("a route has a server")

    def _new_wire(self, index: int, deadline: float) -> Wire:
        server, tls = self._route.servers[index], self._route.tls
        name = server.host if tls is None or tls.server_name is None else tls.server_name
        return connect(server, self._context, name, deadline)

    def _idle_wire(self, index: int) -> Wire | None:
        while True:
            with self._wires_lock:
                if not self._idle[index]:
                    return None
                # the one that was used last is the least likely to have been closed
                wire = self._idle[index].pop()
            if wire.is_quiet():
                return wire
            wire.end()

    def _give_back(self, index: int, wire: Wire, *, reusable: bool) -> None:
        with self._wires_lock:
            self._busy.discard(wire)
            idle = self._idle[index]
            kept = reusable and len(idle) < _MAX_IDLE and not self._ending.is_set()
            if kept:
                idle.append(wire)
        if not kept:
            wire.end()

    def _cancelled(self, model: str) -> Cancelled:
        return Cancelled(
            "the client was closed during the call",
            code=grpc.StatusCode.CANCELLED,
            address=self.address,
            model=model,
        )


def _ask(
    wire: Wire, server: HttpServer, headers: tuple[tuple[str, str], ...], request: HttpRequest
) -> _Answer:
    connection = http.client.HTTPConnection(server.host, server.port)
    connection.sock = wire
    own_host = any(name == "host" for name, _ in headers)
    connection.putrequest(request.verb, server.base + request.path, skip_host=True, skip_accept_encoding=True)
    if not own_host:
        connection.putheader("host", server.authority)
    for name, value in (*headers, *request.headers, ("accept-encoding", "identity")):
        connection.putheader(name, value)
    if request.body:
        connection.putheader("content-length", str(request.body_bytes))
    connection.endheaders()
    for piece in request.body:
        wire.sendall(piece)
    unsent = _flushed(wire)
    try:
        with connection.getresponse() as response:
            body = _body_of(response)
    except (OSError, http.client.HTTPException) as error:
        if unsent is None or isinstance(error, TimeoutError):
            raise
        raise unsent from None
    told = {name.lower(): value for name, value in response.getheaders()}
    return _Answer(response.status, told, body, unsent is None and not response.will_close)


def _body_of(response: http.client.HTTPResponse) -> bytes:
    """All of an answer. Memory is for what comes, and not for the length that the server says."""
    pieces: list[bytes] = []
    try:
        while piece := response.read(_MOST_AT_ONCE_BYTES):
            pieces.append(piece)
    except (ValueError, OverflowError) as error:
        # http.client's for a chunk of fewer bytes than none
        raise http.client.HTTPException(str(error)) from None
    if response.length:
        # which read does not tell of an answer that is read in pieces
        raise http.client.IncompleteRead(b"", response.length)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _flushed(wire: Wire) -> OSError | None:
    """Send what is unsent; the error of a server that would not read all of it, but may have said why."""
    try:
        wire.flush()
    except (BrokenPipeError, ConnectionResetError) as error:
        return error
    return None


def told(error: OSError | http.client.HTTPException) -> str:
    """What ended a connection, or kept it from coming about, in words."""
    if isinstance(error, http.client.RemoteDisconnected):
        return "the server closed the connection and did not answer"
    if isinstance(error, http.client.IncompleteRead):
        return "the server closed the connection within its answer"
    if isinstance(error, http.client.HTTPException):
        return f"what answers does not speak HTTP/1.1: {type(error).__name__}"
    return f"no connection: {error.strerror or error}"
