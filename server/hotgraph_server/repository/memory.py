"""Memory of versions that come and go: given back when one has closed, and kept from being searched when one
comes.
"""

from __future__ import annotations

import ctypes
import functools
import gc
from collections.abc import Callable


def settle() -> None:
    """Leave all that is there now out of later collections; once, after the imports and before any model.

    TensorFlow's modules alone are half a million objects that never go. To search them takes some tenths of
    a second in which no call is answered, and to load a version makes garbage enough to set that off.
    """
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Free what only a collection frees, and let the C library return what is free.

    A graph is full of cycles, and hangs on until a collection; that may be a long way off in a process which
    makes little garbage. glibc keeps what was freed for later: malloc_trim hands its whole pages back.
    Where the C library has no such function (macOS, musl) it does so by itself, or not at all.
    """
    gc.collect()
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    # None: whatever this process has loaded already. Made once: classes are made for it, each time others.
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
