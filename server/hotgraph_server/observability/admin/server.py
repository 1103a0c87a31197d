"""The admin port's own thread: takes connections, reads a request from each, sends what `answer` says.

What it promises. It shares nothing with the calls but the interpreter: one thread, asyncio from the
standard library in it, no pool. Clients that say nothing cost a socket and no thread, so they cannot keep
others from /healthz: at most 256 connections are open, and one more closes the oldest. Each has
ten seconds to say what it wants and ten to take the answer.

Why not http.server with threads: a bounded number of threads is a number of silent clients that stops
it, and an unbounded one is worse. Why no web framework: three pages without bodies need none, and what
is not installed cannot break an upgrade.

Answers are made in this thread, one after the other; they must not wait for anything. What has to wait is
answered with a future, which this thread's loop waits for beside all else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from http import HTTPStatus

from hotgraph_server.observability.admin.http import (
    BadRequest,
    Request,
    Response,
    read_request,
    text,
    write_response,
)
from hotgraph_server.threads.joining import join_within
from hotgraph_server.transport.accepting import EventLoopAcceptor
from hotgraph_server.transport.listening import listen, written

_LOG = logging.getLogger(__name__)

Answer = Callable[[Request], Response | Future[Response]]

_MAX_CONNECTIONS = 256
# For a disk to take a snapshot.
_ANSWER_S = 60.0
_MAX_HEAD = 16 * 1024
_READ_S = 10.0
_WRITE_S = 10.0
# Nothing in its loop takes longer than a scrape.
_STOP_S = 5.0


class AdminServer:
    """One port of HTTP; `answer` is called in its thread and must not wait.

    The constructor starts nothing.
    """

    def __init__(self, host: str, port: int, answer: Answer) -> None:
        self._host = host
        self._port = port
        self._answer = answer
        self._sockets: list[socket.socket] = []
        # Who talks to whom, oldest first; the loop's thread alone looks at it.
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._looping: Future[Callable[[], object]] = Future()  # its result ends the loop
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """``HOST:PORT`` as bound; after `start`."""
        return f"{written(self._host)}:{self._port}"

    def start(self) -> None:
        """Bind, and answer from now on.

        Raises:
            StartError: the port is in use, or the host is none of this machine's.
        """
        self._sockets, self._port = listen(self._host, self._port, "admin-port")
        self._thread = threading.Thread(target=self._loop, name="admin port", daemon=True)
        self._thread.start()
        self._looping.result()

    def stop(self) -> None:
        """Close the port and every connection; idempotent. A thread that does not end is named."""
        if self._thread is None:
            return
        self._looping.result()()
        join_within(self._thread, _STOP_S)
        self._thread = None

    def _loop(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            if self._looping.done():
                raise
            self._looping.set_exception(error)

    async def _main(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        acceptor = EventLoopAcceptor(self._sockets, self._protocol)
        acceptor.open()
        self._looping.set_result(lambda: loop.call_soon_threadsafe(stop.set))
        await stop.wait()
        acceptor.close()
        for writer in self._open:
            _abort(writer)
        if talking := [task for task in self._open.values() if task]:
            await asyncio.wait(talking)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(_MAX_HEAD), self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= _MAX_CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            _abort(oldest)
        self._open[writer] = asyncio.current_task()
        try:
            writer.write(await self._respond(reader))
            writer.close()
            await asyncio.wait_for(writer.wait_closed(), _WRITE_S)
        except (OSError, EOFError, asyncio.TimeoutError):
            # The client has gone, or wants nothing; there is no one to be told.
            pass
        finally:
            _abort(writer)
            self._open.pop(writer, None)

    async def _respond(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _READ_S)
            request = read_request(head)
        except asyncio.LimitOverrunError:
            return write_response(
                text(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"at most {_MAX_HEAD} bytes")
            )
        except BadRequest as error:
            return write_response(text(HTTPStatus.BAD_REQUEST, str(error)))
        try:
            answered = self._answer(request)
            if isinstance(answered, Future):
                answered = await asyncio.wait_for(asyncio.wrap_future(answered), _ANSWER_S)
        except asyncio.TimeoutError:
            answered = text(HTTPStatus.GATEWAY_TIMEOUT, f"no answer within {_ANSWER_S:.0f} s")
        except Exception:
            # A page that breaks must not take the others with it.
            _LOG.exception("the admin page %r broke", request.path)
            answered = text(HTTPStatus.INTERNAL_SERVER_ERROR, "the server's log has the details")
        return write_response(answered, with_body=request.method != "HEAD")


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close a connection at once, whatever it still has to say."""
    # asyncio's transport forgets its loop when it has closed behind its last bytes, and trips over that when
    # it is told to abort after all.
    with contextlib.suppress(AttributeError):
        writer.transport.abort()
