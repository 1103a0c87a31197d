"""What the repository knows of a model: what is on disk, and what became of each version. No thread, no disk.

All of it is guarded by the repository's lock.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hotgraph_server.errors import StartError
from hotgraph_server.models.status import ModelFigures, State, VersionStatus
from hotgraph_server.models.version import Version
from hotgraph_server.repository.entry import Entry, differs, is_other, may_go_better
from hotgraph_server.repository.layout import Found, Interest, Look
from hotgraph_server.repository.policy import Actions, next_actions, pause_s, wanted
from hotgraph_server.settings import ModelSettings, RepositorySettings, ShadowSettings, VersionPolicy

_LOG = logging.getLogger(__name__)

# Of versions that are no more, so many are remembered for clients that ask what became of them.
REMEMBERED = 100

_ENDED = (State.CLOSED, State.FAILED)
_UNDER_WAY = (State.WAITING, State.LOADING)

Shown = tuple[Sequence[Version], Mapping[str, int], ShadowSettings]
"""Live versions, labels, and what is said of shadows; see repository.Publish."""


@dataclass(eq=False)
class Record:
    """What is known of one model.

    Attributes:
        settings: the latest.
        served: shall it be; a model that was taken off the list is drained, and remembered.
        called: shall it be live now, if it is served; False: not before somebody calls it (room.py).
        asked: how often it was asked for again; a look that began before does not count.
        looked: was its folder looked at since it was put on the list, or asked for again.
        last: what the last look found.
        ready: the versions of these that are loaded if they are wanted: nothing in them changes any more.
        again_at: when to look once more, monotonic seconds, because a version that is wanted is not ready
            yet; infinite: no sooner than at the others.
        trouble: why the last look found nothing; None: it found something.
        entries: by number; versions that were taken up.
        successors: by number; versions that are live, once more, from other files or by other settings.
            When one of them is live it takes the other's place; if it cannot be, the other goes on.
        leaving: those whose place was taken, until they are closed.
        shown: what was published last; see repository.Publish.
        loads, failed_loads: see ModelFigures.
    """

    settings: ModelSettings
    served: bool = True
    called: bool = True
    asked: int = 0
    looked: bool = False
    last: Mapping[int, Found] = field(default_factory=dict)
    ready: Mapping[int, Found] = field(default_factory=dict)
    again_at: float = math.inf
    trouble: StartError | None = None
    entries: dict[int, Entry] = field(default_factory=dict)
    successors: dict[int, Entry] = field(default_factory=dict)
    leaving: list[Entry] = field(default_factory=list)
    shown: Shown = ((), {}, ShadowSettings())
    loads: int = 0
    failed_loads: int = 0
    _warned: frozenset[str] = frozenset()
    _unfinished: frozenset[int] = frozenset()

    @property
    def title(self) -> str:
        """How logs call it."""
        return f"model '{self.settings.name}'"

    @property
    def policy(self) -> VersionPolicy | None:
        """Which versions shall be live; None: none at all."""
        return self.settings.versions if self.served and self.called else None

    @property
    def is_dormant(self) -> bool:
        """Is there nothing of it, and nothing to be done, until somebody calls it?"""
        return (
            not self.called
            and not self.successors
            and not self.leaving
            and all(entry.state in _ENDED for entry in self.entries.values())
        )

    @property
    def is_over(self) -> bool:
        """Nothing of it is served, or ever will be."""
        return not self.served and all(entry.state in _ENDED for entry in self.all_entries())

    def all_entries(self) -> Iterator[Entry]:
        """Whatever there is of it: those that callers find or will find, and those that leave."""
        yield from self.entries.values()
        yield from self.successors.values()
        yield from self.leaving

    def live(self) -> list[Entry]:
        """The versions that callers find."""
        return [entry for entry in self.entries.values() if entry.state is State.LIVE]

    def to_show(self, *, together: bool) -> Shown:
        """What shall be published now; `together`: nothing until the first loads of all versions are over,
        for who has waited for them must not hear that one is not there."""
        settings, live = self.settings, [entry.version for entry in self.live() if entry.version is not None]
        coming = any(entry.state in _UNDER_WAY for entry in self.entries.values())
        held_back = together and coming and not self.shown[0]
        return [] if held_back else live, settings.labels, settings.shadow

    def statuses(self) -> list[VersionStatus]:
        """What became of each version, highest first."""
        found = {
            number: VersionStatus(number, entry.state, None if entry.error is None else str(entry.error))
            for number, entry in self.entries.items()
        }
        if self.served and not self.called:
            for number in wanted(self.present(), self.settings.versions):
                if number not in found or found[number].state is State.CLOSED:
                    found[number] = VersionStatus(number, State.KNOWN)
        return [found[number] for number in sorted(found, reverse=True)]

    def figures(self) -> ModelFigures:
        """What became of it, for metrics."""
        # A load that failed is nobody's concern once its files have gone, or the model is not served.
        failures = {number for number in self.last if self.served}
        versions = [
            one
            for one in self.statuses()
            if one.state not in _ENDED or (one.state is State.FAILED and one.number in failures)
        ]
        return ModelFigures(self.settings.name, versions, self.loads, self.failed_loads)

    def take_on(self, settings: ModelSettings, *, again: bool = False) -> None:
        """Serve it as these settings say; `again`: look at its folder again, whatever was seen before."""
        if again or not self.served or self.settings.path != settings.path:
            self.asked += 1
            self.looked, self.last, self.ready, self.trouble = False, {}, {}, None
            # Who asks for a model again wants it tried again.
            for entry in self.entries.values():
                entry.failures, entry.retry_at = 0, -math.inf
        elif self.settings.versions != settings.versions:
            # What the policy before did not want was not looked into.
            self.asked += 1
            self.looked = False
        self.served, self.settings = True, settings

    def call(self) -> None:
        """Somebody has called it: let it be live, whatever became of it before."""
        self.called = True
        for entry in self.entries.values():
            if entry.state is State.FAILED:
                entry.retry_at = -math.inf
        if self.trouble is not None or not set(wanted(self.last, self.policy)) <= self.ready.keys():
            # What was missing or broken may be there by now.
            self.asked += 1
            self.looked = False

    def interest(self) -> Interest:
        """What the next look is for."""
        stay = not self.settings.folder.reloaded
        # After a model was asked for again nothing is ready, and all of it is looked into once more.
        settled = frozenset(entry.number for entry in self.live() if stay and entry.number in self.ready)
        return Interest(self.settings.versions, settled, self.last)

    def saw(self, look: Look | StartError, again_at: float = math.inf) -> None:
        """Take in what a look found, or why it found nothing.

        Args:
            again_at: when to look again if a version that is wanted is not ready, if no look comes sooner.
        """
        self.again_at = math.inf
        if isinstance(look, StartError):
            if str(look) != str(self.trouble):
                _LOG.warning("%s: %s%s", self.title, look, "; what is live goes on" if self.live() else "")
            self.looked, self.trouble, self.last, self.ready = True, look, {}, {}
            return
        if self.trouble is not None:
            _LOG.info("%s: its folder can be read again", self.title)
        before, first = self.last, not self.looked
        # What was not looked into is as it was.
        after = {
            number: before.get(number, found) if found.tree is None else found
            for number, found in look.versions.items()
        }
        self.ready = {
            number: found
            for number, found in after.items()
            if (
                number in self.ready
                if look.versions[number].tree is None
                else found.may_be_loaded(before.get(number), first=first)
            )
        }
        self.looked, self.trouble, self.last = True, None, after
        self._warn(look)
        if self.awaited():
            self.again_at = again_at

    def actions(self, now: float) -> Actions:
        """What is to be done now; see policy.next_actions."""
        # Who asks for a model is not kept waiting for the same version of it to be closed.
        past = State.DRAINING if self.settings.folder.reloaded else None
        states = {number: entry.state for number, entry in self.entries.items() if entry.state is not past}
        retry = {number for number, entry in self.entries.items() if self._may_retry(entry, now)}
        return next_actions(self.present(), states, self.policy, retry)

    def take_up(self, number: int) -> None:
        """A version shall be loaded when its turn comes."""
        before, found = self.entries.get(number), self.ready[number]
        # Other files are another try, not the same one again.
        again = before is not None and before.found.tree == found.tree
        failures = before.failures if before and again else 0
        if before is not None and before.state is State.DRAINING:
            self.leaving.append(before)
        self.entries[number] = Entry(number, found, self.settings, failures=failures)

    def succeed(self, now: float) -> None:
        """Let versions that are live be loaded once more where their files or settings are others now."""
        stale = self._stale()
        for number, successor in list(self.successors.items()):
            # A load that is under way ends as it ends, and what comes of it is looked at then.
            if successor.state is not State.LOADING and number not in stale:
                del self.successors[number]
        for number in stale:
            before = self.successors.get(number)
            if before is None or (before.state is State.FAILED and self._may_succeed(before, now)):
                again = before is not None and not may_go_better(before, self.ready[number], self.settings)
                failures = before.failures if before and again else 0
                self.successors[number] = Entry(number, self.ready[number], self.settings, failures=failures)

    def before(self, entry: Entry) -> tuple[Version, bool] | None:
        """The live version that `entry` goes on from, and whether that one leaves then; None: none is."""
        live = self.live()
        if not live:
            return None
        same = [one for one in live if one.number == entry.number]
        one = same[0] if same else max(live, key=lambda one: one.number)
        stays = wanted(self.present() | {entry.number}, self.policy)
        return None if one.version is None else (one.version, bool(same) or one.number not in stays)

    def install(self, entry: Entry, version: Version) -> Entry | None:
        """A version has been loaded; returns the entry that was live in its place, and has to leave now."""
        entry.version, entry.state, entry.failures = version, State.LIVE, 0
        self.loads += 1
        if self.successors.get(entry.number) is not entry:
            return None
        del self.successors[entry.number]
        replaced = self.entries.get(entry.number)
        self.entries[entry.number] = entry
        if replaced is None or replaced.state in _ENDED:
            return None
        self.leaving.append(replaced)
        if replaced.state is not State.LIVE:
            return None
        replaced.state = State.DRAINING
        return replaced

    def failed(self, entry: Entry, failure: StartError, now: float, settings: RepositorySettings) -> None:
        """A version could not be loaded; says in the log when it is tried again."""
        entry.state, entry.error = State.FAILED, failure
        entry.failures += 1
        self.failed_loads += 1
        pause = pause_s(entry.failures, settings) if self.settings.folder.retried else None
        entry.retry_at = math.inf if pause is None else now + pause
        next_try = "not tried again until its files change" if pause is None else f"next try in {pause:.1f} s"
        _LOG.warning("%s version %d cannot be loaded: %s (%s)", self.title, entry.number, failure, next_try)

    def closed(self, entry: Entry) -> None:
        """A version is no more."""
        entry.state = State.CLOSED
        if entry in self.leaving:
            self.leaving.remove(entry)

    def present(self) -> set[int]:
        """Versions on disk that can be served. One that was taken up stays among them while its folder is
        there, whatever happens to its files: what is loaded needs them no more."""
        taken = {number for number, entry in self.entries.items() if entry.state is not State.CLOSED}
        return {number for number in self.last if number in self.ready or number in taken}

    def awaited(self) -> list[int]:
        """Versions that would be wanted if they were ready, and that only another look can show to be."""
        coming = {
            number
            for number, found in self.last.items()
            if found.tree is not None and found.missing is None and number not in self.ready
        }
        return [number for number in wanted(self.present() | coming, self.policy) if number in coming]

    def forget_old(self) -> None:
        """So that a year of swaps does not fill the memory."""
        ended = [
            number
            for number, entry in sorted(self.entries.items())
            if entry.state is State.CLOSED or (entry.state is State.FAILED and number not in self.last)
        ]
        for number in ended[: max(len(ended) - REMEMBERED, 0)]:
            del self.entries[number]

    def _may_retry(self, entry: Entry, now: float) -> bool:
        found = self.ready.get(entry.number)
        if found is None:
            return False
        others = differs(entry, found, self.settings) if self.settings.folder.reloaded else False
        return entry.retry_at <= now or found.tree != entry.found.tree or others

    def _may_succeed(self, failed: Entry, now: float) -> bool:
        return failed.retry_at <= now or may_go_better(failed, self.ready[failed.number], self.settings)

    def _stale(self) -> list[int]:
        """Versions that are wanted and live, and not what is on disk or what the settings say."""
        return [
            number
            for number in wanted(self.present(), self.policy)
            if number in self.ready
            and (entry := self.entries.get(number)) is not None
            and entry.state is State.LIVE
            and self._is_stale(entry, self.ready[number])
        ]

    def _is_stale(self, entry: Entry, found: Found) -> bool:
        if self.settings.folder.reloaded:
            return differs(entry, found, self.settings)
        # Its files may change under it, but what its owner says of it holds.
        return found.folder != entry.found.folder or is_other(entry, self.settings)

    def _warn(self, look: Look) -> None:
        """Each thing once, while it lasts."""
        for warning in look.warnings:
            if warning not in self._warned:
                _LOG.warning("%s: %s", self.title, warning)
        self._warned = frozenset(look.warnings)
        unfinished = {
            number: found.missing or found.hint
            for number, found in look.versions.items()
            if not found.unreadable
            and (found.missing or found.hint)
            and not (number in self.ready or number in self.entries)
        }
        for number in unfinished.keys() - self._unfinished:
            _LOG.info("%s version %d is not complete yet: %s", self.title, number, unfinished[number])
        self._unfinished = frozenset(unfinished)
