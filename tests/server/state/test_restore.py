"""What a version's state begins with, as far as disks tell."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from hotgraph_server.settings import StateSettings
from hotgraph_server.state.durability import Values
from hotgraph_server.state.identity import folder_of
from hotgraph_server.state.restore import Beginning, StateRestore, carried
from hotgraph_server.state.snapshot import Header, Snapshot
from hotgraph_server.state.snapshotter import SnapshotStatus
from hotgraph_server.state.store import Store
from hotgraph_server.tensors import Array

from .simulated import SimulatedDisk

ROOT = Path("/state")
IDENTITY = "0" * 32
SAVED: Values = {"x": np.array(0, np.int64), "y": np.array(0, np.int64)}


class Disk(SimulatedDisk):
    """With snapshots of versions of the model `m`."""

    def __init__(self) -> None:
        super().__init__(random.Random(0))

    def save(self, version: int, writes: int, **values: Array) -> Path:
        store = Store(folder_of(ROOT, "m", version, IDENTITY), 9, self)
        given = values or {name: np.array(writes, np.int64) for name in SAVED}
        return store.save(Snapshot(Header("m", version, IDENTITY, writes, 0.0), given))


def restore(disk: Disk, version: int = 1, *, siblings: bool = False, **settings: object) -> StateRestore:
    given = StateSettings(state_dir=str(ROOT), **settings)  # type: ignore[arg-type]
    return StateRestore(given, "m", version, IDENTITY, disk, has_siblings=siblings)


def values(beginning: Beginning) -> dict[str, int]:
    return {name: int(array) for name, array in beginning.values.items()}


def test_without_a_folder_it_begins_as_it_was_saved_with_the_model_and_takes_no_snapshots() -> None:
    nowhere = StateRestore()
    beginning = nowhere.beginning(SAVED)
    assert beginning == Beginning(SAVED)
    snapshotter = nowhere.snapshotter("m", beginning, saves=True)
    assert snapshotter.status == SnapshotStatus(0, 0, None)


def test_without_a_snapshot_it_begins_as_it_was_saved_with_the_model() -> None:
    assert restore(Disk()).beginning(SAVED) == Beginning(SAVED)


def test_newest_snapshot_of_its_own_is_where_it_goes_on() -> None:
    disk = Disk()
    disk.save(1, 3)
    path = disk.save(1, 5)
    beginning = restore(disk).beginning(SAVED)
    assert (values(beginning), beginning.writes, beginning.saved) == ({"x": 5, "y": 5}, 5, 5)
    assert beginning.origin == str(path)
    status = restore(disk).snapshotter("m", beginning, saves=True).status
    assert status == SnapshotStatus(5, 5, folder_of(ROOT, "m", 1, IDENTITY))


@pytest.mark.parametrize(
    "other", [{"x": np.array(1, np.int64)}, {"x": np.array(1, np.int64), "y": np.array(1.0)}]
)
def test_snapshot_of_other_variables_is_passed_over(
    other: dict[str, Array], caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk()
    path = disk.save(1, 3, **other)
    assert restore(disk).beginning(SAVED) == Beginning(SAVED)
    assert f"snapshot {path} is passed over: it has other variables than are written" in caplog.text


def test_snapshot_of_another_version_counts_only_where_state_is_transferred() -> None:
    disk = Disk()
    path = disk.save(1, 3)
    assert restore(disk, 2).beginning(SAVED) == Beginning(SAVED)
    beginning = restore(disk, 2, transfer_state=True).beginning(SAVED)
    assert (values(beginning), beginning.writes, beginning.saved) == ({"x": 3, "y": 3}, 3, -1)
    assert beginning.origin == f"{path} (x, y)"


def test_of_others_the_one_with_the_most_writes_counts_and_less_than_its_own_counts_for_nothing() -> None:
    disk = Disk()
    disk.save(1, 3)
    disk.save(3, 7)
    disk.save(4, 6)
    disk.save(2, 5)
    transferring = restore(disk, 2, transfer_state=True)
    assert transferring.beginning(SAVED).writes == 7
    disk.save(2, 9)
    assert transferring.beginning(SAVED).writes == 9


def test_version_with_siblings_goes_on_from_its_own_if_it_has_any() -> None:
    disk = Disk()
    disk.save(1, 7)
    transferring = restore(disk, 2, siblings=True, transfer_state=True)
    assert transferring.beginning(SAVED).writes == 7
    disk.save(2, 5)
    assert transferring.beginning(SAVED).writes == 5


def test_damaged_snapshot_of_another_is_passed_over_for_an_older_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = Disk()
    disk.save(1, 3)
    path = disk.save(1, 5)
    disk.damage(path)
    assert restore(disk, 2, transfer_state=True).beginning(SAVED).writes == 3
    assert f"snapshot {path} is passed over" in caplog.text


def test_variables_that_no_longer_fit_stay_as_they_were_saved_with_the_model() -> None:
    origin = {"x": np.array(3, np.int64), "y": np.array([3, 3], np.int64), "z": np.array(3)}
    found, moved = carried(origin, SAVED)
    assert ({name: int(array) for name, array in found.items()}, moved) == ({"x": 3, "y": 0}, ["x"])
    disk = Disk()
    disk.save(1, 3, z=np.array(3))
    assert restore(disk, 2, transfer_state=True).beginning(SAVED) == Beginning(SAVED)


def test_what_checks_learn_is_kept_beside_the_snapshots_or_nowhere(tmp_path: Path) -> None:
    assert StateRestore().memory("m").recall() == {}
    assert StateRestore(StateSettings(state_dir=str(tmp_path)), "m", 1, IDENTITY).memory("m").recall() == {}
