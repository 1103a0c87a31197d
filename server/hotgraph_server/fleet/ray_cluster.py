"""A cluster of Ray: joined, or started on this machine and ended again; what it remembers of a fleet; one
driver.

What outlives a driver is little, and where it is, is told here:

- how many replicas are wanted: in Ray's own key-value store, which lives as long as the cluster's head;
- that a driver is there: an actor of a fixed name that ends with the process that made it, so that Ray says
  of the second one that the name is taken, and nothing has to be renewed or tidied up;
- a Ray that was started here (`address = "local"`): ray.json in the fleet's folder names its process.

All else is looked at anew: see ray_engine.py.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotgraph_server.errors import FleetError
from hotgraph_server.fleet import local_ray
from hotgraph_server.fleet.spec import FleetSpec

LOCAL = "local"

_STORE = b"hotgraph-fleet"
_DRIVER = "driver"
_FOLDER = "hotgraph-ray-"
_START_S = 90.0
_END_S = 20.0
_LEASE_S = 5.0


@dataclass(frozen=True)
class Wanted:
    """What was asked of a fleet by commands.

    Attributes:
        replicas: so many; None: nothing was asked, the file counts.
        down: it is to be ended.
    """

    replicas: int | None = None
    down: bool = False


def ray_module() -> Any:
    """
    Raises:
        FleetError: Ray is not installed.
    """
    _check_installed()
    # Ray tells its makers of each cluster otherwise, over the network.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    return ray


def _check_installed() -> None:
    # Not imported yet: Ray reads its environment when it is.
    if importlib.util.find_spec("ray") is None:
        raise FleetError("Ray is not installed, which carries a fleet: pip install 'hotgraph[fleet]'")


@contextlib.contextmanager
def joined(spec: FleetSpec, *, start: bool = False) -> Iterator[Any]:
    """``with joined(spec) as ray:`` the fleet's cluster.

    Args:
        start: with `address = "local"`, begin one where none is.

    Raises:
        FleetError: there is none.
    """
    address = spec.address
    if address == LOCAL:
        _check_installed()
        local = Local(spec.state)
        address = local.start() if start else local.address()
        os.environ.update(local_ray.environment(local.folder()))
    elif address.startswith("127."):
        os.environ.update(local_ray.loopback())
    ray = ray_module()
    try:
        ray.init(
            address,
            namespace=namespace(spec),
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:
        lines = str(error).strip().splitlines() or [repr(error)]
        raise FleetError(f"Ray's cluster at {address} cannot be joined: {lines[0][:300]}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def namespace(spec: FleetSpec) -> str:
    """In which a fleet's actors are."""
    return f"hotgraph-{spec.name}"


def wanted(spec: FleetSpec) -> Wanted:
    """What was asked last. Needs a cluster that is joined."""
    from ray.experimental.internal_kv import _internal_kv_get

    try:
        found = json.loads(_internal_kv_get(spec.name.encode(), namespace=_STORE) or b"{}")
        replicas = found.get("replicas")
        return Wanted(None if replicas is None else int(replicas), bool(found.get("down")))
    except (ValueError, TypeError, AttributeError):
        return Wanted()


def want(spec: FleetSpec, asked: Wanted) -> None:
    """Have it wanted; a driver that runs sees it within a second, and the next one when it comes."""
    from ray.experimental.internal_kv import _internal_kv_put

    text = json.dumps({"replicas": asked.replicas, "down": asked.down})
    _internal_kv_put(spec.name.encode(), text.encode(), namespace=_STORE)


def forget(spec: FleetSpec) -> None:
    """Nothing was asked of a fleet that is no more."""
    from ray.experimental.internal_kv import _internal_kv_del

    _internal_kv_del(spec.name.encode(), namespace=_STORE)


class _Driver:
    """The lease, as an actor: it is there."""

    def __init__(self, who: str) -> None:
        self._who = who

    def who(self) -> str:
        return self._who


def driver(ray: Any) -> str | None:
    """Who drives the fleet; None: nobody. Empty: one that does not answer."""
    try:
        handle = ray.get_actor(_DRIVER)
        return str(ray.get(handle.who.remote(), timeout=_LEASE_S))
    except ValueError:
        return None
    except ray.exceptions.RayActorError:
        return None
    except ray.exceptions.GetTimeoutError:
        return ""


