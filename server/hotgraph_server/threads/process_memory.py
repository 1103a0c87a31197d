"""How much memory this process holds that nothing but itself can give back.

Pages of files (libraries, a checkpoint that is mapped) are left out: the kernel takes those back whenever it
wants, and who else maps the file has them too.
"""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")
# proc_pid_status(5), since Linux 4.5; shared anonymous memory is written back nowhere either.
_OWN = ("RssAnon:", "RssShmem:")


def own_bytes() -> int | None:
    """Resident, now; None: the system does not tell."""
    try:
        return in_status(_STATUS.read_text())
    except OSError:
        return None


def in_status(text: str) -> int | None:
    """The same, in what ``/proc/PID/status`` says; None: it does not."""
    sizes = [line.split()[1] for line in text.splitlines() if line.startswith(_OWN) and len(line.split()) > 1]
    if not sizes or not all(size.isascii() and size.isdecimal() for size in sizes):
        return None
    return sum(map(int, sizes)) << 10
