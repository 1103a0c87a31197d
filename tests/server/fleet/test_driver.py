from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hotgraph_server.errors import FleetError
from hotgraph_server.fleet.driver import Driver, everywhere
from hotgraph_server.fleet.endpoints import Files
from hotgraph_server.fleet.memory import Times
from hotgraph_server.fleet.observed import ModelSeen, NodeSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.ray_cluster import Wanted
from hotgraph_server.fleet.spec import FleetSpec, ModelSpec, ReplicaSpec, ScalingSpec

from ..fakes import until

PATIENCE_S = 30.0


class FakeEngine:
    """Does at once what it is asked for; keeps what that was."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.seen: dict[str, ReplicaSeen] = {}
        self.fails: Callable[[tuple[str, ...]], str] = lambda asked: ""
        self.gate = threading.Event()
        self.gate.set()

    def nodes(self) -> list[NodeSeen]:
        return [NodeSeen("n", "10.0.0.1", 8, 8000)]

    def replicas(self) -> list[ReplicaSeen]:
        return list(self.seen.values())

    def start(self, replica_id: str) -> None:
        self._note("start", replica_id)
        port = 8500 + int(replica_id[1:])
        self.seen[replica_id] = ReplicaSeen(replica_id, ReplicaState.READY, f"10.0.0.1:{port}")

    def drain(self, replica_id: str) -> None:
        self._note("drain", replica_id)
        self.seen[replica_id] = replace(self.seen[replica_id], state=ReplicaState.DRAINING, address="")

    def stop(self, replica_id: str) -> None:
        self._note("stop", replica_id)
        self.seen.pop(replica_id, None)

    def load(self, replica_id: str, model: str, versions: tuple[int, ...] = ()) -> None:
        self._note("load", replica_id, model)
        seen = self.seen[replica_id]
        self.seen[replica_id] = replace(seen, models={**seen.models, model: ModelSeen((1,))})

    def unload(self, replica_id: str, model: str) -> None:
        self._note("unload", replica_id, model)

    def _note(self, *asked: str) -> None:
        self.asked.append(asked)
        assert self.gate.wait(PATIENCE_S)
        if why := self.fails(asked):
            raise FleetError(why)


class Asked:
    def __init__(self) -> None:
        self.wanted = Wanted()

    def read(self) -> Wanted:
        return self.wanted

    def write(self, asked: Wanted) -> None:
        self.wanted = asked


class _Busy:
    def fill(self, replicas: Sequence[ReplicaSeen]) -> list[ReplicaSeen]:
        return [replace(one, duty=0.9) for one in replicas]


class Bench:
    """A driver of a fleet on a clock of the test's own: a second for each look."""

    def __init__(self, folder: Path, replicas: ReplicaSpec) -> None:
        self.engine, self.asked, self.said = FakeEngine(), Asked(), list[str]()
        self.folder, self.now_s = folder, 1000.0
        scaling = ScalingSpec(out_hold_s=0, in_hold_s=0)
        self.spec = FleetSpec(
            "a", folder, folder, replicas=replicas, models=(ModelSpec("m"),), scaling=scaling
        )
        self.driver = self.new()

    def new(self, observer: _Busy | None = None) -> Driver:
        return Driver(
            *(self.spec, self.engine, Files(self.folder), self.asked, everywhere, observer),
            **{"say": self.said.append, "clock": lambda: self.now_s, "times": Times(settle_s=3)},  # type: ignore[arg-type]
        )

    def look(self) -> bool:
        """Once, with what it begins done."""
        self.now_s += 1
        is_down = self.driver.look()
        until(lambda: not self.driver.under_way, PATIENCE_S)
        return is_down

    def looks(self, count: int = 30) -> bool:
        return any([self.look() for _ in range(count)])

    def listed(self) -> str:
        return (self.folder / "endpoints.txt").read_text()


@contextmanager
def bench(folder: Path, count: int = 2, least: int = 1, most: int = 1) -> Iterator[Bench]:
    made = Bench(folder, ReplicaSpec(count=count, least=least, most=most))
    yield made
    made.driver.run(_set())
    until(lambda: not [one for one in threading.enumerate() if one.name.startswith("fleet_")], PATIENCE_S)


