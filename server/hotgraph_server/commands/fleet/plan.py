"""``hotgraph fleet plan``: which models go where, and why. Starts nothing."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from hotgraph_server.commands.fleet import simulate
from hotgraph_server.errors import SettingsError
from hotgraph_server.fleet import explained
from hotgraph_server.fleet.estimating import needs_on_paper
from hotgraph_server.fleet.observed import FleetSeen, NodeSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.paper import nodes_in, own_nodes, replicas_on
from hotgraph_server.fleet.placement import Placement
from hotgraph_server.fleet.planning import plan, seen_placement
from hotgraph_server.fleet.reading import read
from hotgraph_server.fleet.spec import FleetSpec
from hotgraph_server.fleet.status import FILE_NAME

DESCRIPTION = """\
Say which models go on which replica, and why, and what would change against what runs. Nothing is started.

What runs is read from status.json in the fleet's state folder, which hotgraph fleet up writes. Where there is
none, or with --nodes, the plan is on paper: memory that is not said in fleet.toml is guessed by the models'
files, and rates are those that are said.
"""
EXAMPLES = """\
examples:
  hotgraph fleet plan -f fleet.toml
      for the fleet that runs; on paper, if none does
  hotgraph fleet plan -f fleet.toml --nodes 3x8cpu32gb --replicas 6
      six replicas on three nodes of 8 processors and 32 GiB, on paper
  hotgraph fleet plan -f fleet.toml --json | jq '.models[] | select(.unplaced != "") | .name'
      which models have no place?
  hotgraph fleet plan --simulate --nodes 1000x8cpu32gb --models 10000
      a day of a large fleet in seconds, with failures
  hotgraph fleet plan --simulate --nodes 100x8cpu32gb --models 1000 --html day.html
      the same, drawn

reading the table:
  of it     of a replica's memory for models (replicas.model_memory_mb)
  duty      of its time, as expected from rates and costs; filled up to 0.8 times scaling.duty_high
  why       why so many copies; what keeps each busy; where its memory's figure is from

Exit status 1: a model has fewer copies than it shall have.

What --simulate does: the planner, the reconciler and the scaling are those of hotgraph fleet up; nodes,
servers, loads and calls are made up, on a virtual clock. Without a file the fleet is one of replicas of 4
processors and 16 GiB on three fifths of the nodes' room, scaled between four and nine tenths.
"""

# Older than that nobody writes it any more.
_FRESH_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the action, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    parser.add_argument(
        "--nodes", metavar="3x8cpu32gb[2gpu],...", help="on paper, for these nodes (default: one a replica)"
    )
    parser.add_argument(
        "--replicas", type=int, metavar="N", help="on paper, for so many (default: the file's)"
    )
    parser.add_argument("--all", action="store_true", help="show every replica and model, however many")
    parser.add_argument("--json", action="store_true", help="write JSON")
    simulate.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Plan, and print it; returns the exit status.

    Raises:
        SettingsError: the file, or what it stands for, is wrong.
    """
    if arguments.simulate:
        return simulate.run(arguments)
    if arguments.html is not None:
        raise SettingsError("--html draws what --simulate has played through; a plan is --json or text")
    spec = read(arguments.file)
    if not spec.models:
        raise SettingsError(f"{arguments.file}: no models are in it; a table [models.NAME] for each")
    found = document_of(spec, arguments.nodes, arguments.replicas)
    print(json.dumps(found, indent=2) if arguments.json else explained.text(found, arguments.all))
    return 1 if any(one["unplaced"] for one in found["models"]) else 0


def document_of(spec: FleetSpec, nodes: str | None, count: int | None) -> dict[str, Any]:
    """The plan of a fleet that runs, or, with nodes or a count, or where none runs, of one on paper."""
    status = None if nodes is not None or count is not None else _status(spec.state / FILE_NAME)
    if status is not None:
        known, replicas = status
        seen = FleetSeen(0.0, tuple(known), tuple(replicas))
        places = [one for one in replicas if one.state is not ReplicaState.DRAINING]
        needs, now = needs_on_paper(spec, seen), seen_placement(places)
        made = plan(spec, known, places, needs, now)
        return explained.document(spec, known, places, needs, now, made)
    wanted = spec.replicas.count if count is None else count
    known = own_nodes(wanted, spec.replicas) if nodes is None else nodes_in(nodes)
    places = replicas_on(known, spec.replicas, wanted)
    if len(places) < wanted:
        raise SettingsError(
            f"the nodes have room for {len(places)} of {wanted} replicas of {spec.replicas.cpus:g} CPUs,"
            f" {spec.replicas.memory_mb} MiB and {spec.replicas.gpus:g} GPUs each; more nodes, or --replicas"
        )
    needs = needs_on_paper(spec)
    return explained.document(spec, known, places, needs, None, plan(spec, known, places, needs, Placement()))


def _status(path: Path) -> tuple[list[NodeSeen], list[ReplicaSeen]] | None:
    """What a driver wrote a moment ago; None: none does."""
    try:
        status = json.loads(path.read_text("utf-8"))
        return explained.seen_in(status) if time.time() - float(status["at_s"]) < _FRESH_S else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"{path}: no status of a fleet ({type(error).__name__}: {error}); with --replicas it is planned"
            " on paper"
        ) from error
