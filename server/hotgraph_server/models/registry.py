"""Which versions are live: an immutable table, swapped in one assignment.

Readers take the table once per call and see either the old or the new one, never a mixture, and they
need no lock for it. Writers are serialised by the lock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from hotgraph_server.errors import NotLoaded
from hotgraph_server.last_errors import LastErrors
from hotgraph_server.models.shadows import Shadows
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.settings import ShadowSettings

Table = Mapping[str, Mapping[int, Version]]
Labels = Mapping[str, int]

_NONE: Labels = MappingProxyType({})
_PLAIN = ShadowSettings()


class _Shown(NamedTuple):
    """Versions, the labels that point to them, and the numbers of those that callers get who name none,
    where that is not the highest; these change together."""

    table: Table
    labels: Mapping[str, Labels]
    defaults: Mapping[str, int]


class Registry:
    """By model name, then by version number, highest first.

    Attributes:
        last_errors: of calls that did not get as far as a version.
        loaded_at_call: the models that are loaded when they are called, and whether that is expected to go
            well; swapped as a whole, never changed.
        shadows: versions that are asked what callers have asked others.
    """

    def __init__(self) -> None:
        self.last_errors = LastErrors()
        self.loaded_at_call: Mapping[str, bool] = MappingProxyType({})
        self.shadows = Shadows()
        self._shown = _Shown(MappingProxyType({}), MappingProxyType({}), MappingProxyType({}))
        self._swapping = threading.Lock()

    @property
    def table(self) -> Table:
        """All versions that were published and not withdrawn, whatever their state."""
        return self._shown.table

    def labels(self, name: str) -> Labels:
        """The labels of a model that point to a version which is there."""
        return self._shown.labels.get(name, _NONE)

    def publish(self, versions: Iterable[Version]) -> None:
        """Add versions; one with the same name and number replaces the former."""
        with self._swapping:
            models = {name: dict(numbered) for name, numbered in self._shown.table.items()}
            for version in versions:
                models.setdefault(version.name, {})[version.number] = version
            self._swap(models, self._shown.labels, self._shown.defaults)

    def replace(
        self,
        name: str,
        versions: Iterable[Version],
        labels: Labels = _NONE,
        shadow: ShadowSettings = _PLAIN,
    ) -> None:
        """From now on a model has these versions and no others; without any it is not there.

        Args:
            name: of the model.
            versions: all of its own.
            labels: names for numbers; those of versions that are not among `versions` are left out.
            shadow: which of them callers get who name none, and which answers in the shadow of that.
        """
        numbered = {version.number: version for version in versions}
        with self._swapping:
            models, all_labels = dict(self._shown.table), dict(self._shown.labels)
            defaults = dict(self._shown.defaults)
            for former in (models, all_labels, defaults):
                former.pop(name, None)
            if numbered:
                models[name] = numbered
                all_labels[name] = MappingProxyType(
                    {label: number for label, number in labels.items() if number in numbered}
                )
                if shadow.default_version in numbered:
                    defaults[name] = shadow.default_version
            self._swap(models, all_labels, defaults)
            self.shadows.follow(name, numbered, shadow)

    def find(self, name: str, number: int | None = None, label: str | None = None) -> Version | None:
        """The version with that number or label; without either the default one if it is live, or else the
        highest that is; None: not there.

        If none is live, the highest of all, so that the caller can say why it does not answer.
        """
        shown = self._shown
        versions = shown.table.get(name)
        if not versions:
            return None
        if label is not None:
            number = shown.labels.get(name, _NONE).get(label)
            return None if number is None else versions[number]
        if number is not None:
            return versions.get(number)
        chosen = shown.defaults.get(name)
        if chosen is not None and versions[chosen].state is State.LIVE:
            return versions[chosen]
        for version in versions.values():
            if version.state is State.LIVE:
                return version
        return next(iter(versions.values()))

    def check_loaded(self, name: str) -> None:
        """
        Raises:
            NotLoaded: no version of the model is there, but it is loaded when it is called.
        """
        if name in self.loaded_at_call and name not in self._shown.table:
            raise NotLoaded(name)

    def versions(self) -> list[Version]:
        """All of them, by name, highest number first."""
        return [version for numbered in self._shown.table.values() for version in numbered.values()]

    def _swap(
        self,
        models: Mapping[str, Mapping[int, Version]],
        labels: Mapping[str, Labels],
        defaults: Mapping[str, int],
    ) -> None:
        """Requires the lock."""
        assert self._swapping.locked()
        self._shown = _Shown(
            MappingProxyType(
                {name: dict(sorted(models[name].items(), reverse=True)) for name in sorted(models)}
            ),
            MappingProxyType(dict(labels)),
            MappingProxyType(dict(defaults)),
        )
