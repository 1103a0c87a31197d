"""What was learnt of models by loading them: what they hold, how long that takes, and that it fails.

Any thread may ask, and tell. Tables are swapped and not changed, or changed by one entry, so readers need no
lock; those who change them have one, so that no change is lost.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass

# Of the longest pause after a load that has failed, the first is so much; each doubles the last.
_FIRST_OF_PAUSES = 1 / 16


@dataclass(frozen=True)
class Failure:
    """Why a model could not be loaded.

    Attributes:
        why: in a line.
        count: loads that failed in a row.
        until: it is not tried again before, monotonic seconds.
    """

    why: str
    count: int
    until: float


class Learnt:
    """Of all models.

    Args:
        longest_pause_s: after a load that has failed.
    """

    def __init__(self, longest_pause_s: float) -> None:
        self._longest_pause_s = longest_pause_s
        self._lock = threading.Lock()  # for changes of what follows
        self._bytes: dict[tuple[str, int], int] = {}
        self._shortest_s: dict[str, float] = {}
        self._s_per_byte = math.inf
        self._failures: Mapping[str, Failure] = {}

    def loaded(self, name: str, load_s: float, nbytes: int) -> None:
        """A model is live; it holds so much, and took so many seconds."""
        with self._lock:
            self._shortest_s[name] = min(load_s, self._shortest_s.get(name, math.inf))
            if nbytes:
                self._s_per_byte = min(self._s_per_byte, load_s / nbytes)
            self._failures = {one: failure for one, failure in self._failures.items() if one != name}

    def holds(self, name: str, number: int, nbytes: int) -> None:
        """A version holds so much, or will as far as that can be told."""
        with self._lock:
            self._bytes[name, number] = nbytes

    def bytes_of(self, name: str, number: int) -> int | None:
        """What a version holds; None: nothing is known of it."""
        return self._bytes.get((name, number))

    def load_s(self, name: str, nbytes: int) -> float:
        """The shortest load that there is reason to expect; 0: nothing is known."""
        own = self._shortest_s.get(name)
        if own is not None:
            return own
        return nbytes * self._s_per_byte if self._s_per_byte < math.inf else 0.0

    def failed(self, name: str, why: str, now: float) -> Failure:
        """A load of a model has failed."""
        with self._lock:
            before = self._failures.get(name)
            count = before.count + 1 if before else 1
            growing = self._longest_pause_s * _FIRST_OF_PAUSES * 2.0 ** min(count - 1, 10)
            failure = Failure(why, count, now + min(self._longest_pause_s, growing))
            self._failures = {**self._failures, name: failure}
        return failure

    def failure(self, name: str) -> Failure | None:
        """Of a model's last load; None: that went well, or there was none."""
        return self._failures.get(name)

    def forgive(self, name: str) -> None:
        """Let a model be tried again at once."""
        with self._lock:
            before = self._failures.get(name)
            if before is not None:
                self._failures = {**self._failures, name: Failure(before.why, before.count, -math.inf)}

    def forget_but(self, names: Mapping[str, object]) -> None:
        """Keep what is known of these."""
        with self._lock:
            self._bytes = {key: nbytes for key, nbytes in self._bytes.items() if key[0] in names}
            self._shortest_s = {name: s for name, s in self._shortest_s.items() if name in names}
            self._failures = {name: one for name, one in self._failures.items() if name in names}
