"""What this process has of the machine, and how much of it it may have: processors and memory.

A limit of a control group is what counts in a container: who goes beyond it is killed. Of several that hold,
and the machine's own memory, the least.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from hotgraph_server.threads import processors

_STATM = Path("/proc/self/statm")


class Limits(NamedTuple):
    """What the process may have: processors, of which a quota may leave a part, and bytes of memory (0:
    unknown)."""

    processors: float
    memory_bytes: int


def limits() -> Limits:
    """As they are now; reads a dozen files."""
    groups, schedulable = processors.groups(), processors.schedulable()
    memory = min(_machine_bytes(), processors.memory_bytes(groups, _read))
    quota = processors.quota(groups, _read)
    return Limits(min(schedulable, quota), 0 if memory == float("inf") else int(memory))


def cpu_s() -> float:
    """Processor time of all threads of the process so far, seconds."""
    return time.process_time()


def rss_bytes() -> int:
    """Resident memory of the process; 0: the system does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _read(path: str) -> str:
    return Path(path).read_text()


def _machine_bytes() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError):
        return float("inf")
