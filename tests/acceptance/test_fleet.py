"""A fleet on real nodes of Ray behind a real Envoy, under calls all along, while everything happens to it.

Planned changes cost no call. What is killed costs those that were in it, and with the retries that
docs/operations.md gives Envoy, none either.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.fleet.reading import read

from ..saved_models import SavedModels
from . import ray_nodes
from .command import starting
from .fleet_envoy import fleet_envoy
from .fleet_traffic import Traffic, traffic

RATE = 100.0
PATIENCE_S = 120.0
X = np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 16)

pytestmark = [
    pytest.mark.skipif(not ray_nodes.is_there(), reason="Ray is not installed"),
    # A server takes ten seconds to import TensorFlow where others work too, and several start in turn.
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("envoy_program"),
]


class Fleet:
    """One that a test plays with, by its commands and its files alone."""

    def __init__(self, folder: Path, address: str, count: int, model: Path) -> None:
        self.file = folder / "fleet.toml"
        self.models, self.state = folder / "models", folder / "state"
        shutil.copytree(model, self.models / "mlp" / "1")
        self.file.write_text(
            f'[fleet]\nname = "test"\nrepository = "{self.models}"\nstate = "{self.state}"\n'
            f'address = "{address}"\nhost = "127.0.0.1"\n'
            f"[replicas]\ncount = {count}\ncpus = 1.0\nmemory_mb = 1500\n"
            "[models.mlp]\ncopies = 1\n[rollout]\ncalls = 20\ntolerance = 0.01\nslower = 100.0\n"
        )
        self.spec = read(self.file)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "hotgraph_server", "fleet", *words, "-f", str(self.file)]

    def run(self, *words: str) -> str:
        """A command that ends well; what it says."""
        ended = subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout + ended.stderr

    @contextlib.contextmanager
    def up(self) -> Iterator[subprocess.Popen[str]]:
        """A driver; ended by nothing but what the test does to it, and killed at the end."""
        with starting(self.command("up")) as driver:
            yield driver.process

    def status(self) -> dict[str, Any]:
        with contextlib.suppress(OSError):
            return dict(json.loads((self.state / "status.json").read_text()))
        return {"replicas": []}

    def ready(self) -> dict[str, dict[str, Any]]:
        """Replicas that take calls, by name."""
        listed = (self.state / "endpoints.txt").read_text() if (self.state / "endpoints.txt").exists() else ""
        return {
            one["replica_id"]: one
            for one in self.status()["replicas"]
            if one["state"] == "ready" and one["address"] and one["address"] in listed
        }

    def until(self, holds: Callable[[], object], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end, f"{what}: {json.dumps(self.status(), indent=1)}"
            time.sleep(0.1)

    def until_ready(self, count: int) -> dict[str, dict[str, Any]]:
        self.until(lambda: len(self.ready()) == count, f"{count} replicas do not come to take calls")
        return self.ready()

    def servers(self) -> dict[str, int]:
        """Process numbers of the servers of this fleet, by the port that they listen on for admins."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if "serve" in words and str(self.models) in words:
                    found[words[words.index("--admin-port") + 1]] = int(folder.name)
        return found

    def server_of(self, replica: dict[str, Any]) -> int:
        return self.servers()[replica["admin_address"].rpartition(":")[2]]


@contextlib.contextmanager
def fleet(folder: Path, address: str, count: int, models: SavedModels) -> Iterator[Fleet]:
    made = Fleet(folder, address, count, models["tf2_mlp"])
    try:
        yield made
    finally:
        left = made.servers()
    assert not left, "servers were left behind"


@contextlib.contextmanager
def calls(of: Fleet, models: SavedModels) -> Iterator[Traffic]:
    """Through an Envoy, all the time; it has to have begun to answer."""
    with fleet_envoy(of.spec) as proxy:
        proxy.wait_for_healthy(*(one["address"] for one in of.ready().values()))
        with traffic(proxy.address, "mlp", X, answer(models), RATE) as made:
            of.until(lambda: len(made.calls) > RATE, "no calls come through")
            yield made


def answer(models: SavedModels) -> Any:
    import tensorflow as tf

    served = tf.saved_model.load(str(models["tf2_mlp"]))
    return served.signatures["serving_default"](x=tf.constant(X))["scores"].numpy()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
