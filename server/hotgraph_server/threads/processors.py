"""How many processors this process may use, and how much memory: its affinity, and what control groups leave.

A container with ``--cpus 2`` on a machine of 64 sees 64 processors, and its quota lets it run on two of them
at a time; as many threads as it sees would wait for each other. The quotas of all groups around this process
count, of either version of control groups.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

GROUPS = Path("/proc/self/cgroup")
"""Which groups this process is in."""
_ROOT = PurePosixPath("/sys/fs/cgroup")

_CPU = "cpu"
_MEMORY = "memory"
# Of control groups of version 1, which write no limit as one that no machine reaches.
_UNLIMITED_BYTES = 1 << 60

Read = Callable[[str], str]
"""The text of a file; raises OSError or UnicodeDecodeError."""


def usable() -> int:
    """How many threads can run at a time, at least 1; a part of a processor counts as a whole one."""
    return bounded(schedulable(), quota(groups(), lambda path: Path(path).read_text()))


def groups() -> str:
    """What the system says of the groups that this process is in; empty: nothing."""
    try:
        return GROUPS.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def schedulable() -> int:
    """On how many processors this process may be scheduled, whatever its quota; at least 1."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        # Only Linux has it.
        return os.cpu_count() or 1


def bound() -> int:
    """`usable`, where that is less than TensorFlow would take by itself, which sees no quotas; else 0."""
    found = usable()
    return found if found < schedulable() else 0


def bounded(processors: int, quota: float) -> int:
    """Of so many processors, as many as a quota lets be used, rounded up; at least 1."""
    return max(1, processors if quota >= processors else math.ceil(quota))


def quota(groups: str, read: Read) -> float:
    """The processors' time that the groups of a process have, in processors; infinite: there is no limit.

    Args:
        groups: what ``/proc/self/cgroup`` says.
        read: called with the paths of files that need not be there.
    """
    shares = [_share_v2(text) for path in _folders_v2(groups) if (text := _text(read, path / "cpu.max"))]
    for path in _folders_v1(groups, _CPU):
        runtime, period = _text(read, path / "cpu.cfs_quota_us"), _text(read, path / "cpu.cfs_period_us")
        shares.append(_share(runtime, period))
    return min(shares, default=math.inf)


def memory_bytes(groups: str, read: Read) -> float:
    """The memory that the groups of a process may have; infinite: there is no limit. Arguments as those of
    `quota`."""
    texts = [_text(read, path / "memory.max") for path in _folders_v2(groups)]
    texts += [_text(read, path / "memory.limit_in_bytes") for path in _folders_v1(groups, _MEMORY)]
    return min(map(_bytes, texts), default=math.inf)


def _folders_v2(groups: str) -> Iterator[PurePosixPath]:
    for number, controllers, path in _lines(groups):
        if number == "0" and not controllers:
            yield from _up(_ROOT, path)


def _folders_v1(groups: str, controller: str) -> Iterator[PurePosixPath]:
    for _, controllers, path in _lines(groups):
        if controller in controllers.split(","):
            # Mounted under all the names of its hierarchy, or linked under its own.
            for mounted in dict.fromkeys((controllers, controller)):
                yield from _up(_ROOT / mounted, path)


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


def _text(read: Read, path: PurePosixPath) -> str:
    try:
        return read(str(path))
    except (OSError, UnicodeDecodeError):
        return ""


def _share_v2(text: str) -> float:
    """``200000 100000`` is two processors, ``max 100000`` is no limit."""
    runtime, _, period = text.strip().partition(" ")
    return _share(runtime, period)


def _share(runtime: str, period: str) -> float:
    """What is no number, and what is none that a kernel writes, is no limit."""
    try:
        used_us, of_us = int(runtime), int(period)
    except ValueError:
        return math.inf
    return used_us / of_us if used_us > 0 and of_us > 0 else math.inf


def _bytes(text: str) -> float:
    """``max``, and what is no number that a kernel writes as a limit, is no limit."""
    try:
        found = int(text)
    except ValueError:
        return math.inf
    return found if 0 < found < _UNLIMITED_BYTES else math.inf
