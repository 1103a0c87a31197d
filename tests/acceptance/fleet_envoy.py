"""Envoy as `hotgraph fleet envoy` sets it up, with ports of the test's own and times made short."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from hotgraph_server.fleet import eds
from hotgraph_server.fleet.envoy import config, endpoints_file
from hotgraph_server.fleet.spec import FleetSpec, ModelSpec

from .envoy import Envoy, clusters, running


def spec(folder: Path, *, everywhere: bool = False) -> FleetSpec:
    """A fleet whose files are in a folder; with `everywhere` each replica has each model."""
    return FleetSpec("test", folder, folder, models=(ModelSpec("a", pin=everywhere),))


def endpoints(servers: Mapping[str, Sequence[str]]) -> list[eds.Endpoint]:
    """Of servers (IP:PORT), each with its models."""
    split = [(*server.rpartition(":")[::2], models) for server, models in servers.items()]
    return [eds.Endpoint(host, int(port), tuple(models)) for host, port, models in split]


def write(of: FleetSpec, servers: Mapping[str, Sequence[str]]) -> None:
    """The file of endpoints, in its place at once."""
    aside = of.state / "endpoints.new"
    aside.write_text(eds.document(endpoints(servers)))
    os.replace(aside, endpoints_file(of))


def short(of: FleetSpec) -> dict[str, Any]:
    """The configuration on free ports, and with short times."""
    made: dict[str, Any] = yaml.safe_load(config(of))
    listener = made["static_resources"]["listeners"][0]
    for address in (made["admin"]["address"], listener["address"]):
        address["socket_address"]["port_value"] = 0
    for cluster in clusters(made).values():
        for check in cluster["health_checks"]:
            check |= {"interval": "0.2s", "no_traffic_interval": "0.2s", "timeout": "2s"}
    return made


@contextmanager
def fleet_envoy(of: FleetSpec) -> Iterator[Envoy]:
    """One before the servers that its file of endpoints names."""
    with running(short(of), of.state) as started:
        yield started
