"""Who may call at all, by the certificate that they have shown (`--tls-allow`). Pure.

A certificate is looked at when its handshake ends, and what comes of that holds for its connection: a list is
part of how a server is started. A caller is let in if one of the names in its certificate is allowed:

* its SPIFFE ID, as it is or below one that ends in ``/*``. A certificate with more than one URI is no
  SPIFFE identity (X509-SVID, section 2), so none of them counts;
* one of its DNS names, whatever the case. A wildcard in a certificate says which hosts it may serve as, and
  is the name of no caller.

Common names do not count: they are not checked against anything when a certificate is signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hotgraph_server.errors import CallError, PeerNotAllowed
from hotgraph_server.settings.peers import BELOW, is_spiffe_id, peer_names

URI, DNS = "URI", "DNS"
"""Kinds of subject alternative names, as Python's ssl has them."""


class AllowedPeers:
    """Those of one server.

    Args:
        given: see settings.peers.

    Raises:
        SettingsError: one is no name.
    """

    def __init__(self, given: Iterable[str]) -> None:
        names = peer_names(given)
        self._ids = frozenset(name for name in names if is_spiffe_id(name))
        self._prefixes = tuple(name.removesuffix("*") for name in names if name.endswith(BELOW))
        self._hosts = frozenset(name.lower() for name in names if "/" not in name)

    def refusal(self, names: Sequence[tuple[str, str]]) -> CallError | None:
        """Why calls of a connection are not taken; None: they are.

        Args:
            names: the subject alternative names of its caller's certificate, each with its kind.
        """
        uris = [name for kind, name in names if kind == URI]
        if len(uris) == 1 and self._has_id(uris[0]):
            return None
        if any(kind == DNS and name.lower() in self._hosts for kind, name in names):
            return None
        return PeerNotAllowed([name for kind, name in names if kind in (URI, DNS)])

    def _has_id(self, uri: str) -> bool:
        return is_spiffe_id(uri) and (uri in self._ids or uri.startswith(self._prefixes))
