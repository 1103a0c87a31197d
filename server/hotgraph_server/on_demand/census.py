"""What each model holds, and whether it may go: from what the repository says, and the versions themselves.

Any thread may have the repository's rows; the census is one thread's. Of versions it keeps nothing but their
statistics from one look to the next: what has been closed shall be gone before another comes in its place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from hotgraph_server.models.memory_usage import Basis, MemoryUsage
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.on_demand.decisions import Phase, Resident
from hotgraph_server.on_demand.learnt import Learnt
from hotgraph_server.repository.room import Held, Holding
from hotgraph_server.repository.tree import tree_of
from hotgraph_server.settings import ModelSettings
from hotgraph_server.statistics import Statistics

_LOG = logging.getLogger(__name__)

Estimate = Callable[[ModelSettings, Path], MemoryUsage]
"""What a version will take, by its model's settings and its folder; looks at the disk."""

_PHASES = {State.LOADING: Phase.COMING, State.LIVE: Phase.LIVE, State.DRAINING: Phase.LEAVING}


def held_bytes(held: Held, learnt: Learnt) -> int | None:
    """What a version holds now; None: nothing is known of it."""
    if held.version is not None:
        return held.version.memory.total_bytes
    return learnt.bytes_of(held.model, held.number)


class Census:
    """Of all models.

    Args:
        learnt: is told what versions hold, or are estimated to.
        estimate: see there.
    """

    def __init__(self, learnt: Learnt, estimate: Estimate) -> None:
        self._learnt = learnt
        self._estimate = estimate
        # The calls of versions that are closed, and what was last seen of those that are not; swapped
        # together, because another thread reads them.
        self._seen: tuple[int, Mapping[Statistics, int]] = (0, {})
        self._saving: dict[Statistics, Future[str | None]] = {}
        self._told: set[str] = set()

    @property
    def calls(self) -> int:
        """That versions have ended so far, those that are closed by now included."""
        ended, there = self._seen
        return ended + sum(statistics.activity()[0] for statistics in there)

    def needs(self, versions: Sequence[Held], settings: ModelSettings, room: float) -> tuple[int, int]:
        """What a model needs that is to be loaded, and what it needs at least; bytes.

        Where the first is an estimate and more than there is room for, and the second is not, it is worth a
        try: then the first is all the room.
        """
        needs = least = 0
        for held in versions:
            usage = self._estimate(settings, held.folder)
            nbytes = usage.total_bytes
            if usage.basis is Basis.ESTIMATED:
                least += sum(size for _, size, _ in tree_of(held.folder).files)
                nbytes = int(min(nbytes, room))
            else:
                least += nbytes
            self._learnt.holds(held.model, held.number, nbytes)
            needs += nbytes
        return int(min(needs, max(room, least))), least

    def residents(
        self, holding: Holding, settings: ModelSettings | None, kept: float, *, busy: bool
    ) -> list[Resident]:
        """A row for each phase that a model's versions are in.

        Args:
            settings: of the model; None: it is served no more.
            kept: see Resident.
            busy: is it known to be?
        """
        rows: dict[Phase, int] = {}
        for held in holding.versions:
            phase = _PHASES.get(held.state)
            if phase is None:
                continue
            nbytes = held_bytes(held, self._learnt) or 0
            if held.version is not None:
                self._learnt.holds(held.model, held.number, nbytes)
            rows[phase] = rows.get(phase, 0) + nbytes
        live = [held.version for held in holding.versions if held.state is State.LIVE and held.version]
        pinned = settings is not None and settings.residency.pin
        return [
            Resident(
                holding.name,
                nbytes,
                phase,
                pinned,
                phase is Phase.LIVE and (busy or any(self._must_stay(version) for version in live)),
                kept,
            )
            for phase, nbytes in rows.items()
        ]

    def called(self, holdings: Sequence[Holding]) -> list[str]:
        """The models that were called since this was asked last, the one that ran last at the end."""
        ended, before = self._seen
        there: dict[Statistics, int] = {}
        called: dict[str, int] = {}
        for holding in holdings:
            for held in holding.versions:
                if held.version is None:
                    continue
                statistics = held.version.statistics
                count, ran_ms = statistics.activity()
                there[statistics] = count
                if count != before.get(statistics, 0):
                    called[holding.name] = max(ran_ms, called.get(holding.name, 0))
        for gone in before.keys() - there.keys():
            ended += gone.activity()[0]
            self._saving.pop(gone, None)
        self._seen = ended, there
        return sorted(called, key=lambda name: called[name])

    def save(self, holding: Holding) -> bool:
        """Is all of a model's state on disk, as far as it is kept? If not, that is begun, and it may not go
        before."""
        saved = True
        for held in holding.versions:
            version = held.version
            if version is None or not _is_unsaved(version) or version.snapshotter is None:
                continue
            saved = False
            if version.statistics not in self._saving:
                self._saving[version.statistics] = version.snapshotter.save()
        return saved

    def _must_stay(self, version: Version) -> bool:
        """Is there anything in it that would be lost or kept waiting?"""
        if version.waiting or version.in_run_for_s > 0:
            return True
        if version.sequences is not None and version.sequences.figures().live:
            return True
        if _keeps_unsaveable(version):
            self._tell(version, "it has changed state of which no snapshots are taken (state-dir)")
            return True
        saving = self._saving.get(version.statistics)
        if saving is None:
            return False
        if not saving.done():
            return True
        problem = saving.result()
        if problem is None or not _is_unsaved(version):
            del self._saving[version.statistics]
            return False
        # Its snapshotter tries again when its own settings say so.
        self._tell(version, f"its state cannot be saved: {problem}")
        return True

    def _tell(self, version: Version, why: str) -> None:
        """Once for each version and reason."""
        line = f"{version.title} is not given up for others: {why}"
        if line not in self._told:
            self._told.add(line)
            _LOG.warning("%s", line)


def _is_unsaved(version: Version) -> bool:
    if version.snapshotter is None:
        return False
    status = version.snapshotter.status
    return status.folder is not None and status.saved < status.writes


def _keeps_unsaveable(version: Version) -> bool:
    """Has it state of its own that a snapshot does not have?"""
    writing = [signature for signature in version.signatures.values() if signature.writes]
    if not writing:
        return False
    if any(signature.other_state for signature in writing):
        # Tables and the like are in no snapshot, and what has changed them is not counted.
        return version.statistics.activity()[0] > 0
    if version.snapshotter is None:
        return True
    status = version.snapshotter.status
    return status.folder is None and status.writes > 0
