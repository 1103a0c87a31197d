"""One thread with an event loop, for all that is sent on. Its owner starts and stops it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from hotgraph_server.threads.joining import join_within


class LoopThread:
    """
    Args:
        name: of the thread.
        closing: what is done in the loop when it ends, once all tasks have; not where it was never started.

    Attributes:
        takes: does it take work now?
    """

    def __init__(self, name: str, closing: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._closing = closing
        self._loop = asyncio.new_event_loop()
        # Guards what follows: nothing is put into a loop that has ended, for nobody would ever look at it.
        self._lock = threading.Lock()
        self.takes = False
        self._tasks: set[asyncio.Task[None]] = set()  # of the thread
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        """Begin to take work."""
        with self._lock:
            self.takes = True
        self._thread.start()

    def do(self, work: Callable[[], object]) -> bool:
        """Have it done in the thread; it must not wait. False: the thread takes nothing any more."""
        with self._lock:
            if self.takes:
                self._loop.call_soon_threadsafe(work)
            return self.takes

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a task; in the thread alone."""
        task = self._loop.create_task(work)
        # The loop itself keeps tasks weakly only.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def stop(self, timeout_s: float) -> bool:
        """Cancel what is under way, and end. Returns whether that came in time; if not, a warning says so."""
        with self._lock:
            took, self.takes = self.takes, False
            if took:
                self._loop.call_soon_threadsafe(self._loop.stop)
        ended = join_within(self._thread, timeout_s)
        if not took and ended and not self._loop.is_closed():
            self._loop.close()
        return ended

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._end())
        finally:
            self._loop.close()

    async def _end(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._closing()
