"""Processors that replicas on one machine do not share: each holds a locked file for every one of its own.

The system gives a lock back when its holder ends, however it ends, so nothing has to be tidied up. Where not
enough processors are free (several virtual nodes on one machine, or other replicas), a replica runs on all of
them: shared is better than not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path


class Cores:
    """Processors held; of this process's own, which may be fewer than the machine's.

    Args:
        folder: for the files, the same for all on this machine.

    Attributes:
        held: their numbers; empty: it runs on all.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir()) / f"hotgraph-cores-{os.getuid()}"
        self._files: list[int] = []
        self.held: frozenset[int] = frozenset()

    def take(self, count: int) -> frozenset[int]:
        """Hold so many, or none where fewer are free; returns them."""
        self.give_back()
        usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if not 0 < count < len(usable):
            return self.held
        taken: list[int] = []
        for core in usable:
            if len(taken) < count and (file := self._locked(core)) is not None:
                self._files.append(file)
                taken.append(core)
        if len(taken) < count:
            self.give_back()
        else:
            self.held = frozenset(taken)
        return self.held

    def give_back(self) -> None:
        """Hold none."""
        for file in self._files:
            os.close(file)
        self._files = []
        self.held = frozenset()

    def _locked(self, core: int) -> int | None:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            # Not through a link that another user has put there.
            flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(self._folder / str(core), flags, 0o600)
        except OSError:
            return None
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        os.close(file)
        return None
