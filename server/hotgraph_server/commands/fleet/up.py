"""``hotgraph fleet up``: the driver, in the foreground."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator

from hotgraph_server.fleet import ray_cluster
from hotgraph_server.fleet.admin import FleetPages
from hotgraph_server.fleet.driver import Driver
from hotgraph_server.fleet.endpoints import Files, are_written
from hotgraph_server.fleet.estimating import Plans
from hotgraph_server.fleet.memory import times_of
from hotgraph_server.fleet.observing import Observer
from hotgraph_server.fleet.ray_cluster import LOCAL, Local, Wanted
from hotgraph_server.fleet.reading import read
from hotgraph_server.fleet.rolling import Rolling
from hotgraph_server.fleet.rollout import restored
from hotgraph_server.fleet.spec import FleetSpec
from hotgraph_server.fleet.versions import VersionsThere
from hotgraph_server.observability.admin.opening import open_admin

DESCRIPTION = """\
Start the fleet and keep it as fleet.toml says: replicas that end come back, those of a lost machine
elsewhere; models are loaded where they are planned; as many replicas as there is work. It runs in the
foreground and says what it does. Who supervises it may start it again at any time: it goes on with what it
finds.
"""
EXAMPLES = """\
examples:
  hotgraph fleet up -f fleet.toml         until Ctrl-C; the replicas go on without it
  hotgraph fleet scale 4 -f fleet.toml    from another terminal: four replicas
  hotgraph fleet down -f fleet.toml       end it all, without losing a call
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the action, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES


def run(arguments: argparse.Namespace) -> int:
    """Drive the fleet until a signal, or until it is down; returns the exit status.

    Raises:
        SettingsError: the file is wrong.
        FleetError: Ray is not there, or another driver is.
    """
    spec = read(arguments.file)
    with _ending() as ending, ray_cluster.joined(spec, start=True) as ray:
        lease = ray_cluster.take_lease(ray, spec)
        ray_cluster.want(spec, Wanted(ray_cluster.wanted(spec).replicas, down=False))
        _say(f"fleet {spec.name}: driving, endpoints in {spec.state}")
        is_down = drive(spec, ray, ending)
        if is_down:
            # First: hotgraph fleet down takes one that has gone and left it for one that died.
            ray_cluster.forget(spec)
        ray.kill(lease)
    if is_down:
        ended(spec)
        return 0
    _say("driver ended; the replicas go on. hotgraph fleet up takes over, hotgraph fleet down ends them")
    return 0


def drive(spec: FleetSpec, ray: object, ending: threading.Event) -> bool:
    """Keep it until `ending`; True: it is down."""
    # Here, for it is of no use without Ray.
    from hotgraph_server.fleet.ray_engine import RayEngine

    observer, there = Observer(), VersionsThere(spec.repository, [model.name for model in spec.models])
    observer.start()
    there.start()
    try:
        files = Files(spec.state, are_written(spec))
        rolling = Rolling(spec, there, restored(files.read_status()))
        engine, asked = RayEngine(ray, spec), Asked(spec)
        driver = Driver(spec, engine, files, asked, Plans(spec), observer, _say, rolling, times_of(spec))
        with _page_of(spec, driver):
            return driver.run(ending)
    finally:
        there.stop()
        observer.stop()


@contextlib.contextmanager
def _page_of(spec: FleetSpec, driver: Driver) -> Iterator[None]:
    """The driver's admin port, where the file asks for one.

    Raises:
        StartError: the port cannot be had.
    """
    if spec.admin_port is None:
        yield
        return
    # Of no use to callers, and open to whoever comes: where no host is named it is this machine's alone.
    host = "127.0.0.1" if spec.host == "node" else spec.host
    admin = open_admin(host, spec.admin_port, FleetPages(lambda: driver.document).answer, None)
    driver.admin_address = admin.address
    _say(f"fleet {spec.name}: page at http://{admin.address}/")
    try:
        yield
    finally:
        admin.stop()


def ended(spec: FleetSpec) -> None:
    """Say so, and end Ray where it was started here."""
    if spec.address == LOCAL:
        Local(spec.state).stop()
    _say(f"fleet {spec.name}: down")


class Asked:
    """What was asked of a fleet, in Ray."""

    def __init__(self, spec: FleetSpec) -> None:
        self._spec = spec

    def read(self) -> Wanted:
        return ray_cluster.wanted(self._spec)

    def write(self, asked: Wanted) -> None:
        ray_cluster.want(self._spec, asked)


@contextlib.contextmanager
def _ending() -> Iterator[threading.Event]:
    """Set by SIGINT and SIGTERM; the second of them ends at once."""
    ending = threading.Event()

    def end(number: int, _: object) -> None:
        ending.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(line: str) -> None:
    # Who has read this may be gone, and the fleet is to be kept all the same.
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
