"""What a page shows of a load: its seconds as they come, told by one thread and read by others."""

from __future__ import annotations

import threading
from typing import Any

from ..document import ServerFigures, Step
from ..load import Interval
from ..plan import Load
from ..steps import moment_of

MAX_SECONDS = 3600
"""That a page can go back."""

_OF_SERVER = ("rows_per_run", "queue_wait_ms", "run_ms", "runs_per_s", "duty")


class Feed:
    """A watcher (runner.Watcher) that keeps what it is told."""

    def __init__(self) -> None:
        # Guards everything below.
        self._lock = threading.Lock()
        self._seconds: dict[int, dict[str, Any]] = {}
        # Grows with each change, so that a page asks for what is new alone.
        self._changes = 0
        self._label = ""
        self._over = False

    def began(self, load: Load, place: int, of: int | None, seconds: float) -> None:
        """See runner.Watcher; so for the others."""
        with self._lock:
            self._label = load.label

    def second(self, interval: Interval, server: ServerFigures) -> None:
        """What is known of a second by now; more may come to be known."""
        found: dict[str, Any] = dict(moment_of(interval))
        told: dict[str, Any] = dict(server)
        found |= {name: told.get(name) for name in _OF_SERVER}
        with self._lock:
            self._changes += 1
            self._seconds[interval.second] = found | {"change": self._changes}
            if len(self._seconds) > MAX_SECONDS:
                del self._seconds[min(self._seconds)]

    def ended(self, step: Step) -> None:
        """Nothing comes after it."""
        with self._lock:
            self._over = True

    def since(self, change: int) -> dict[str, Any]:
        """`seconds` that are new or have changed since, `change` to ask with next time, and how it goes."""
        with self._lock:
            news = [second for second in self._seconds.values() if second["change"] > change]
            return {"label": self._label, "over": self._over, "change": self._changes, "seconds": news}
