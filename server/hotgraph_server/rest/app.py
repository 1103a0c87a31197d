"""The ASGI application: HTTP in, HTTP out, in one event loop.

What is small is read and written in the loop itself; a large body is given to a thread, so that others get
their answers meanwhile, and a very large one to another process (json/process_pool.py): while Python reads
JSON it holds the interpreter's lock wherever it does so, and calls over gRPC would wait as well.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hotgraph_server.access import groups
from hotgraph_server.access.groups import Method
from hotgraph_server.access.rules import Header
from hotgraph_server.errors import (
    LOADING,
    CallError,
    Cancelled,
    Draining,
    NotReady,
    QueueFull,
    Unauthenticated,
    forget_traceback,
)
from hotgraph_server.models.status import State
from hotgraph_server.rest.codes import error_body, http_code
from hotgraph_server.rest.gzip_coding import takes_gzip, unzipped, zipped
from hotgraph_server.rest.open_call import OpenCall
from hotgraph_server.rest.tfs.methods import Methods
from hotgraph_server.rest.tfs.paths import What, read_path
from hotgraph_server.settings import RestSettings
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.service import joined
from hotgraph_server.transport.status import as_call_error

T = TypeVar("T")

Admit = Callable[[Method, Header], CallError | None]

JSON = "application/json"
TEXT = "text/plain; version=0.0.4; charset=utf-8"

# The JSON of as many bytes is read in a tenth of a millisecond, which a thread costs as well.
_LARGE_BYTES = 16 * 1024
# Three milliseconds of the interpreter; sending it to another process and back takes one.
_VERY_LARGE_BYTES = 256 * 1024
# gzip makes a thousand times as much of what it is given.
_LARGE_ZIPPED_BYTES = 1024
# What is smaller fits into a packet or two as it is.
_WORTH_ZIPPING_BYTES = 1024
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class _Refused(Exception):
    """A request that HTTP alone can name what is wrong with."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(text)


class _Held:
    """What a request holds of the budget for messages; its connection has no other meanwhile."""

    def __init__(self, budget: Inflight) -> None:
        self.held_bytes = 0
        self._budget = budget
        self._connection = _Connection()

    def take(self, nbytes: int) -> None:
        """Raises TooMuchInside."""
        self._budget.take(self, self._connection, nbytes)

    def end(self) -> None:
        self._budget.end(self, self._connection)


@dataclass
class _Connection:
    held_bytes: int = 0