def test_fleet_on_this_machine_from_up_to_down(tmp_path: Path, saved_models: SavedModels) -> None:
    """With a Ray of its own, which is begun and ended with it."""
    with fleet(tmp_path, "local", 1, saved_models) as one:
        try:
            with one.up() as driver:
                (before,) = one.until_ready(1).values()
                second = subprocess.run(
                    one.command("up"), capture_output=True, text=True, timeout=PATIENCE_S, check=False
                )
                assert second.returncode == 1
                assert second.stderr.startswith("hotgraph fleet: fleet 'test' has a driver already: process ")
                assert second.stderr.count("\n") == 1
                with calls(one, saved_models) as made:
                    driver.kill()
                    driver.wait()
                    with one.up() as another:
                        came_s = time.time()
                        one.until(lambda: one.status()["at_s"] > came_s, "no driver takes over")
                        assert one.ready()["r0"]["address"] == before["address"]
                        assert not made.failed()
                        made.ending.set()
                        os.kill(one.server_of(before), signal.SIGKILL)
                        one.until(
                            lambda: one.ready().get("r0", before)["address"] != before["address"], "gone"
                        )
                        another.send_signal(signal.SIGINT)
                        assert another.wait(PATIENCE_S) == 0
                assert len(one.servers()) == 1
        finally:
            said = one.run("down")
        assert said.splitlines()[-1] == "fleet test: down"
        assert not (one.state / "ray.json").exists()
        assert (one.state / "endpoints.txt").read_text() == ""


@pytest.mark.slow
def test_nothing_that_happens_to_a_fleet_costs_a_call(tmp_path: Path, saved_models: SavedModels) -> None:
    with ray_nodes.ray_nodes(3) as nodes, fleet(tmp_path, nodes.address, 1, saved_models) as one:
        with one.up() as driver:
            one.until_ready(1)
            with calls(one, saved_models) as made:
                everything(one, nodes, driver, made)
                with one.up():
                    one.until_ready(2)
                    roll(one, made)
                made.ending.set()
                one.run("down")
        print(len(made.calls), "calls")


def everything(one: Fleet, nodes: ray_nodes.RayNodes, driver: subprocess.Popen[str], made: Traffic) -> None:
    """
    Raises:
        AssertionError: of calls that failed.
    """

    def nothing_failed(what: str) -> None:
        print(f"{time.monotonic() - began_s:.1f} s: {what}, {len(made.calls)} calls")
        assert not made.failed(), (what, made.failed()[:5], len(made.failed()))

    began_s = time.monotonic()
    one.run("scale", "3")
    replicas = one.until_ready(3)
    assert len({replica["node_id"] for replica in replicas.values()}) == 3
    nothing_failed("1 -> 3")
    one.run("scale", "2")
    one.until(lambda: len(one.servers()) == 2, "no replica goes")
    replicas = one.until_ready(2)
    nothing_failed("3 -> 2")

    name, replica = next(iter(replicas.items()))
    os.kill(one.server_of(replica), signal.SIGKILL)
    one.until(lambda: one.ready().get(name, replica)["address"] != replica["address"], "no server comes back")
    nothing_failed("a server killed")

    replica = one.ready()[name]
    os.kill(parent_of(one.server_of(replica)), signal.SIGKILL)
    one.until(lambda: one.ready().get(name, replica)["address"] != replica["address"], "no actor comes back")
    nothing_failed("an actor killed")

    replicas = one.until_ready(2)
    lost, replica = next((k, v) for k, v in replicas.items() if v["node_id"] != nodes.first)
    nodes.lose(replica["node_id"])
    one.until(lambda: one.ready().get(lost, replica)["node_id"] != replica["node_id"], "none elsewhere")
    nothing_failed("a node lost")

    driver.kill()
    driver.wait()
    nothing_failed("a driver killed")


def roll(one: Fleet, made: Traffic) -> None:
    """A new version comes while calls do."""
    since_s = time.monotonic()
    shutil.copytree(one.models / "mlp" / "1", one.models / "new")
    (one.models / "new").rename(one.models / "mlp" / "2")
    one.until(lambda: made.versions(time.monotonic() - 1.0).keys() == {"2"}, "version 2 does not come")
    print(f"version 2 after {time.monotonic() - since_s:.1f} s, {len(made.calls)} calls")
    assert not made.failed(), (made.failed()[:5], len(made.failed()))
