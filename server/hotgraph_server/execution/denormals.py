"""Denormal floats in threads that run graphs: flushed to zero, as TensorFlow does in threads of its own.

A float below 1.2e-38 costs some processors a hundred cycles and more where another costs one, and a caller
that sends such floats slows a model down for all: twenty small layers over 64 x 512 of them have taken 27
times as long as over others. (Other processors make no difference; scripts/bench/micro denormals shows it.)
TensorFlow's own threads take them for zero; where the thread that calls it does so too, both give the same
answers.

C's <fenv.h> reads and writes what a thread does with floats, but has no word for this bit: where it lies is
the layout of each system's `fenv_t`. New threads begin with what the one has that starts them.

An executor that leads (threads/leadership.py) reads calls as well, and what it reads shall not depend on that
it is an executor, nor shall a thread that it starts there: for as long as a turn takes, it keeps denormals.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from typing import Any

import numpy as np

# Where the bits are: by system and processor, the byte at which a word begins, and what is set in it. Results
# (FTZ) and operands (DAZ) have a bit each on x86 (Intel SDM, 10.2.3), and one for both on Arm (FPCR.FZ).
_X86, _ARM = 1 << 15 | 1 << 6, 1 << 24
_PLACES = {
    ("linux", "x86_64"): (28, _X86),  # glibc and musl: seven words of the x87, then MXCSR
    ("linux", "aarch64"): (0, _ARM),  # glibc and musl: FPCR, FPSR
    ("darwin", "x86_64"): (4, _X86),  # two short words, then MXCSR
    ("darwin", "arm64"): (8, _ARM),  # FPSR, FPCR, eight bytes each
}
_MORE_THAN_ANY_FENV = 64


class Switch:
    """What the thread that made it does with denormals.

    Attributes:
        flush: take them for zero from now on.
        keep: compute with them, as a thread does that nobody told otherwise.
    """

    def __init__(self, library: ctypes.CDLL, offset: int, bits: int) -> None:
        self.flush = functools.partial(library.fesetenv, _environment(library, offset, bits, on=True))
        self.keep = functools.partial(library.fesetenv, _environment(library, offset, bits, on=False))


def switch_of_this_thread() -> Switch | None:
    """None: on systems that are not known here."""
    place = _PLACES.get((sys.platform, platform.machine()))
    # A call that lets go of the interpreter's lock would cost more than all the rest.
    return Switch(ctypes.PyDLL("libm.so.6" if sys.platform == "linux" else None), *place) if place else None


def flush_to_zero() -> bool:
    """From now on, in this thread. Returns whether it is so: not on systems that are not known here."""
    switch = switch_of_this_thread()
    if switch is not None:
        switch.flush()
    return flushes()


def _environment(library: ctypes.CDLL, offset: int, bits: int, *, on: bool) -> Any:
    """This thread's, with those bits set or not."""
    environment = ctypes.create_string_buffer(_MORE_THAN_ANY_FENV)
    library.fegetenv(environment)
    word = ctypes.c_uint32.from_buffer(environment, offset)
    word.value = word.value | bits if on else word.value & ~bits
    return environment


def flushes() -> bool:
    """Does this thread take denormals for zero?"""
    # An array, because Python's own floats would be folded to a constant.
    return not bool((np.full(1, 1e-39, np.float32) * np.float32(0.5)).any())
