"""The transport as a whole: a port for every service, health and reflection, one for HTTP, and their life.

On the fast lane one thread serves both ports, and both speak both: what comes first on a connection tells.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from hotgraph_server.errors import CallError, Draining
from hotgraph_server.settings import ListenSettings
from hotgraph_server.threads.leadership import Leadership
from hotgraph_server.transport.certificates import Certificates
from hotgraph_server.transport.doors import Doors
from hotgraph_server.transport.doors import HttpPort as HttpPort
from hotgraph_server.transport.figures import DoorFigures, door_figures
from hotgraph_server.transport.grpcio.server import GrpcioServer
from hotgraph_server.transport.handed_over import HandedOver
from hotgraph_server.transport.health import Health
from hotgraph_server.transport.http1.incoming import Http
from hotgraph_server.transport.http2.deflating import LEVELS, Deflater
from hotgraph_server.transport.inflight import Inflight
from hotgraph_server.transport.listening import written
from hotgraph_server.transport.load_trailers import LoadTrailers
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.reflection import reflection_services
from hotgraph_server.transport.service import Admit, Service, Tell
from hotgraph_server.transport.sockets.door import Allows
from hotgraph_server.transport.sockets.server import SocketServer
from hotgraph_server.transport.sockets.times import Times
from hotgraph_server.transport.thread_pool import ThreadPool, stop

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


class CallServer:
    """Binds at once, so that a port in use is known before anything is loaded; answers after `start`, and
    everything after `open`: a caller that connects while models load is told so, and not left waiting.

    Attributes:
        address: ``HOST:PORT`` as bound; ``unix:PATH`` where a Unix socket is all there is.
        http_address: ``HOST:PORT`` of the port for HTTP, as bound; None: there is none.
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
        http: HttpPort | None = None,
        allows: Allows | None = None,
        load: LoadTrailers | None = None,
        tell: Tell | None = None,
    ) -> None:
        """
        Args:
            admit: says which calls may not be made, health's and reflection's among them; None: all may.
            inflight: the budget for messages, which grpc's own server knows nothing of; None: one of its own.
            leadership: of the threads that read calls; None: one of its own.
            handed_over: connections that come in place of those of ports; None: ports are bound. Takes the
                fast lane.
            http: the port for HTTP; None: there is none, and HTTP is spoken nowhere.
            allows: says whose calls are refused, by the names of their certificate; None: nobody's are.
            load: what answers of gRPC say of the server's load; None: nothing.
            tell: is told of calls that fail; None: nobody is.
        """
        self._handed_over = handed_over
        self._inflight = inflight = inflight or Inflight(settings.max_inflight_mb << 20)
        self._max_calls = settings.max_calls
        self.health = Health()
        self._calls = OpenCalls()
        services = [*services, self.health.service]
        services += reflection_services(services)
        self._certificates = Certificates(settings) if settings.tls_cert else None
        self._transports: list[Transport] = []
        if settings.fast_lane or http is not None:
            on_lane = settings.fast_lane
            self._sockets = _BoundSocketServer(
                settings,
                services if on_lane else [],
                self._calls,
                inflight,
                admit,
                leadership if on_lane else None,
                handed_over,
                http,
                self._certificates,
                allows,
            )
            self._sockets.load, self._sockets.tell = load, tell
            self._transports.append(self._sockets)
        if not settings.fast_lane:
            try:
                self._transports.append(self._grpcio(settings, services, admit, allows, load, tell))
            except BaseException:
                for transport in self._transports:
                    transport.stop(0)
                raise
        self.http_address = (
            f"{written(settings.host)}:{self._sockets.http_port}" if http is not None else None
        )
        self.address = (
            f"unix:{settings.socket_path}"
            if settings.socket_only
            else f"{written(settings.host)}:{self._transports[-1].port}"
        )

    def _grpcio(
        self,
        settings: ListenSettings,
        services: Sequence[Service],
        admit: Admit | None,
        allows: Allows | None,
        load: LoadTrailers | None,
        tell: Tell | None,
    ) -> GrpcioServer:
        certificates = self._certificates
        credentials = certificates.credentials() if certificates is not None else None
        return GrpcioServer(settings, services, self._calls, admit, credentials, allows, load, tell)

    @property
    def certificate_expiries(self) -> Mapping[str, float]:
        """Until when certificates are valid; see Certificates. Empty: there is no TLS."""
        return self._certificates.expiries if self._certificates is not None else {}

    def start(self, refusal: CallError | None = None) -> None:
        """Answer calls; see Transport."""
        if self._certificates is not None:
            self._certificates.start()
        for transport in self._transports:
            transport.start(refusal)

    def open(self) -> None:
        """Answer every call that comes from now on."""
        for transport in self._transports:
            transport.open()

    def figures(self) -> DoorFigures:
        """What has come in so far, and what of it is inside; any thread."""
        expiries = self.certificate_expiries
        return door_figures(self._transports, self._calls, self._inflight, self._max_calls, expiries)

    def leave(self, timeout_s: float) -> None:
        """Ask all callers to go elsewhere, where others answer in place of this server, and answer what comes
        from them until they have gone: so no call fails. `stop` follows.

        Args:
            timeout_s: for them to go, seconds. Who has streams open, or does not heed it, stays.
        """
        deadline = time.monotonic() + timeout_s
        if self._handed_over is not None:
            self._handed_over.wait_for_the_last(min(timeout_s, _TAKING_S))
        while True:
            # Again and again, for those that had not begun to speak: they cannot be asked before.
            self._close_ports()
            left_s = deadline - time.monotonic()
            if left_s <= 0 or self._sockets.wait_until_none(min(left_s, _ASKING_S)):
                return

    def shed(self, connections: int) -> None:
        """Ask the callers of so many connections that were handed over to go elsewhere with their next calls:
        others have less to do."""
        self._sockets.shed(connections)

    def stop(self, timeout_s: float) -> bool:
        """Take no calls any more, let those taken finish, and close the port.

        Returns whether they finished; those that had not after `timeout_s` seconds are cancelled. Streams
        are ended, not waited for.
        """
        deadline = time.monotonic() + timeout_s
        # For a moment new calls are still taken, to be refused: who finds the port closed, or his connection
        # going, can see it as CANCELLED, which no client retries. Before health says so: who hears it shall
        # find no call taken any more.
        for transport in self._transports:
            transport.refuse(Draining("this server"))
        self.health.drain()
        answered = self._calls.wait_until_none(min(timeout_s, _REFUSING_S))
        # Then the port is closed and callers are told to go elsewhere, while long calls go on.
        self._close_ports()
        answered = answered or self._calls.wait_until_none(max(deadline - time.monotonic(), 0.0))
        # Open are now streams only, or calls whose time is up.
        for transport in self._transports:
            transport.stop(_CANCELLING_S)
        if self._certificates is not None:
            self._certificates.stop(_CANCELLING_S)
        return answered

    def _close_ports(self) -> None:
        for transport in self._transports:
            transport.close_port()


