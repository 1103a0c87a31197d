"""What this process holds in memory, as those say who hand it out.

The C library counts what programs hold in heaps that it divides, and what it has had mapped for large pieces,
one by one. Resident memory says less: what was freed may still be resident, and be used again by the next
who asks, which then seems to have taken nothing.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_STATUS = Path("/proc/self/status")
# proc_pid_status(5), since Linux 4.5; shared anonymous memory is written back nowhere either.
_OWN = ("RssAnon:", "RssShmem:")


# mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

LARGEST_DIVIDED = 2**25
"""More glibc takes from no heap."""

KEPT_USUALLY = 2**23
"""At the end of each heap: as much as messages of the usual sizes need again and again. By itself glibc comes
to keep eight times that."""


class Allocated(NamedTuple):
    """By the C library.

    Attributes:
        divided: bytes in use of heaps.
        mapped: bytes of pieces that were mapped one by one.
    """

    divided: int
    mapped: int


class _MallInfo2(ctypes.Structure):
    # mallinfo(3), in this order.
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def allocated() -> Allocated | None:
    """Now, in a millisecond at most; None: the C library does not tell (glibc does, since 2.33)."""
    ask = mallinfo2()
    if ask is None:
        return None
    told = ask()
    return Allocated(told.uordblks, told.hblkhd)


def divide_large_pieces(kept_bytes: int) -> None:
    """Let the C library take pieces of up to 32 MiB from its heaps from now on, which is what it comes to by
    itself once it has freed some of that size; so `divided` is all that programs hold in such.

    Args:
        kept_bytes: free memory at the end of each heap that it may keep for the next who asks, up to 2 GiB.
            There are several heaps for each processor, and of the end of most of them `malloc_trim` gives
            nothing back. To keep little costs whoever takes large pieces again and again: pages that are new
            have to be zeroed.
    """
    try:
        set_ = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    set_(_M_MMAP_THRESHOLD, LARGEST_DIVIDED)
    set_(_M_TRIM_THRESHOLD, min(kept_bytes, 2**31 - 1))


def resident_bytes() -> int | None:
    """Of no file, now; None: the system does not tell."""
    try:
        return in_status(_STATUS.read_text())
    except OSError:
        return None


def in_status(text: str) -> int | None:
    """The same, in what ``/proc/PID/status`` says; None: it does not."""
    fields = [line.split() for line in text.splitlines() if line.startswith(_OWN)]
    sizes = [field[1] for field in fields if len(field) > 1]
    # No system has memory of more digits, and of very many Python makes no number.
    if not sizes or not all(size.isascii() and size.isdecimal() and len(size) < 20 for size in sizes):
        return None
    return sum(map(int, sizes)) << 10


@functools.cache
def mallinfo2() -> Callable[[], _MallInfo2] | None:
    """The function of the C library; None: it has none."""
    try:
        found = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):
        return None
    found.restype = _MallInfo2
    return found
