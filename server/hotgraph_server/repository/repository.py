"""Which versions are there, and what becomes of each: from folders on disk to live versions and back.

* A version is loaded when two looks have found the same files in it; at the first look at a model at once,
  unless something seems to be missing. What seems to be missing is only ever a reason to look again: then
  TensorFlow has the last word, and its error is what is told.
* A version is loaded in a thread of its own, warm-up and all, and shown only when it can answer. What it
  replaces goes out of the table in the same assignment: callers see the old or the new one, never
  neither.
* A version that has been replaced keeps its queue open for ``unload_grace_s`` more. A call looks its version
  up and is queued a little later, in between its tensors are read; those that had found the old one before
  the swap still get their answer from it. Why a time, and not a second try on the new one: a request was read
  by the old one's signatures, and would have to be read again by the new one's, in every protocol. Reading
  takes 1 ms for each MB at worst, so some seconds cover the largest message. A caller who is slower than that
  hears UNAVAILABLE, which clients try again.
* Then what was taken is answered, the session closes, and its memory goes back to the operating system.
* A load that fails changes nothing for the version that is live. It is tried again after a pause
  (policy.pause_s), and when its files change; or not at all, if its settings say so.
* A version that is live is loaded once more when the settings of its model change, and, where these ask for
  it (FolderSettings.reloaded), when its files do. The new one takes the place of the old in one assignment,
  like a version of another number.
* A model whose folder cannot be looked at goes on as it is. So do all others.
* Where there is a Room (room.py), models are loaded when they are called, and only what it admits. Versions
  that are to be live beside each other are shown together.
* New lists of models are checked as a whole first: either all of it holds from then on, or nothing.

Who calls what. `tick` the watcher's thread alone; what else is public, any thread. One lock guards the
records of the models; under it is only decided. Acting (version_loads.py) and telling others how things went
happen outside of it, but for `publish`: what is told last must be what is true last, so it must not wait.
"""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from hotgraph_server.errors import StartError
from hotgraph_server.models.memory_usage import MemoryUsage
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.repository import memory
from hotgraph_server.repository.changes import check
from hotgraph_server.repository.entry import Entry
from hotgraph_server.repository.layout import look_at
from hotgraph_server.repository.loader import load_version
from hotgraph_server.repository.looks import due_looks, next_due, take_in
from hotgraph_server.repository.records import REMEMBERED, Record
from hotgraph_server.repository.reports import Reports
from hotgraph_server.repository.room import Held, Room
from hotgraph_server.repository.turns import next_loads
from hotgraph_server.repository.version_loads import LoadVersion, LookAt, VersionLoads
from hotgraph_server.repository.waiting import Callback, Waiter, Waiting
from hotgraph_server.settings import ModelSettings, RepositorySettings, ShadowSettings
from hotgraph_server.threads import processors
from hotgraph_server.threads.one_shot import OneShotThreads
from hotgraph_server.threads.periodic import PeriodicThread

_LOG = logging.getLogger(__name__)

Publish = Callable[[str, Sequence[Version], Mapping[str, int], ShadowSettings], None]
Spawn = Callable[[str, Callable[[], None]], None]
_Act = Callable[[], object]


