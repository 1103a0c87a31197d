"""The timer of a queue whose policies end calls that have waited long enough.

The executor ends them too, whenever it looks for a batch; but it may be in a long run when their moment
comes, and nobody shall wait for its end to hear that he has waited too long. The queue decides, under its own
lock, so that a call either goes into a run or times out and never both; the timer only knows when to ask it
next.

One thread, which begins with the first call that has such a moment. It sleeps until that moment, and is woken
only for a call whose moment comes before.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable

from hotgraph_server.batching.queue import BatchQueue

_LOG = logging.getLogger(__name__)


class QueueTimer:
    """Ends calls of `queue` at their moments; `name` is the model's and version's, `clock` the queue's."""

    def __init__(self, name: str, queue: BatchQueue, clock: Callable[[], float]) -> None:
        self._queue = queue
        self._clock = clock
        self._rung = threading.Event()
        # A daemon, as everything is that a delivery may keep.
        self._thread = threading.Thread(target=self._main, name=f"queue timer {name}", daemon=True)
        # Guards what follows: many calls may ring first, and a stop may come in between.
        self._lock = threading.Lock()
        self._started = False
        self._stopping = False

    def start(self) -> None:
        """Listen to the queue."""
        self._queue.ring_with(self._ring)

    def stop(self, timeout_s: float) -> bool:
        """End the thread. Returns whether it ended in time; if not, a warning names it. Idempotent."""
        with self._lock:
            self._stopping = True
        self._rung.set()
        if not self._started:
            return True
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            _LOG.warning("thread %r still delivers after %.1f s", self._thread.name, timeout_s)
            return False
        return True

    def _ring(self) -> None:
        # Before the thread may start: its first look clears it, and sees the call that rings.
        self._rung.set()
        # Read without the lock: once it is set it stays so.
        if self._started:
            return
        with self._lock:
            if not self._started and not self._stopping:
                # Started under the lock, so that a stop which finds it started can wait for it.
                self._thread.start()
                self._started = True

    def _main(self) -> None:
        while True:
            # Before the look: a ring that comes during it is about a call that it may not have seen.
            self._rung.clear()
            if self._stopping:
                return
            until = self._queue.time_out()
            left_s = None if math.isinf(until) else min(until - self._clock(), threading.TIMEOUT_MAX)
            if left_s is None or left_s > 0.0:
                self._rung.wait(left_s)
