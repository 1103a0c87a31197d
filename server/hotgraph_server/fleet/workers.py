"""Threads for what takes long, so many and no more. They are daemons, unlike those of the standard library's
executor: a load that a server does not end keeps no driver from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future


class Workers:
    """Threads begin when there is work for them.

    Args:
        most: of them.
        name: of each, before its number.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._queue: queue.SimpleQueue[tuple[Future[None], Callable[[], None]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way: list[Future[None]] = []

    def begin(self, work: Callable[[], None]) -> Future[None]:
        """Have it done, as soon as a thread is free. Called by one thread alone."""
        future: Future[None] = Future()
        self._under_way = [one for one in self._under_way if not one.done()]
        if len(self._under_way) >= len(self._threads) < self._most:
            name = f"{self._name}_{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._under_way.append(future)
        self._queue.put((future, work))
        return future

    def stop(self) -> None:
        """Do nothing more; what is under way goes on, and nobody waits for it. Idempotent."""
        for future in self._under_way:
            # Of what nobody has begun.
            future.cancel()
        for _ in self._threads:
            self._queue.put(None)
        self._threads = []

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            future, work = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(None)
