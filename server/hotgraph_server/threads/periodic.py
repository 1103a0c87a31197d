"""The thread that looks: calls `tick` when it is time, or when somebody wakes it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

_LOG = logging.getLogger(__name__)


class Watcher:
    """One thread. The constructor starts nothing.

    Args:
        tick: does what is due; returns the seconds until something is due again, or None: nothing is until
            it is woken. Called in the watcher's thread alone.
        name: of the thread.
    """

    def __init__(self, tick: Callable[[], float | None], name: str = "repository watcher") -> None:
        self._tick = tick
        # True: look now; False: the end.
        self._messages: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        """Begin, with a tick."""
        self._thread.start()

    def wake(self) -> None:
        """Let it tick at once; any thread may call it."""
        self._messages.put(True)

    def stop(self, timeout_s: float) -> bool:
        """End it, after the tick that it is in. Returns whether that came in time; if not, it is named."""
        if not self._thread.ident:
            return True
        self._messages.put(False)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            _LOG.warning("thread %r has not ended after %.1f s", self._thread.name, timeout_s)
        return not self._thread.is_alive()

    def _main(self) -> None:
        go_on = True
        while go_on:
            try:
                wait_s = self._tick()
            except Exception:
                # What comes next may go better; without this thread nothing would come at all.
                _LOG.exception("looking at the models failed (%s)", self._thread.name)
                wait_s = _AFTER_A_BUG_S
            try:
                go_on = self._messages.get(timeout=wait_s)
                # What several have asked for is one tick.
                while go_on and not self._messages.empty():
                    go_on = self._messages.get()
            except queue.Empty:
                pass


_AFTER_A_BUG_S = 10.0
