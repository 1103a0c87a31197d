"""``hotgraph fleet plan --simulate``: a day of a fleet, in seconds."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from hotgraph_server.errors import SettingsError, StartError
from hotgraph_server.fleet.estimating import needs_on_paper
from hotgraph_server.fleet.observed import NodeSeen
from hotgraph_server.fleet.paper import nodes_in, own_nodes
from hotgraph_server.fleet.reading import read
from hotgraph_server.fleet.simulation.report import document, text
from hotgraph_server.fleet.simulation.run import Simulation
from hotgraph_server.fleet.simulation.scenario import Scenario, slots, synthetic
from hotgraph_server.fleet.spec import FleetSpec, ReplicaSpec

_REPORT = "hotgraph_client.loadtest.report"

_USUAL = Scenario()
_BOUNDS: dict[str, tuple[float, float]] = {
    "hours": (0.1, 24 * 31),
    "load": (0, 10),
    "wave": (0, 1),
    "node_losses": (0, 100),
    "crashes": (0, 1000),
    "updates": (0, 1_000_000),
}
_HELP = {
    "hours": "of virtual time",
    "load": "share of the first replicas' time that calls take on average; 0: rates are the file's",
    "wave": "rates go up and down by this share of their mean in a day; 0: they stay",
    "node_losses": "losses a day and node; each comes back after an hour; 0: none",
    "crashes": "of servers, a day and replica; 0: none",
    "updates": "new versions of models a day; 0: none",
}
_MOST_MODELS = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of a simulation."""
    add = parser.add_argument_group("simulation").add_argument
    add("--simulate", action="store_true", help="play a day through, with failures, in seconds")
    add("--models", type=int, metavar="N", help="so many that are made up (default: the file's)")
    add("--html", type=Path, metavar="FILE", help="draw it too: one page that needs nothing else")
    add(
        "--seed",
        type=int,
        default=_USUAL.seed,
        metavar="N",
        help="of what is by chance (default %(default)s)",
    )
    for name, words in _HELP.items():
        flag = f"--{name.replace('_', '-')}"
        usual = getattr(_USUAL, name)
        add(flag, type=float, default=usual, metavar="X", help=f"{words} (default {usual:g})")


def run(arguments: argparse.Namespace) -> int:
    """Simulate, and print what came of it; returns the exit status.

    Raises:
        SettingsError: a flag or the file is wrong, or the nodes have no room for the replicas.
        StartError: the page cannot be drawn or written.
    """
    _check_html(arguments.html)
    scenario = _scenario(arguments)
    began_s = time.monotonic()
    spec, nodes = _fleet(arguments.file, arguments.nodes, arguments.replicas)
    if arguments.models is not None:
        if not 1 <= arguments.models <= _MOST_MODELS:
            raise SettingsError(f"models must be 1 to {_MOST_MODELS}, got {arguments.models}")
        spec = synthetic(spec, arguments.models, scenario.seed)
    if not spec.models:
        raise SettingsError("no models: name some in the file, or say how many are made up: --models 100")
    found = document(Simulation(spec, nodes, dict(needs_on_paper(spec)), scenario).run())
    took_s = time.monotonic() - began_s
    if arguments.html is not None:
        _draw(found, arguments.html)
    print(json.dumps(found, indent=2) if arguments.json else text(found, took_s))
    return 0


def _check_html(file: Path | None) -> None:
    """Before anything takes time."""
    if file is None:
        return
    if not file.absolute().parent.is_dir():
        raise StartError(f"{file}: there is no such folder to write it to")
    try:
        importlib.import_module(_REPORT)
    except ModuleNotFoundError:
        raise StartError(
            "--html needs what draws the reports of load tests: pip install 'hotgraph[loadtest]'"
        ) from None


def _draw(found: dict[str, Any], file: Path) -> None:
    text = str(importlib.import_module(_REPORT).fleet_page(found))
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StartError(f"{file}: {error.strerror}") from error


def _scenario(arguments: argparse.Namespace) -> Scenario:
    values = {}
    for name, (least, most) in _BOUNDS.items():
        value = values[name] = getattr(arguments, name)
        if not least <= value <= most:
            raise SettingsError(f"{name.replace('_', '-')} must be {least:g} to {most:g}, got {value:g}")
    return Scenario(seed=arguments.seed, **values)


def _fleet(file: Path, text: str | None, count: int | None) -> tuple[FleetSpec, list[NodeSeen]]:
    """The file's, or, where there is none, one for the nodes."""
    nodes = None if text is None else nodes_in(text)
    if file.exists():
        spec = read(file)
    elif nodes is None:
        raise SettingsError(f"{file} is not there; simulate it, or some nodes: --nodes 1000x8cpu32gb")
    else:
        print(f"{file} is not there; a fleet of the nodes' size is simulated", file=sys.stderr)
        spec = FleetSpec("simulated", Path("models"), Path("state"), replicas=_replicas(nodes))
    if count is not None:
        replicas = dataclasses.replace(
            spec.replicas,
            count=count,
            least=min(count, spec.replicas.least),
            most=max(count, spec.replicas.most),
        )
        spec = dataclasses.replace(spec, replicas=replicas)
    nodes = own_nodes(spec.replicas.most, spec.replicas) if nodes is None else nodes
    room = sum(slots(nodes, spec).values())
    if room < spec.replicas.count:
        raise SettingsError(f"the nodes have room for {room} of {spec.replicas.count} replicas; more nodes")
    return spec, nodes


def _replicas(nodes: list[NodeSeen]) -> ReplicaSpec:
    spec = ReplicaSpec(cpus=4, memory_mb=16384)
    probe = FleetSpec("simulated", Path("models"), Path("state"), replicas=spec)
    room = sum(slots(nodes, probe).values())
    if not room:
        raise SettingsError(
            "no node has the 4 processors and 16 GiB of a replica; say in a file what it takes"
        )
    least, count, most = (max(1, int(share * room)) for share in (0.4, 0.6, 0.9))
    return dataclasses.replace(spec, count=count, least=least, most=most)
