"""The fleet's files: endpoints for Envoy and for clients of gRPC, and the status. Each appears at once,
whole.

Where Kubernetes is, its Service says where replicas are, and no endpoints are written.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hotgraph_server.errors import FleetError
from hotgraph_server.fleet import eds
from hotgraph_server.fleet.actions import Endpoint
from hotgraph_server.fleet.observed import ReplicaSeen
from hotgraph_server.fleet.spec import FleetSpec

ENVOY, PLAIN, STATUS = "endpoints.json", "endpoints.txt", "status.json"

_KUBERNETES = "KUBERNETES_SERVICE_HOST"


def are_written(spec: FleetSpec, environment: Mapping[str, str] = os.environ) -> bool:
    """Are endpoints written here?"""
    if spec.endpoints == "auto":
        return _KUBERNETES not in environment
    return spec.endpoints == "files"


class Files:
    """Those of a fleet.

    Args:
        folder: which they are in; made where it is not there.
        endpoints: are these written?
    """

    def __init__(self, folder: Path, endpoints: bool = True) -> None:
        self._folder = folder
        self._endpoints = endpoints

    def publish(self, endpoints: Sequence[Endpoint]) -> None:
        """Send callers to these.

        Raises:
            FleetError: the files cannot be written.
        """
        if not self._endpoints:
            return
        found = sorted(_as_eds(one) for one in endpoints)
        # Envoy's last, for it is what readers wait for.
        self._write(PLAIN, eds.target(found))
        self._write(ENVOY, eds.document(found))

    def published(self, replicas: Iterable[ReplicaSeen]) -> tuple[Endpoint, ...]:
        """What callers have now, by Envoy's file. The other one is made to say the same, where a driver has
        ended between the two.

        Args:
            replicas: by whose addresses it is told who they are; one of no address here has no name.
        """
        names = {one.address: one for one in replicas if one.address}
        read = _read(self._folder / ENVOY) if self._endpoints else []
        self._bring_in_line(read)
        found = []
        for address, models in read:
            replica = names.get(address)
            found.append(
                Endpoint(
                    replica.replica_id if replica else "",
                    address,
                    replica.rest_address if replica else "",
                    frozenset(models),
                )
            )
        return tuple(found)

    def _bring_in_line(self, read: Sequence[tuple[str, list[str]]]) -> None:
        plain = self._folder / PLAIN
        with contextlib.suppress(OSError, ValueError, FleetError):
            target = eds.target(sorted(_as_eds(Endpoint("", address)) for address, _ in read))
            if self._endpoints and plain.read_text() != target:
                self._write(PLAIN, target)

    def write_status(self, document: Mapping[str, Any]) -> None:
        """
        Raises:
            FleetError: it cannot be written.
        """
        self._write(STATUS, json.dumps(document, indent=1) + "\n")

    def read_status(self) -> Any:
        """What `write_status` has written last, as JSON was read; None: nothing that can be read."""
        try:
            return json.loads((self._folder / STATUS).read_text())
        except (OSError, ValueError):
            return None

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        partial = path.with_name(f".{name}.{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            partial.write_text(text)
            partial.replace(path)
        except OSError as error:
            raise FleetError(f"{path} cannot be written: {error}") from error


def _as_eds(endpoint: Endpoint) -> eds.Endpoint:
    host, _, port = endpoint.address.rpartition(":")
    return eds.Endpoint(host.strip("[]"), int(port), tuple(sorted(endpoint.models)))


def _read(path: Path) -> list[tuple[str, list[str]]]:
    """Addresses and models; nothing where the file is not there, or not one of ours."""
    try:
        document = json.loads(path.read_text())
        found = []
        for group in document["resources"][0]["endpoints"]:
            for one in group["lb_endpoints"]:
                at = one["endpoint"]["address"]["socket_address"]
                models = one["metadata"]["filter_metadata"]["envoy.lb"][eds.MODEL_KEY]
                endpoint = eds.Endpoint(str(at["address"]), int(at["port_value"]))
                found.append((endpoint.address, [str(name) for name in models]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
    return found
