"""From one version to the next with the values of its variables, and without losing a write.

What happens, in this order, while both are live and before callers find the new one:

1. The old version holds back calls that change state, from the next one on (models/write_gate.py).
2. When it has run those that came before, its values are read, and the new version takes over what has the
   same name, dtype and shape. If snapshots are taken, one of the new version is on disk before anything else.
3. The calls that were held back are queued at the new version, in their order, and so are those that still
   find the old one.

So there is one line of writes: the old version's last comes before the new one's first. Calls that only read
are answered by the version that they found. If the new version cannot take over, nothing has changed.
"""

from __future__ import annotations

import logging
from concurrent.futures import TimeoutError as NotInTime

from hotgraph_server.errors import CallError, LoadError
from hotgraph_server.models.version import Version
from hotgraph_server.state.durability import Values
from hotgraph_server.state.restore import carried
from hotgraph_server.state.session_state import SessionState

_LOG = logging.getLogger(__name__)

# A run of the old version cannot be interrupted; holding back calls must come to an end all the same.
_MAX_WAIT_S = 60.0


def hand_over(old: Version, new: Version, *, replaced: bool) -> None:
    """Let `new` go on from the values of `old`.

    Args:
        old: live.
        new: live, and not yet found by callers.
        replaced: no caller finds `old` any more when this has returned. If not, both take calls from here on,
            each for itself.

    Raises:
        LoadError: it could not take over, and why; `old` goes on as before.
    """
    if replaced:
        old.write_gate.redirect(new.write_gate)
    try:
        values, writes = old.submit_to_executor(_state_of).result(_MAX_WAIT_S)
        while replaced and old.has_waiting_writes:
            # Calls that may share a run wait elsewhere, and are not always run in the order of arrival.
            values, writes = old.submit_to_executor(_state_of).result(_MAX_WAIT_S)
        if replaced and shares_snapshots(old, new):
            # From here on `old` has nothing to save, so it removes nothing of what `new` saves.
            _save(old)
        taking_over = new.submit_to_executor(lambda state: _take_over(state, values, writes))
        moved: list[str] = taking_over.result(_MAX_WAIT_S)
        _save(new)
    except (CallError, NotInTime) as error:
        _not_taken_over(old, new, replaced)
        why = str(error) or f"not within {_MAX_WAIT_S:.0f} s"
        raise LoadError(new.title, f"it could not take over from {old.title}: {why}") from error
    except LoadError:
        _not_taken_over(old, new, replaced)
        raise
    if replaced:
        old.write_gate.release()
    _LOG.info(
        "%s goes on after %d writes of %s with %s",
        *(new.title, writes, old.title, ", ".join(moved) if moved else "none of its variables"),
    )


def shares_snapshots(one: Version, other: Version) -> bool:
    """Do both keep snapshots in the same folder? Then one goes on from the other, or its writes are lost."""
    folders = [
        version.snapshotter.status.folder for version in (one, other) if version.snapshotter is not None
    ]
    return len(folders) == 2 and folders[0] is not None and folders[0] == folders[1]


def _save(version: Version) -> None:
    """Returns when the state of a version is on disk, if it keeps snapshots.

    Raises:
        LoadError: it cannot be.
        TimeoutError: not in time.
    """
    if version.snapshotter is None or version.snapshotter.status.folder is None:
        return
    problem = version.snapshotter.save().result(_MAX_WAIT_S)
    if problem is not None:
        raise LoadError(version.title, f"the state that is handed over could not be saved: {problem}")


def _not_taken_over(old: Version, new: Version, replaced: bool) -> None:
    if new.snapshotter is not None:
        new.snapshotter.give_up()
    if replaced:
        old.write_gate.resume()


def _state_of(state: SessionState) -> tuple[Values, int]:
    return state.snapshotter.values, state.snapshotter.status.writes


def _take_over(state: SessionState, values: Values, writes: int) -> list[str]:
    mine, moved = carried(values, state.snapshotter.values)
    if moved:
        state.take_over(mine, writes)
    return moved
