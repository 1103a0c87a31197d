"""What the repository and the one who keeps it within the memory that there is say to each other.

A repository that was given a Room loads a model when somebody has called it, and lets go of it when it is
told to; what else it does stays as it is. It asks the Room before each load, and loads nothing that is not
admitted: not a new version of a live model either.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from hotgraph_server.models.status import State, Unavailable
from hotgraph_server.models.version import Version


class Held(NamedTuple):
    """A version that is in memory, on its way there, or that waits for its load.

    Attributes:
        model: its name.
        number: of the version.
        state: waiting, loading, live or draining.
        folder: of its SavedModel.
        version: while it is live, and until it is closed; None: it is not loaded.
    """

    model: str
    number: int
    state: State
    folder: Path
    version: Version | None = None


class Holding(NamedTuple):
    """A model that shall be live, or of which something is still in memory.

    Attributes:
        name: of it.
        called: shall it be live?
        outcome: what of it did not become available; None: that is still open.
        versions: of it, highest first; an older one that a newer replaces stands behind that.
    """

    name: str
    called: bool
    outcome: Sequence[Unavailable] | None
    versions: Sequence[Held]


class Room(Protocol):
    """Who knows how much memory there is."""

    def admits(self, held: Sequence[Held], wanted: Held) -> bool:
        """May this one be loaded now, beside what is in memory, or on its way there or out of it? Asked under
        the repository's lock: it must neither wait nor ask the repository."""
