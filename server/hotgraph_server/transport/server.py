"""The gRPC server: one port for every service."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import grpc

from hotgraph_server.errors import Draining, StartError
from hotgraph_server.settings import ListenSettings
from hotgraph_server.transport.fast_lane import FastLane, missing_pieces
from hotgraph_server.transport.handlers import HotGate, Pools, generic_handler
from hotgraph_server.transport.health import Health
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.reflection import add_reflection
from hotgraph_server.transport.service import Service
from hotgraph_server.transport.tls import server_credentials

_LOG = logging.getLogger(__name__)

_OPTIONS = (
    # Up to what protobuf can read; what may come in is a setting.
    ("grpc.max_send_message_length", -1),
    # With it a second server on the same port would start, and take every second connection.
    ("grpc.so_reuseport", 0),
    # Proxies ping idle connections more often than the default allows, and would be cut off for it.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
)

# How long the port stays open for refusals while calls are inside.
_REFUSING_S = 1.0
# For the last answers and refusals to leave.
_LAST_WORDS_S = 0.2
# Cancelled calls end at once; this is for a machine that is very busy.
_CANCELLING_S = 5.0


def _options(settings: ListenSettings) -> list[tuple[str, int]]:
    # A batch of audio is 5.6 MB in and 9.7 MB out; gRPC's default of 4 MB is for other things.
    return [*_OPTIONS, ("grpc.max_receive_message_length", settings.max_message_mb * 2**20)]


class GrpcServer:
    """Binds at once, so that a port in use is known before anything is loaded; answers after `start`.

    Attributes:
        address: ``HOST:PORT`` as bound.
        health: what the health service says; not serving until told.

    Raises:
        StartError: the address cannot be bound, or a certificate cannot be read or used.
    """

    def __init__(self, settings: ListenSettings, services: Sequence[Service]) -> None:
        credentials = server_credentials(settings)
        self.health = Health()
        self._calls = OpenCalls()
        self._pools = Pools(settings.max_calls, self._calls)
        self._gate = HotGate(list(services), self._pools)
        self._server = grpc.server(self._pools.plain, interceptors=[self._gate], options=_options(settings))
        for service in services:
            self._server.add_generic_rpc_handlers((generic_handler(service, self._pools),))
        self.health.add_to(self._server)
        add_reflection(self._server, services, self._pools.streams)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            port = self._bind(f"{host}:{settings.port}", credentials)
        except BaseException:
            self._close_pools()
            raise
        self.address = f"{host}:{port}"
        self._lane = self._fast_lane(settings, services) if settings.fast_lane else None

    def start(self) -> None:
        """Answer calls."""
        if self._lane is None:
            self._server.start()
        else:
            self._lane.start()

    def stop(self, timeout_s: float) -> bool:
        """Take no calls any more, let those taken finish, and close the port.

        Returns whether they finished; those that had not after `timeout_s` seconds are cancelled. Streams
        are ended, not waited for.
        """
        deadline = time.monotonic() + timeout_s
        # For a moment we refuse new calls ourselves, while those inside are answered: what grpc refuses when
        # it is told to stop can reach the caller as CANCELLED, which nobody retries. Before health says so:
        # who hears it shall find no call taken any more.
        (self._lane or self._gate).close(Draining("this server"))
        self.health.drain()
        answered = self._calls.wait_until_none(min(timeout_s, _REFUSING_S))
        # Then the port is closed and callers are told to go elsewhere, while long calls go on.
        remaining_s = max(deadline - time.monotonic(), 0.0)
        self._server.stop(max(remaining_s, _LAST_WORDS_S))
        answered = answered or self._calls.wait_until_none(remaining_s)
        # Open are now streams only, or calls whose time is up: these are cancelled.
        stopped = self._server.stop(_LAST_WORDS_S)
        if not stopped.wait(_CANCELLING_S):
            _LOG.warning("grpc still has calls open %.0f s after they were cancelled", _CANCELLING_S)
        self._close_pools()
        return answered

    def _bind(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        try:
            if credentials is None:
                return int(self._server.add_insecure_port(address))
            return int(self._server.add_secure_port(address, credentials))
        except RuntimeError as error:
            tls = "" if credentials is None else ", or the certificate and key do not fit"
            raise StartError(
                f"cannot listen on {address}: the port is in use, or the address is not this machine's{tls}"
            ) from error

    def _fast_lane(self, settings: ListenSettings, services: Sequence[Service]) -> FastLane | None:
        missing = missing_pieces(self._server)
        if missing:
            _LOG.warning(
                "grpcio %s lacks %s: calls go through grpc's public API, which answers the same, slower",
                grpc.__version__,
                ", ".join(missing),
            )
            return None
        lane = FastLane(self._server, self._pools, self._calls)
        for service in (*services, self.health.service()):
            lane.add(service)
        return lane

    def _close_pools(self) -> None:
        self._pools.close()
        self.health.close()
