"""Calls that wait for their models to be loaded, each held as data: no thread waits with it.

Each ends here exactly once: it is taken to go on, taken to be told why it cannot, or has left by itself. Who
takes it out of the table is the one; the others find nothing. Nothing is called under the lock.

Any thread may call everything, and never waits.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from hotgraph_server.errors import CallError, QueueFull

_WHAT = "the queue of calls whose models are being loaded"


@dataclass(eq=False, slots=True)
class Waiter:
    """One of them.

    Attributes:
        model: that it waits for.
        arrived: monotonic seconds.
        expires: when it waits no longer, monotonic seconds.
        is_call: of a client; False: somebody has asked for the model itself.
        has_deadline: is that its caller's own deadline?
        go_on: called when the model is live.
        fail: called with why it does not go on.
        left: it does not wait any more, or never will.
    """

    model: str
    arrived: float
    expires: float
    go_on: Callable[[], None]
    fail: Callable[[CallError], None]
    is_call: bool = True
    has_deadline: bool = False
    left: bool = False


class Waiting:
    """All of them.

    Args:
        most: so many may wait at a time.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()  # guards what follows
        self._by_model: dict[str, dict[Waiter, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, waiter: Waiter) -> None:
        """Let one wait, unless it has left before.

        Raises:
            QueueFull: too many wait.
        """
        with self._lock:
            if waiter.left:
                return
            if self._count >= self.most:
                raise QueueFull(_WHAT, self._count, self.most)
            self._by_model.setdefault(waiter.model, {})[waiter] = None
            self._count += 1

    def leave(self, waiter: Waiter) -> bool:
        """One waits no longer. Returns whether it was still here."""
        with self._lock:
            waiter.left = True
            waiters = self._by_model.get(waiter.model, {})
            if waiter not in waiters:
                return False
            del waiters[waiter]
            self._count -= 1
            if not waiters:
                del self._by_model[waiter.model]
            return True

    def has(self, model: str) -> bool:
        """Does any wait for it?"""
        return model in self._by_model

    def models(self) -> list[str]:
        """That any waits for."""
        with self._lock:
            return list(self._by_model)

    def take(self, model: str) -> list[Waiter]:
        """Those of a model, in the order in which they came; they wait no longer."""
        with self._lock:
            taken = list(self._by_model.pop(model, ()))
            self._count -= len(taken)
            return taken

    def take_expired(self, now: float) -> list[Waiter]:
        """Those that wait no longer because their time is over."""
        with self._lock:
            expired = [one for waiters in self._by_model.values() for one in waiters if one.expires <= now]
        return [one for one in expired if self.leave(one)]

    def next_expiry(self) -> float:
        """When the time of the first of them is over, monotonic seconds; infinite: none waits."""
        with self._lock:
            return min(
                (one.expires for waiters in self._by_model.values() for one in waiters), default=math.inf
            )
