"""writer.py: what is promised at its head, with files held shut by the test, and with TensorFlow's own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hotgraph_server.observability.request_log.writer import MAX_RECORDS, LogWriter, RecordFile

PATIENCE_S = 60.0


class Disk:
    """Files in memory. With the gate shut, writing waits; with `broken` set, no file is made; with `room` for
    so many records, flushing more fails after half of the next one."""

    def __init__(self) -> None:
        self.files: dict[str, list[bytes]] = {}
        self.closed: list[str] = []
        self.flushed = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.broken = False
        self.room = 10**9
        self.now = 0.0

    def open(self, name: str) -> RecordFile:
        if self.broken:
            raise OSError(28, "no space left on device")
        self.files[name] = []
        return _File(self, name)

    def size(self, name: str) -> int:
        return len(self.files[name])

    def cut(self, name: str, size: int) -> None:
        assert name in self.closed
        del self.files[name][size:]
        if not size:
            del self.files[name]

    @property
    def records(self) -> list[bytes]:
        return [record for records in self.files.values() for record in records]


class _File:
    def __init__(self, disk: Disk, name: str) -> None:
        self.disk, self.name = disk, name
        self.buffer: list[bytes] = []

    def write(self, record: bytes) -> None:
        self.disk.entered.set()
        assert self.disk.gate.wait(PATIENCE_S)
        self.buffer.append(record)

    def flush(self) -> None:
        while self.buffer:
            if not self.disk.room:
                self.disk.files[self.name].append(b"half")
                raise OSError(28, "no space left on device")
            self.disk.room -= 1
            self.disk.files[self.name].append(self.buffer.pop(0))
        self.disk.flushed.set()

    def close(self) -> None:
        self.disk.closed.append(self.name)
        self.flush()


def making(record: bytes) -> Callable[[], bytes]:
    return lambda: record


@pytest.fixture
def disk() -> Disk:
    return Disk()


def started(disk: Disk, credits: int = 1024) -> LogWriter:
    made = LogWriter(disk, now=lambda: 0.0, credits=credits, clock=lambda: disk.now)
    made.start()
    return made


def test_records_are_written_in_their_order_and_files_are_closed_at_the_end(disk: Disk) -> None:
    log = started(disk)
    records = [str(number).encode() for number in range(50)]
    for record in records:
        assert log.offer("/logs/a", len(record), making(record))
    log.stop(PATIENCE_S)
    assert disk.records == records
    (name,) = disk.files
    assert name.startswith("/logs/a-19700101T000000Z-")
    assert name.endswith("-00001.tfrecord")
    assert disk.closed == [name]


def test_each_prefix_has_its_own_file(disk: Disk) -> None:
    log = started(disk)
    log.offer("/a", 1, making(b"a"))
    log.offer("/b", 1, making(b"b"))
    log.stop(PATIENCE_S)
    assert sorted(disk.files.values()) == [[b"a"], [b"b"]]


def test_file_has_as_many_records_as_a_warm_up_may_have_and_the_next_one_begins(disk: Disk) -> None:
    log = started(disk, credits=2 * MAX_RECORDS)
    for number in range(MAX_RECORDS + 1):
        assert log.offer("/a", 1, making(str(number).encode()))
    log.stop(PATIENCE_S)
    assert [len(records) for records in disk.files.values()] == [MAX_RECORDS, 1]
    assert len(disk.closed) == 2


def test_what_is_written_is_on_disk_before_the_thread_sleeps(disk: Disk) -> None:
    log = started(disk)
    log.offer("/a", 1, making(b"a"))
    assert disk.flushed.wait(PATIENCE_S)
    assert disk.records == [b"a"]
    log.stop(PATIENCE_S)


def test_offer_never_waits_and_what_was_lost_is_told(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    disk.gate.clear()
    log = started(disk, credits=3)
    assert log.offer("/a", 1, making(b"held"))
    assert disk.entered.wait(PATIENCE_S)
    assert log.offer("/a", 1, making(b"waits"))
    # two credits where one is left: given back, for the next small one
    assert not log.offer("/a", 64 * 1024 + 1, making(b"large"))
    assert log.offer("/a", 64 * 1024, making(b"fits"))
    assert not log.offer("/a", 1, making(b"lost"))
    with caplog.at_level(logging.WARNING):
        disk.gate.set()
        log.stop(PATIENCE_S)
    assert disk.records == [b"held", b"waits", b"fits"]
    assert [record.getMessage() for record in caplog.records] == [
        "request log: 2 calls were not written down, because too many waited"
    ]


def test_credits_come_back_when_a_record_is_written(disk: Disk) -> None:
    log = started(disk, credits=1)
    for number in range(20):
        disk.flushed.clear()
        assert log.offer("/a", 1, making(str(number).encode()))
        assert disk.flushed.wait(PATIENCE_S)
    log.stop(PATIENCE_S)
    assert len(disk.records) == 20


def test_disk_that_fails_is_told_once_and_tried_again(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    disk.broken = True
    log = started(disk, credits=1)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            while not log.offer("/a", 1, making(b"lost")):
                pass
        disk.broken = False
        disk.now = 1.0
        while not log.offer("/a", 1, making(b"kept")):
            pass
        log.stop(PATIENCE_S)
    assert disk.records == [b"kept"] or disk.records == [b"lost", b"kept"]
    (told,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert told.startswith("request log /a: records are lost: ")


def one_by_one(log: LogWriter, *records: bytes) -> None:
    """Offer records, each when the one before is dealt with; the log has a single credit."""
    for record in records:
        while not log.offer("/a", 1, making(record)):
            pass


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records]
    return [line for line in lines if "too many waited" not in line]


FULL = "request log /a: records are lost: [Errno 28] no space left on device"


def test_full_disk_leaves_no_empty_files_and_is_told_once_with_what_it_cost(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.room = 0
    log = started(disk, credits=1)
    with caplog.at_level(logging.WARNING):
        for second in range(5):
            disk.now = float(second)
            one_by_one(log, b"lost", b"lost", b"lost")
        while not log.offer("/b", 1, making(b"lost too")):
            pass
        log.stop(PATIENCE_S)
    assert disk.files == {}
    assert told(caplog) == [
        FULL,
        FULL.replace("/a", "/b"),
        "request log /a: 15 records were lost while it could not be written",
        "request log /b: 1 records were lost while it could not be written",
    ]


def test_file_keeps_what_was_whole_and_goes_on_when_there_is_room(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.room = 1
    log = started(disk, credits=1)
    with caplog.at_level(logging.WARNING):
        one_by_one(log, b"kept")
        assert disk.flushed.wait(PATIENCE_S)
        one_by_one(log, b"lost", b"lost", b"lost")
        while not log.offer("/other", 1, making(b"lost")):
            pass
        disk.room, disk.now = 10, 1.0
        one_by_one(log, b"again")
        log.stop(PATIENCE_S)
    first, second = (records for name, records in disk.files.items() if name.startswith("/a"))
    assert (first, second) == ([b"kept"], [b"again"])
    assert [line for line in told(caplog) if "/a" in line] == [
        FULL,
        "request log /a: 3 records were lost while it could not be written",
    ]


def test_what_cannot_be_flushed_is_counted_record_by_record(disk: Disk) -> None:
    disk.gate.clear()
    disk.room = 0
    log = started(disk)
    for _ in range(7):
        assert log.offer("/a", 1, making(b"lost"))
    disk.gate.set()
    log.stop(PATIENCE_S)
    assert (log.lost, disk.files) == (7, {})


def test_record_that_cannot_be_made_ends_nothing(disk: Disk) -> None:
    def broken() -> bytes:
        raise ValueError("no record")

    log = started(disk)
    log.offer("/a", 1, broken)
    log.offer("/a", 1, making(b"next"))
    log.stop(PATIENCE_S)
    assert disk.records == [b"next"]


def test_stop_does_not_wait_for_a_disk_that_hangs(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    disk.gate.clear()
    log = started(disk)
    log.offer("/a", 1, making(b"held"))
    assert disk.entered.wait(PATIENCE_S)
    with caplog.at_level(logging.WARNING):
        log.stop(0.0)
    assert "not all written" in caplog.text
    disk.gate.set()
    log.stop(PATIENCE_S)


@settings(max_examples=20, deadline=None)
@given(records=st.lists(st.binary(max_size=300), min_size=1, max_size=20))
def test_files_are_tfrecords(records: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = LogWriter()
    log.start()
    for record in records:
        assert log.offer(str(folder / "made" / "here"), len(record), making(record))
    log.stop(PATIENCE_S)
    (file,) = (folder / "made").iterdir()
    assert list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator()) == records


def test_folder_that_cannot_be_made_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    log = LogWriter()
    log.start()
    log.offer(str(tmp_path / "file" / "log"), 1, making(b"lost"))
    with caplog.at_level(logging.ERROR):
        log.stop(PATIENCE_S)
    assert "records are lost" in caplog.text
