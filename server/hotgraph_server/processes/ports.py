"""The ports of several processes: bound once, and open until the last of them has stopped."""

from __future__ import annotations

import socket

from hotgraph_server.errors import StartError
from hotgraph_server.settings import ListenSettings, RestSettings
from hotgraph_server.transport.listening import SocketFile, listen, written


class Ports:
    """Bound and listening from the beginning.

    Attributes:
        grpc: listen for gRPC.
        rest: listen for REST; empty: there is no such port.
        health: listen for health alone; empty: there is no such port.
        address: of gRPC, as the line `serving on` has it.
        rest_address: of REST; empty: there is none.

    Raises:
        StartError: one of them cannot be had; then none is left.
    """

    def __init__(self, settings: ListenSettings, rest: RestSettings, health_port: int = 0) -> None:
        self.grpc: list[socket.socket] = []
        self.rest: list[socket.socket] = []
        self.health: list[socket.socket] = []
        self.rest_address = ""
        self._file: SocketFile | None = None
        try:
            if settings.socket_path:
                self._file = SocketFile(settings.socket_path)
                self.grpc.append(self._file.sock)
                self.address = f"unix:{settings.socket_path}"
            if not settings.socket_only:
                listening, port = listen(settings.host, settings.port)
                self.grpc += listening
                self.address = f"{written(settings.host)}:{port}"
            if rest.has_port:
                self.rest, port = listen(settings.host, rest.rest_port, "rest-port")
                self.rest_address = f"{written(settings.host)}:{port}"
            if health_port:
                self.health, _ = listen(settings.host, health_port, "health-port")
        except StartError:
            self.close()
            raise

    def close(self) -> None:
        """Close all of them; may be called again."""
        for one in (*self.grpc, *self.rest, *self.health):
            one.close()
        if self._file is not None:
            self._file.remove()
