"""The REST port: uvicorn in a thread of its own, with an event loop of its own.

The port is bound by `start`, before models load, so that one in use is known at once; what comes before the
server is live is answered with 503. uvicorn looks ten times a second whether it shall end, so a stop takes up
to a tenth of a second longer than its calls.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import uvicorn

from hotgraph_server.models.status import State
from hotgraph_server.rest.app import Admit, App
from hotgraph_server.rest.header_timeout import HeaderTimeoutProtocol
from hotgraph_server.rest.tfs.methods import Methods
from hotgraph_server.settings import ListenSettings, RestSettings
from hotgraph_server.threads.joining import join_within
from hotgraph_server.transport import thread_pool
from hotgraph_server.transport.accepting import EventLoopAcceptor
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.listening import listen, written
from hotgraph_server.transport.thread_pool import ThreadPool

_LOG = logging.getLogger(__name__)

# A connection without a request is closed after this, seconds: longer than most proxies keep theirs open, so
# that it is they who close it and no request meets a closing port.
_KEEP_ALIVE_S = 75
# For answers to be sent once their calls are over.
_SENDING_S = 2
_STOP_S = 5.0
# How often connections are looked at that shall be closed.
_LOOKING_S = 0.02
_FIRST_REQUEST_S = 1.0
# Of connections; where the port is shared the next one is anybody's.
_AT_A_TIME = 64


class RestServer:
    """One port of HTTP/1.1. The constructor starts nothing."""

    def __init__(
        self,
        listening: ListenSettings,
        settings: RestSettings,
        methods: Methods,
        state: Callable[[], State],
        metrics: Callable[[], bytes],
        admit: Admit | None = None,
        inflight: Inflight | None = None,
        shared: Sequence[socket.socket] | None = None,
    ) -> None:
        """
        Args:
            listening: where calls come in; REST does so on the same host, with as many at once.
            methods: what can be asked of models; closed by `stop`.
            state: of the server.
            metrics: the text at `prometheus_path`; called in one thread at a time.
            admit: see App.
            inflight: the budget for bodies; None: one of its own.
            shared: listen already, for other processes as well; None: `start` binds the port.
        """
        self._shared = shared
        self._methods = methods
        self._host = listening.host
        self._port = settings.rest_port
        self._threads = ThreadPool(settings.rest_threads, "REST JSON")
        limits = listening.max_calls, inflight or Inflight(listening.max_inflight_mb << 20)
        self._app = App(settings, methods, state, metrics, self._threads, *limits, admit)
        self._thread: threading.Thread | None = None
        self._uvicorn: _Uvicorn | None = None

    @property
    def address(self) -> str:
        """``HOST:PORT`` as bound; after `start`."""
        return f"{written(self._host)}:{self._port}"

    def start(self) -> None:
        """Bind, and answer from now on.

        Raises:
            StartError: the port is in use, or the host is none of this machine's.
        """
        if self._shared is None:
            sockets, self._port = listen(self._host, self._port, "rest-port")
        else:
            sockets = list(self._shared)
        for listener in sockets:
            # Connections inherit it. asyncio would set it itself, but only where the socket says that it is
            # TCP's; without it the body of an answer waits 40 ms for its head to be acknowledged.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            self._app,
            loop="asyncio",
            http=HeaderTimeoutProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_SENDING_S,
        )
        self._uvicorn = _Uvicorn(config, sockets, self._app, _AT_A_TIME if self._shared is None else 1)
        self._thread = threading.Thread(target=self._uvicorn.run_here, name="REST port", daemon=True)
        self._thread.start()
        self._uvicorn.looping.result()

    def leave(self, timeout_s: float) -> None:
        """Take no connections any more, and close those that there are behind the answers that they wait for;
        for a shared port, where others take the next ones. `stop` follows.

        Args:
            timeout_s: for connections to be closed, seconds.
        """
        if self._uvicorn is not None:
            self._uvicorn.leave().wait(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Let the calls inside finish, and close the port; the server's state must refuse others by now.

        Returns whether they finished; those that had not after `timeout_s` seconds are told that the server
        goes. Idempotent.
        """
        thread, running = self._thread, self._uvicorn
        if thread is None or running is None:
            return True
        answered = self._app.calls.wait_until_none(timeout_s)
        # First, so that calls that wait for a process are told.
        self._methods.close()
        running.end()
        deadline = time.monotonic() + _STOP_S
        join_within(thread, _STOP_S)
        thread_pool.stop([self._threads], deadline)
        self._methods.pool.join(deadline)
        self._thread = self._uvicorn = None
        return answered


class _Uvicorn(uvicorn.Server):
    """uvicorn, run in the thread that calls `run_here` and ended from another.

    Attributes:
        looping: done when connections are taken.
    """

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], app: App, at_a_time: int
    ) -> None:
        super().__init__(config)
        self.looping: Future[asyncio.AbstractEventLoop] = Future()
        self._sockets = sockets
        self._app = app
        self._at_a_time = at_a_time

    def run_here(self) -> None:
        """Take connections until `end`."""
        try:
            asyncio.run(self._serve_until_the_end())
        except BaseException as error:
            if self.looping.done():
                _LOG.exception("the REST port has ended")
            else:
                self.looping.set_exception(error)

    def end(self) -> None:
        """From any thread, once: give up the calls that are open, and return from `run_here` soon."""
        loop = self.looping.result()
        loop.call_soon_threadsafe(self._end)

    def leave(self) -> threading.Event:
        """From any thread: see RestServer; set once no connection is left."""
        left = threading.Event()
        asyncio.run_coroutine_threadsafe(self._leave(left), self.looping.result())
        return left

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's, with a way of our own to accept connections; and tell that it is done."""
        await super().startup([])
        self._acceptor = EventLoopAcceptor(sockets or [], self._protocol, self._at_a_time)
        self._acceptor.open()
        self.looping.set_result(asyncio.get_running_loop())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's."""
        self._acceptor.close()
        await super().shutdown([])

    def _protocol(self) -> asyncio.Protocol:
        return HeaderTimeoutProtocol(self.config, self.server_state, self.lifespan.state)

    async def _leave(self, left: threading.Event) -> None:
        self._acceptor.close()
        loop = asyncio.get_running_loop()
        gentle_until = loop.time() + _FIRST_REQUEST_S
        while connections := list(self.server_state.connections):
            for connection in connections:
                assert isinstance(connection, HeaderTimeoutProtocol)
                # Who has just come is about to ask something.
                if connection.cycle is not None or loop.time() >= gentle_until:
                    # uvicorn's: at once if it waits for a request, else behind its answer.
                    connection.shutdown()
            await asyncio.sleep(_LOOKING_S)
        left.set()

    async def _serve_until_the_end(self) -> None:
        self._app.begin()
        await self.serve(self._sockets)
        # Who does not take an answer is not waited for.
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()

    def _end(self) -> None:
        self._app.end()
        self.should_exit = True
