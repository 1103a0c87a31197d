"""``hotgraph fleet down``: end the fleet without losing a call."""

from __future__ import annotations

import argparse
import sys
import threading
import time

from hotgraph_server.commands.fleet import up
from hotgraph_server.errors import FleetError
from hotgraph_server.fleet import ray_cluster
from hotgraph_server.fleet.ray_cluster import Wanted
from hotgraph_server.fleet.reading import read
from hotgraph_server.fleet.spec import FleetSpec

DESCRIPTION = """\
End the fleet: callers are sent to nobody, calls under way are answered, the replicas end, and Ray, where it
was started for this fleet. The driver does it where one runs, and ends; else this command does.
"""
EXAMPLES = """\
examples:
  hotgraph fleet down -f fleet.toml
"""

_LOOK_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the action, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    parser.add_argument(
        "--timeout-s", type=float, default=300.0, metavar="S", help="wait no longer (default 300)"
    )


def run(arguments: argparse.Namespace) -> int:
    """End it, and return when it has ended; returns the exit status.

    Raises:
        SettingsError: the file is wrong.
        FleetError: there is no such fleet, or it does not end in time.
    """
    spec = read(arguments.file)
    until = time.monotonic() + arguments.timeout_s
    late = FleetError(f"fleet {spec.name!r} has not ended within {arguments.timeout_s:g} s")
    with ray_cluster.joined(spec) as ray:
        ray_cluster.want(spec, Wanted(down=True))
        if ray_cluster.driver(ray) is not None:
            print(f"fleet {spec.name}: its driver ends it", file=sys.stderr)
        while ray_cluster.driver(ray) is not None:
            if time.monotonic() > until:
                raise late
            time.sleep(_LOOK_S)
        # It forgets what was asked when it has done it. One that died in the middle has not.
        if ray_cluster.wanted(spec).down:
            _end(spec, ray, until, late)
    up.ended(spec)
    return 0


def _end(spec: FleetSpec, ray: object, until: float, late: FleetError) -> None:
    """In the place of a driver."""
    ray_cluster.take_lease(ray, spec)
    ending = threading.Event()
    timer = threading.Timer(max(0.0, until - time.monotonic()), ending.set)
    timer.start()
    try:
        is_down = up.drive(spec, ray, ending)
    finally:
        timer.cancel()
    if not is_down:
        raise late
    ray_cluster.forget(spec)
