"""Several who watch one load."""

from __future__ import annotations

from .document import ServerFigures, Step
from .load import Interval
from .plan import Load
from .runner import Watcher


class Together:
    """Tells each of them, in their order."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def began(self, load: Load, place: int, of: int | None, seconds: float) -> None:
        """See runner.Watcher; so for the others."""
        for one in self._watchers:
            one.began(load, place, of, seconds)

    def second(self, interval: Interval, server: ServerFigures) -> None:
        """A second."""
        for one in self._watchers:
            one.second(interval, server)

    def ended(self, step: Step) -> None:
        """A run is over."""
        for one in self._watchers:
            one.ended(step)