class App:
    """Answers requests; all but `calls` belongs to the loop's thread, `begin` before the first request.

    Attributes:
        calls: what is owed an answer; a stop waits for it to be none.
    """

    def __init__(
        self,
        settings: RestSettings,
        methods: Methods,
        state: Callable[[], State],
        metrics: Callable[[], bytes],
        threads: Executor,
        max_calls: int,
        inflight: Inflight,
        admit: Admit | None = None,
    ) -> None:
        """
        Args:
            methods: what can be asked of models.
            state: of the server.
            metrics: the text at `prometheus_path`.
            threads: for what takes long.
            max_calls: that may be inside at once.
            inflight: the budget for bodies.
            admit: why a request may not be made; None: all may.
        """
        self.calls = OpenCalls()
        self._settings = settings
        self._methods = methods
        self._state = state
        self._metrics = metrics
        self._threads = threads
        self._max_calls = max_calls
        self._inflight = inflight
        self._inside = 0
        self._max_bytes = settings.rest_max_body_mb * 2**20
        self._headers = _CORS if settings.rest_cors else {}
        self._admit = admit
        if admit is not None and settings.rest_cors:
            self._headers = {**_CORS, "Access-Control-Allow-Headers": "Content-Type, Authorization"}
        self._scraping = asyncio.Lock()
        # Done when no call is waited for any longer.
        self._ending: asyncio.Future[None]
        self._reading: set[asyncio.Task[Any]] = set()

    def begin(self) -> None:
        """Requests may come."""
        self._ending = asyncio.get_running_loop().create_future()

    def end(self) -> None:
        """Tell every call that is still open, and each client that has not sent all of a request, that the
        server goes."""
        self._ending.set_result(None)
        for task in self._reading:
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._respond(request, receive)
        except ClientDisconnect:
            return
        except _Refused as error:
            # What is left of the body is not read: the next request would begin in the middle of it.
            response = Response(
                error_body(str(error)), error.code, {"Connection": "close", **self._headers}, JSON
            )
        except Exception as error:
            known = as_call_error(error)
            headers = {**self._headers, **_CHALLENGE} if isinstance(known, Unauthenticated) else self._headers
            response = Response(error_body(str(known)), http_code(known), headers, JSON)
            forget_traceback(error)
        await response(scope, receive, send)

    async def _respond(self, request: Request, receive: Receive) -> Response:
        method, path = request.method, _path(request.scope)
        if self._settings.prometheus and path == self._settings.prometheus_path and method == "GET":
            self._check(groups.PROMETHEUS, request)
            async with self._scraping:
                page = await self._in_thread(self._metrics)
            return await self._response(request, page, TEXT)
        if method == "OPTIONS" and self._settings.rest_cors:
            return Response(headers=self._headers)
        target = read_path(method, path)
        self._check(groups.REST[target.what.value], request)
        state = self._state()
        if state is State.LOADING and target.what not in (What.MODELS, What.STATUS):
            raise NotReady(LOADING)
        about = self._methods.about.get(target.what)
        if about is not None:
            return await self._response(request, about(target), JSON)
        if state is not State.LIVE:
            raise Draining("this server")
        held = _Held(self._inflight)
        try:
            body = await self._body(request, held)
            begin = functools.partial(self._methods.calls[target.what], target, body)
            return await self._answer(begin, len(body), request, receive)
        finally:
            held.end()

    async def _answer(
        self, begin: Callable[[OpenCall], None], nbytes: int, request: Request, receive: Receive
    ) -> Response:
        if self._inside >= self._max_calls:
            raise QueueFull("the server", self._inside, self._max_calls)
        self._inside += 1
        self.calls.enter()
        try:
            answer = await self._call(begin, nbytes, request, receive)
            return await self._response(request, answer, JSON)
        finally:
            self._inside -= 1
            self.calls.leave()

    def _check(self, method: Method, request: Request) -> None:
        """Before anything of a body is read. Raises CallError."""
        refusal = None if self._admit is None else self._admit(method, request.headers.get)
        if refusal is not None:
            raise refusal

    async def _call(
        self, begin: Callable[[OpenCall], None], nbytes: int, request: Request, receive: Receive
    ) -> bytes:
        """The answer to a call."""
        timeout_ms = self._settings.rest_timeout_ms
        host, port = request.client or ("", 0)
        call = OpenCall(time.monotonic() + timeout_ms / 1e3 if timeout_ms else float("inf"), f"{host}:{port}")
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            job = functools.partial(begin, call)
            await self._run(job, nbytes, request, deadline=call.deadline, unless=(gone, self._ending))
            encode = await call.answer(gone, self._ending)
            return await self._run(lambda: joined(encode()), call.nbytes_out, request, deadline=call.deadline)
        finally:
            gone.cancel()

    async def _body(self, request: Request, held: _Held) -> bytes:
        """The body, unzipped.

        Raises:
            TooMuchInside: other calls hold too much already.
            _Refused: it is too large, or too slow, or zipped in a way that we do not know.
            InvalidCall: it is not zipped as it says.
            Draining: the server has ended before it was there.
        """
        reading = asyncio.current_task()
        assert reading is not None
        self._reading.add(reading)
        limit_s = self._settings.rest_body_s
        late = asyncio.get_running_loop().call_later(limit_s, reading.cancel) if limit_s else None
        try:
            body = await self._whole(request, held)
        except asyncio.CancelledError:
            if self._ending.done():
                raise Draining("this server") from None
            # Nothing else cancels what handles a request.
            raise _Refused(408, f"the request's body has not come within {limit_s:g} s") from None
        finally:
            self._reading.discard(reading)
            if late is not None:
                late.cancel()
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding in ("gzip", "x-gzip"):
            unzip = functools.partial(self._methods.pool.run, unzipped, body, self._max_bytes)
            whole = await self._run(unzip, len(body), request, large_bytes=_LARGE_ZIPPED_BYTES)
            if whole is None:
                raise self._too_large()
            held.take(len(whole))
            return whole
        if encoding not in ("identity", ""):
            raise _Refused(415, f"Content-Encoding {encoding} is not known; gzip is")
        return body

    async def _whole(self, request: Request, held: _Held) -> bytes:
        """The body as it was sent."""
        parts: list[bytes] = []
        size = 0
        # Somewhat more than is taken is read: who finds the connection closed while sending sees no answer.
        most = 2 * self._max_bytes
        if int(request.headers.get("content-length", "0")) > most:
            raise self._too_large()
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise self._too_large()
            if size <= self._max_bytes:
                held.take(len(part))
                parts.append(part)
        if size > self._max_bytes:
            raise self._too_large()
        return b"".join(parts)

    def _too_large(self) -> _Refused:
        return _Refused(413, f"the request is larger than {self._settings.rest_max_body_mb} MiB")

    async def _response(self, request: Request, body: bytes, kind: str) -> Response:
        headers = self._headers
        if len(body) > _WORTH_ZIPPING_BYTES and takes_gzip(request.headers.get("accept-encoding", "")):
            zip_ = functools.partial(zipped, body)
            body = zip_() if len(body) <= _LARGE_BYTES else await self._in_thread(zip_)
            headers = {**headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(body, headers=headers, media_type=kind)

    async def _run(
        self,
        job: Callable[[], T],
        nbytes: int,
        request: Request,
        *,
        large_bytes: int = _LARGE_BYTES,
        deadline: float = float("inf"),
        unless: Sequence[asyncio.Future[Any]] = (),
    ) -> T:
        """What a job returns, wherever one of its size belongs.

        Args:
            unless: if one of these is done before a very large one begins, it does not.
        """
        pool = self._methods.pool
        if nbytes <= large_bytes:
            return job()
        if nbytes <= _VERY_LARGE_BYTES or not pool.processes:
            return await self._in_thread(job)
        caller = request.client.host if request.client is not None else ""
        submitted = pool.submit(job, nbytes, caller, deadline)
        done: asyncio.Future[Any] = asyncio.wrap_future(submitted)
        await asyncio.wait((done, *unless), return_when=asyncio.FIRST_COMPLETED)
        if not done.done() and submitted.cancel():
            raise Draining("this server") if self._ending.done() else Cancelled
        found: T = await done
        return found

    async def _in_thread(self, what: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, what)


def _path(scope: Scope) -> str:
    """As it was sent, for what is encoded in it has a meaning; servers that do not tell have decoded it."""
    raw: bytes | None = scope.get("raw_path")
    return str(scope["path"]) if raw is None else raw.partition(b"?")[0].decode("latin-1")


async def _disconnected(receive: Receive) -> None:
    """Ends when the client has left; its request must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
