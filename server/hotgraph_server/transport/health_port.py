"""The health port: grpc.health.v1 in the clear, on a port and in a thread of its own, and nothing else.

An orchestrator that asks whether a server is well brings no certificate and no key (Kubernetes' probes
cannot), and has to hear it when the port for calls is busy, drains, or hangs. So it shares with that port the
table of health alone (health.py). It answers from the start on, while models load, and goes on to the end of
a drain.

What callers can make it keep: MAX_CONNECTIONS connections, of which the oldest of the address that has the
most makes way for one more; messages of 16 KiB, and 64 KiB of them on each connection, whatever the others
hold: so no probe fails for what somebody else does here. Its methods answer in its thread, from a table.
"""

from __future__ import annotations

import functools
import logging
import socket
from collections.abc import Callable, Sequence

from hotgraph_server.errors import CallError
from hotgraph_server.threads.leadership import Leadership
from hotgraph_server.transport.health import LIST
from hotgraph_server.transport.inflight import InflightOfEach
from hotgraph_server.transport.listening import listen, written
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.service import Admit, Service
from hotgraph_server.transport.sockets.door import Door
from hotgraph_server.transport.sockets.server import SocketServer

_LOG = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
Shared = Sequence[socket.socket]
"""Sockets that listen for several processes."""

_MAX_CALLS = 1  # of hot methods, of which there are none
_MAX_MESSAGE_BYTES = 16 << 10
_MAX_HEADER_BYTES = 8 << 10
_MAX_HELD_BYTES = 64 << 10  # of each connection
_STOP_S = 5.0


class HealthPort:
    """Binds at once; answers after `start`.

    Args:
        host, port: to listen on; 0 picks a free port.
        health: the service.
        admit: says who may not have the list of names, which tells of models; all else everybody may ask.
            None: everybody may have it.
        shared: listen already, for other processes as well; None: the port is bound here.

    Attributes:
        address: ``HOST:PORT`` as bound; of what is shared, as given.

    Raises:
        StartError: the port cannot be had.
    """

    def __init__(
        self,
        host: str,
        port: int,
        health: Service,
        admit: Admit | None = None,
        shared: Shared | None = None,
    ) -> None:
        self._is_shared = shared is not None
        sockets: Shared | None = shared
        if sockets is None:
            sockets, port = listen(host, port, "health-port")
        self.address = f"{written(host)}:{port}"
        self._server = SocketServer(
            [Door(one) for one in sockets],
            [health],
            max_calls=_MAX_CALLS,
            max_message_bytes=_MAX_MESSAGE_BYTES,
            inflight=InflightOfEach(_MAX_HELD_BYTES),
            max_header_bytes=_MAX_HEADER_BYTES,
            aside=_at_once,
            open_calls=OpenCalls(),
            admit=None if admit is None else functools.partial(_of_the_list, admit),
            leadership=Leadership(auto=False),
            name="health port",
            max_connections=MAX_CONNECTIONS,
        )

    def start(self) -> None:
        """Answer from now on."""
        self._server.start()
        if not self._is_shared:
            _LOG.info("health port: %s", self.address)

    def stop(self) -> None:
        """Close the port and every connection."""
        self._server.stop(_STOP_S)


def _of_the_list(admit: Admit, path: str, header: Callable[[str], str | None]) -> CallError | None:
    return admit(path, header) if path == LIST else None


def _at_once(work: Callable[[], None]) -> None:
    """What is done aside elsewhere is small here: a compressed message of a few KiB."""
    work()
