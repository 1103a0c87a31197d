"""Where callers find the replicas, as others read it: Envoy's endpoints, and a target of gRPC. Pure.

    what is seen -> endpoints() -> document() -> text of endpoints.json   Envoy, and servers that forward
                                -> target()   -> text of endpoints.txt    clients of gRPC

Only replicas that are ready are among them: one that drains is gone from here before it takes nothing new.
What is written says only what callers need, in one order: the same fleet gives the same text, and files
are written anew only where something has changed.

Each endpoint says which models it has, as metadata `envoy.lb`, by which Envoy makes a subset of the endpoints
for each model (envoy.py), and which a server reads that has not got the model it is asked for.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hotgraph_server.fleet.observed import ReplicaSeen, ReplicaState

RESOURCE = "hotgraph"
"""The name of the endpoints, by which Envoy's clusters know them."""

MODEL_KEY = "model"
"""What endpoints' metadata, and that of calls, name models by."""


class Endpoint(NamedTuple):
    """Where a replica is called, over gRPC and HTTP.

    Attributes:
        host: an IP address, as Envoy wants it of endpoints.
        port: of TCP.
        models: that are live there, by name, sorted.
    """

    host: str
    port: int
    models: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """HOST:PORT; a host of IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def endpoints(replicas: Iterable[ReplicaSeen]) -> tuple[Endpoint, ...]:
    """Those of the replicas that callers shall find, sorted by where they are.

    Raises:
        ValueError: a replica that is ready has an address that is no IP address and port.
    """
    found = [
        _endpoint(replica) for replica in replicas if replica.state is ReplicaState.READY and replica.address
    ]
    return tuple(sorted(found))


def document(found: Sequence[Endpoint]) -> str:
    """The text of endpoints.json: Envoy's DiscoveryResponse of one ClusterLoadAssignment.

    It has to appear under its name at once, by a rename: Envoy looks when that happens, and at no other time.
    """
    assignment = {
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": RESOURCE,
        "endpoints": [{"lb_endpoints": [_lb_endpoint(one) for one in found]}],
    }
    return json.dumps({"resources": [assignment]}, indent=1) + "\n"


def target(found: Sequence[Endpoint]) -> str:
    """The text of endpoints.txt: `ipv4:HOST:PORT,…` or `ipv6:…`, a target of gRPC's clients.

    Empty where there is nobody, which no target can say.
    """
    if not found:
        return ""
    # A target is of one kind; of two, the one that more of them have.
    v6 = [one for one in found if ":" in one.host]
    v4 = [one for one in found if ":" not in one.host]
    chosen = v6 if len(v6) > len(v4) else v4
    return f"ipv{6 if chosen is v6 else 4}:{','.join(one.address for one in chosen)}\n"


def _endpoint(replica: ReplicaSeen) -> Endpoint:
    host, _, port = replica.address.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port)
    except ValueError:
        raise ValueError(f"replica {replica.replica_id}: {replica.address!r} is no IP:PORT") from None
    if not 0 < number <= 65535:
        raise ValueError(f"replica {replica.replica_id}: {replica.address!r} has no port")
    live = sorted(name for name, model in replica.models.items() if model.versions)
    return Endpoint(str(ip), number, tuple(live))


def _lb_endpoint(one: Endpoint) -> dict[str, Any]:
    address = {"socket_address": {"address": one.host, "port_value": one.port}}
    return {
        "endpoint": {"address": address},
        "metadata": {"filter_metadata": {"envoy.lb": {MODEL_KEY: list(one.models)}}},
    }
