"""The transport as a whole: one port for every service, health and reflection, and its life to the end."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Protocol

from hotgraph_server.errors import CallError, Draining, StartError
from hotgraph_server.settings import ListenSettings
from hotgraph_server.threads.leadership import Leadership
from hotgraph_server.transport.grpcio.server import GrpcioServer
from hotgraph_server.transport.handed_over import HandedOver
from hotgraph_server.transport.health import Health
from hotgraph_server.transport.http2.deflating import LEVELS, Deflater
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.listening import SocketFile, listen, written
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.reflection import reflection_services
from hotgraph_server.transport.service import Admit, Service
from hotgraph_server.transport.sockets.acceptor import Listener, nothing
from hotgraph_server.transport.sockets.server import SocketServer
from hotgraph_server.transport.thread_pool import ThreadPool, stop
from hotgraph_server.transport.tls import server_context

# How long the port stays open for refusals while calls are inside.
_REFUSING_S = 1.0
# For connections that were handed over to be taken, which the serving thread does at once.
_TAKING_S = 1.0
# How often callers who have said nothing yet are asked anew to go elsewhere.
_ASKING_S = 0.05
# Cancelled calls end at once; this is for a machine that is very busy.
_CANCELLING_S = 5.0

_DECODING_THREADS = 2
_DEFLATING_THREADS = 2


class Transport(Protocol):
    """What carries calls, as the server sees it: the HTTP/2 server here, or grpc's own."""

    port: int

    def start(self, refusal: CallError | None = None) -> None:
        """Take connections, and answer calls; with a `refusal`, only those of early methods (see Service),
        and others with it until `open`."""

    def open(self) -> None:
        """Answer every call that comes from now on."""

    def refuse(self, refusal: CallError) -> None:
        """Answer every hot call that comes from now on with `refusal`."""

    def close_port(self) -> None:
        """Take no connections any more, and ask callers to go elsewhere; calls go on."""

    def stop(self, timeout_s: float) -> None:
        """Cancel what is open, and end; a warning says if that takes longer than `timeout_s` seconds."""


class GrpcServer:
    """Binds at once, so that a port in use is known before anything is loaded; answers after `start`, and
    everything after `open`: a caller that connects while models load is told so, and not left waiting.

    Attributes:
        address: ``HOST:PORT`` as bound; ``unix:PATH`` where a Unix socket is all there is.
        health: what the health service says; not serving until told.

    Raises:
        StartError: the address cannot be bound, or a certificate cannot be read or used.
    """

    def __init__(
        self,
        settings: ListenSettings,
        services: Sequence[Service],
        admit: Admit | None = None,
        inflight: Inflight | None = None,
        leadership: Leadership | None = None,
        handed_over: HandedOver | None = None,
    ) -> None:
        """
        Args:
            admit: says which calls may not be made, health's and reflection's among them; None: all may.
            inflight: the budget for messages, which grpc's own server knows nothing of; None: one of its own.
            leadership: of the threads that read calls; None: one of its own.
            handed_over: connections that come in place of those of ports; None: ports are bound. Takes the
                fast lane.
        """
        self._handed_over = handed_over
        inflight = inflight or Inflight(settings.max_inflight_mb << 20)
        self.health = Health()
        self._calls = OpenCalls()
        services = [*services, self.health.service]
        services += reflection_services(services)
        self._transport: Transport
        if not settings.fast_lane:
            self._transport = GrpcioServer(settings, services, self._calls, admit)
        else:
            self._transport = _BoundHttp2Server(
                settings, services, self._calls, inflight, admit, leadership, handed_over
            )
        self.address = (
            f"unix:{settings.socket_path}"
            if settings.socket_only
            else f"{written(settings.host)}:{self._transport.port}"
        )

    def start(self, refusal: CallError | None = None) -> None:
        """Answer calls; see Transport."""
        self._transport.start(refusal)

    def open(self) -> None:
        """Answer every call that comes from now on."""
        self._transport.open()

    def leave(self, timeout_s: float) -> None:
        """Ask all callers to go elsewhere, where others answer in place of this server, and answer what comes
        from them until they have gone: so no call fails. Of connections that are handed over; `stop` follows.

        Args:
            timeout_s: for them to go, seconds. Who has streams open, or does not heed it, stays.
        """
        assert self._handed_over is not None, "who is at the port has nowhere else to go"
        deadline = time.monotonic() + timeout_s
        self._handed_over.wait_for_the_last(min(timeout_s, _TAKING_S))
        while True:
            # Again and again, for those that had not begun to speak: they cannot be asked before.
            self._transport.close_port()
            left_s = deadline - time.monotonic()
            if left_s <= 0 or self._handed_over.wait_until_none(min(left_s, _ASKING_S)):
                return

    def shed(self, connections: int) -> None:
        """Ask the callers of so many connections that were handed over to go elsewhere with their next calls:
        others have less to do."""
        assert isinstance(self._transport, _BoundHttp2Server)
        self._transport.shed(connections)

    def stop(self, timeout_s: float) -> bool:
        """Take no calls any more, let those taken finish, and close the port.

        Returns whether they finished; those that had not after `timeout_s` seconds are cancelled. Streams
        are ended, not waited for.
        """
        deadline = time.monotonic() + timeout_s
        # For a moment new calls are still taken, to be refused: who finds the port closed, or his connection
        # going, can see it as CANCELLED, which no client retries. Before health says so: who hears it shall
        # find no call taken any more.
        self._transport.refuse(Draining("this server"))
        self.health.drain()
        answered = self._calls.wait_until_none(min(timeout_s, _REFUSING_S))
        # Then the port is closed and callers are told to go elsewhere, while long calls go on.
        self._transport.close_port()
        answered = answered or self._calls.wait_until_none(max(deadline - time.monotonic(), 0.0))
        # Open are now streams only, or calls whose time is up.
        self._transport.stop(_CANCELLING_S)
        return answered


