"""Threads that load and unload: each does one thing, and ends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_LOG = logging.getLogger(__name__)


class Threads:
    """Any number of them; any thread may start one."""

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

        # Daemons, so that a load which never ends cannot keep the process from ending.
        thread = threading.Thread(target=main, name=name, daemon=True)
        with self._lock:
            if self._stopping:
                return
            self._threads.add(thread)
            # Started under the lock, so that whoever stops them finds none that cannot be joined yet.
            thread.start()

    def refuse(self) -> None:
        """Start none from now on."""
        with self._lock:
            self._stopping = True

    def join(self, deadline: float, what_s: float) -> bool:
        """Wait for those that run, until `deadline` (monotonic seconds). Returns whether all have ended;
        those that have not are named, with the `what_s` seconds that they were given."""
        with self._lock:
            self._stopping = True
            threads = list(self._threads)
        ended = True
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
            if thread.is_alive():
                _LOG.warning("thread %r has not ended after %.1f s", thread.name, what_s)
                ended = False
        return ended
