"""How much memory control groups leave this process, which in a container is what the container has.

The kernel ends a process of a group that takes more, without a word: no refused call and no line of the log
tells of it.
"""

from __future__ import annotations

import os

from hotgraph_server.threads import control_groups
from hotgraph_server.threads.control_groups import Read, text_in

_MEMORY = "memory"
_MIB = 2**20
UNKNOWN = 2**62


def limit_mb() -> int | None:
    """MiB; None: there is no limit below what the machine has."""
    found = limit_bytes(control_groups.groups(), control_groups.read)
    return None if found is None or found >= of_machine() else found // _MIB


def limit_bytes(groups: str, read: Read) -> int | None:
    """The tightest limit of the groups of a process, in bytes; None: there is none.

    Version 1 has no word for "no limit" but a number that no machine has memory for.

    Args:
        groups: what ``/proc/self/cgroup`` says.
        read: called with the paths of files that need not be there.
    """
    texts = [text_in(read, path / "memory.max") for path in control_groups.folders_v2(groups)]
    texts += [
        text_in(read, path / "memory.limit_in_bytes") for path in control_groups.folders_v1(groups, _MEMORY)
    ]
    limits = [int(text) for text in map(str.strip, texts) if text.isascii() and text.isdecimal()]
    return min((limit for limit in limits if limit > 0), default=None)


def of_machine() -> int:
    """Bytes that the machine has, where it tells; more than any has, where it does not."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return UNKNOWN
