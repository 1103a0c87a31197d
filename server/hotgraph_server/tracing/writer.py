"""The thread that writes traces to files, and what may wait for it.

What it promises: `offer` takes no lock, never waits and never raises; what it does not take, because too
much waits, is counted and told in the log. A file is one JSON array and complete whenever nothing waits. A
file that cannot be written is told once; its traces are lost, and the next one tries again. Files of the same
name from an earlier time are replaced.

What waits is bounded by credits (credits.py): a trace takes one, and one more for every 64 KiB of tensors.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
from collections.abc import Iterable
from typing import Any

from hotgraph_server.credits import CREDIT_BYTES, CREDITS, Credits
from hotgraph_server.errors import StartError
from hotgraph_server.tracing.trace import Trace

_LOG = logging.getLogger(__name__)


class TraceWriter:
    """See the head of this file; `path` is the name of the file, or what comes before its number."""

    def __init__(self, path: str, credits: int = CREDITS) -> None:
        self._path = path
        self._credits = Credits(credits)
        self._queue: queue.SimpleQueue[tuple[Trace, int] | None] = queue.SimpleQueue()
        # The rest belongs to the thread.
        self._whole: _ArrayFile | None = None
        self._numbered: dict[str, _ArrayFile] = {}
        self._opened = 0
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def start(self) -> None:
        """Begin to write what is offered.

        Raises:
            StartError: there is no folder for the file, or none to write to.
        """
        folder = os.path.dirname(self._path) or "."
        if not os.access(folder, os.W_OK) or os.path.isdir(self._path):
            raise StartError(f"--trace-file {self._path} cannot be written")
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Write what waits and end; a warning says if that takes longer than `timeout_s` seconds."""
        if self._thread.ident is None:
            return
        self._queue.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            _LOG.warning("the traces are not all written after %.0f s; the rest is lost", timeout_s)

    def offer(self, trace: Trace) -> bool:
        """Have a trace written, if there is room for it. Any thread may call this, wherever it is.

        Returns:
            Is it taken?
        """
        wanted = 1 + trace.nbytes // CREDIT_BYTES
        if not self._credits.take(wanted):
            return False
        self._queue.put((trace, wanted))
        return True

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            trace, credits = item
            self._write(trace)
            self._credits.give_back(credits)
            if self._queue.empty():
                self._tell_lost()
        self._tell_lost()
        for file in (*self._numbered.values(), *filter(None, [self._whole])):
            file.close()

    def _tell_lost(self) -> None:
        lost = self._credits.refused()
        if lost:
            _LOG.warning("%d traces were not written, because too many waited", lost)

    def _write(self, trace: Trace) -> None:
        try:
            file = self._file_for(trace)
            file.add(trace.entries())
            if 0 < trace.drawn.log_frequency <= file.traces:
                del self._numbered[trace.drawn.of]
                file.close()
            self._failing = False
        except Exception as error:
            # No trace is worth the thread.
            if not self._failing:
                _LOG.error("traces are lost: %s: %s", self._path, error)
            self._failing = True

    def _file_for(self, trace: Trace) -> _ArrayFile:
        of = trace.drawn.of
        if not trace.drawn.log_frequency:
            self._whole = self._whole or _ArrayFile(self._path)
            return self._whole
        if of not in self._numbered:
            self._numbered[of] = _ArrayFile(f"{self._path}.{self._opened}")
            self._opened += 1
        return self._numbered[of]


class _ArrayFile:
    """A file with one JSON array, which is whole after every `add`.

    Attributes:
        traces: how often something was added.
    """

    def __init__(self, path: str) -> None:
        self.traces = 0
        # Open for as long as the server runs.
        self._file = open(path, "wb")  # noqa: SIM115
        self._file.write(b"[")
        self._end = 1

    def add(self, entries: Iterable[dict[str, Any]]) -> None:
        """Append entries."""
        text = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
        self._file.seek(self._end)
        self._file.write(((",\n" if self.traces else "\n") + text).encode())
        self._end = self._file.tell()
        self._file.write(b"\n]\n")
        self._file.flush()
        self.traces += 1

    def close(self) -> None:
        """Nothing comes any more."""
        self._file.close()
