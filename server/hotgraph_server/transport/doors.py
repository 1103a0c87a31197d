"""Where connections come in, as the settings have it: ports, a Unix socket, or what another process hands
over; with TLS or without, and for whom."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hotgraph_server.errors import StartError
from hotgraph_server.settings import ListenSettings, RestSettings
from hotgraph_server.transport.certificates import Certificates
from hotgraph_server.transport.handed_over import HandedOver
from hotgraph_server.transport.http import Api
from hotgraph_server.transport.listening import SocketFile, listen
from hotgraph_server.transport.sockets.door import Allows, Door


class HttpPort(NamedTuple):
    """The port for HTTP.

    Attributes:
        settings: of it.
        api: what is answered there.
        shared: listen already, for other processes as well; None: the port is bound here.
    """

    settings: RestSettings
    api: Api
    shared: Sequence[socket.socket] | None = None


class Doors:
    """Those of a server of sockets.

    Args:
        handed_over: connections that come in place of those of ports; None: ports are bound.
        certificates: for TLS; None: there is none.
        allows: see Door.

    Attributes:
        all: each listens; closed by who serves them.
        port, http_port: as bound; 0: there is none.

    Raises:
        StartError: an address cannot be had; nothing is left listening.
    """

    def __init__(
        self,
        settings: ListenSettings,
        http: HttpPort | None,
        handed_over: HandedOver | None,
        certificates: Certificates | None,
        allows: Allows | None,
    ) -> None:
        self._settings = settings
        self._certificates = certificates
        self._allows = allows
        self._file: SocketFile | None = None
        self.port, self.http_port = settings.port, 0
        # What a caller chooses of these it gets, at any door here.
        spoken = [*(["h2"] if settings.fast_lane else []), *(["http/1.1"] if http is not None else [])]
        self.all: list[Door] = []
        if handed_over is not None:
            self.all.append(self._behind_tls(spoken)(handed_over)._replace(closed=handed_over.closed))
        elif settings.fast_lane:
            door = self._behind_tls(spoken)
            self.all += [door(one) for one in self._listen()]
        if http is not None:
            self._add_http(http)

    def remove_file(self) -> None:
        """Take the Unix socket's file away, if there is one; may be called again."""
        if self._file is not None:
            self._file.remove()

    def _behind_tls(self, spoken: Sequence[str]) -> Callable[..., Door]:
        if self._certificates is None:
            return Door
        return functools.partial(Door, tls=self._certificates.context(spoken), allows=self._allows)

    def _add_http(self, http: HttpPort) -> None:
        # Where one port demands TLS, nothing of it may be had in clear text by way of the other.
        in_clear = self._certificates is not None and http.settings.rest_clear_text
        grpc = self._settings.fast_lane and not in_clear
        # Browsers and curl offer both and are answered in HTTP/1.1 alone; clients of gRPC offer h2 alone.
        door = Door if in_clear else self._behind_tls(("http/1.1", "h2") if grpc else ("http/1.1",))
        try:
            self.all += [door(one, grpc=grpc) for one in self._listen_for_http(http)]
        except StartError:
            self.remove_file()
            for other in self.all:
                other.listener.close()
            raise

    def _listen_for_http(self, http: HttpPort) -> Sequence[socket.socket]:
        self.http_port = http.settings.rest_port
        if http.shared is not None:
            return http.shared
        sockets, self.http_port = listen(self._settings.host, http.settings.rest_port, "rest-port")
        return sockets

    def _listen(self) -> list[socket.socket]:
        settings = self._settings
        self._file = SocketFile(settings.socket_path) if settings.socket_path else None
        try:
            sockets, self.port = ([], 0) if settings.socket_only else listen(settings.host, settings.port)
        except StartError:
            if self._file is not None:
                self._file.sock.close()
            self.remove_file()
            raise
        return sockets if self._file is None else [*sockets, self._file.sock]
