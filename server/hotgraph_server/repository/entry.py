"""What became of one version, and whether a load of it now would be another one. No thread, no disk.

Guarded by the repository's lock.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from hotgraph_server.errors import StartError
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.repository.layout import Found
from hotgraph_server.settings import (
    FolderSettings,
    Latest,
    ModelSettings,
    ResidencySettings,
    ShadowSettings,
)


@dataclass(eq=False)
class Entry:
    """What became of one version.

    Attributes:
        number: of the version.
        found: what was on disk when it was taken up.
        settings: what it is loaded by.
        state: see State. A version that was replaced is draining from that moment on, though the Version
            itself takes calls a little longer.
        version: while there is one.
        error: of its last load; None: that went well, or there was none yet.
        failures: loads of these files that failed, in a row.
        retry_at: when it may be loaded again, monotonic seconds; infinite: that is no question of time.
        alike: settings that were found to load it no differently.
    """

    number: int
    found: Found
    settings: ModelSettings
    state: State = State.WAITING
    version: Version | None = None
    error: StartError | None = None
    failures: int = 0
    retry_at: float = math.inf
    alike: ModelSettings | None = None


def differs(entry: Entry, found: Found, settings: ModelSettings) -> bool:
    """Would a load of it now be another one than its last?

    Args:
        found: what is on disk.
        settings: of its model.
    """
    return (found.folder, found.files) != (entry.found.folder, entry.found.files) or is_other(entry, settings)


def is_other(entry: Entry, settings: ModelSettings) -> bool:
    """Would it be loaded by other settings now? Asked at every look, and most often it is not: settings that
    have been compared need not be again."""
    if settings is entry.settings or settings is entry.alike:
        return False
    if _loaded_by(entry.settings) != _loaded_by(settings):
        return True
    entry.alike = settings
    return False


def may_go_better(failed: Entry, found: Found, settings: ModelSettings) -> bool:
    """May a load of it now go better than its last? Unlike `differs`, which is about what is live, it counts
    that files may be read by others now than before."""
    return found.tree != failed.found.tree or differs(failed, found, settings)


def _loaded_by(settings: ModelSettings) -> ModelSettings:
    """Without what takes no load to change."""
    return dataclasses.replace(
        settings,
        versions=Latest(),
        labels={},
        log=None,
        folder=FolderSettings(),
        residency=ResidencySettings(),
        shadow=ShadowSettings(),
    )
