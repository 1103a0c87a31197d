"""A thread that writes what others offer it, and a budget for what may wait for it.

What it promises: `_offer` takes no lock, never waits and never raises; what it does not take, because too
much waits, is counted. Items are written one by one in the order in which they were offered. Whenever nothing
waits, `idle` is called before the thread sleeps. The constructor starts nothing; `stop` writes what waits,
and warns by name if that takes too long.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import Generic, TypeVar

from hotgraph_server.threads.write_budget import CREDITS, WriteBudget

_LOG = logging.getLogger(__name__)

Item = TypeVar("Item")


class BudgetedWriter(Generic[Item]):
    """Base of writers; `write`, `idle` and `close` are theirs, and are called in the thread.

    Args:
        name: of the thread.
        what: begins the warning that not all is written, with its verb: ``the traces are``.
        credits: that what waits may hold.

    Attributes:
        lost: how many items were not written, whyever.
    """

    def __init__(self, name: str, what: str, credits: int = CREDITS) -> None:
        self.lost = 0
        self._what = what
        self._credits = WriteBudget(credits)
        self._queue: queue.SimpleQueue[tuple[Item, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def write(self, item: Item) -> None:
        """Write an item; whatever goes wrong, it raises nothing."""
        raise NotImplementedError

    def idle(self) -> None:
        """Nothing waits now."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing comes any more."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin to write what is offered."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Write what waits and end; a warning says if that takes longer than `timeout_s` seconds."""
        if self._thread.ident is None:
            return
        self._queue.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            _LOG.warning("%s not all written after %.0f s; the rest is lost", self._what, timeout_s)

    def _offer(self, item: Item, credits: int) -> bool:
        """Have an item written that holds so many credits until then, if there is room for it. Any thread may
        call this, wherever it is. Returns whether it is taken."""
        if not self._credits.take(credits):
            return False
        self._queue.put((item, credits))
        return True

    def _count_refused(self) -> int:
        """How many were not taken since this was last asked; they are counted as lost."""
        refused = self._credits.refused()
        self.lost += refused
        return refused

    def _run(self) -> None:
        while True:
            if self._queue.empty():
                self.idle()
            waiting = self._queue.get()
            if waiting is None:
                break
            item, credits = waiting
            self.write(item)
            self._credits.give_back(credits)
            # Else it would live until the next one comes.
            del item, waiting
        self.idle()
        self.close()
