"""SavedModels that were made of files, kept in the user's cache by what is in these.

A folder of this user's alone, for what lies in it is run. An entry appears whole, by being renamed, and is
never changed; a process that has taken one holds a lock on it as long as it lives, and when there are too
many or they are too large, the ones that nobody holds go, the longest unused first.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hotgraph_server.errors import LoadError

_CHUNK = 1 << 20
_LOCK = ".lock"


def usual_folder() -> Path:
    """Where this user's cache is, as the XDG Base Directory Specification has it."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (
        (Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~/.cache"))) / "hotgraph" / "models"
    )


def content_hash(path: Path, *more: str) -> str:
    """Of a file and of words that count as well. Raises OSError."""
    digest = hashlib.sha256("\0".join(more).encode())
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass
class Cache:
    """The folder.

    Attributes:
        folder: made when it is first needed.
        most: entries.
        most_bytes: of all of them together.
    """

    folder: Path
    most: int = 64
    most_bytes: int = 20 << 30
    _held: dict[Path, int] = field(default_factory=dict)

    def entry(self, stem: str, key: str) -> Path:
        """Where the SavedModel of such a file is or would be, for `make` or `take`."""
        return self.folder / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', stem)[:60].lstrip('.') or 'model'}-{key[:24]}"

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            LoadError: it cannot be made, or others may write in it.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self.folder.stat()
        except OSError as error:
            raise LoadError(
                str(self.folder),
                f"cannot be made: {error.strerror}; XDG_CACHE_HOME names another place,"
                f" --no-conversion-cache none",
            ) from error
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & (stat.S_IWGRP | stat.S_IWOTH):
            raise LoadError(
                str(self.folder),
                "others may write here, and models are programs: chmod 700, and make it yours",
            )

    def take(self, entry: Path) -> bool:
        """Is it there? Then it stays as long as this process lives."""
        if entry not in self._held:
            try:
                lock = os.open(_lock_of(entry), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                return False
            # Waits for nobody but one that is removing it this moment.
            fcntl.flock(lock, fcntl.LOCK_SH)
            if not (entry / "saved_model.pb").is_file():
                os.close(lock)
                return False
            self._held[entry] = lock
        with contextlib.suppress(OSError):
            os.utime(entry)
        return True

    def trim(self) -> None:
        """Remove what is too much."""
        entries = sorted(self._entries(), key=lambda one: one[1], reverse=True)
        total = 0
        for count, (entry, _, size) in enumerate(entries, 1):
            total += size
            # The last one made is kept, however large.
            if count > 1 and (count > self.most or total > self.most_bytes) and self._remove(entry):
                total -= size

    def _entries(self) -> Iterator[tuple[Path, float, int]]:
        with contextlib.suppress(OSError):
            for entry in self.folder.iterdir():
                if not entry.name.startswith(".") and entry.is_dir():
                    with contextlib.suppress(OSError):
                        yield (
                            entry,
                            entry.stat().st_mtime,
                            sum(one.stat().st_size for one in entry.rglob("*")),
                        )

    def _remove(self, entry: Path) -> bool:
        try:
            lock = os.open(_lock_of(entry), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        else:
            shutil.rmtree(entry, ignore_errors=True)
            return True
        finally:
            # The lock's file stays: who waits for it shall not get one that is nobody's any more.
            os.close(lock)


def _lock_of(entry: Path) -> Path:
    return entry.with_name(f".{entry.name}{_LOCK}")
