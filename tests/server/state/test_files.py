"""What state asks of a file system, on the real one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hotgraph_server.state.files import Disk, write_whole

from .simulated import PowerCut, SimulatedDisk

FILE, PARTIAL = Path("/s/file"), Path("/s/file.partial")


def test_folders_are_made_with_those_above_them_and_may_be_there(tmp_path: Path) -> None:
    disk = Disk()
    for _ in range(2):
        disk.make_folder(tmp_path / "a" / "b")
    assert disk.names(tmp_path / "a") == ["b"]
    assert disk.names(tmp_path / "none") == []


def test_file_is_written_read_renamed_and_removed(tmp_path: Path) -> None:
    disk, path, end = Disk(), tmp_path / "file", tmp_path / "end"
    disk.write(path, [b"ab", memoryview(b"c")])
    disk.sync(path)
    disk.rename(path, end)
    disk.sync_folder(tmp_path)
    assert disk.read(end) == b"abc"
    disk.remove(end)
    assert disk.names(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        disk.read(end)


def test_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in (b"old", b"new"):
        write_whole(Disk(), path, tmp_path / "file.1", [text])
    assert path.read_bytes() == b"new"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("calls", range(5))
def test_power_that_goes_at_any_moment_leaves_the_old_file_or_the_new_one(calls: int) -> None:
    found = set()
    for seed in range(20):
        disk = SimulatedDisk(random.Random(seed))
        write_whole(disk, FILE, PARTIAL, [b"old"])
        disk.cut_after = calls
        try:
            write_whole(disk, FILE, PARTIAL, [b"new"])
        except PowerCut:
            assert calls < 4
        disk.restart()
        found.add(disk.read(FILE))
    # Four calls of the disk: once all of them have returned, it is there for good.
    assert found == {b"new"} if calls == 4 else found <= {b"old", b"new"}


def test_disk_that_is_full_leaves_the_old_file() -> None:
    disk = SimulatedDisk(random.Random(0))
    write_whole(disk, FILE, PARTIAL, [b"old"])
    disk.full = True
    with pytest.raises(OSError, match="no space"):
        write_whole(disk, FILE, PARTIAL, [b"new"])
    assert disk.read(FILE) == b"old"
