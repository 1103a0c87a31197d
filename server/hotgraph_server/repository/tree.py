"""All that is below a folder: to see whether it is still being copied. Looks, never reads.

What cannot be looked at (a stale handle, a link to nowhere, a folder of somebody else's) is left out: whether
it is needed, and what is wrong with it then, TensorFlow says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

Files = frozenset[tuple[str, int, int]]
"""For each file below a folder: its path from there, its size in bytes, and when it was last written, ns."""


@dataclass(frozen=True)
class Tree:
    """What is below a folder now.

    Attributes:
        files: see there.
        changed_ns: when anything in it, or the folder, last became another: written, moved, or opened to
            others, which the files alone do not show.
    """

    files: Files = frozenset()
    changed_ns: int = 0


def tree_of(folder: Path) -> Tree:
    """What is below a folder, links followed, each folder once."""
    files = []
    changed_ns = 0
    for path, status in _below(folder):
        changed_ns = max(changed_ns, status.st_ctime_ns)
        if path is not None:
            files.append((path, status.st_size, status.st_mtime_ns))
    return Tree(frozenset(files), changed_ns)


def _below(folder: Path) -> Iterator[tuple[str | None, os.stat_result]]:
    """Files by their paths, and folders without."""
    seen = set()
    left = [""]
    while left:
        inside = left.pop()
        with suppress(OSError):
            path = f"{folder}/{inside}"
            status = os.stat(path)
            # Links may lead in a circle.
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            yield None, status
            with os.scandir(path) as entries:
                for entry in entries:
                    with suppress(OSError):
                        name = inside + entry.name
                        if entry.is_dir():
                            left.append(f"{name}/")
                        elif entry.is_file():
                            yield name, entry.stat()
