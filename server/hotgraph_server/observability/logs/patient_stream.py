"""Stderr that perhaps nobody reads: who writes waits a second at most, and no call and no stop hangs on it.

A pipe that is full lets writers wait until somebody reads, for ever if need be, and with them whoever has a
line to log. So a line that finds no room within a second is dropped and counted; those behind it wait no more
until there is room again. A pipe that can be written to has room for PIPE_BUF bytes, so pieces of that size
never wait.
"""

from __future__ import annotations

import io
import logging
import os
import select
import threading
from typing import TextIO

_PIECE = select.PIPE_BUF
_PATIENCE_MS = 1000


class PatientStream(io.TextIOBase):
    """Any thread may write.

    Args:
        stream: with a descriptor; what has none is written to as it is.
        patience_ms: that a line waits for room.
    """

    def __init__(self, stream: TextIO, patience_ms: int = _PATIENCE_MS) -> None:
        super().__init__()
        self._stream = stream
        self._patience_ms = patience_ms
        self._lock = threading.Lock()  # guards what follows, and keeps lines whole
        self._is_stuck = False
        self._lost = 0
        self._is_cut = False  # in the middle of a line

    def write(self, text: str) -> int:
        """A line with its end. Raises OSError: nobody will ever read it."""
        try:
            descriptor = self._stream.fileno()
        except (OSError, ValueError, AttributeError):
            return self._stream.write(text)
        whole = text.encode("utf-8", "backslashreplace")
        with self._lock:
            data = memoryview(b"\n" + whole if self._is_cut else whole)
            while data:
                if not self._has_room(descriptor):
                    self._lost += 1
                    break
                data = data[os.write(descriptor, data[:_PIECE]) :]
                self._is_cut = bool(data)
        return len(text)

    def flush(self) -> None:
        """See TextIOBase; nothing is held back."""
        if not self._stream.closed:
            self._stream.flush()

    def take_lost(self) -> int:
        """How many lines were dropped, if there is room to tell of them; they are counted no longer."""
        with self._lock:
            if not self._lost or not self._has_room(self._stream.fileno()):
                return 0
            lost, self._lost = self._lost, 0
            return lost

    def _has_room(self, descriptor: int) -> bool:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        self._is_stuck = not poll.poll(0 if self._is_stuck else self._patience_ms)
        return not self._is_stuck


class PatientHandler(logging.StreamHandler[PatientStream]):
    """Writes entries to a stream that perhaps nobody reads, and how many were lost once somebody does."""

    def emit(self, record: logging.LogRecord) -> None:
        """See Handler."""
        if lost := self.stream.take_lost():
            told = (f"{lost} lines of the log were lost, because nobody read them", (), None)
            super().emit(logging.LogRecord(__name__, logging.WARNING, "", 0, *told))
        super().emit(record)
