from __future__ import annotations

import logging
import random
from pathlib import Path

import numpy as np
import pytest

from hotgraph_server.state.files import Disk
from hotgraph_server.state.identity import identity_of
from hotgraph_server.state.snapshot import Header, Snapshot
from hotgraph_server.state.store import Store

from .simulated import SimulatedDisk

IDENTITY = "a" * 32


def snapshot(writes: int, identity: str = IDENTITY) -> Snapshot:
    return Snapshot(Header("m", 1, identity, writes, 0.0), {"x": np.array(writes)})


def test_the_last_ones_are_kept_and_the_newest_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "er", 2)
    for writes in (1, 2, 10):
        store.save(snapshot(writes))
    assert [found.writes for found in store.find()] == [10, 2]
    newest = store.newest(IDENTITY)
    assert newest is not None
    assert int(newest[0].values["x"]) == 10
    assert {path.suffix for path in store.folder.iterdir()} == {".snapshot"}


def test_damaged_one_is_passed_over_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path, 3)
    store.save(snapshot(1))
    path = store.save(snapshot(2))
    path.write_bytes(path.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        newest = store.newest(IDENTITY)
    assert newest is not None
    assert newest[0].header.writes == 1
    assert f"snapshot {path} is passed over: its checksum does not hold" in caplog.text


def test_one_of_another_saved_model_is_passed_over(tmp_path: Path) -> None:
    store = Store(tmp_path, 3)
    store.save(snapshot(1))
    store.save(snapshot(2, "b" * 32))
    newest = store.newest(IDENTITY)
    assert newest is not None
    assert newest[0].header.writes == 1


def test_what_a_crash_has_left_half_written_is_removed_by_the_next_save() -> None:
    disk = SimulatedDisk(random.Random(0))
    disk.write(Path("/s/00000000000000000009.partial"), [b"half"])
    disk.sync_folder(Path("/s"))
    store = Store(Path("/s"), 3, disk)
    assert store.newest(IDENTITY) is None
    store.save(snapshot(1))
    assert [path.name for path in disk.paths()] == ["00000000000000000001.snapshot"]


def test_after_going_back_the_line_that_was_given_up_is_not_found_again(tmp_path: Path) -> None:
    store = Store(tmp_path, 3)
    for writes in (1, 2, 3):
        store.save(snapshot(writes))
    (aside, _) = store.set_aside(1)
    assert aside.suffix == ".aside"
    assert [found.writes for found in store.find()] == [1]


def test_disk_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    disk = SimulatedDisk(random.Random(0))
    store = Store(Path("/s"), 3, disk)
    store.save(snapshot(1))
    disk.full = True
    with pytest.raises(OSError, match="no space"):
        store.save(snapshot(2))
    newest = store.newest(IDENTITY)
    assert newest is not None
    assert newest[0].header.writes == 1


def test_what_a_full_disk_has_cut_short_does_not_go_on_filling_it(tmp_path: Path) -> None:
    class Full(Disk):
        def sync(self, path: Path) -> None:
            raise OSError("no space left on device")

    store = Store(tmp_path, 2, Full())
    for writes in (1, 2, 3):
        with pytest.raises(OSError, match="no space"):
            store.save(snapshot(writes))
    assert [path.name for path in tmp_path.iterdir()] == ["00000000000000000003.partial"]


def test_one_that_was_set_aside_can_be_taken_back(tmp_path: Path) -> None:
    store = Store(tmp_path, 3)
    for writes in (1, 2):
        path = store.save(snapshot(writes))
    (aside,) = store.set_aside(1)
    assert store.take_back(aside) == path
    assert store.take_back(path) == path
    assert [found.writes for found in store.find()] == [2, 1]
    assert store.set_aside(2) == []


def test_old_one_that_cannot_be_removed_is_no_reason_to_say_that_nothing_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path, 1)
    old = store.save(snapshot(1))

    def refuse(_: Disk, path: Path) -> None:
        raise PermissionError(f"{path} stays")

    monkeypatch.setattr(Disk, "remove", refuse)
    store.save(snapshot(2))
    assert f"snapshot {old} cannot be removed: {old} stays" in caplog.text
    assert [found.writes for found in store.find()] == [2, 1]


def test_file_that_is_pruned_between_being_listed_and_being_read_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, 3)
    gone = store.save(snapshot(2))
    store.save(snapshot(1))
    store.save(snapshot(3))
    read = Disk.read

    def prune_first(disk: Disk, path: Path) -> bytes:
        gone.unlink(missing_ok=True)
        return read(disk, path)

    monkeypatch.setattr(Disk, "read", prune_first)
    assert [found.writes for found in store.find()] == [3, 1]


def test_identity_is_that_of_graph_and_index_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "variables" / "variables.index").write_bytes(b"index")
    first = identity_of(tmp_path)
    (tmp_path / "fingerprint.pb").write_bytes(b"anything")
    assert identity_of(tmp_path) == first
    (tmp_path / "variables" / "variables.index").write_bytes(b"other")
    assert identity_of(tmp_path) != first
