"""How many calls the server owes an answer: what a stop waits for.

Streams (health watchers, reflection) are not among them: they end when the caller likes, and must not
hold up a stop.
"""

from __future__ import annotations

import threading


class OpenCalls:
    """A count that one can wait for to be zero. Any thread enters, leaves and waits."""

    def __init__(self) -> None:
        # Guards the count. Taken as it is and not through the condition, which does it in Python.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._count = 0

    @property
    def count(self) -> int:
        """Calls that are owed an answer now."""
        return self._count

    def enter(self) -> None:
        """A call has been taken."""
        with self._lock:
            self._count += 1

    def leave(self) -> None:
        """A call that had entered is over."""
        with self._lock:
            self._count -= 1
            if not self._count:
                self._changed.notify_all()

    def wait_until_none(self, timeout_s: float) -> bool:
        """Wait until every call is over. Returns whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._count, timeout_s)
