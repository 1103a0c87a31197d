"""What this process has of the machine, and how much of it it may have: processors and memory.

A limit of a control group is what counts in a container: who goes beyond it is killed. Of several that hold,
and the machine's own memory, the least.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from hotgraph_server.threads import control_groups, memory_limit, processors

_STATM = Path("/proc/self/statm")


class Limits(NamedTuple):
    """What the process may have: processors, of which a quota may leave a part, and bytes of memory (0:
    unknown)."""

    processors: float
    memory_bytes: int


def limits() -> Limits:
    """As they are now; reads a dozen files."""
    groups, read = control_groups.groups(), control_groups.read
    found = min(memory_limit.of_machine(), memory_limit.limit_bytes(groups, read) or memory_limit.UNKNOWN)
    usable = min(processors.schedulable(), processors.quota(groups, read))
    return Limits(usable, 0 if found == memory_limit.UNKNOWN else found)


def cpu_s() -> float:
    """Processor time of all threads of the process so far, seconds."""
    return time.process_time()


def rss_bytes() -> int:
    """Resident memory of the process; 0: the system does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
