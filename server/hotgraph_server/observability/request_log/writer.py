"""The thread that writes records to files, and what may wait for it.

What it promises: `offer` takes no lock, never waits and never raises; it says no where too much waits
already, and that is counted and told in the log. Records are written in the order in which they were
offered. A file has at most 1000 of them, which is what TensorFlow Serving takes for warming up: each file
can be put into a version's assets.extra as it is. Whenever nothing waits, everything is on disk, in whole
records. That a file cannot be written is told once. Of such a file what is not whole is cut off, and all of
it if there is nothing else; the records are lost, and the next one a second later tries again. When that has
worked, the log says how many were lost.

What waits is bounded by credits (threads/write_budget.py): a record takes one for every 64 KiB begun, and
there are 1024, so that one of more than 64 MiB is never written.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from hotgraph_server.errors import first_line
from hotgraph_server.threads.budgeted_writer import BudgetedWriter
from hotgraph_server.threads.write_budget import CREDIT_BYTES, CREDITS

_LOG = logging.getLogger(__name__)

MAX_RECORDS = 1000
"""In one file."""

_MAX_BYTES = 256 * 2**20
# A file that cannot be written is tried again after so long.
_RETRY_S = 1.0


class RecordFile(Protocol):
    """A file of records, as tf.io.TFRecordWriter is."""

    def write(self, record: bytes) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class Disk(Protocol):
    """Where files are. Every method raises OSError, or an error of TensorFlow's file systems."""

    def open(self, name: str) -> RecordFile:
        """A new file, its folder made if need be."""

    def size(self, name: str) -> int:
        """Of a file, bytes."""

    def cut(self, name: str, size: int) -> None:
        """Leave only the first `size` bytes of a closed file, and no file where that is none."""


class Waiting(NamedTuple):
    """A record on its way: where it goes, and what makes its bytes."""

    prefix: str
    make: Callable[[], bytes]


class _Open:
    """A file that is being written, how much is in it, and how much of that is on disk."""

    def __init__(self, name: str, file: RecordFile) -> None:
        self.name = name
        self.file = file
        self.records = self.nbytes = 0
        self.unflushed = 0
        self.whole_bytes = 0


@dataclass
class _Failing:
    """A log that cannot be written: until when it is not tried, and what was lost."""

    until: float
    lost: int = 0


class LogWriter(BudgetedWriter[Waiting]):
    """See the head of this file.

    Args:
        disk: where files are made; None: wherever TensorFlow can write.
        now: seconds since 1970, for files' names.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        disk: Disk | None = None,
        now: Callable[[], float] = time.time,
        credits: int = CREDITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("request log", "the request log is", credits)
        self._disk = disk or TensorFlowDisk()
        self._now = now
        self._clock = clock
        # The rest belongs to the thread.
        self._files: dict[str, _Open] = {}
        self._failing: dict[str, _Failing] = {}
        self._opened = 0

    def offer(self, prefix: str, nbytes: int, make: Callable[[], bytes]) -> bool:
        """Have a record written, if there is room for it. Any thread may call this, wherever it is.

        Args:
            prefix: what its file's name begins with.
            nbytes: about as many does it hold until it is written.
            make: makes its bytes; called in the writer's thread.

        Returns:
            Is it taken?
        """
        return self._offer(Waiting(prefix, make), max(1, -(-nbytes // CREDIT_BYTES)))

    def close(self) -> None:
        """See BudgetedWriter."""
        for prefix in list(self._files):
            self._close(prefix)
        for prefix in list(self._failing):
            self._tell_lost(prefix)

    def write(self, item: Waiting) -> None:
        """See BudgetedWriter."""
        prefix = item.prefix
        failing = self._failing.get(prefix)
        if failing is not None and self._clock() < failing.until:
            self._lose(failing, 1)
            return
        try:
            record = item.make()
        except Exception:
            self.lost += 1
            _LOG.exception("request log %s: a record could not be made", prefix)
            return
        try:
            file = self._files.get(prefix)
            if file is None:
                name = self._name(prefix)
                file = self._files[prefix] = _Open(name, self._disk.open(name))
            file.unflushed += 1
            file.file.write(record)
            file.records += 1
            file.nbytes += len(record)
            if failing is not None:
                # Whether there is room shows when it is on disk, and no sooner.
                self._flush(prefix, file)
            if file.records >= MAX_RECORDS or file.nbytes >= _MAX_BYTES:
                self._flush(prefix, file)
                del self._files[prefix]
                file.file.close()
        except Exception as error:
            # OSError, and whatever TensorFlow's file systems raise: no record is worth the thread.
            self._give_up(prefix, error)

    def idle(self) -> None:
        """What is written shall be on disk, and what was lost shall be told."""
        for prefix, file in list(self._files.items()):
            try:
                self._flush(prefix, file)
            except Exception as error:
                self._give_up(prefix, error)
        if refused := self._count_refused():
            _LOG.warning("request log: %d calls were not written down, because too many waited", refused)

    def _flush(self, prefix: str, file: _Open) -> None:
        if file.unflushed:
            file.file.flush()
            file.unflushed = 0
            file.whole_bytes = self._disk.size(file.name)
            self._tell_lost(prefix)

    def _give_up(self, prefix: str, error: Exception) -> None:
        """What was written since the last flush is lost."""
        file = self._files.pop(prefix, None)
        failing = self._failing.get(prefix)
        if failing is None:
            failing = self._failing[prefix] = _Failing(0.0)
            _LOG.error("request log %s: records are lost: %s", prefix, first_line(error))
        failing.until = self._clock() + _RETRY_S
        self._lose(failing, file.unflushed if file is not None else 1)
        if file is not None:
            with contextlib.suppress(Exception):
                file.file.close()
            with contextlib.suppress(Exception):
                self._disk.cut(file.name, file.whole_bytes)

    def _lose(self, failing: _Failing, records: int) -> None:
        failing.lost += records
        self.lost += records

    def _tell_lost(self, prefix: str) -> None:
        failing = self._failing.pop(prefix, None)
        if failing is not None:
            _LOG.warning(
                "request log %s: %d records were lost while it could not be written", prefix, failing.lost
            )

    def _close(self, prefix: str) -> None:
        file = self._files.pop(prefix)
        with contextlib.suppress(Exception):
            file.file.close()

    def _name(self, prefix: str) -> str:
        """One that no file has: the second, this process, and how many files it has opened."""
        self._opened += 1
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._now()))
        return f"{prefix}-{stamp}-{os.getpid()}-{self._opened:05}.tfrecord"


class TensorFlowDisk:
    """Files of TFRecords, on any file system that TensorFlow knows."""

    def open(self, name: str) -> RecordFile:
        """As Disk's."""
        import tensorflow as tf

        folder = os.path.dirname(name)
        if folder:
            tf.io.gfile.makedirs(folder)
        file: RecordFile = tf.io.TFRecordWriter(name)
        return file

    def size(self, name: str) -> int:
        """As Disk's."""
        import tensorflow as tf

        return int(tf.io.gfile.stat(name).length)

    def cut(self, name: str, size: int) -> None:
        """As Disk's. Elsewhere than on this machine a file cannot be cut, and stays as it is."""
        import tensorflow as tf

        if not size:
            tf.io.gfile.remove(name)
        elif os.path.isfile(name):
            os.truncate(name, size)
