"""Thrash: models are loaded again that were given up a moment ago. Pure: no thread, no clock.

It is thrash when, of the last minute, more than a quarter went into loads of models that had been given up
less than a minute before: then it is not that another model is called now, but that those that are called do
not fit together. The working set is what would fit: all models that were called in that minute.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

WINDOW_S = 60.0
WARN_SHARE = 0.25
WARN_EVERY_S = 600.0
"""Between two warnings."""


class Thrash:
    """What has been given up and loaded again. One thread at a time; moments are monotonic seconds."""

    def __init__(self) -> None:
        self._gave_up: dict[str, float] = {}
        self._reloads: deque[tuple[float, float]] = deque()
        self._called: dict[str, tuple[float, int]] = {}
        self._warn_at = -math.inf
        self.reloads = 0

    def gave_up(self, name: str, now: float) -> None:
        """A model had to go for another one."""
        self._gave_up[name] = now

    def called(self, name: str, nbytes: int, now: float) -> None:
        """A model that holds so much has been called."""
        self._called[name] = now, nbytes

    def loaded(self, name: str, load_s: float, now: float) -> bool:
        """A model is live after so many seconds. Returns whether it had been given up within the window."""
        at = self._gave_up.pop(name, -math.inf)
        if at < now - load_s - WINDOW_S:
            return False
        self.reloads += 1
        self._reloads.append((now, load_s))
        return True

    def share(self, now: float) -> float:
        """Of the last window, how much went into such loads; with several at a time it may be above 1."""
        while self._reloads and self._reloads[0][0] < now - WINDOW_S:
            self._reloads.popleft()
        return sum(load_s for _, load_s in self._reloads) / WINDOW_S

    def working_set(self, now: float) -> Mapping[str, int]:
        """The models that were called in the last window, and the bytes of each."""
        self._called = {name: one for name, one in self._called.items() if one[0] >= now - WINDOW_S}
        self._gave_up = {name: at for name, at in self._gave_up.items() if at >= now - 2 * WINDOW_S}
        return {name: nbytes for name, (_, nbytes) in self._called.items()}

    def is_to_be_told(self, now: float) -> bool:
        """Is it thrash, and was that not said a while ago?"""
        if now < self._warn_at or self.share(now) < WARN_SHARE:
            return False
        self._warn_at = now + WARN_EVERY_S
        return True
