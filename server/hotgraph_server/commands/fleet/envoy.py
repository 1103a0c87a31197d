"""``hotgraph fleet envoy``: Envoy's configuration for the fleet, on stdout. Starts nothing."""

from __future__ import annotations

import argparse
import sys

from hotgraph_server.errors import SettingsError
from hotgraph_server.fleet.envoy import ADMIN, config, endpoints_file
from hotgraph_server.fleet.reading import read
from hotgraph_server.fleet.spec import is_address

DESCRIPTION = """\
Write a whole configuration of Envoy for the fleet: retries within a budget, ejection of servers that fail,
health checks, and calls to where their model is. It stays as it is when replicas and models come and go:
Envoy reads from the fleet's folder where they are, as soon as that changes.
"""
EXAMPLES = """\
examples:
  hotgraph fleet envoy -f fleet.toml > envoy.yaml
  envoy --mode validate -c envoy.yaml     once the fleet is up: Envoy wants its file of endpoints
  envoy -c envoy.yaml --drain-time-s 10   calls come in at `listen` of [fleet]

docs/scale.md tells how calls find their model, and docs/operations.md why each policy is as it is.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the action, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    parser.add_argument(
        "--admin",
        default=ADMIN,
        metavar="HOST:PORT",
        help=f"where Envoy shows its own figures (default {ADMIN})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the configuration; returns the exit status.

    Raises:
        SettingsError: the file is wrong, or the address.
    """
    if not is_address(arguments.admin):
        raise SettingsError(f"--admin must be HOST:PORT, got {arguments.admin!r}")
    spec = read(arguments.file)
    sys.stdout.write(config(spec, arguments.admin))
    path = endpoints_file(spec)
    if not path.exists():
        sys.stderr.write(
            f"note: there is no {path} yet, which Envoy needs to start; hotgraph fleet up writes it\n"
        )
    return 0
