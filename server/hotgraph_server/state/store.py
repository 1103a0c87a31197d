"""The snapshots of one version in one folder: written so that a crash at any moment leaves the older ones,
read so that a damaged one is passed over.

A snapshot is ``WRITES.snapshot`` with the writes in twenty digits, so that names sort as the state went on.
What is being written is ``WRITES.partial``, which no reader looks at; the next writer removes what a crash
has left of them. ``WRITES.aside`` is what a person has set aside.

One process writes to a folder. Any may read it meanwhile: a file that is pruned between being listed and
being read is passed over.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hotgraph_server.state.files import Disk, Files, write_whole
from hotgraph_server.state.snapshot import Damaged, Snapshot, decode, encode

_LOG = logging.getLogger(__name__)

_NAME = re.compile(r"(\d{20})\.snapshot")
_SNAPSHOT = ".snapshot"
_PARTIAL = ".partial"
_ASIDE = ".aside"


@dataclass(frozen=True)
class Found:
    """A file with a snapshot's name; `snapshot` is what it holds, or None and `damage` says why not."""

    path: Path
    writes: int
    snapshot: Snapshot | None
    damage: str = ""


def name_of(writes: int) -> str:
    """The file's, of the snapshot after so many writes."""
    return f"{writes:020}{_SNAPSHOT}"


class Store:
    """One folder; `keep` snapshots stay in it. Used by one thread at a time."""

    def __init__(self, folder: Path, keep: int, files: Files | None = None) -> None:
        self.folder = folder
        self._keep = keep
        self._files = files or Disk()
        self._tidy = False

    def save(self, snapshot: Snapshot) -> Path:
        """Write a snapshot; when it returns, no crash can take it away. Returns its path.

        Raises:
            OSError: it could not be written; those that were there are there.
        """
        files = self._files
        files.make_folder(self.folder)
        if not self._tidy:
            self._remove_partials()
        # Until this one has its name; what a full disk has cut short must not go on filling it.
        self._tidy = False
        path = self.folder / name_of(snapshot.header.writes)
        partial = path.with_suffix(_PARTIAL)
        write_whole(files, path, partial, encode(snapshot))
        self._tidy = True
        self._prune(snapshot.header.writes)
        return path

    def find(self) -> Iterator[Found]:
        """Each file, read when it is asked for, the one with the most writes first.

        Raises:
            OSError: the folder cannot be read.
        """
        for writes, path in self._paths():
            try:
                yield Found(path, writes, decode(self._files.read(path)))
            except FileNotFoundError:
                continue
            except (Damaged, OSError) as error:
                yield Found(path, writes, None, str(error))

    def newest(self, identity: str) -> tuple[Snapshot, Path] | None:
        """The newest whole snapshot of the SavedModel with this identity; what is passed over is logged.

        Raises:
            OSError: the folder cannot be read.
        """
        for found in self.find():
            if found.snapshot is None:
                _LOG.warning("snapshot %s is passed over: %s", found.path, found.damage)
            elif found.snapshot.header.identity != identity:
                _LOG.warning("snapshot %s is passed over: it is of another SavedModel", found.path)
            else:
                return found.snapshot, found.path
        return None

    def set_aside(self, newer_than: int) -> list[Path]:
        """Rename the snapshots with more writes, so that no start finds them; returns their new paths.

        Raises:
            OSError: one could not be.
        """
        aside = []
        for writes, path in self._paths():
            if writes > newer_than:
                aside.append(path.with_suffix(_ASIDE))
                self._files.rename(path, aside[-1])
        if aside:
            self._files.sync_folder(self.folder)
        return aside

    def take_back(self, path: Path) -> Path:
        """Undo `set_aside` for one of the folder's files; returns the path that it has then.

        Raises:
            OSError: it could not be.
        """
        if path.suffix != _ASIDE:
            return path
        back = path.with_suffix(_SNAPSHOT)
        self._files.rename(path, back)
        self._files.sync_folder(self.folder)
        return back

    def _paths(self) -> list[tuple[int, Path]]:
        found = [(match, name) for name in self._files.names(self.folder) if (match := _NAME.fullmatch(name))]
        return sorted(((int(match[1]), self.folder / name) for match, name in found), reverse=True)

    def _prune(self, newest: int) -> None:
        """Remove what is too old. That it could not be is no reason to say that nothing was saved."""
        paths = self._paths()
        # More writes than the newest has: of a line that was given up when an older snapshot was restored.
        stale = [path for writes, path in paths if writes > newest]
        old = [path for writes, path in paths if writes <= newest][self._keep :]
        for path in (*stale, *old):
            try:
                self._files.remove(path)
            except OSError as error:
                _LOG.warning("snapshot %s cannot be removed: %s", path, error)

    def _remove_partials(self) -> None:
        for name in self._files.names(self.folder):
            if name.endswith(_PARTIAL):
                self._files.remove(self.folder / name)