class _BoundHttp2Server(SocketServer):
    """The HTTP/2 server with what it owns here: its sockets, and threads to decode and to compress in."""

    def __init__(
        self,
        settings: ListenSettings,
        services: Sequence[Service],
        calls: OpenCalls,
        inflight: Inflight,
        admit: Admit | None,
        leadership: Leadership | None,
        handed_over: HandedOver | None,
    ) -> None:
        tls = server_context(settings)
        self._file: SocketFile | None = None
        self.port = settings.port
        sockets: Sequence[Listener] = [handed_over] if handed_over is not None else self._listen(settings)
        self._decoders = ThreadPool(_DECODING_THREADS, "decoding")
        self._deflaters = ThreadPool(_DEFLATING_THREADS, "deflating")
        super().__init__(
            sockets,
            services,
            tls,
            max_calls=settings.max_calls,
            max_message_bytes=settings.max_message_mb * 2**20,
            inflight=inflight,
            max_header_bytes=settings.max_metadata_kb * 2**10,
            aside=self._decoders.submit,
            open_calls=calls,
            admit=admit,
            leadership=leadership,
            closed=handed_over.closed if handed_over is not None else nothing,
        )
        if settings.compress_answers != "off":
            level, least_bytes = LEVELS[settings.compress_answers], settings.compress_min_bytes
            self.deflater = Deflater(level, least_bytes, self._deflaters.submit)

    def shed(self, connections: int) -> None:
        """Ask the callers of so many connections to go elsewhere with their next calls."""
        with self.connections_lock:
            self.connections.go_away(connections)
        self.wake()

    def _listen(self, settings: ListenSettings) -> list[socket.socket]:
        self._file = SocketFile(settings.socket_path) if settings.socket_path else None
        try:
            sockets, self.port = ([], 0) if settings.socket_only else listen(settings.host, settings.port)
        except StartError:
            self._remove_file(close=True)
            raise
        return sockets if self._file is None else [*sockets, self._file.sock]

    def close_port(self) -> None:
        super().close_port()
        self._remove_file()

    def stop(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        super().stop(timeout_s)
        stop([self._decoders, self._deflaters], deadline)
        self._remove_file()

    def _remove_file(self, *, close: bool = False) -> None:
        if self._file is not None:
            if close:
                self._file.sock.close()
            self._file.remove()
