"""What a server has that sends calls on: the file, watched, and the forwarder; one life for both."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from hotgraph_server.errors import SettingsError
from hotgraph_server.forwarding.figures import ForwardingFigures
from hotgraph_server.forwarding.forwarder import Forwarder
from hotgraph_server.forwarding.peers import split
from hotgraph_server.forwarding.peers_file import PeersFile
from hotgraph_server.settings import ServerSettings
from hotgraph_server.threads.time_left import TimeLeft
from hotgraph_server.transport.http import Endpoint, Request
from hotgraph_server.transport.listening import is_here
from hotgraph_server.transport.service import Service


class Forwarding:
    """Nothing but what stands in its settings where there is no peers file: then no call is sent on.

    Args:
        settings: of the whole server.
        knows: is a model of that name here?

    Raises:
        SettingsError: what is to be sent on cannot be.
    """

    def __init__(self, settings: ServerSettings, knows: Callable[[str], bool]) -> None:
        own = settings.forwarding
        self._forwarder: Forwarder | None = None
        self._own_port = 0
        self._most_bytes = settings.rest.rest_max_body_mb * 2**20
        if not own.peers_file:
            return
        if settings.listen.tls_cert:
            # Their certificates would have to be known, and ours shown: a mesh does that around both.
            raise SettingsError("peers-file and tls-cert exclude each other: peers are called in the clear")
        if settings.rest.rest_port and importlib.util.find_spec("aiohttp") is None:
            raise SettingsError("peers-file with a REST port needs aiohttp: pip install 'hotgraph[http]'")
        path = Path(own.peers_file).expanduser()
        # Each needs the other: the file says where calls go, and who is not in it any more is let go of.
        self._forwarder = forwarder = Forwarder(
            lambda: self._file.peers, knows, own.forward_max_calls, own.forward_max_mb * 2**20
        )
        self._file = PeersFile(path, self._is_own, forwarder.peers_changed)

    @property
    def elsewhere(self) -> Callable[[Request, str], Endpoint | None] | None:
        """See transport.http.Elsewhere."""
        return None if self._forwarder is None else self._request

    def around(self, services: Sequence[Service]) -> list[Service]:
        """The same services; their calls are sent on from `start` to `stop`."""
        forwarder = self._forwarder
        return list(services) if forwarder is None else [forwarder.around(one) for one in services]

    def start(self, address: str) -> None:
        """Send calls on from now on.

        Args:
            address: of the server's own port for calls, which is no peer of its own.
        """
        if self._forwarder is not None:
            port = address.rpartition(":")[2]
            self._own_port = int(port) if port.isdecimal() else 0
            self._forwarder.start()
            self._file.start()

    def stop(self, left: TimeLeft) -> None:
        """No call is sent on any more; those under way are given up."""
        if self._forwarder is not None:
            self._file.stop(left.seconds())
            self._forwarder.stop(left.seconds())

    def figures(self) -> ForwardingFigures | None:
        """As of now; None: no call is sent on."""
        return None if self._forwarder is None else self._forwarder.figures()

    def _is_own(self, address: str) -> bool:
        host, port = split(address)
        return port == self._own_port and is_here(host)

    def _request(self, request: Request, model: str) -> Endpoint | None:
        assert self._forwarder is not None
        return self._forwarder.elsewhere(request, model, self._most_bytes)
