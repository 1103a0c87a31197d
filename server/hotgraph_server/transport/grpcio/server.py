"""Services on grpc's own server, through its public API: what runs where ours (http2/) is switched off."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Sequence

import grpc

from hotgraph_server.errors import CallError, StartError
from hotgraph_server.settings import ListenSettings
from hotgraph_server.transport.grpcio.gate import HotGate
from hotgraph_server.transport.grpcio.handlers import generic_handler
from hotgraph_server.transport.grpcio.pools import Pools
from hotgraph_server.transport.listening import clear, written
from hotgraph_server.transport.load_trailers import LoadTrailers
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.service import Admit, Service, Tell
from hotgraph_server.transport.sockets.door import Allows

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

# For the last answers and refusals to leave.
_LAST_WORDS_S = 0.2
# How long close_port lets calls go on, unless stop comes sooner.
_FOR_EVER_S = 86_400.0


class GrpcioServer:
    """Binds at once; answers after `start`. See server.Transport for what it is to the others.

    Args:
        credentials: for TLS; None: there is none.
        allows: says whose calls are refused; see Door. None: nobody's are.

    Attributes:
        port: as bound.

    Raises:
        StartError: the address cannot be bound.
    """

    def __init__(
        self,
        settings: ListenSettings,
        services: Sequence[Service],
        calls: OpenCalls,
        admit: Admit | None = None,
        credentials: grpc.ServerCredentials | None = None,
        allows: Allows | None = None,
        load: LoadTrailers | None = None,
        tell: Tell | None = None,
    ) -> None:
        self._pools = Pools(settings.max_calls, calls, tell)
        self._gate = HotGate(list(services), self._pools, admit, allows)
        self._server = grpc.server(
            self._pools.refusals, interceptors=[self._gate], options=_options(settings)
        )
        least_bytes = settings.compress_min_bytes if settings.compress_answers != "off" else 0
        for service in services:
            self._server.add_generic_rpc_handlers((generic_handler(service, self._pools, least_bytes, load),))
        self._socket_path = settings.socket_path
        try:
            self.port = 0
            if not settings.socket_only:
                self.port = self._bind(f"{written(settings.host)}:{settings.port}", credentials)
            if self._socket_path:
                # grpc itself would take the path away from a server that answers there.
                clear(self._socket_path)
                self._bind(f"unix:{self._socket_path}", credentials)
        except BaseException:
            self._pools.stop(time.monotonic())
            raise

    def start(self, refusal: CallError | None = None) -> None:
        self._gate.not_yet = refusal
        self._server.start()

    def open(self) -> None:
        self._gate.not_yet = None

    def refuse(self, refusal: CallError) -> None:
        self._gate.close(refusal)

    def close_port(self) -> None:
        self._server.stop(_FOR_EVER_S)

    def stop(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        if not self._server.stop(_LAST_WORDS_S).wait(timeout_s):
            _LOG.warning("grpc still has calls open %.0f s after they were cancelled", timeout_s)
        self._pools.stop(deadline)
        if self._socket_path:
            with contextlib.suppress(OSError):
                os.unlink(self._socket_path)

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


def _options(settings: ListenSettings) -> list[tuple[str, int]]:
    # A batch of audio is 5.6 MB in and 9.7 MB out; gRPC's default of 4 MB is for other things.
    # By its level grpc chooses among what the caller can read: at the lowest the first of gzip and deflate.
    # The time that it spends on either is fixed.
    compression = [("grpc.default_compression_level", 1)] if settings.compress_answers != "off" else []
    # grpc's own are the same rules, down to the tenth more or less.
    ages = {
        "grpc.max_connection_age_ms": settings.max_connection_age_s,
        "grpc.max_connection_age_grace_ms": settings.max_connection_age_grace_s,
        "grpc.max_connection_idle_ms": settings.max_connection_idle_s,
    }
    return [
        *_OPTIONS,
        *compression,
        ("grpc.max_receive_message_length", settings.max_message_mb * 2**20),
        # Up to the first it takes all, beyond the second none, and between them some by chance.
        ("grpc.max_metadata_size", settings.max_metadata_kb * 2**10),
        ("grpc.absolute_max_metadata_size", settings.max_metadata_kb * 2**10),
        *((name, max(round(seconds * 1e3), 1)) for name, seconds in ages.items() if seconds),
    ]
