"""The snapshotter's thread: what it saves, whom it tells, and how it ends. In most tests the test is that
thread and calls `work` in its place."""

from __future__ import annotations

import logging
import math
import random
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from hotgraph_server.state.durability import RETRY_S, DurabilityPolicy
from hotgraph_server.state.files import Disk
from hotgraph_server.state.snapshot import Header
from hotgraph_server.state.snapshotter import SnapshotStatus, Snapshotter
from hotgraph_server.state.store import Store

from ..fakes import HANG_S, FakeClock
from .simulated import SimulatedDisk

FOLDER = Path("/s")
IDENTITY = "a" * 32
EVERY_WRITE = DurabilityPolicy(every_write=True)


class Scene:
    """A snapshotter on a disk and a clock of the test's, which is also its thread."""

    def __init__(self, policy: DurabilityPolicy = EVERY_WRITE) -> None:
        self.clock = FakeClock()
        self.disk = SimulatedDisk(random.Random(0))
        self.store = Store(FOLDER, 3, self.disk)
        self.snapshotter = snapshotter(self.store, policy, self.clock)
        self.told: list[str | None] = []

    def write(self, number: int) -> None:
        self.snapshotter.wrote({"x": np.array(number)}, self.told.append)

    def on_disk(self) -> list[int]:
        return [found.writes for found in self.store.find()]


def snapshotter(store: Store | None, policy: DurabilityPolicy, clock: FakeClock) -> Snapshotter:
    header = Header("m", 1, IDENTITY, 0, 0.0)
    return Snapshotter("model 'm'", header, store, policy, {}, clock=clock, wall_clock=lambda: 7.0)


def test_write_is_answered_when_it_is_on_disk() -> None:
    scene = Scene()
    scene.write(1)
    assert (scene.told, scene.on_disk()) == ([], [])
    assert scene.snapshotter.work() == math.inf
    assert (scene.told, scene.on_disk()) == ([None], [1])
    assert scene.snapshotter.status == SnapshotStatus(1, 1, FOLDER)
    newest = scene.store.newest(IDENTITY)
    assert newest is not None
    assert newest[0].header == Header("m", 1, IDENTITY, 1, 7.0)


def test_nothing_is_written_before_it_is_due_and_not_a_tick_later() -> None:
    scene = Scene(DurabilityPolicy(every_s=5.0))
    scene.write(1)
    assert scene.told == [None]
    due_at = scene.snapshotter.work()
    assert (due_at, scene.on_disk()) == (scene.clock.now + 5.0, [])
    scene.clock.now = due_at
    scene.snapshotter.work()
    assert scene.on_disk() == [1]


def test_disk_that_fails_is_told_to_those_that_wait_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene()
    scene.disk.full = True
    scene.write(1)
    asked = scene.snapshotter.save()
    assert scene.snapshotter.work() == scene.clock.now + RETRY_S
    assert scene.told == ["no space left on device"]
    assert asked.result(0) == "no space left on device"
    assert "model 'm': no snapshot of its state could be written: no space left" in caplog.text
    scene.disk.full = False
    scene.clock.now += RETRY_S
    scene.snapshotter.work()
    assert scene.on_disk() == [1]


def test_snapshot_that_is_asked_for_is_there_at_once_or_when_it_is_written() -> None:
    scene = Scene(DurabilityPolicy())
    assert scene.snapshotter.save().result(0) is None
    scene.write(1)
    asked = scene.snapshotter.save()
    assert not asked.done()
    scene.snapshotter.work()
    assert asked.result(0) is None


def test_without_a_store_everything_is_answered_and_nothing_is_ever_saved() -> None:
    told: list[str | None] = []
    nowhere = snapshotter(None, EVERY_WRITE, FakeClock())
    nowhere.start()
    nowhere.wrote({"x": np.array(1)}, told.append)
    assert told == [None]
    assert nowhere.status == SnapshotStatus(1, 0, None)
    assert nowhere.save().result(0) == "no state-dir is set"
    nowhere.save_now(0.0)
    nowhere.close()


def test_state_that_was_taken_over_is_saved_and_what_is_given_up_is_not() -> None:
    scene = Scene(DurabilityPolicy(every_s=5.0))
    scene.snapshotter.replace({"x": np.array(9)}, 9)
    scene.snapshotter.work()
    assert scene.on_disk() == [9]
    assert int(scene.snapshotter.values["x"]) == 9
    scene.snapshotter.replace({"x": np.array(11)}, 11)
    scene.snapshotter.give_up()
    assert scene.snapshotter.work() == math.inf
    assert scene.on_disk() == [9]


def test_thread_saves_what_is_due_and_the_rest_at_its_end(tmp_path: Path) -> None:
    clock = FakeClock()
    store = Store(tmp_path, 9)
    saving = snapshotter(store, DurabilityPolicy(every_writes=2), clock)
    saving.start()
    told = threading.Semaphore(0)
    for number in range(1, 4):
        saving.wrote({"x": np.array(number)}, lambda _: told.release())
    # The third waits for a snapshot of the first two, and no longer.
    for _ in range(3):
        assert told.acquire(timeout=HANG_S)
    saving.close()
    saving.close()
    assert next(store.find()).writes == saving.status.saved == 3
    assert saving.save().result(0) == "the version is closed"


class _HeldDisk(Disk):
    """A disk whose writes hang until they are let go."""

    def __init__(self) -> None:
        self.entered, self.let_go, self.renamed = threading.Event(), threading.Event(), threading.Event()

    def write(self, path: Path, pieces: Iterable[bytes | memoryview]) -> None:
        self.entered.set()
        assert self.let_go.wait(HANG_S)
        super().write(path, pieces)

    def rename(self, origin: Path, end: Path) -> None:
        super().rename(origin, end)
        self.renamed.set()


def test_thread_writes_by_itself_when_time_makes_it_due(tmp_path: Path) -> None:
    disk = _HeldDisk()
    disk.let_go.set()
    header = Header("m", 1, IDENTITY, 0, 0.0)
    saving = Snapshotter("m", header, Store(tmp_path, 9, disk), DurabilityPolicy(every_s=1e-3), {})
    saving.start()
    saving.wrote({"x": np.array(1)}, lambda _: None)
    assert disk.renamed.wait(HANG_S)
    saving.close()
    assert saving.status == SnapshotStatus(1, 1, tmp_path)


def test_thread_whose_disk_hangs_is_named_and_left_to_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = _HeldDisk()
    saving = snapshotter(Store(tmp_path, 3, disk), EVERY_WRITE, FakeClock())
    saving.start()
    saving.wrote({"x": np.array(1)}, lambda _: None)
    assert disk.entered.wait(HANG_S)
    with caplog.at_level(logging.WARNING):
        saving.save_now(0.0)
        saving.close(0.0)
    assert "its last writes are not saved: not within 0 s" in caplog.text
    assert "thread \"state model 'm'\" has not ended after 0.0 s" in caplog.text
    disk.let_go.set()
    saving.close()
    assert saving.status.saved == 1


def test_last_writes_that_cannot_be_saved_are_named(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(DurabilityPolicy())
    scene.disk.full = True
    scene.snapshotter.start()
    scene.write(1)
    scene.snapshotter.close()
    assert "model 'm': its last writes are not saved: no space left on device" in caplog.text
