"""Threads in which calls go on whose model has become live: one for each, which ends when all of them have.

To read a call's message takes as long as it takes, and whoever decides has other models to think of.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from hotgraph_server.on_demand.waiting import Waiter
from hotgraph_server.threads.one_shot import OneShotThreads

_LOG = logging.getLogger(__name__)


class HandingOut:
    """All of them. Any thread may call everything.

    Args:
        over: called when the calls of a model have gone on.
    """

    def __init__(self, over: Callable[[], object]) -> None:
        self._over = over
        self._threads = OneShotThreads()
        self._lock = threading.Lock()  # guards what follows
        self._models: dict[str, int] = {}

    @property
    def models(self) -> set[str]:
        """That there are such threads of now: they have calls which are in no queue yet."""
        with self._lock:
            return set(self._models)

    def start(self, model: str, waiters: Sequence[Waiter]) -> None:
        """Let those who have waited for a model go on."""
        with self._lock:
            self._models[model] = self._models.get(model, 0) + 1

        def go_on() -> None:
            try:
                for waiter in waiters:
                    try:
                        waiter.go_on()
                    except Exception:
                        # One call's trouble; those behind it have waited as long.
                        _LOG.exception("a call that had waited for its model could not go on")
            finally:
                with self._lock:
                    self._models[model] -= 1
                    if not self._models[model]:
                        del self._models[model]
                self._over()

        self._threads.start(f"waiting calls model '{model}'", go_on)

    def stop(self, timeout_s: float) -> None:
        """Start none any more, and wait for those that run."""
        self._threads.join(time.monotonic() + timeout_s, timeout_s)
