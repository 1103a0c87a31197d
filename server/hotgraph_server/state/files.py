"""The few things that state asks of a file system, so that a test can put another one in its place.

A file counts as there when its bytes were synced, it was renamed to its name, and the folder was synced; at
whatever call the machine stops, a reader finds the file whole under its name or not at all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """Every method raises OSError."""

    def make_folder(self, folder: Path) -> None:
        """Make it and those above it, durably; nothing happens if it is there."""

    def names(self, folder: Path) -> list[str]:
        """What is in it; nothing if it is not there."""

    def read(self, path: Path) -> bytes:
        """A whole file."""

    def write(self, path: Path, pieces: Iterable[bytes | memoryview]) -> None:
        """A new file, or one in the place of another; not durable yet."""

    def sync(self, path: Path) -> None:
        """Returns when the bytes of a file are durable."""

    def rename(self, origin: Path, end: Path) -> None:
        """In one folder; not durable yet."""

    def sync_folder(self, folder: Path) -> None:
        """Returns when the names in it are durable."""

    def remove(self, path: Path) -> None:
        """Not durable yet."""


def write_whole(files: Files, path: Path, partial: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """A file that is found whole or not at all, whenever the machine stops; durable when this returns.

    Args:
        path: the file's, also where there is one already.
        partial: the name that it has while it is written, in the same folder, which is there.

    Raises:
        OSError: it could not be written; what had the name `path` is there as it was, or this file is.
    """
    files.write(partial, pieces)
    files.sync(partial)
    files.rename(partial, path)
    files.sync_folder(path.parent)


class Disk:
    """The file system of this machine."""

    def make_folder(self, folder: Path) -> None:
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for one in reversed(missing):
            one.mkdir(exist_ok=True)
            self.sync_folder(one.parent)

    def names(self, folder: Path) -> list[str]:
        try:
            return os.listdir(folder)
        except FileNotFoundError:
            return []

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def write(self, path: Path, pieces: Iterable[bytes | memoryview]) -> None:
        with path.open("wb") as file:
            file.writelines(pieces)

    def sync(self, path: Path) -> None:
        with path.open("rb+") as file:
            os.fsync(file.fileno())

    def rename(self, origin: Path, end: Path) -> None:
        origin.replace(end)

    def sync_folder(self, folder: Path) -> None:
        # Some systems cannot open a folder, and need not: there the rename itself is durable.
        with contextlib.suppress(PermissionError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def remove(self, path: Path) -> None:
        path.unlink()
