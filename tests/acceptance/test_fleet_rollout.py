"""New versions of a model come to servers of the command line, while calls go on: one that is well, one
that answers otherwise, one that is slow, and one that cannot be loaded. Without Ray: the driver is the real
one, and its engine keeps the servers itself."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_client import Client, HotgraphError
from hotgraph_server.fleet.driver import Driver, everywhere
from hotgraph_server.fleet.endpoints import Files
from hotgraph_server.fleet.loading import parameters_of
from hotgraph_server.fleet.observed import NodeSeen, ReplicaSeen
from hotgraph_server.fleet.observing import Observer
from hotgraph_server.fleet.ray_cluster import Wanted
from hotgraph_server.fleet.rolling import Rolling
from hotgraph_server.fleet.rollout import Rollout, Step, restored
from hotgraph_server.fleet.server_process import ServerProcess, ServerSpec
from hotgraph_server.fleet.spec import FleetSpec, ModelSpec, ReplicaSpec, RolloutSpec
from hotgraph_server.fleet.versions import VersionsThere

from ..server.fakes import until

# For servers to come up and models to load, on a machine that is busy with other tests.
PATIENCE_S = 200.0
ROLLOUT = RolloutSpec(calls=15, wait_s=PATIENCE_S, tolerance=1e-3, slower=10.0, blind=False)


def build(folder: Path, factor: float, *, slow: bool = False) -> None:
    """`y` is `factor` times `x`, float32 [-1, 4]; `slow`: some hundred times as slowly."""
    import tensorflow as tf

    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "x")])  # type: ignore[untyped-decorator]
    def run(x: Any) -> Any:
        y = x * factor
        if slow:
            ones = tf.ones([300, 300]) * tf.reduce_sum(x)
            for _ in range(30):
                ones = tf.matmul(ones, ones) * 1e-9
            y += 0.0 * tf.clip_by_value(ones[0, 0], -1.0, 1.0)
        return {"y": y}

    module.run = run
    # All of it appears at once, as it should in a repository that is looked at.
    partial = folder.with_name(f".{folder.name}")
    tf.saved_model.save(module, str(partial), signatures={"serving_default": run})
    partial.rename(folder)


class Servers:
    """An engine whose replicas are there from the start."""

    def __init__(self, spec: FleetSpec) -> None:
        self._spec = spec
        server = ServerSpec("127.0.0.1", str(spec.repository), spec.replicas.settings)
        self.processes = {f"r{number}": ServerProcess(server) for number in range(spec.replicas.count)}

    def nodes(self) -> list[NodeSeen]:
        return []

    def replicas(self) -> list[ReplicaSeen]:
        return [process.report(name, "node") for name, process in self.processes.items()]

    def start(self, replica_id: str) -> None:
        raise AssertionError("all are there")

    def drain(self, replica_id: str) -> None:
        raise AssertionError("none shall go")

    def stop(self, replica_id: str) -> None:
        raise AssertionError("none shall go")

    def load(self, replica_id: str, model: str, versions: tuple[int, ...] = ()) -> None:
        self.processes[replica_id].load(model, parameters_of(versions, self._spec.rollout))

    def unload(self, replica_id: str, model: str) -> None:
        self.processes[replica_id].unload(model)


class Asked:
    def read(self) -> Wanted:
        return Wanted()

    def write(self, asked: Wanted) -> None:
        raise AssertionError("nothing is scaled")


class Fleet:
    """Servers, their driver, and a caller who asks one after the other, all the time.

    Attributes:
        answers: what `y` was for a row of ones.
        failures: of calls.
    """

    def __init__(self, spec: FleetSpec) -> None:
        self.spec = spec
        self.engine = Servers(spec)
        self.there = VersionsThere(spec.repository, ["m"])
        self.observer = Observer()
        self.answers: list[float] = []
        self.failures: list[str] = []
        self._files = Files(spec.state)
        self._ending, self._over = threading.Event(), threading.Event()
        self.rolling = Rolling(spec, self.there)
        self._driving: threading.Thread | None = None
        self._calling = threading.Thread(target=self._call, name="caller of a fleet")

    def start(self) -> None:
        for process in self.engine.processes.values():
            process.start()
        self.observer.start()
        self.there.start()
        self.drive(self.rolling)
        self.until_settled(1)
        self._calling.start()

    def drive(self, rolling: Rolling) -> None:
        """Begin a driver; it knows what `rolling` does."""
        self.rolling = rolling
        said = sys.stderr.write
        driver = Driver(
            *(self.spec, self.engine, self._files, Asked(), everywhere, self.observer),
            say=lambda line: said(f"{line}\n"),
            rolling=rolling,
        )
        self._ending = threading.Event()
        self._driving = threading.Thread(target=driver.run, args=(self._ending,), name="driver of a fleet")
        self._driving.start()

    def driver_goes(self) -> None:
        self._ending.set()
        if self._driving is not None:
            self._driving.join()

    def stop(self) -> None:
        self._over.set()
        self.driver_goes()
        if self._calling.ident is not None:
            self._calling.join()
        self.there.stop()
        self.observer.stop()
        for process in self.engine.processes.values():
            process.stop()

    @property
    def rollout(self) -> Rollout:
        return self.rolling.rollouts.get("m", Rollout())

    def versions(self) -> list[tuple[int, ...]]:
        """What each server has."""
        replicas = self.engine.replicas()
        return [one.models["m"].versions if "m" in one.models else () for one in replicas]

    def until_settled(self, version: int) -> None:
        """All servers have this version and no other."""
        until(
            lambda: (
                self.versions() == [(version,)] * self.spec.replicas.count
                and self.rollout.step is Step.STEADY
            ),
            PATIENCE_S,
            0.05,
        )

    def until_refused(self, version: int) -> str:
        until(lambda: version in self.rollout.refused, PATIENCE_S, 0.05)
        return self.rollout.refused[version]

    def _call(self) -> None:
        addresses = [one.address for one in self.engine.replicas()]
        clients = [Client(address, timeout_s=60.0, retries=0) for address in addresses]
        row = np.ones((1, 4), np.float32)
        with contextlib.ExitStack() as stack:
            for client in clients:
                stack.enter_context(client)
            number = 0
            while not self._over.is_set():
                number += 1
                try:
                    self.answers.append(
                        float(clients[number % len(clients)].predict("m", {"x": row})["y"][0, 0])
                    )
                except HotgraphError as error:
                    self.failures.append(str(error))
                time.sleep(0.005)


@contextlib.contextmanager
def running(folder: Path, count: int) -> Iterator[Fleet]:
    """So many servers with version 1, and a driver."""
    repository = folder / "models"
    (repository / "m").mkdir(parents=True)
    build(repository / "m" / "1", 2.0)
    settings: dict[str, object] = {"warm_up_budget_s": 2.0, "unload_grace_s": 0.2}
    spec = FleetSpec(
        "small",
        repository,
        folder / "state",
        replicas=ReplicaSpec(count, count, count, settings=settings),
        models=(ModelSpec("m", copies=count),),
        rollout=ROLLOUT,
    )
    found = Fleet(spec)
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.mark.slow
def test_version_comes_or_is_refused_and_no_call_fails_or_gets_another_answer(tmp_path: Path) -> None:
    with running(tmp_path, 1) as fleet:
        models = fleet.spec.repository / "m"
        build(models / "2", 2.0)
        fleet.until_settled(2)
        assert fleet.rollout.shadow is not None
        assert fleet.rollout.shadow.compared >= ROLLOUT.calls
        build(models / "3", 3.0)
        assert "answered otherwise: output 'y' differs" in fleet.until_refused(3)
        assert fleet.rollout.shadow.differed > 0
        fleet.until_settled(2)
        assert {round(answer, 3) for answer in fleet.answers} == {2.0}
        assert fleet.failures == []


@pytest.mark.slow
def test_versions_of_all_kinds_come_to_two_servers_and_drivers_change(tmp_path: Path) -> None:
    with running(tmp_path, 2) as fleet:
        models = fleet.spec.repository / "m"

        # One that is well.
        build(models / "2", 2.0)
        fleet.until_settled(2)
        assert "accepted" in fleet.rollout.reason

        # One that answers otherwise, which nobody gets but who asks for it by its number.
        build(models / "3", 3.0)
        assert "answered otherwise" in fleet.until_refused(3)
        fleet.until_settled(2)

        # One that is slow.
        build(models / "4", 2.0, slow=True)
        assert "times as long" in fleet.until_refused(4)
        fleet.until_settled(2)

        # One that cannot be loaded.
        (models / ".5").mkdir()
        (models / ".5" / "saved_model.pb").write_bytes(b"no graph")
        (models / ".5").rename(models / "5")
        assert "cannot be loaded" in fleet.until_refused(5)
        fleet.until_settled(2)

        # A driver that comes in the middle finds where it was, and what was refused.
        build(models / "6", 2.0)
        until(lambda: fleet.rollout.coming == 6, PATIENCE_S, 0.05)
        fleet.driver_goes()
        told = json.loads((fleet.spec.state / "status.json").read_text())
        assert told["models"][0]["rollout"]["refused"].keys() == {"3", "4", "5"}
        fleet.drive(Rolling(fleet.spec, fleet.there, restored(told)))
        fleet.until_settled(6)
        assert fleet.rollout.refused.keys() == {3, 4, 5}

        assert {round(answer, 3) for answer in fleet.answers} == {2.0}
        assert fleet.failures == []