def take_lease(ray: Any, spec: FleetSpec) -> Any:
    """Be the fleet's driver for as long as this process lives, or until what is returned is killed.

    Raises:
        FleetError: another one is.
    """
    who = f"process {os.getpid()} on {socket.gethostname()}"
    options = {"name": _DRIVER, "num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
    until = time.monotonic() + _LEASE_S
    while True:
        try:
            return ray.remote(_Driver).options(**options).remote(who)
        except ValueError:
            # Of one that was killed Ray knows a moment later.
            if time.monotonic() < until:
                time.sleep(0.25)
                continue
        other = driver(ray) or "one that does not answer"
        raise FleetError(f"fleet {spec.name!r} has a driver already: {other}; end that one first")


class Local:
    """A Ray on this machine alone, started and ended by the fleet's commands.

    It is a process of its own, for replicas shall outlive a driver; all of Ray's processes end with it.

    Args:
        state: the fleet's folder.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._file = state / "ray.json"

    def address(self) -> str:
        """Of the one that runs.

        Raises:
            FleetError: none does.
        """
        found = self._found()
        if found is None or not found["address"]:
            raise FleetError(f"no fleet runs here: {self._file} names no Ray; hotgraph fleet up starts one")
        return str(found["address"])

    def start(self) -> str:
        """The address of the one that runs, started where there was none.

        Raises:
            FleetError: it does not come to answer.
        """
        if sys.platform != "linux":
            # Which process is which, and when one ends with another, is asked of Linux.
            raise FleetError(
                'address = "local" needs Linux; elsewhere: ray start --head, and address = "auto"'
            )
        with self._alone():
            return self._start()

    def _start(self) -> str:
        if (found := self._found()) is not None and found["address"]:
            return str(found["address"])
        # Of one whose beginning was cut short.
        self.stop()
        # Short, for the names of sockets in it may not be long.
        folder = Path(tempfile.mkdtemp(prefix=_FOLDER))
        said, log = folder / "address", folder / "log"
        with said.open("w") as output, log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "hotgraph_server.fleet.local_ray", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                # Ctrl-C is for the driver.
                start_new_session=True,
            )
        told = {"pid": process.pid, "began": _began(process.pid), "folder": str(folder)}
        # At once, so that it is found and ended even if this process goes before it answers.
        self._write({**told, "address": ""})
        until = time.monotonic() + _START_S
        while not (address := said.read_text().strip()):
            if process.poll() is not None or time.monotonic() > until:
                lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
                self.stop()
                raise FleetError(f"Ray does not start on this machine: {lines[-1][:300]}")
            time.sleep(0.1)
        self._write({**told, "address": address})
        return address

    def _write(self, told: dict[str, Any]) -> None:
        """At once, whole: who read half of it would start another one."""
        partial = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        partial.write_text(json.dumps(told))
        partial.replace(self._file)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One command at a time looks and starts: a second would end what the first has just begun. The lock
        goes with its process."""
        # Of Linux, as all of this is.
        import fcntl

        try:
            self._state.mkdir(parents=True, exist_ok=True)
            file = (self._state / ".ray.lock").open("w")
        except OSError as error:
            raise FleetError(f"the fleet's folder {self._state} cannot be written: {error}") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def folder(self) -> Path:
        """Of the one that runs, or is begun."""
        found = self._found()
        return Path(found["folder"] if found else "")

    def stop(self) -> None:
        """End it and all its processes; nothing where there is none."""
        found = self._found()
        if found is not None:
            _end(int(found["pid"]), str(found["began"]))
        # Also of one that was killed. By its name, for the file is not ours alone to write.
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            folder = Path(json.loads(self._file.read_text())["folder"])
            if folder.name.startswith(_FOLDER) and folder.parent == Path(tempfile.gettempdir()):
                shutil.rmtree(folder, ignore_errors=True)
        self._file.unlink(missing_ok=True)

    def _found(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self._file.read_text())
            # Another process may have its number by now.
            return found if _began(int(found["pid"])) == found["began"] != "" else None
        except (OSError, ValueError, LookupError, TypeError):
            return None


def _end(pid: int, began: str) -> None:
    for number, patience_s in ((signal.SIGTERM, _END_S), (signal.SIGKILL, _END_S)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if _began(pid) != began:
                return
            time.sleep(0.1)


def _began(pid: int) -> str:
    """When a process began, in ticks since the machine did; empty: it is not there, or has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except (OSError, IndexError):
        return ""
