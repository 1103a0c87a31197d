"""The control groups around this process, of either version: where their files are, and what is in them.

A container's limits are those of its groups. All groups count that are around a process, for each may have a
limit of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

SELF = Path("/proc/self/cgroup")
"""Which groups this process is in."""
ROOT = PurePosixPath("/sys/fs/cgroup")

Read = Callable[[str], str]
"""The text of a file; raises OSError or UnicodeDecodeError."""


def groups() -> str:
    """What `SELF` says; empty where there are no groups."""
    return text_in(lambda path: Path(path).read_text(), PurePosixPath(SELF))


def read(path: str) -> str:
    """A file of this machine."""
    return Path(path).read_text()


def folders_v2(groups: str) -> Iterator[PurePosixPath]:
    """Where files of the groups of version 2 may be.

    Args:
        groups: what ``/proc/self/cgroup`` says.
    """
    for number, controllers, path in _lines(groups):
        if number == "0" and not controllers:
            yield from _up(ROOT, path)


def folders_v1(groups: str, controller: str) -> Iterator[PurePosixPath]:
    """Where files of the groups of version 1 may be that a controller has: cpu, memory and others."""
    for _, controllers, path in _lines(groups):
        if controller in controllers.split(","):
            # Mounted under all the names of its hierarchy, or linked under its own.
            for mounted in dict.fromkeys((controllers, controller)):
                yield from _up(ROOT / mounted, path)


def text_in(read: Read, path: PurePosixPath) -> str:
    """A file's text; empty where it is not there."""
    try:
        return read(str(path))
    except (OSError, UnicodeDecodeError):
        return ""


def _lines(groups: str) -> Iterator[tuple[str, str, str]]:
    """``NUMBER:CONTROLLERS:PATH``, line by line."""
    for line in groups.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        yield number, controllers, path


def _up(root: PurePosixPath, path: str) -> Iterator[PurePosixPath]:
    """A group's folder and those around it. In a container the path may be that of the machine's tree, of
    which only the container's own part is mounted, as the root; then only that is there."""
    yield root
    parts = [part for part in path.split("/") if part]
    if ".." in parts:
        # Outside of what this process sees of the tree.
        return
    for depth in range(1, len(parts) + 1):
        yield root.joinpath(*parts[:depth])