class Repository(Reports):
    """All models' versions.

    Args:
        settings: see there.
        publish: told a model's live versions and what is said of them whenever that changes; under the lock.
        load: makes a live version; raises StartError.
        look: at a model's folder; raises LoadError.
        give_back: frees memory after a version has closed, which is told what it had taken.
        ended: told when a version has closed or could not be loaded; must not wait.
        spawn: runs a function in a thread of that name.
        clock: monotonic seconds.
        room: models are loaded when they are called, as far as it admits them; None: all are, at once.
    """

    def __init__(
        self,
        settings: RepositorySettings,
        publish: Publish,
        *,
        load: LoadVersion = load_version,
        look: LookAt = look_at,
        give_back: Callable[[MemoryUsage], None] = lambda _: memory.give_back(),
        ended: Callable[[], None] = lambda: None,
        spawn: Spawn | None = None,
        clock: Callable[[], float] = time.monotonic,
        room: Room | None = None,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._publish = publish
        self._loads = VersionLoads(load, look, give_back, settings.unload_grace_s)
        self._ended = ended
        self._threads = OneShotThreads()
        self._spawn = spawn or self._threads.start
        self._clock = clock
        # Two even on one processor: while one waits for a disk the other goes on.
        self._load_threads = settings.load_threads or max(processors.usable(), 2)
        self._room = room
        # The lock of Reports guards what follows, as it does the records.
        self._waiting = Waiting()
        self._next_look = -math.inf
        self._starting = True
        self._winding_down = False
        self._watcher = PeriodicThread(
            "repository watcher", self.tick, clock, "looking at the models failed (repository watcher)"
        )

    def start(self) -> None:
        """Begin to look and to load; returns at once."""
        self._watcher.start()

    def configure(self, models: Sequence[ModelSettings], again: Collection[str] = ()) -> None:
        """Serve these models from now on, and no others; returns at once.

        Args:
            models: all of them.
            again: names of those whose folders are looked at now, and whose failed loads are tried again.

        Raises:
            ConfigError: that cannot be, and why; nothing has changed.
        """
        with self._lock:
            served = {name: model.settings for name, model in self._models.items() if model.served}
            live = {name: {entry.number for entry in model.live()} for name, model in self._models.items()}
            check(models, served, live, labels_ahead=self._settings.labels_ahead)
            for name in served.keys() - {model.name for model in models}:
                self._models[name].served = False
            for settings in models:
                self._take_on(settings, again=settings.name in again)
            acts = self._decide()
        _run(acts)
        self._watcher.wake()

    def call(self, name: str) -> None:
        """Somebody has called a model that is loaded for that: load it; returns at once."""
        self._want(name, live=True)

    def give_up(self, name: str) -> None:
        """Let such a model go, which stays known: no new call finds it. Returns before others are done."""
        self._want(name, live=False)

    def reconsider(self) -> None:
        """What the Room has refused may be admitted now; returns at once."""
        self._watcher.wake()

    def when_settled(
        self,
        names: Collection[str],
        tell: Callback,
        *,
        patient: bool = False,
        all_of_them: bool = True,
    ) -> Callable[[], None]:
        """Call `tell` once, when it is known of these models which of their versions became available.

        Args:
            names: of models; one that is not served is settled.
            tell: gets those that did not; called by whatever thread, must not wait.
            patient: see Waiter, as for what follows.
            all_of_them: see there.

        Returns:
            What to call when the caller waits no more.
        """
        waiter = Waiter(frozenset(names), tell, patient, all_of_them)
        with self._lock:
            self._waiting.add(waiter)
            acts = self._waiting.settled(self._models)
        _run(acts)
        return functools.partial(self._forget, waiter)

    def started(self) -> None:
        """The first loads are over. Tells `publish` once more how things are, if it waited for that."""
        with self._lock:
            self._starting = False
            for name, model in self._models.items():
                self._publish(name, *model.shown)

    def tick(self) -> float:
        """Look where a look is due, and do what is to be done.

        Returns:
            when there may be something to do again, monotonic seconds; infinite: when something happens.
        """
        now = self._clock()
        poll_s = self._settings.poll_s
        with self._lock:
            all_due = poll_s > 0 and self._next_look <= now
            if all_due:
                self._next_look = now + poll_s
            due = due_looks(self._models, now, all_due=all_due)
        # Disks can be slow, and far away.
        looks = {name: (one, self._loads.look_at(one.settings, one.interest)) for name, one in due.items()}
        with self._lock:
            take_in(self._models, looks, self._clock(), polls=poll_s > 0)
            acts = self._decide()
            next_one = next_due(self._models.values(), now)
        _run(acts)
        return min(next_one, self._next_look) if poll_s > 0 else next_one

    def wind_down(self) -> None:
        """Begin no load any more, and let go who waits for one; versions that are live go on."""
        with self._lock:
            self._winding_down = True
            acts = self._waiting.let_go()
        _run(acts)

    def stop(self, timeout_s: float) -> bool:
        """Stop looking and loading, and close every version. Returns whether all of it ended in time.

        A load cannot be interrupted: one that is under way is left to itself after `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        self._watcher.stop(timeout_s)
        with self._lock:
            self._loads.stop_by(deadline)
            versions = [entry.version for entry in self._entries() if entry.version is not None]
        self._threads.refuse()
        ended = [version.stop(max(deadline - time.monotonic(), 0.0)) for version in versions]
        return self._threads.join(deadline, timeout_s) and all(ended)

    # Deciding; each requires the lock.

    def _take_on(self, settings: ModelSettings, *, again: bool) -> None:
        assert self._lock.locked()
        at_once = self._room is None or settings.residency.pin
        if (model := self._models.get(settings.name)) is None:
            self._models[settings.name] = Record(settings, called=at_once)
        else:
            model.called = at_once or (model.called and model.served)
            model.take_on(settings, again=again)

    def _want(self, name: str, *, live: bool) -> None:
        with self._lock:
            model = self._models.get(name)
            if model is None or not model.served or model.called is live:
                return
            if live:
                model.call()
            else:
                model.called = False
            acts = self._decide()
        _run(acts)
        self._watcher.wake()

    def _decide(self) -> list[_Act]:
        """Bring every model closer to what it should be; returns what is to be done outside of the lock."""
        assert self._lock.locked()
        if self._loads.is_stopping:
            return []
        acts, now = list[_Act](), self._clock()
        for model in self._models.values():
            if model.is_dormant:
                continue
            actions = model.actions(now)
            for number in actions.load:
                model.take_up(number)
            for number in actions.drop:
                del model.entries[number]
            model.succeed(now)
            for number in actions.unload:
                entry = model.entries[number]
                entry.state = State.DRAINING
                acts.append(self._begin_unload(model, entry))
            self._publish_changes(model)
        acts += self._begin_loads()
        self._forget_old()
        return acts + self._waiting.settled(self._models)

    def _publish_changes(self, model: Record) -> None:
        assert self._lock.locked()
        shown = model.to_show(together=self._room is not None)
        if model.shown != shown:
            model.shown = shown
            self._publish(model.settings.name, *model.shown)

    def _begin_unload(self, model: Record, entry: Entry) -> _Act:
        name = f"unloader {model.title} version {entry.number}"
        return functools.partial(self._spawn, name, functools.partial(self._unload, model, entry))

    def _begin_loads(self) -> Iterator[_Act]:
        fails_fast = self._starting and not self._settings.wait_for_models and self._settings.exit_on_error
        # The first failure ends the start; nothing must be under way then that cannot be stopped.
        if self._winding_down or (fails_fast and any(one.state is State.FAILED for one in self._entries())):
            return
        for model, entry in next_loads(self._models.values(), self._load_threads, self._admits):
            entry.state, entry.settings = State.LOADING, model.settings
            name = f"loader {model.title} version {entry.number}"
            yield functools.partial(self._spawn, name, functools.partial(self._load, model, entry))

    def _admits(self, model: Record, entry: Entry) -> bool:
        if self._room is None:
            return True
        wanted = Held(model.settings.name, entry.number, entry.state, entry.found.folder)
        return self._room.admits(self._in_memory(), wanted)

    def _forget_old(self) -> None:
        for model in self._models.values():
            model.forget_old()
        gone = [name for name, model in self._models.items() if model.is_over]
        for name in gone[: max(len(gone) - REMEMBERED, 0)]:
            del self._models[name]

    # Acting; without the lock.

    def _load(self, model: Record, entry: Entry) -> None:
        loaded = self._loads.load(model.title, entry, functools.partial(self._before, model, entry))
        with self._lock:
            stopped = self._loads.is_stopping
            acts = list[_Act]()
            if isinstance(loaded, StartError):
                model.failed(entry, loaded, self._clock(), self._settings)
            elif (replaced := model.install(entry, loaded)) is not None:
                acts.append(self._begin_unload(model, replaced))
            acts += self._decide()
        _run(acts)
        if isinstance(loaded, StartError):
            self._ended()
        elif stopped:
            self._loads.close(loaded)
        # The time of the next try may be new.
        self._watcher.wake()

    def _before(self, model: Record, entry: Entry) -> tuple[Version, bool] | None:
        with self._lock:
            return model.before(entry)

    def _unload(self, model: Record, entry: Entry) -> None:
        self._loads.unload(entry)
        with self._lock:
            model.closed(entry)
            acts = self._decide()
        _run(acts)
        self._ended()

    def _forget(self, waiter: Waiter) -> None:
        with self._lock:
            self._waiting.forget(waiter)


def _run(acts: Collection[_Act]) -> None:
    for act in acts:
        act()
