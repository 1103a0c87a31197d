"""What has come of a model that was asked for: which of its versions became available, what is still open,
and why there is none. Pure; guarded by the repository's lock, as the records are.
"""

from __future__ import annotations

import math

from hotgraph_server.errors import LoadError, StartError
from hotgraph_server.models.status import State, Unavailable
from hotgraph_server.repository.policy import wanted
from hotgraph_server.repository.records import Record

_UNDER_WAY = (State.WAITING, State.LOADING)
# One that still drains is loaded again when it is closed.
_SETTLED = (State.LIVE, State.FAILED)


def outcome_of(model: Record, *, patient: bool) -> list[Unavailable] | None:
    """Which of the versions that shall be served did not become available; None: that is still open.

    Args:
        patient: a load that will be tried again is open, and so is a model that has no version yet.
    """
    if not model.served:
        return []
    if not model.called:
        # Whether it can be loaded is seen when it is.
        return [] if model.looked else None
    name, polled = model.settings.name, model.settings.folder.polled
    numbers = wanted(model.present(), model.policy)
    entries = [model.entries.get(number) for number in numbers]
    entries += [model.successors[number] for number in numbers if number in model.successors]
    if not model.looked or any(entry is None or entry.state not in _SETTLED for entry in entries):
        return None
    if model.again_at < math.inf:
        return None
    # What is live may have lost its files; only who has just asked for it must hear of that.
    if not entries and not (model.live() and polled):
        return None if patient else [Unavailable(name, None, why_nothing(model))]
    if not polled and not all(number in model.ready for number in numbers):
        # It is live, but not from what is there now, and that is what was asked for.
        return [Unavailable(name, None, why_nothing(model))]
    failed = [entry for entry in entries if entry is not None and entry.state is State.FAILED]
    if patient and any(entry.retry_at < math.inf for entry in failed):
        return None
    return [Unavailable(name, entry.number, entry.error) for entry in failed if entry.error is not None]


def why_nothing(model: Record) -> StartError:
    """Why there is no version that could be loaded."""
    if model.trouble is not None:
        return model.trouble
    path = str(model.settings.path)
    for number, found in sorted(model.last.items(), reverse=True):
        if found.unreadable:
            return LoadError(str(found.folder), str(found.missing))
        if found.missing is not None:
            return LoadError(path, f"version {number} is not complete: {found.missing}")
    return LoadError(path, "holds no version that is to be served")


def what_is_open(model: Record) -> str:
    """What those who wait for this model wait for."""
    entries = [*model.entries.items(), *model.successors.items()]
    for number, entry in sorted(entries, key=lambda one: one[0], reverse=True):
        if entry.state in _UNDER_WAY:
            return f"{model.title} version {number}, which is {entry.state.value}"
        if entry.error is not None:
            return f"{model.title} version {number}, which is tried again: {entry.error}"
    if awaited := model.awaited():
        why = model.last[awaited[0]].hint or "its files are still changing"
        return f"{model.title} version {awaited[0]}, which is not complete yet: {why}"
    return str(why_nothing(model)) if model.looked else f"a look at the folder of {model.title}"
