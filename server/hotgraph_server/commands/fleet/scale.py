"""``hotgraph fleet scale N``: so many replicas from now on."""

from __future__ import annotations

import argparse

from hotgraph_server.errors import FleetError, SettingsError
from hotgraph_server.fleet import ray_cluster
from hotgraph_server.fleet.ray_cluster import Wanted
from hotgraph_server.fleet.reading import read
from hotgraph_server.fleet.spec import MOST_REPLICAS

DESCRIPTION = """\
Have so many replicas from now on. Those that come take calls once they have their models; those that go are
taken from the callers' list first, answer what they have, and end. It holds until the next one, over restarts
of the driver.
"""
EXAMPLES = """\
examples:
  hotgraph fleet scale 4 -f fleet.toml    where least and most differ, between them: the load decides again
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the action, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    parser.add_argument("replicas", type=int, metavar="N", help="replicas, 1 at least")


def run(arguments: argparse.Namespace) -> int:
    """Note it for the driver; returns the exit status.

    Raises:
        SettingsError: the file is wrong, or the number.
        FleetError: there is no such fleet, or it is being ended.
    """
    spec, count = read(arguments.file), arguments.replicas
    least, most = spec.replicas.least, spec.replicas.most
    if not 1 <= count <= MOST_REPLICAS:
        raise SettingsError(
            f"a fleet has 1 to {MOST_REPLICAS} replicas, got {count}; hotgraph fleet down ends it"
        )
    if least < most and not least <= count <= most:
        raise SettingsError(
            f"{arguments.file} has least = {least} and most = {most}; {count} is not between them"
        )
    with ray_cluster.joined(spec) as ray:
        if ray_cluster.wanted(spec).down:
            raise FleetError(f"fleet {spec.name!r} is being ended; hotgraph fleet up has it begin again")
        ray_cluster.want(spec, Wanted(count))
        if ray_cluster.driver(ray) is None:
            print(f"fleet {spec.name}: {count} replicas, once hotgraph fleet up runs")
            return 0
    print(f"fleet {spec.name}: {count} replicas")
    return 0
