"""The thread that writes traces to files, and what may wait for it.

What it promises: `offer` takes no lock, never waits and never raises; what it does not take, because too
much waits, is counted and told in the log. A file is one JSON array and complete after every trace, also
where the disk is full in the middle of one: what of it was written is taken back, and a file with none is
removed. That a file cannot be written is told once, its traces are lost, and each next one tries again; when
one could be written, the log says how many were not. Files of that name from an earlier time are replaced.

What waits is bounded by credits (threads/write_budget.py): a trace takes one, and one more for every 64 KiB
of tensors.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
from collections.abc import Iterable
from typing import Any

from hotgraph_server.errors import StartError
from hotgraph_server.observability.tracing.trace import Trace
from hotgraph_server.threads.budgeted_writer import BudgetedWriter
from hotgraph_server.threads.write_budget import CREDIT_BYTES, CREDITS

_LOG = logging.getLogger(__name__)

_END = b"\n]\n"


class TraceWriter(BudgetedWriter[Trace]):
    """See the head of this file; `path` is the name of the file, or what comes before its number."""

    def __init__(self, path: str, credits: int = CREDITS) -> None:
        super().__init__("traces", "the traces are", credits)
        self._path = path
        # The rest belongs to the thread.
        self._whole: _ArrayFile | None = None
        self._numbered: dict[str, _ArrayFile] = {}
        self._opened = 0
        self._unwritten = 0  # since the last that could be written

    def start(self) -> None:
        """Begin to write what is offered.

        Raises:
            StartError: there is no folder for the file, or none to write to.
        """
        folder = os.path.dirname(self._path) or "."
        if not os.access(folder, os.W_OK) or os.path.isdir(self._path):
            raise StartError(f"--trace-file {self._path} cannot be written")
        super().start()

    def offer(self, trace: Trace) -> bool:
        """Have a trace written, if there is room for it. Any thread may call this, wherever it is.

        Returns:
            Is it taken?
        """
        return self._offer(trace, 1 + trace.nbytes // CREDIT_BYTES)

    def idle(self) -> None:
        """See BudgetedWriter."""
        if refused := self._count_refused():
            _LOG.warning("%d traces were not written, because too many waited", refused)

    def close(self) -> None:
        """See BudgetedWriter."""
        self._tell_unwritten()
        for file in (*self._numbered.values(), *filter(None, [self._whole])):
            file.close()

    def write(self, item: Trace) -> None:
        """See BudgetedWriter."""
        drawn = item.drawn
        assert drawn is not None, "not for a file"
        of, numbered = drawn.of, drawn.log_frequency > 0
        try:
            file = self._numbered.get(of) if numbered else self._whole
            if file is None:
                file = _ArrayFile(f"{self._path}.{self._opened}" if numbered else self._path)
            file.add(item.entries())
        except Exception as error:
            # No trace is worth the thread.
            self._unwritten += 1
            self.lost += 1
            if self._unwritten == 1:
                _LOG.error("traces are lost: %s: %s", self._path, error)
            return
        self._tell_unwritten()
        if not numbered:
            self._whole = file
            return
        # A number is used up with the first trace under it.
        self._opened += file.traces == 1
        self._numbered[of] = file
        if file.traces >= drawn.log_frequency:
            self._numbered.pop(of).close()

    def _tell_unwritten(self) -> None:
        if self._unwritten:
            _LOG.warning("%d traces were lost while %s could not be written", self._unwritten, self._path)
            self._unwritten = 0


class _ArrayFile:
    """A file with one JSON array, which is whole after every `add`, or not there.

    Attributes:
        traces: how often something was added.
    """

    def __init__(self, path: str) -> None:
        self.traces = 0
        self._path = path
        # Open for as long as the server runs.
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115
        self._end = 0

    def add(self, entries: Iterable[dict[str, Any]]) -> None:
        """Append entries.

        Raises:
            OSError: they could not be written; the file is as before, and removed if it has none.
        """
        text = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
        added = ((",\n" if self.traces else "[\n") + text).encode()
        try:
            self._write(added + _END)
        except OSError:
            self._take_back()
            raise
        self._end += len(added)
        self.traces += 1

    def close(self) -> None:
        """Nothing comes any more."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        """At the end of what is whole."""
        at, left = self._end, memoryview(data)
        while left:
            written = os.pwrite(self._file.fileno(), left, at)
            at, left = at + written, left[written:]

    def _take_back(self) -> None:
        with contextlib.suppress(OSError):
            if self.traces:
                # Where this lay there is room for it.
                self._write(_END)
                self._file.truncate(self._end + len(_END))
                return
            self.close()
            # Never a device, if that is what the file is.
            if stat.S_ISREG(os.stat(self._path).st_mode):
                os.unlink(self._path)
