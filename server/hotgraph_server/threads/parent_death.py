"""A process that ends when who began it is gone, where the system can be asked for it: on Linux."""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1
# Looked up once and early: between fork and exec as little may be done as possible.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent(number: signal.Signals) -> None:
    """Have this process get that signal when the thread that began it goes, not if it has gone before."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)
