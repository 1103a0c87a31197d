"""Which versions are live: an immutable table, swapped in one assignment.

Readers take the table once per call and see either the old or the new one, never a mixture, and they
need no lock for it. Writers are serialised by the lock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from hotgraph_server.model import State, Version

Table = Mapping[str, Mapping[int, Version]]


class Registry:
    """By model name, then by version number, highest first."""

    def __init__(self) -> None:
        self._table: Table = MappingProxyType({})
        self._swapping = threading.Lock()

    @property
    def table(self) -> Table:
        """All versions that were published and not withdrawn, whatever their state."""
        return self._table

    def publish(self, versions: Iterable[Version]) -> None:
        """Add versions; one with the same name and number replaces the former."""
        with self._swapping:
            models = {name: dict(numbered) for name, numbered in self._table.items()}
            for version in versions:
                models.setdefault(version.name, {})[version.number] = version
            self._table = MappingProxyType(
                {name: dict(sorted(models[name].items(), reverse=True)) for name in sorted(models)}
            )

    def find(self, name: str, number: int | None = None) -> Version | None:
        """The version with that number, or without one the highest that is live; None: not there.

        If none is live, the highest of all, so that the caller can say why it does not answer.
        """
        versions = self._table.get(name)
        if not versions:
            return None
        if number is not None:
            return versions.get(number)
        live = (version for version in versions.values() if version.state is State.LIVE)
        return next(live, next(iter(versions.values())))

    def versions(self) -> list[Version]:
        """All of them, by name, highest number first."""
        return [version for numbered in self._table.values() for version in numbered.values()]
