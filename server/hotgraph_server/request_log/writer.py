"""The thread that writes records to files, and what may wait for it.

What it promises: `offer` takes no lock, never waits and never raises; it says no where too much waits
already, and that is counted and told in the log. Records are written in the order in which they were
offered. A file has at most 1000 of them, which is what TensorFlow Serving takes for warming up: each file
can be put into a version's assets.extra as it is. Whenever nothing waits, everything is on disk, in whole
records. A file that cannot be written is told once; the records are lost, and the next one tries again.

What waits is bounded by credits (credits.py): a record takes one for every 64 KiB begun, and there are 1024,
so that one of more than 64 MiB is never written.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from hotgraph_server.credits import CREDIT_BYTES, CREDITS, Credits

_LOG = logging.getLogger(__name__)

MOST_RECORDS = 1000
"""In one file."""

_MOST_BYTES = 256 * 2**20


class RecordFile(Protocol):
    """A file of records, as tf.io.TFRecordWriter is."""

    def write(self, record: bytes) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class Waiting(NamedTuple):
    """A record on its way: where it goes, what makes its bytes, and how many credits it holds."""

    prefix: str
    make: Callable[[], bytes]
    credits: int


class _Open:
    """A file that is being written, and how much is in it."""

    def __init__(self, file: RecordFile) -> None:
        self.file = file
        self.records = self.nbytes = 0


class LogWriter:
    """See the head of this file.

    Args:
        open_file: makes a file by its name.
        now: seconds since 1970, for files' names.
    """

    def __init__(
        self,
        open_file: Callable[[str], RecordFile] | None = None,
        now: Callable[[], float] = time.time,
        credits: int = CREDITS,
    ) -> None:
        self._open_file = open_file or open_tfrecord
        self._now = now
        self._credits = Credits(credits)
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        # The rest belongs to the thread.
        self._files: dict[str, _Open] = {}
        self._failing: set[str] = set()
        self._opened = 0
        self._thread = threading.Thread(target=self._run, name="request log", daemon=True)

    def start(self) -> None:
        """Begin to write what is offered."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Write what waits, close the files and end; a warning says if that takes longer than `timeout_s`
        seconds."""
        self._queue.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            _LOG.warning("the request log is not all written after %.0f s; the rest is lost", timeout_s)

    def offer(self, prefix: str, nbytes: int, make: Callable[[], bytes]) -> bool:
        """Have a record written, if there is room for it. Any thread may call this, wherever it is.

        Args:
            prefix: what its file's name begins with.
            nbytes: about as many does it hold until it is written.
            make: makes its bytes; called in the writer's thread.

        Returns:
            Is it taken?
        """
        wanted = max(1, -(-nbytes // CREDIT_BYTES))
        if not self._credits.take(wanted):
            return False
        self._queue.put(Waiting(prefix, make, wanted))
        return True

    def _run(self) -> None:
        while True:
            if self._queue.empty():
                self._tidy()
            waiting = self._queue.get()
            if waiting is None:
                break
            self._write(waiting)
            self._credits.give_back(waiting.credits)
        self._tidy()
        for prefix in list(self._files):
            self._close(prefix)

    def _write(self, waiting: Waiting) -> None:
        prefix = waiting.prefix
        try:
            record = waiting.make()
            file = self._files.get(prefix)
            if file is None:
                file = self._files[prefix] = _Open(self._open_file(self._name(prefix)))
            file.file.write(record)
            file.records += 1
            file.nbytes += len(record)
            if file.records >= MOST_RECORDS or file.nbytes >= _MOST_BYTES:
                del self._files[prefix]
                file.file.close()
            self._failing.discard(prefix)
        except Exception as error:
            # OSError, and whatever TensorFlow's file systems raise: no record is worth the thread.
            self._give_up(prefix, error)

    def _tidy(self) -> None:
        """Before the thread sleeps: what is written shall be on disk, and what was lost shall be told."""
        for prefix, file in list(self._files.items()):
            try:
                file.file.flush()
            except Exception as error:
                self._give_up(prefix, error)
        lost = self._credits.refused()
        if lost:
            _LOG.warning("request log: %d calls were not written down, because too many waited", lost)

    def _give_up(self, prefix: str, error: Exception) -> None:
        if prefix not in self._failing:
            self._failing.add(prefix)
            _LOG.error("request log %s: records are lost: %s", prefix, str(error).partition("\n")[0])
        self._close(prefix)

    def _close(self, prefix: str) -> None:
        file = self._files.pop(prefix, None)
        if file is not None:
            with contextlib.suppress(Exception):
                file.file.close()

    def _name(self, prefix: str) -> str:
        """One that no file has: the second, this process, and how many files it has opened."""
        self._opened += 1
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._now()))
        return f"{prefix}-{stamp}-{os.getpid()}-{self._opened:05}.tfrecord"


def open_tfrecord(name: str) -> RecordFile:
    """A new file of TFRecords, its folder made if need be; on any file system that TensorFlow knows.

    Raises:
        OpError, OSError: it cannot be made.
    """
    import tensorflow as tf

    folder = os.path.dirname(name)
    if folder:
        tf.io.gfile.makedirs(folder)
    file: RecordFile = tf.io.TFRecordWriter(name)
    return file
