"""writer.py: files of traces, what waits for them, and what becomes of those that cannot be written."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.call_observer import Queued
from hotgraph_server.errors import StartError
from hotgraph_server.observability.tracing.samplings import Drawn
from hotgraph_server.observability.tracing.trace import Trace
from hotgraph_server.observability.tracing.writer import TraceWriter

from ...fakes import HANG_S

BOTH = frozenset({"TIMESTAMPS", "TENSORS"})


def trace(number: int = 1, log_frequency: int = 0, of: str = "") -> Trace:
    return Trace(Drawn(BOTH, of, log_frequency), number, "m", "")


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def numbers(path: Path) -> list[int]:
    """Of the traces in a file."""
    return [entry["id"] for entry in read(path) if "model_name" in entry]


def write(path: Path, *traces: Trace) -> None:
    writer = TraceWriter(str(path))
    writer.start()
    assert all(map(writer.offer, traces))
    writer.stop(HANG_S)


def test_file_is_one_array_of_all_traces(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text("what was there before, and is longer than what comes" * 99)
    write(path, *map(trace, (1, 2, 3)))
    assert numbers(path) == [1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["t.json"]


def test_frequency_splits_traces_into_files_with_numbers(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    write(path, *(trace(number, 2) for number in range(1, 6)))
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == ["t.json.0", "t.json.1", "t.json.2"]
    assert [numbers(tmp_path / name) for name in files] == [[1, 2], [3, 4], [5]]


def test_models_with_words_of_their_own_have_files_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "t", trace(1, 2, "a"), trace(2, 2, "b"), trace(3, 2, "a"), trace(4, 2, "a"))
    assert [numbers(tmp_path / f"t.{n}") for n in range(3)] == [[1, 3], [2], [4]]


def test_what_does_not_fit_is_lost_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = TraceWriter(str(tmp_path / "t"), credits=2)
    large = trace(9)
    large.queued(Queued(1, 0.0, "f", 1, ["x"], [np.zeros(200_000, np.uint8)]))
    assert not writer.offer(large), "it holds more credits than there are"
    assert writer.offer(trace(1))
    assert writer.offer(trace(2))
    assert not writer.offer(trace(3))
    with caplog.at_level(logging.WARNING):
        writer.start()
        writer.stop(HANG_S)
    assert numbers(tmp_path / "t") == [1, 2]
    assert "2 traces were not written, because too many waited" in caplog.text


def test_file_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    writer = TraceWriter(str(folder / "t"))
    writer.start()
    (folder / "t").mkdir()
    with caplog.at_level(logging.ERROR):
        writer.offer(trace(1))
        writer.offer(trace(2))
        writer.stop(HANG_S)
    assert caplog.text.count("traces are lost") == 1


def end(writer: TraceWriter) -> None:
    """Of one that had no thread so far."""
    writer.start()
    writer.stop(HANG_S)


class FullDisk:
    """Stands for os.pwrite on a disk with so many bytes of room beyond what files have already."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 0
        self._write = os.pwrite
        monkeypatch.setattr(os, "pwrite", self.pwrite)

    def pwrite(self, file: int, data: memoryview, at: int) -> int:
        fits = os.fstat(file).st_size - at + self.room
        if fits <= 0:
            raise OSError(28, "No space left on device")
        before = os.fstat(file).st_size
        written = self._write(file, data[:fits], at)
        self.room -= os.fstat(file).st_size - before
        return written


@pytest.mark.parametrize("log_frequency", [0, 2])
def test_full_disk_leaves_no_file_is_told_once_and_traces_go_on_when_there_is_room(
    tmp_path: Path, log_frequency: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FullDisk(monkeypatch)
    writer = TraceWriter(str(tmp_path / "t"))
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            writer.write(trace(number, log_frequency))
        assert list(tmp_path.iterdir()) == []
        disk.room = 10**6
        writer.write(trace(3, log_frequency))
        end(writer)
    (file,) = tmp_path.iterdir()
    assert file.name == ("t.0" if log_frequency else "t")
    assert numbers(file) == [3]
    assert [record.getMessage() for record in caplog.records] == [
        f"traces are lost: {tmp_path / 't'}: [Errno 28] No space left on device",
        f"3 traces were lost while {tmp_path / 't'} could not be written",
    ]
    assert writer.lost == 3


def test_disk_that_is_full_in_the_middle_of_a_trace_leaves_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch)
    disk.room = 10**6
    writer = TraceWriter(str(tmp_path / "t"))
    writer.write(trace(1))
    size = (tmp_path / "t").stat().st_size
    for room in range(size):
        disk.room = room
        writer.write(trace(2))
        assert numbers(tmp_path / "t") in ([1], [1, 2])
        if numbers(tmp_path / "t") == [1, 2]:
            break
    disk.room = 10**6
    writer.write(trace(3))
    end(writer)
    assert numbers(tmp_path / "t") == [1, 2, 3]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux")
def test_device_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "t").symlink_to("/dev/full")
    writer = TraceWriter(str(tmp_path / "t"))
    writer.write(trace(1))
    assert (writer.lost, (tmp_path / "t").is_symlink()) == (1, True)
    assert os.path.exists("/dev/full")


@pytest.mark.parametrize("name", ["nonesuch/t", "."])
def test_place_that_is_no_place_is_an_error_at_the_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(StartError, match="cannot be written"):
        TraceWriter(str(tmp_path / name)).start()


def test_writer_that_never_started_stops() -> None:
    TraceWriter("t").stop(HANG_S)
