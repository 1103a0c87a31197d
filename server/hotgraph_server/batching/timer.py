"""The timer of a queue whose policies end calls that have waited long enough.

The executor ends them too, whenever it looks for a batch; but it may be in a long run when their moment
comes, and no caller shall wait for that run's end to hear that his call has waited too long. The queue
decides, under its own lock, so that a call either goes into a run or times out and never both; the timer only
knows when to ask it next.

One periodic thread, which begins with the first call that has such a moment. It sleeps until that moment, and
is woken only for a call whose moment comes before.
"""

from __future__ import annotations

from collections.abc import Callable

from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.threads.periodic import PeriodicThread


class QueueTimer:
    """Ends calls of `queue` at their moments; `name` is the model's and version's, `clock` the queue's."""

    def __init__(self, name: str, queue: BatchQueue, clock: Callable[[], float]) -> None:
        self._queue = queue
        self._thread = PeriodicThread(f"queue timer {name}", queue.time_out, clock)

    def start(self) -> None:
        """Listen to the queue."""
        self._queue.ring_with(self.ring)

    def stop(self, timeout_s: float) -> bool:
        """End the thread. Returns whether it ended in time; if not, a warning names it. Idempotent."""
        return self._thread.stop(timeout_s)

    def ring(self) -> None:
        """A call's moment comes before the one that the thread sleeps until. Any thread may call it."""
        # The call is in the queue already, so a thread that begins here sees it with its first tick.
        self._thread.start()
        self._thread.wake()
