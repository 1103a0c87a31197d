"""Seconds that several waits have between them, one behind the other."""

from __future__ import annotations

import time
from collections.abc import Callable

_LEAST_S = 0.1


class TimeLeft:
    """Begins when it is made.

    Args:
        total_s: for all waits together, seconds.
        clock: monotonic seconds.
    """

    def __init__(self, total_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_at = clock() + total_s

    def seconds(self) -> float:
        """For the next wait. Never nothing: who needs a moment shall have it, whatever hung before."""
        return max(self._ends_at - self._clock(), _LEAST_S)
