"""Threads that do one thing each, and end: those that load and unload versions, for one.

Any thread may start one. Their owner waits for all of them at his own end, for so long at most, and names
those that have not ended; from then on none is started. They are daemons, so that a load that never ends
cannot keep the process from ending. What a thread raises goes to `threading.excepthook`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from hotgraph_server.threads.joining import join_within


class OneShotThreads:
    """Any number of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards what follows
        self._threads: set[threading.Thread] = set()
        self._stopping = False

    def start(self, name: str, run: Callable[[], None]) -> None:
        """Run a function in a thread of that name; nothing happens once they are being stopped."""

        def main() -> None:
            try:
                run()
            finally:
                with self._lock:
                    self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=main, name=name, daemon=True)
        with self._lock:
            if self._stopping:
                return
            self._threads.add(thread)
            # Started under the lock, so that `join` finds none that cannot be joined yet.
            thread.start()

    def refuse(self) -> None:
        """Start none from now on."""
        with self._lock:
            self._stopping = True

    def join(self, deadline: float, given_s: float) -> bool:
        """Start none from now on, and wait for those that run, until `deadline` (monotonic seconds).

        Returns whether all have ended; those that have not are named, with the `given_s` seconds that they
        were given.
        """
        with self._lock:
            self._stopping = True
            threads = list(self._threads)
        ended = [join_within(one, max(deadline - time.monotonic(), 0.0), given_s) for one in threads]
        return all(ended)
