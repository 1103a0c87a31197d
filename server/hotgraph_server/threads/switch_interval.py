"""Loading gives way to calls, and so do callers who ask for much: meanwhile threads change more often.

Loading is seconds of Python beside C++, and Python lets a thread go on for 5 ms before another one that
wants to run gets its turn. A call changes threads several times on its way, and would wait for each. A
serving thread that is never done with what callers send it keeps others waiting in the same way: its reads
and writes do let go of the lock, but for so short that no other thread gets it. The interval is the
process's, so it is counted who wants it short.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# On two busy cores, for a thread that wants to run every millisecond, p99 of its wait beside a load was 1.4,
# 2.5 and 3.7 ms in three loads; with the usual 5 ms 2.9, 3.6 and 4.7; in peace 0.4. Others were not tried.
_SHORT_S = 0.0002

# The longest waits left are for one large constant, some 5 to 10 ms for 4 MB: TensorFlow makes it without
# letting go of the interpreter's lock. See graph/large_constants.py.


class GivingWay:
    """Any number of threads may be inside at a time."""

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._inside = 0
        self._usual_s = 0.0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Inside, threads change often."""
        with self._counting:
            if not self._inside:
                self._usual_s = sys.getswitchinterval()
                sys.setswitchinterval(min(_SHORT_S, self._usual_s))
            self._inside += 1
        try:
            yield
        finally:
            with self._counting:
                self._inside -= 1
                if not self._inside:
                    sys.setswitchinterval(self._usual_s)


giving_way = GivingWay()
