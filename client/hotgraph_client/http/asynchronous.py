"""The asyncio client's way over HTTP: aiohttp, which comes with ``pip install 'hotgraph[http]'``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc

from ..errors import Cancelled, HotgraphError, from_status
from ..model_header import ModelHeaders
from ..protocol import Method
from .answers import read_response
from .attempts import Attempts, Turns
from .requests import HttpRequest, http_request
from .route import HttpRoute, HttpServer
from .tls import tls_context

if TYPE_CHECKING:
    import aiohttp

# Put together below this, in pieces above: aiohttp writes bytes at once, and has to wait between large ones.
_JOINED_BYTES = 64 * 1024

_Answer = tuple[int, dict[str, str], bytes]


class AsyncHttpTransport:
    """Carries calls over HTTP. Belongs to the event loop of its first call.

    Raises:
        ImportError: aiohttp is not installed.
        ValueError: TLS settings that cannot be read.
    """

    def __init__(self, route: HttpRoute) -> None:
        try:
            import aiohttp
        except ImportError:
            raise ImportError("AsyncClient over HTTP needs aiohttp: pip install 'hotgraph[http]'") from None
        self._aiohttp = aiohttp
        self.address = route.address
        self._route = route
        self._headers = ModelHeaders(route.headers)
        self._context = tls_context(route.tls) if route.secure else None
        self._turns = Turns(len(route.servers))
        self._session: aiohttp.ClientSession | None = None
        self._ending = asyncio.Event()

    async def call(self, method: Method[Any, Any], message: Any, timeout_s: float, model: str) -> Any:
        """The answer to one call.

        Raises:
            HotgraphError: there is none, or it is an error.
        """
        deadline = time.monotonic() + timeout_s
        request = http_request(method, message)
        # other tasks may change an array while this one waits; nothing is copied that is bytes already
        request = request._replace(
            headers=(*self._headers.of(model), *request.headers), body=tuple(map(bytes, request.body))
        )
        attempts = Attempts(self._route.retries, deadline)
        while True:
            try:
                status, headers, body = await self._exchange(request, deadline, timeout_s, model)
                return read_response(method, status, headers, body, address=self.address, model=model)
            except HotgraphError as error:
                pause_s = attempts.pause_s(error, time.monotonic())
            try:
                await asyncio.wait_for(self._ending.wait(), pause_s)
            except asyncio.TimeoutError:
                continue
            raise self._cancelled(model)

    async def close(self) -> None:
        """Let go of the connections; calls under way end as Cancelled. Closing twice does nothing."""
        self._ending.set()
        if self._session is not None:
            await self._session.close()

    async def _exchange(self, request: HttpRequest, deadline: float, timeout_s: float, model: str) -> _Answer:
        try:
            return await self._ask_one_that_is_there(request, deadline)
        # RuntimeError: aiohttp's for a session that was closed a moment ago
        except (self._aiohttp.ClientError, OSError, asyncio.TimeoutError, RuntimeError) as error:
            if self._ending.is_set():
                raise self._cancelled(model) from None
            if isinstance(error, RuntimeError):
                raise
            late = isinstance(error, asyncio.TimeoutError)
            raise from_status(
                grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.UNAVAILABLE,
                f"no answer within {timeout_s:g} s" if late else self._told(error),
                None,
                address=self.address,
                model=model,
            ) from None

    async def _ask_one_that_is_there(self, request: HttpRequest, deadline: float) -> _Answer:
        order = self._turns.order(time.monotonic())
        for position, index in enumerate(order):
            left = deadline - time.monotonic()
            # a server that does not answer leaves the others their share of the time
            share_s = left / (len(order) - position)
            try:
                return await self._ask(self._route.servers[index], request, left, share_s)
            except (self._aiohttp.ClientConnectorError, self._aiohttp.ConnectionTimeoutError):
                self._turns.down(index, time.monotonic())
                if position == len(order) - 1:
                    raise
        raise AssertionError("a route has a server")

    async def _ask(
        self, server: HttpServer, request: HttpRequest, total_s: float, connect_s: float
    ) -> _Answer:
        if total_s <= 0:
            raise asyncio.TimeoutError
        from yarl import URL

        scheme = "https" if self._route.secure else "http"
        host = f"[{server.host}]" if ":" in server.host else server.host
        headers = [*request.headers, ("accept-encoding", "identity")]
        if not any(name == "host" for name, _ in headers):
            headers.append(("host", server.authority))
        if request.body:
            headers.append(("content-length", str(request.body_bytes)))
        tls = self._route.tls
        async with self._started().request(
            request.verb,
            # encoded: a name with a slash in it stays one segment
            URL(f"{scheme}://{host}:{server.port}{server.base}{request.path}", encoded=True),
            data=_body(request),
            headers=headers,
            allow_redirects=False,
            server_hostname=None if tls is None else tls.server_name,
            timeout=self._aiohttp.ClientTimeout(total=total_s, sock_connect=connect_s),
        ) as response:
            body = await response.read()
            return response.status, {name.lower(): value for name, value in response.headers.items()}, body

    def _started(self) -> aiohttp.ClientSession:
        """The session; made at the first call, for only then is the event loop known."""
        if self._session is None:
            if self._ending.is_set():
                raise RuntimeError("the session is closed")
            aiohttp = self._aiohttp
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=True if self._context is None else self._context),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("user-agent", "content-type", "accept"),
            )
        return self._session

    def _told(self, error: BaseException) -> str:
        if isinstance(error, self._aiohttp.ServerDisconnectedError):
            return "the server closed the connection and did not answer"
        if isinstance(error, self._aiohttp.ClientPayloadError):
            return "the server closed the connection within its answer"
        if isinstance(error, self._aiohttp.ClientResponseError):
            return f"what answers does not speak HTTP/1.1: {type(error).__name__}"
        return f"no connection: {error}"

    def _cancelled(self, model: str) -> Cancelled:
        return Cancelled(
            "the client was closed during the call",
            code=grpc.StatusCode.CANCELLED,
            address=self.address,
            model=model,
        )


def _body(request: HttpRequest) -> bytes | AsyncIterator[bytes | memoryview] | None:
    if not request.body:
        return None
    return b"".join(request.body) if request.body_bytes <= _JOINED_BYTES else _pieces(request)


async def _pieces(request: HttpRequest) -> AsyncIterator[bytes | memoryview]:
    for piece in request.body:
        yield piece
