"""From one version to the next with the values of its variables, and without losing a write.

What happens, in this order, while both are loaded and before callers find the new one:

1. The old version holds back calls that change state, from the next one on.
2. When it has run those that came before, its values are read, and the new version takes over what has the
   same name, dtype and shape. If snapshots are taken, one of the new version is on disk before anything else.
   3. The calls that were held back are queued at the new version, in their order, and so are those that still
   find the old one.

So there is one line of writes: the old version's last comes before the new one's first. Calls that only read
are answered by the version that they found. If the new version cannot take over, nothing has changed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as NotInTime
from typing import TYPE_CHECKING

from hotgraph_server.batching.call import Call
from hotgraph_server.errors import CallError, LoadError, NotReady
from hotgraph_server.signatures import Signature
from hotgraph_server.state.durability import Values
from hotgraph_server.state.restore import carried
from hotgraph_server.state.session_state import SessionState

if TYPE_CHECKING:
    from hotgraph_server.models.version import Version

_LOG = logging.getLogger(__name__)

# A run of the old version cannot be interrupted; who holds back calls must come to an end all the same.
_MAX_WAIT_S = 60.0


class Gate:
    """Stands before the calls of a version that change state; any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards what follows
        self._held: list[tuple[Call, Callable[[Call], object]]] | None = None
        self._end: Version | None = None

    @property
    def end(self) -> Version | None:
        """Where calls go; None: to the version itself."""
        return self._end

    def shut(self, end: Version) -> None:
        """Hold back what comes from now on; it is meant for `end`."""
        with self._lock:
            self._end, self._held = end, []

    def put(self, make: Callable[[Version | None], tuple[Call, Callable[[Call], object]]]) -> Call:
        """Queue a call where calls go, or hold it back.

        Args:
            make: gives the call and what queues it, for the version where calls go.

        Raises:
            CallError: it cannot be queued.
        """
        with self._lock:
            call, put = make(self._end)
            if self._held is None:
                # Under the lock, so that nobody is queued behind the last that the old version runs.
                put(call)
            else:
                self._held.append((call, put))
            return call

    def open(self) -> None:
        """Queue what was held back, in its order, and hold back nothing more."""
        with self._lock:
            held, self._held = self._held or [], None
            refused = [(call, error) for call, put in held if (error := _put(call, put)) is not None]
        for call, error in refused:
            call.completion.leave(error)

    def forget(self) -> None:
        """The new version does not take over: end what was held back, and let calls go as before."""
        with self._lock:
            held, self._held, self._end = self._held or [], None, None
        for call, _ in held:
            call.completion.leave(NotReady("the next version could not take over; the call was not run"))


def hand_over(old: Version, new: Version, *, replaced: bool) -> None:
    """Let `new` go on from the values of `old`.

    Args:
        old: live.
        new: live, and found by nobody yet.
        replaced: no caller finds `old` any more when this has returned. If not, both take calls from here on,
            each for itself.

    Raises:
        LoadError: it could not take over, and why; `old` goes on as before.
    """
    if replaced:
        old.gate.shut(new)
    try:
        values, writes = old.ask(_state_of).result(_MAX_WAIT_S)
        while replaced and old.has_waiting_writes:
            # Calls that may share a run wait elsewhere, and are not always run in the order of arrival.
            values, writes = old.ask(_state_of).result(_MAX_WAIT_S)
        if replaced and shares_snapshots(old, new):
            # From here on `old` has nothing to save, so it removes nothing of what `new` saves.
            _save(old)
        moved: list[str] = new.ask(lambda state: _take_over(state, values, writes)).result(_MAX_WAIT_S)
        _save(new)
    except (CallError, NotInTime) as error:
        _not_taken_over(old, new, replaced)
        why = str(error) or f"not within {_MAX_WAIT_S:.0f} s"
        raise LoadError(new.title, f"it could not take over from {old.title}: {why}") from error
    except LoadError:
        _not_taken_over(old, new, replaced)
        raise
    if replaced:
        old.gate.open()
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


def same_call(one: Signature, other: Signature | None) -> bool:
    """Does a call of `one` mean the same to `other`?"""
    return (
        other is not None
        and [(spec.alias, spec.dtype, spec.shape) for spec in one.inputs]
        == [(spec.alias, spec.dtype, spec.shape) for spec in other.inputs]
        and set(one.output_aliases) <= set(other.output_aliases)
    )


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
        old.gate.forget()


def _state_of(state: SessionState) -> tuple[Values, int]:
    return state.snapshotter.values, state.snapshotter.status.writes


def _take_over(state: SessionState, values: Values, writes: int) -> list[str]:
    mine, moved = carried(values, state.snapshotter.values)
    if moved:
        state.take_over(mine, writes)
    return moved


def _put(call: Call, put: Callable[[Call], object]) -> CallError | None:
    if call.completion.taken:
        return None
    try:
        put(call)
    except CallError as error:
        return error
    return None
