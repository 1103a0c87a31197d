"""``hotgraph fleet``: servers on several machines, and which models each of them has."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

# Action: its module and its line in the help.
_ACTIONS = {
    "up": ("hotgraph_server.commands.fleet.up", "start the fleet and keep it as the file says"),
    "status": ("hotgraph_server.commands.fleet.status", "show nodes, replicas and models, live"),
    "scale": ("hotgraph_server.commands.fleet.scale", "have so many replicas from now on"),
    "down": ("hotgraph_server.commands.fleet.down", "end the fleet without losing a call"),
    "plan": ("hotgraph_server.commands.fleet.plan", "say which models go where, and why; also on paper"),
    "envoy": ("hotgraph_server.commands.fleet.envoy", "write the configuration of an Envoy before the fleet"),
}
DESCRIPTION = """\
Servers on several machines as one service. fleet.toml says how many there may be and which models they have;
Ray starts them and starts again those that end; models are placed by what they need; Envoy, or the client's
own balancer, carries the calls, and nothing of the fleet is in their way.
"""
EXAMPLES = """\
first steps:
  hotgraph fleet plan -f fleet.toml --nodes 3x8cpu32gb
      on paper: what would be where, and why; nothing is started, and Ray need not be installed
  pip install 'hotgraph[fleet]'
  hotgraph fleet up -f fleet.toml
      start the fleet and keep it as the file says
  hotgraph fleet status -f fleet.toml
      what runs, from any other terminal

the least that fleet.toml says:
  [fleet]
  repository = "/srv/models"       every node sees the models' folders at this path
  state = "/srv/fleet"             endpoints and status, for Envoy and for hotgraph fleet status
  [replicas]
  count = 2
  [models.flowers]                 a folder of the repository
  copies = 2

docs/scale.md tells when a fleet is what you need, and docs/fleet-planning.md how models find their place.
"""

_WRONG_USAGE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the actions, each with its arguments, description and examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, (module, line) in _ACTIONS.items():
        action = actions.add_parser(name, help=line, formatter_class=argparse.RawDescriptionHelpFormatter)
        action.add_argument(
            "-f", "--file", type=Path, default=Path("fleet.toml"), metavar="FILE", help="(default fleet.toml)"
        )
        importlib.import_module(module).add_arguments(action)
    parser.set_defaults(help_of_fleet=parser.format_help)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked; returns the exit status.

    Raises:
        StartError: it could not be done, and why.
    """
    if arguments.action is None:
        print(arguments.help_of_fleet())
        return _WRONG_USAGE
    return int(importlib.import_module(_ACTIONS[arguments.action][0]).run(arguments))
