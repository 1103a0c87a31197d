"""What a replica asks of the system for its server: processors, ports, memory."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from hotgraph_server.threads.parent_death import end_with_parent


def prepared(cores: frozenset[int]) -> Callable[[], None]:
    """What a process does between its beginning and its program: it runs on these processors (none: on all),
    and ends with the thread that began it."""

    def prepare() -> None:
        # It begins with those signals blocked that its parent's thread has blocked; SIGTERM has to reach it.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        end_with_parent(signal.SIGTERM)
        if cores:
            os.sched_setaffinity(0, cores)

    return prepare


def free_ports(host: str) -> tuple[int, int]:
    """Two, of which 0 would mean none to a server."""
    # Another may take one before the server does, which then ends and is begun anew on others.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as one, socket.socket(family) as two:
        one.bind((host, 0))
        two.bind((host, 0))
        return int(one.getsockname()[1]), int(two.getsockname()[1])


def rss_bytes(pid: int) -> int:
    """What a process holds of the memory; 0: it is not there."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
