"""How many processors this process may use: its affinity, and what control groups leave of it.

A container with ``--cpus 2`` on a machine of 64 sees 64 processors, and its quota lets it run on two of them
at a time; as many threads as it sees would wait for each other. The quotas of all groups around this process
count, of either version of control groups.
"""

from __future__ import annotations

import math
import os

from hotgraph_server.threads import control_groups
from hotgraph_server.threads.control_groups import Read, text_in

_CPU = "cpu"


def usable() -> int:
    """How many threads can run at a time, at least 1; a part of a processor counts as a whole one."""
    return bounded(schedulable(), quota(control_groups.groups(), control_groups.read))


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
    shares = [
        _share_v2(text)
        for path in control_groups.folders_v2(groups)
        if (text := text_in(read, path / "cpu.max"))
    ]
    for path in control_groups.folders_v1(groups, _CPU):
        runtime, period = text_in(read, path / "cpu.cfs_quota_us"), text_in(read, path / "cpu.cfs_period_us")
        shares.append(_share(runtime, period))
    return min(shares, default=math.inf)


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
