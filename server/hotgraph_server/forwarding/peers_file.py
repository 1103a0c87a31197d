"""The peers file as it is now. Looked at once a second, in a thread of its own: no call waits for a disk.

A file that cannot be read, or holds no peers file, changes nothing, and the log says why, once for each
change. One that is not there is an empty one: the fleet that writes it may come later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from hotgraph_server.forwarding.peers import MOST_BYTES, BadPeers, Peer, Peers, read
from hotgraph_server.threads.periodic import PeriodicThread

_LOG = logging.getLogger(__name__)

LOOK_S = 1.0


class PeersFile:
    """
    Args:
        path: of the file.
        is_own: is this address the server's own? Then it is no peer.
        changed: is told the new peers' addresses.

    Attributes:
        peers: as last read; swapped whole.
    """

    def __init__(
        self,
        path: Path,
        is_own: Callable[[str], bool],
        changed: Callable[[frozenset[str]], object] = lambda addresses: None,
    ) -> None:
        self.peers = Peers()
        self._path = path
        self._is_own = is_own
        self._changed = changed
        self._read: bytes | None = None
        self._complaint = ""
        self._thread = PeriodicThread("peers file", self._tick, failure="the peers file cannot be looked at")

    def start(self) -> None:
        """Look, and from then on once a second."""
        self.look()
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Look no more."""
        return self._thread.stop(timeout_s)

    def look(self) -> None:
        """Once."""
        try:
            content = self._content()
            if content == self._read:
                return
            found = read(content.decode())
        except (OSError, BadPeers, UnicodeDecodeError) as error:
            self._complain(f"{error}")
            return
        self._complaint = ""
        self._read = content
        others = [Peer(peer.address, peer.models) for peer in found if not self._is_own(peer.address)]
        self.peers = Peers(others)
        _LOG.info("%s: %d servers to forward calls to", self._path, len(self.peers.addresses))
        self._changed(self.peers.addresses)

    def _tick(self) -> float:
        self.look()
        return time.monotonic() + LOOK_S

    def _content(self) -> bytes:
        """Raises OSError, BadPeers."""
        try:
            with self._path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return b""
        if len(content) > MOST_BYTES:
            raise BadPeers(f"it has more than {MOST_BYTES >> 20} MiB")
        return content

    def _complain(self, why: str) -> None:
        if why != self._complaint:
            _LOG.warning("%s: %s; calls are forwarded as it said before", self._path, why)
        self._complaint = why