def _set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def test_fleet_comes_up_and_callers_are_told(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.looks()
        assert sorted(one.engine.asked) == [
            *(("load", "r0", "m"), ("load", "r1", "m"), ("start", "r0"), ("start", "r1"))
        ]
        assert one.listed() == "ipv4:10.0.0.1:8500,10.0.0.1:8501\n"
        assert "2 of 2 replicas take calls" in one.said


def test_next_driver_does_nothing_twice(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.looks()
        one.engine.asked.clear()
        one.driver.run(_set())
        one.driver = one.new()
        one.looks()
        assert one.engine.asked == []


def test_what_was_asked_is_done_and_callers_go_first(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.looks()
        one.engine.asked.clear()
        one.asked.wanted = Wanted(1)
        one.look()
        one.look()
        assert one.listed() == "ipv4:10.0.0.1:8500\n"
        assert one.engine.asked == []
        one.looks()
        assert one.engine.asked == [("drain", "r1"), ("stop", "r1")]


def test_fleet_that_is_to_end_ends_and_says_so(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        assert not one.looks()
        one.asked.wanted = Wanted(down=True)
        assert one.looks()
        assert one.engine.seen == {}
        assert one.listed() == ""


def test_what_fails_is_said_and_tried_again(tmp_path: Path) -> None:
    with bench(tmp_path, count=1) as one:
        one.engine.fails = lambda asked: "no\nroom" if asked[0] == "load" else ""
        one.looks(10)
        assert "could not load m on r0: no room" in one.said
        assert one.engine.asked.count(("load", "r0", "m")) > 1
        one.engine.fails = lambda asked: ""
        one.looks(70)
        assert one.listed() == "ipv4:10.0.0.1:8500\n"
        status = json.loads((tmp_path / "status.json").read_text())
        assert status["driver"]["failed_actions"]["load"] > 1
        assert status["driver"]["actions"]["load"] == 1


def test_load_that_takes_long_keeps_no_dead_server_among_the_endpoints(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.looks()
        one.engine.gate.clear()
        one.asked.wanted = Wanted(3)
        try:
            one.now_s += 1
            one.driver.look()
            until(lambda: ("start", "r2") in one.engine.asked, PATIENCE_S)
            one.engine.seen["r1"] = ReplicaSeen("r1", ReplicaState.LOST)
            one.now_s += 1
            one.driver.look()
            until(lambda: one.listed() == "ipv4:10.0.0.1:8500\n", PATIENCE_S)
        finally:
            one.engine.gate.set()


def test_many_loads_that_take_long_keep_no_dead_server_among_the_endpoints(tmp_path: Path) -> None:
    with bench(tmp_path, count=80) as one:
        one.look()
        one.look()
        one.look()
        assert "10.0.0.1:8579" in one.listed()
        one.engine.seen = {name: replace(seen, models={}) for name, seen in one.engine.seen.items()}
        one.engine.gate.clear()
        try:
            one.now_s += 20
            one.driver.look()
            until(lambda: one.engine.asked.count(("load", "r0", "m")) > 1, PATIENCE_S)
            until(lambda: one.listed() == "", PATIENCE_S)
        finally:
            one.engine.gate.set()


def test_what_was_done_before_a_look_that_fails_is_not_forgotten(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.looks()
        one.engine.seen["r1"] = ReplicaSeen("r1", ReplicaState.STARTING)
        one.look()
        assert one.listed() == "ipv4:10.0.0.1:8500\n"
        read = one.asked.read

        def fails() -> Wanted:
            raise RuntimeError("no head")

        one.asked.read = fails  # type: ignore[method-assign]
        with pytest.raises(RuntimeError, match="no head"):
            one.look()
        one.asked.read = read  # type: ignore[method-assign]
        one.engine.seen["r1"] = replace(one.engine.seen["r0"], replica_id="r1", address="10.0.0.1:8501")
        one.looks(20)
        assert one.listed() == "ipv4:10.0.0.1:8500,10.0.0.1:8501\n"


def test_busy_fleet_grows_and_the_next_driver_knows(tmp_path: Path) -> None:
    with bench(tmp_path, count=1, least=1, most=3) as one:
        one.driver.run(_set())
        one.driver = one.new(_Busy())
        one.looks()
        assert one.asked.wanted == Wanted(3)
        assert len(one.engine.seen) == 3
        one.driver.run(_set())
        one.driver = one.new()
        one.look()
        assert len(one.engine.seen) == 3


def test_replica_that_finds_no_node_says_what_it_waits_for(tmp_path: Path) -> None:
    with bench(tmp_path, count=1) as one:
        one.engine.seen["r0"] = ReplicaSeen("r0", ReplicaState.STARTING)
        one.looks(20)
        assert one.said[-1] == "0 of 1 replicas take calls, r0 is starting"
        one.looks(3)
        assert one.said[-1].endswith(", r0 waits for a node with 1 processors and 4096 MiB free")
        one.engine.seen["r0"] = ReplicaSeen("r0", ReplicaState.STARTING, node_id="n")
        one.look()
        assert one.said[-1].endswith("r0 is starting")
        one.engine.seen["r0"] = replace(
            one.engine.seen["r0"], trouble="its server does not start: no folder m"
        )
        one.look()
        assert one.said[-1].endswith("r0 is starting: its server does not start: no folder m")


def test_look_that_fails_ends_no_driver(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.looks()
        ending, found = threading.Event(), list(one.engine.seen.values())
        failed = 0

        def fails() -> list[ReplicaSeen]:
            nonlocal failed
            failed += 1
            if failed < 3:
                raise RuntimeError("no head")
            ending.set()
            return found

        one.engine.replicas = fails  # type: ignore[method-assign]
        one.driver.run(ending)
        assert failed == 3
        assert one.said.count("cannot look at the fleet: no head") == 1
        assert one.said[-1] == "2 of 2 replicas take calls"


def test_driver_ends_when_it_is_to_and_leaves_replicas_alone(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.looks()
        asked = list(one.engine.asked)
        assert one.driver.run(_set()) is False
        assert one.engine.asked == asked
