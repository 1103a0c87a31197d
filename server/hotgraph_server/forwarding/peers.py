"""The servers that calls may be sent on to, and which models each has: the peers file, read. Pure.

Two forms, told apart by their first character:

    {"resources": [...]}             Envoy's endpoints, as `hotgraph fleet` writes them (endpoints.json):
    models
                                     are in the metadata `envoy.lb`
    10.0.0.1:8500 flowers voices     a line for each server: where it is, and the models that it has
    # a comment

What a file says of no model, or of what is no address, makes no peer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

MOST_BYTES = 64 * 2**20
"""Of a peers file: ten thousand models on a thousand servers, each on ten of them, take 4 MB."""

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")


class BadPeers(ValueError):
    """A text that is no peers file; says why, and where."""


class Peer(NamedTuple):
    """A server.

    Attributes:
        address: HOST:PORT, a host of IPv6 in brackets. gRPC and HTTP reach the same port.
        models: that it has.
    """

    address: str
    models: frozenset[str]


class Peers:
    """Who has which model. Made anew when the file changes, and never changed."""

    def __init__(self, peers: Iterable[Peer] = ()) -> None:
        having: dict[str, list[str]] = {}
        for peer in peers:
            for model in peer.models:
                having.setdefault(model, []).append(peer.address)
        self._having: Mapping[str, tuple[str, ...]] = {
            model: tuple(dict.fromkeys(addresses)) for model, addresses in having.items()
        }
        self.addresses = frozenset(address for found in self._having.values() for address in found)

    def having(self, model: str) -> tuple[str, ...]:
        """The addresses of those that have it."""
        return self._having.get(model, ())


def read(text: str) -> list[Peer]:
    """The servers that a peers file names.

    Raises:
        BadPeers: it is none.
    """
    return _of_endpoints(text) if text.lstrip().startswith("{") else _of_lines(text)


def in_order(
    candidates: Sequence[str], under_way: Mapping[str, int], down: Iterable[str], turn: int
) -> list[str]:
    """In which order servers are tried: those that could be reached when last tried, then those with fewest
    calls under way here, and of equals another one each time.

    Args:
        under_way: calls, by address.
        down: that could not be reached a moment ago.
        turn: counts calls.
    """
    down = set(down)
    turned = [candidates[(turn + at) % len(candidates)] for at in range(len(candidates))]
    return sorted(turned, key=lambda address: (address in down, under_way.get(address, 0)))


def split(address: str) -> tuple[str, int]:
    """Host, without brackets, and port of what `read` has found."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _address(text: str) -> str | None:
    found = _ADDRESS.fullmatch(text)
    return text if found is not None and 0 < int(found["port"]) <= 65535 else None


def _of_lines(text: str) -> list[Peer]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        address = _address(words[0])
        if address is None:
            raise BadPeers(f"line {number}: a line is HOST:PORT and names of models, got {words[0][:100]!r}")
        found.append(Peer(address, frozenset(words[1:])))
    return found


def _of_endpoints(text: str) -> list[Peer]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadPeers(f"no valid JSON: {error}") from None
    found = []
    try:
        for resource in content["resources"]:
            for locality in resource.get("endpoints", ()):
                for one in locality.get("lb_endpoints", ()):
                    peer = _peer(one)
                    if peer is not None:
                        found.append(peer)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise BadPeers(f"no endpoints as Envoy reads them: {type(error).__name__} {error}") from None
    return found


def _peer(endpoint: Any) -> Peer | None:
    where = endpoint["endpoint"]["address"]["socket_address"]
    host, port = str(where["address"]), int(where["port_value"])
    address = _address(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    said = endpoint.get("metadata", {}).get("filter_metadata", {}).get("envoy.lb", {}).get("model", ())
    models = [said] if isinstance(said, str) else said
    if address is None or not all(isinstance(model, str) for model in models):
        return None
    return Peer(address, frozenset(models))
