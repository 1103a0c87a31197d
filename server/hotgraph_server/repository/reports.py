"""What is told of models, whatever becomes of them: any thread may ask. Reads, changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from hotgraph_server.models.status import ModelFigures, State, VersionStatus
from hotgraph_server.repository.entry import Entry
from hotgraph_server.repository.outcome import outcome_of, what_is_open, why_nothing
from hotgraph_server.repository.policy import wanted
from hotgraph_server.repository.records import Record
from hotgraph_server.repository.room import Held, Holding

_ENDED = (State.CLOSED, State.FAILED)


class Reports:
    """Of all models; the repository is one that also changes them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards what follows
        self._models: dict[str, Record] = {}

    def models(self) -> list[str]:
        """The names of those that shall be served."""
        with self._lock:
            return [name for name, model in self._models.items() if model.served]

    def statuses(self, name: str) -> list[VersionStatus]:
        """What became of a model's versions, highest first; none if it was never heard of."""
        with self._lock:
            model = self._models.get(name)
            return model.statuses() if model else []

    def figures(self) -> list[ModelFigures]:
        """What became of all models that are known, for metrics."""
        with self._lock:
            return [model.figures() for model in self._models.values()]

    def why_nothing(self, name: str) -> str | None:
        """Why a model that shall be served has no version to load; None: it has, or no look was made yet."""
        with self._lock:
            model = self._models.get(name)
            if model is None or not model.served or not model.looked or model.entries:
                return None
            return None if model.present() and not model.called else str(why_nothing(model))

    def folders_in_use(self) -> set[Path]:
        """Of versions that are, or may still become, live, and of those that leave; and of their models."""
        with self._lock:
            served = {model.settings.path for model in self._models.values() if model.served}
            return served | {entry.found.folder for entry in self._entries() if entry.state not in _ENDED}

    def open_ends(self) -> list[str]:
        """What is not settled, model by model, for the log."""
        with self._lock:
            models = self._models.values()
            return [what_is_open(model) for model in models if outcome_of(model, patient=True) is None]

    def holdings(self) -> list[Holding]:
        """The models that shall be live, and those of which something is still in memory."""
        with self._lock:
            return [
                Holding(
                    name,
                    model.served and model.called,
                    outcome_of(model, patient=False),
                    [_held(model, entry) for entry in model.all_entries() if entry.state not in _ENDED],
                )
                for name, model in self._models.items()
                if not model.is_dormant
            ]

    def to_load(self, name: str) -> list[Held]:
        """The versions of a model that a call would have loaded, as far as looks have found them."""
        with self._lock:
            model = self._models.get(name)
            if model is None or not model.served:
                return []
            numbers = wanted(model.present(), model.settings.versions)
            return [
                Held(name, number, State.KNOWN, model.ready[number].folder)
                for number in numbers
                if number in model.ready
            ]

    def _entries(self) -> Iterator[Entry]:
        return (entry for model in self._models.values() for entry in model.all_entries())

    def _in_memory(self) -> list[Held]:
        """Requires the lock."""
        assert self._lock.locked()
        return [
            _held(model, entry)
            for model in self._models.values()
            if not model.is_dormant
            for entry in model.all_entries()
            if entry.state in (State.LOADING, State.LIVE, State.DRAINING)
        ]


def _held(model: Record, entry: Entry) -> Held:
    return Held(model.settings.name, entry.number, entry.state, entry.found.folder, entry.version)
