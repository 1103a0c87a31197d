"""Which versions of its models a fleet's repository has: looked at every few seconds, by a thread of its own,
because disks hang.

A version counts when two looks have found the same files in it, as for a server's own repositories; what once
counted is not looked into again while its folder is there. A folder that cannot be read is as it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from hotgraph_server.errors import LoadError
from hotgraph_server.repository.layout import Found, Interest, look_at
from hotgraph_server.settings import AllVersions, FolderSettings
from hotgraph_server.threads.periodic import PeriodicThread

_LOG = logging.getLogger(__name__)

LOOK_S = 2.0

_RULES = FolderSettings(plain_numbers=True)
_STOP_S = 5.0
_REST_S = 0.1


class VersionsThere:
    """The constructor starts nothing.

    Args:
        repository: folder of models.
        names: of models.
    """

    def __init__(self, repository: Path, names: Sequence[str]) -> None:
        self._repository = repository
        self._names = names
        self._found: dict[str, Mapping[int, Found]] = {}
        # Swapped, never changed.
        self._there: Mapping[str, Collection[int]] | None = {}
        self._thread = PeriodicThread(
            "fleet versions", self._tick, failure="looking at the repository failed"
        )

    @property
    def there(self) -> Mapping[str, Collection[int]] | None:
        """Complete versions by model; one that could not be looked at yet is not among them. None: there is
        no such folder here."""
        return self._there

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; idempotent. A disk that hangs is left to itself."""
        self._thread.stop(_STOP_S)

    def look(self) -> None:
        """Look at all models once."""
        if not self._repository.is_dir():
            if self._there is not None:
                _LOG.warning("no folder %s here: new versions come without a comparison", self._repository)
            self._there = None
            return
        there = dict(self._there or {})
        for name in self._names:
            versions = self._look_at(name, there.get(name, frozenset()))
            if versions is not None:
                there[name] = versions
        self._there = there

    def _look_at(self, name: str, before: Collection[int]) -> frozenset[int] | None:
        """None: it could not be looked at."""
        known, folder = self._found.get(name), self._repository / name
        try:
            if not _children(folder):
                found: Mapping[int, Found] = {}
            else:
                interest = Interest(AllVersions(), settled=before, before=known or {})
                found = look_at(folder, _RULES, interest).versions
        except (LoadError, OSError) as error:
            _LOG.debug("model %s: %s", name, error)
            return None
        # What is there when the driver comes was not put there this moment, unless something is missing.
        first = known is None
        self._found[name] = found
        return frozenset(
            number
            for number, one in found.items()
            if number in before or one.may_be_loaded((known or {}).get(number), first=first)
        )

    def _tick(self) -> float:
        began = time.monotonic()
        self.look()
        # A slow disk is not looked at all the time.
        return max(began + LOOK_S, time.monotonic() + _REST_S)


def _children(folder: Path) -> list[Path]:
    """None where there is no such folder; raises OSError where it cannot be read."""
    try:
        return [one for one in folder.iterdir() if one.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
