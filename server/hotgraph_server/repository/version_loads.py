"""Loading and unloading versions, and looking at folders: what the repository has decided, done.

Each takes as long as it takes, in a thread of the caller's that holds no lock. What comes of it is returned,
errors of our own included: one model that finds a bug must not take the others with it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hotgraph_server.errors import LoadError, StartError, forget_traceback
from hotgraph_server.models.memory_usage import MemoryUsage
from hotgraph_server.models.version import Version
from hotgraph_server.repository.entry import Entry
from hotgraph_server.repository.layout import Interest, Look
from hotgraph_server.repository.state_transfer import hand_over, shares_snapshots
from hotgraph_server.settings import FolderSettings, ModelSettings
from hotgraph_server.threads.switch_interval import giving_way

_LOG = logging.getLogger(__name__)

# For calls that a version took before it was replaced. Nothing waits for it but its own memory.
_DRAIN_S = 3600.0

LoadVersion = Callable[[ModelSettings, int, Path], Version]
LookAt = Callable[[Path, FolderSettings, Interest], Look]
Before = Callable[[], tuple[Version, bool] | None]
"""The live version that the one which is being loaded goes on from, and whether that one leaves then."""


class VersionLoads:
    """Any thread may call it.

    Args:
        load: makes a live version; raises StartError.
        look: at a model's folder; raises LoadError.
        give_back: frees memory after a version has closed, which is told what it had taken.
        unload_grace_s: seconds that a version which callers find no more stays open.
    """

    def __init__(
        self,
        load: LoadVersion,
        look: LookAt,
        give_back: Callable[[MemoryUsage], None],
        unload_grace_s: float,
    ) -> None:
        self._load = load
        self._look = look
        self._give_back = give_back
        self._unload_grace_s = unload_grace_s
        self._stopping = threading.Event()
        self._stop_by: float | None = None

    @property
    def is_stopping(self) -> bool:
        """Has `stop_by` been called?"""
        return self._stopping.is_set()

    def stop_by(self, deadline: float) -> None:
        """The server ends: no version has a grace any more, and all are closed by `deadline`, monotonic
        seconds."""
        self._stop_by = deadline
        self._stopping.set()

    def look_at(self, settings: ModelSettings, interest: Interest) -> Look | StartError:
        """What lies in the folder of a model, or why that cannot be said."""
        path = settings.path
        try:
            return self._look(path, settings.folder, interest)
        except StartError as error:
            forget_traceback(error)
            return error
        except Exception as error:
            _LOG.exception("cannot look at %s", path)
            return LoadError(str(path), f"cannot be looked at: {type(error).__name__}")

    def load(self, title: str, entry: Entry, before: Before) -> Version | StartError:
        """Load a version, live and with the values of the one before it where that is wanted; or why not, and
        then nothing of it is left.

        Args:
            title: of the model.
            entry: of the version; its settings, number and folder are read.
            before: asked once the version is live.
        """
        version = None
        failure: StartError
        try:
            with giving_way():
                version = self._load(entry.settings, entry.number, entry.found.folder)
            _take_over(version, entry.settings, before)
            return version
        except StartError as error:
            failure = error
        except Exception as error:
            _LOG.exception("%s version %d cannot be loaded", title, entry.number)
            failure = LoadError(f"{title} version {entry.number}", f"internal error: {type(error).__name__}")
        if version is not None:
            version.stop(0.0)
        forget_traceback(failure)
        # Only now is nothing left that holds it.
        del version
        self._give_back(MemoryUsage())
        return failure

    def unload(self, entry: Entry) -> None:
        """Close the version of an entry, which lets go of it, when its grace is over and its calls are
        answered."""
        # At the end of the server its calls have been answered, and there is no grace to be waited for.
        self._stopping.wait(self._unload_grace_s)
        version, entry.version = entry.version, None
        assert version is not None
        ended = self.close(version)
        title, state = version.title, "closed" if ended else "left, its run does not end"
        taken = version.memory if ended else MemoryUsage()
        # Nothing else holds it: what hangs on it goes now.
        del version
        self._give_back(taken)
        _LOG.info("%s is %s", title, state)

    def close(self, version: Version) -> bool:
        """Stop a version, which has as long for what it has taken as there is. Returns whether it ended in
        time."""
        left_s = _DRAIN_S if self._stop_by is None else max(self._stop_by - time.monotonic(), 0.0)
        return version.stop(left_s)


def _take_over(version: Version, settings: ModelSettings, before: Before) -> None:
    """Let a version that callers do not find yet go on from the one before it, if that is wanted, or if it is
    the same one loaded again, whose snapshots are those of the one before.

    Raises:
        LoadError: it could not.
    """
    state = settings.state
    if not (state.transfer_state or state.state_dir):
        return
    found = before()
    if found is not None and (state.transfer_state or shares_snapshots(found[0], version)):
        hand_over(found[0], version, replaced=found[1])