def _times(settings: ListenSettings) -> Times:
    return Times(
        max_age_s=settings.max_connection_age_s or math.inf,
        age_grace_s=settings.max_connection_age_grace_s or math.inf,
        max_idle_s=settings.max_connection_idle_s or math.inf,
    )


class _BoundSocketServer(SocketServer):
    """The server of sockets with what it owns here: its sockets, and threads to decode and to compress in.

    Attributes:
        port, http_port: as bound; 0: there is none.
    """

    def __init__(
        self,
        settings: ListenSettings,
        services: Sequence[Service],
        calls: OpenCalls,
        inflight: Inflight,
        admit: Admit | None,
        leadership: Leadership | None,
        handed_over: HandedOver | None,
        http: HttpPort | None,
        certificates: Certificates | None,
        allows: Allows | None,
    ) -> None:
        self._handed_over = handed_over
        self._doors = Doors(settings, http, handed_over, certificates, allows)
        self.port, self.http_port = self._doors.port, self._doors.http_port
        self._decoders = ThreadPool(_DECODING_THREADS, "decoding")
        self._deflaters = ThreadPool(_DEFLATING_THREADS, "deflating")
        self._json_threads = ThreadPool(http.settings.rest_threads if http is not None else 1, "REST JSON")
        super().__init__(
            self._doors.all,
            services,
            max_calls=settings.max_calls,
            max_message_bytes=settings.max_message_mb * 2**20,
            inflight=inflight,
            max_header_bytes=settings.max_metadata_kb * 2**10,
            aside=self._decoders.submit,
            open_calls=calls,
            admit=admit,
            leadership=leadership,
            http=None if http is None else self._http_of(http),
            times=_times(settings),
        )
        if settings.compress_answers != "off":
            level, least_bytes = LEVELS[settings.compress_answers], settings.compress_min_bytes
            self.deflater = Deflater(level, least_bytes, self._deflaters.submit)

    def shed(self, connections: int) -> None:
        """Ask the callers of so many connections to go elsewhere with their next calls."""
        with self.connections_lock:
            self.connections.go_away(connections)
        self.wake()

    def wait_until_none(self, timeout_s: float) -> bool:
        """Wait until no connection is open. Returns whether that came in time."""
        if self._handed_over is not None and not self._handed_over.wait_until_none(timeout_s):
            return False
        with self.connections_lock:
            left = bool(self.connections.sockets) or self.shaking
        if left:
            time.sleep(timeout_s)
        return not left

    def _http_of(self, http: HttpPort) -> Http:
        settings = http.settings
        return Http(
            http.api,
            self._json_threads.submit,
            settings.rest_timeout_ms / 1e3 or math.inf,
            settings.rest_body_s or math.inf,
        )

    def close_port(self) -> None:
        super().close_port()
        self._doors.remove_file()

    def stop(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        super().stop(timeout_s)
        stop([self._decoders, self._deflaters, self._json_threads], deadline)
        self._doors.remove_file()
