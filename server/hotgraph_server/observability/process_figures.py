"""What this process takes of the machine: processor time, by what its threads are for, and memory.

The interpreter runs one thread at a time. So what limits a server that is not busy in its graphs is the time
of its Python threads, and no other figure shows that: the process's own holds TensorFlow's threads as well.
The kernel counts it thread by thread, in ticks of 10 ms mostly.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hotgraph_server.threads import memory_limit, processors

_TASKS = Path("/proc/self/task")
_STATM = Path("/proc/self/statm")
_EXECUTOR, _SERVING, _PAGES = "executor ", "serving", "admin port"
# proc_pid_stat(5): utime and stime are fields 14 and 15, and 3 is the first behind the name.
_UTIME, _STIME = 14 - 3, 15 - 3


def process_figures() -> dict[str, Any]:
    """As values that JSON has.

    Returns:
        ``cpu_s``: of the process, seconds. ``serving_cpu_s``: of the thread that reads calls.
        ``executors_cpu_s``: of the threads that run models, runs included; TensorFlow's own threads are not.
        ``others_cpu_s``: of the other threads of Python, but this page's. ``rss_bytes``: resident memory.
        ``processors``: that it may use. ``memory_limit_bytes``: of its container; None: there is none below
        what the machine has. What else the system does not tell is None.
    """
    limit_mb = memory_limit.limit_mb()
    return {
        "cpu_s": time.process_time(),
        "rss_bytes": _rss_bytes(),
        "processors": processors.usable(),
        "memory_limit_bytes": None if limit_mb is None else limit_mb << 20,
        **{f"{kind}_cpu_s": found for kind, found in _threads().items()},
    }


def _threads() -> Mapping[str, float | None]:
    found: dict[str, float | None] = {"serving": 0.0, "executors": 0.0, "others": 0.0}
    if not _TASKS.exists():
        return dict.fromkeys(found)
    for thread in threading.enumerate():
        kind = _kind(thread.name)
        if kind and thread.native_id is not None:
            found[kind] = (found[kind] or 0.0) + _cpu_s(thread.native_id)
    return found


def _kind(name: str) -> str:
    if name == _PAGES:
        return ""
    return "serving" if name == _SERVING else "executors" if name.startswith(_EXECUTOR) else "others"


def _cpu_s(native_id: int) -> float:
    """0 if the thread has just ended."""
    try:
        # A thread's name may have blanks and brackets of its own.
        fields = (_TASKS / str(native_id) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[_UTIME]) + int(fields[_STIME])) / os.sysconf("SC_CLK_TCK")


def _rss_bytes() -> int | None:
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
