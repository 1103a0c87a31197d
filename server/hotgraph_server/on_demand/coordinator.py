"""Models that are loaded when they are called, within a limit of memory.

What it promises.

* A call of a model that is known and not live waits for its load, within its own deadline, and at most for
  `load_wait_s`. However many wait, there is one load. A caller who leaves is forgotten at once, and each call
  ends once: it goes on when the model is live, or is told why it cannot.
* Refused at once: a call whose load cannot be in time by what is known (it is begun all the same, so that
  another try finds the model), one too many, one whose model could not be loaded a moment ago (with the
  reason; the pauses between tries double), and one of a model that is larger than the limit.
* All models together hold no more than the limit, by what is known of them (decisions.py); that is estimated
  before a load, and measured at it. For one that does not fit others go first: idle ones, by what a reload
  would cost and when they were called (ages.py), never one that is pinned, in use, just loaded, or whose
  state would be lost; changed state is saved before. A call that finds a model in the moment in which it goes
  waits for it like any other, so none fails because a model was given up.
* Thrash (thrash.py) is counted, and told once in a while.

Threads. One, "on demand", which decides by what the repository holds and who waits (callers.py); what it
decides the repository does. It is woken by callers, and by the repository's news. Calls go on in threads of
their own, one for each model that has become live: to read their messages takes as long as it takes, and
another model may be waited for meanwhile.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from hotgraph_server.errors import CallError, LoadFailed, LoadFails, NotFound, StartError, TooLargeForMemory
from hotgraph_server.models.demand_figures import DemandFigures
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State, Unavailable
from hotgraph_server.models.version import Version
from hotgraph_server.on_demand.ages import Ages
from hotgraph_server.on_demand.callers import Callers
from hotgraph_server.on_demand.census import Census, Estimate, held_bytes
from hotgraph_server.on_demand.decisions import Resident, Steps, Wish, next_steps, room_for
from hotgraph_server.on_demand.learnt import Learnt
from hotgraph_server.on_demand.thrash import Thrash
from hotgraph_server.on_demand.waiting import Waiter
from hotgraph_server.repository.room import Held, Holding
from hotgraph_server.settings import ModelSettings, OnDemandSettings, RepositorySettings
from hotgraph_server.threads import processors
from hotgraph_server.threads.one_shot import OneShotThreads
from hotgraph_server.threads.periodic import PeriodicThread

_LOG = logging.getLogger(__name__)

_MIB = 2**20
# Of what ends nobody tells, such as a look at a folder: while a model is waited for, it is looked so often.
_LOOK_AT_LEAST_S = 0.5

Tell = Callable[[CallError | None], None]


class Models(Protocol):
    """What repository.Repository is to this."""

    def holdings(self) -> list[Holding]: ...

    def to_load(self, name: str) -> list[Held]: ...

    def call(self, name: str) -> None: ...

    def give_up(self, name: str) -> None: ...

    def reconsider(self) -> None: ...

    def when_settled(
        self, names: list[str], tell: Callable[[list[Unavailable]], None]
    ) -> Callable[[], None]: ...


class OnDemand:
    """See the head of this file, and repository/room.py. The constructor starts nothing.

    Args:
        settings: see there.
        repository: how many are loaded at a time, and how long the pauses are after loads that failed.
        registry: is told which models are loaded when they are called.
        estimate: see census.py.
        changed: told the name of a model of which another thing is expected now than before.
        clock: monotonic seconds.

    Attributes:
        callers: who waits.
    """

    def __init__(
        self,
        settings: OnDemandSettings,
        repository: RepositorySettings,
        registry: Registry,
        estimate: Estimate,
        changed: Callable[[str], object] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = float(settings.memory_mb * _MIB) if settings.memory_mb else math.inf
        self._slots = repository.load_threads or max(processors.usable(), 2)
        self._registry = registry
        self._changed = changed
        self._clock = clock
        self._thread = PeriodicThread("on demand", self.tick, clock, "deciding what is loaded failed")
        self._learnt = Learnt(repository.load_retry_s)
        self._census = Census(self._learnt, estimate)
        self.callers = Callers(settings, self._learnt, self._slots, self._thread.wake, clock)
        self._models: Models | None = None
        self._going_on = OneShotThreads()
        self._jobs: deque[Callable[[], None]] = deque()
        self._stopping = threading.Event()
        # Of the thread alone.
        self._ages = Ages()
        self._thrash = Thrash()
        self._kept: dict[str, float] = {}
        self._loads = self._evictions = 0
        self._held_bytes = self._working_set_bytes = 0
        self._thrash_share = 0.0
        # How many threads hand out calls of a model now; each adds and takes away one.
        self._handing_out: dict[str, int] = {}
        self._counting = threading.Lock()  # guards the one above

    # The repository.

    def admits(self, held: Sequence[Held], wanted: Held) -> bool:
        """See Room."""
        sizes = [held_bytes(one, self._learnt) for one in (*held, wanted)]
        if sizes[-1] is None:
            # Of a version that nobody has asked for, such as a new one of a live model.
            self._thread.wake()
            return False
        admitted = sum(size or 0 for size in sizes) <= self._limit
        # What is larger than it was thought to be can only be alone.
        return admitted or not held

    def published(self, name: str, versions: Sequence[Version]) -> None:
        """Callers find these versions of a model from now on, or are about to find none."""
        self.callers.published(name, live=bool(versions))
        self._thread.wake()

    def wake(self) -> None:
        """Something has become of a version."""
        self._thread.wake()

    # Whoever serves.

    def know(self, models: Sequence[ModelSettings]) -> None:
        """These are the models from now on; once the repository has them."""
        self.callers.known = {model.name: model for model in models}
        self._expect()
        self._thread.wake()

    def expects(self, name: str) -> bool:
        """Would a call of the model be answered, as far as can be told?"""
        return self._registry.loaded_at_call.get(name, False)

    def load(self, name: str, tell: Tell) -> None:
        """Load a model now, whatever became of it before; returns at once. `tell` is told how that went."""
        models = self._models
        assert models is not None
        self._learnt.forgive(name)
        now = self._clock()

        def settled(unavailable: list[Unavailable]) -> None:
            tell(LoadFailed(name, _reasons(unavailable)) if unavailable else None)

        def failed(error: CallError) -> None:
            tell(LoadFailed(name, str(error)))

        waiter = Waiter(name, now, math.inf, functools.partial(tell, None), failed, is_call=False)
        try:
            if not self.callers.wait(waiter):
                # As it is, or by other settings or from other files, if it is being loaded by those.
                models.when_settled([name], settled)
        except CallError as error:
            failed(error)

    def unload(self, name: str, tell: Tell) -> None:
        """Give a model up now, pinned or not; it stays known. Returns at once. `tell` is told when no call
        finds it any more."""

        def job() -> None:
            assert self._models is not None
            self._models.give_up(name)
            self._ages.forget(name)
            tell(None)

        self._jobs.append(job)
        self._thread.wake()

    def check_pinned(self) -> None:
        """
        Raises:
            StartError: there is no room for all models that always stay.
        """
        for error in self.callers.known_too_large():
            raise StartError(f"{error}; it is pinned")

    def figures(self) -> DemandFigures:
        """For metrics."""
        callers, calls = self.callers, self._census.calls
        misses = callers.waits.count
        return DemandFigures(
            limit_bytes=0 if self._limit == math.inf else int(self._limit),
            held_bytes=self._held_bytes,
            working_set_bytes=self._working_set_bytes,
            hits=max(calls - misses, 0),
            misses=misses,
            refused=callers.refused,
            loads=self._loads,
            reloads=self._thrash.reloads,
            evictions=self._evictions,
            waiting=callers.waiting,
            most_waiting=callers.most_waiting,
            waits=tuple(callers.waits.counts),
            waited_s=callers.waits.total_s,
            thrash_share=self._thrash_share,
        )

    def start(self, models: Models) -> None:
        """Begin to decide."""
        self._models = models
        self._thread.start()

    def wind_down(self) -> None:
        """Load nothing any more, and refuse who waits."""
        self._stopping.set()
        self.callers.wind_down()

    def stop(self, timeout_s: float) -> None:
        """End the threads."""
        self.wind_down()
        deadline = time.monotonic() + timeout_s
        self._thread.stop(timeout_s)
        self._going_on.join(deadline, timeout_s)

    # What follows is for the thread alone.

    def tick(self) -> float:
        """Decide, and have it done. Returns when to decide again, monotonic seconds."""
        while self._jobs:
            self._jobs.popleft()()
        models = self._models
        if models is None or self._stopping.is_set():
            return math.inf
        now = self._clock()
        holdings = {holding.name: holding for holding in models.holdings()}
        self._kept = {name: until for name, until in self._kept.items() if name in holdings}
        for holding in holdings.values():
            self._hear(holding, now)
        for name in self.callers.unknown():
            self.callers.refuse(name, functools.partial(NotFound, f"model '{name}' is not known any more"))
        residents = self._residents(list(holdings.values()))
        self._follow(holdings, residents, now)
        steps = next_steps(
            self._limit,
            residents,
            self._wishes(holdings, residents, now),
            self._ages.least_first,
            self._slots,
            now,
        )
        self._take(steps, holdings, now)
        waits = now + _LOOK_AT_LEAST_S if self.callers.waiting else math.inf
        return min(steps.look_at, self.callers.end_expired(now), waits)

    def _hear(self, holding: Holding, now: float) -> None:
        """What became of a model since the last time."""
        name = holding.name
        live = [one.version for one in holding.versions if one.state is State.LIVE and one.version]
        if live:
            if name not in self._kept:
                self._went_live(name, live, now)
            if self.callers.has(name):
                self._hand_out(name, now)
            return
        self._kept.pop(name, None)
        under_way = any(one.state in (State.WAITING, State.LOADING) for one in holding.versions)
        if holding.called and holding.outcome is not None and not under_way:
            self._failed(name, _reasons(holding.outcome) or "there is no version to load", now)

    def _went_live(self, name: str, versions: Sequence[Version], now: float) -> None:
        load_s = max(version.load_s for version in versions)
        nbytes = sum(version.memory.total_bytes for version in versions)
        had_failed = self._learnt.failure(name) is not None
        self._learnt.loaded(name, load_s, nbytes)
        # At least as long as it took: see decisions.py.
        self._kept[name] = now + load_s
        self._ages.called(name, self._learnt.load_s(name, nbytes), nbytes)
        self._thrash.loaded(name, load_s, now)
        self._loads += 1
        self.callers.unwish(name)
        if had_failed:
            self._expect()
            self._changed(name)

    def _failed(self, name: str, why: str, now: float) -> None:
        assert self._models is not None
        failure = self._learnt.failed(name, why, now)
        _LOG.info("model '%s' is tried again when it is called, not before %.1f s", name, failure.until - now)
        self._models.give_up(name)
        self.callers.unwish(name)
        self._expect()
        self._changed(name)
        self.callers.refuse(name, lambda: LoadFails(name, why, max(failure.until - now, 0.0)))

    def _hand_out(self, name: str, now: float) -> None:
        """Let the calls of a live model go on."""
        waiters = self.callers.take(name, now)
        with self._counting:
            self._handing_out[name] = self._handing_out.get(name, 0) + 1

        def go_on() -> None:
            try:
                for waiter in waiters:
                    waiter.go_on()
            finally:
                with self._counting:
                    self._handing_out[name] -= 1
                    if not self._handing_out[name]:
                        del self._handing_out[name]
                self._thread.wake()

        self._going_on.start(f"waiting calls model '{name}'", go_on)

    def _residents(self, holdings: Sequence[Holding]) -> list[Resident]:
        with self._counting:
            busy = set(self._handing_out)
        return [
            resident
            for holding in holdings
            for resident in self._census.residents(
                holding,
                self.callers.known.get(holding.name),
                self._kept.get(holding.name, -math.inf),
                busy=holding.name in busy,
            )
        ]

    def _follow(self, holdings: Mapping[str, Holding], residents: Sequence[Resident], now: float) -> None:
        """Who was called, what is held."""
        sizes = dict[str, int]()
        for one in residents:
            sizes[one.name] = sizes.get(one.name, 0) + one.nbytes
        for name in self._census.called(list(holdings.values())):
            nbytes = sizes.get(name, 0)
            self._ages.called(name, self._learnt.load_s(name, nbytes), nbytes)
            self._thrash.called(name, nbytes, now)
        self._held_bytes = sum(one.nbytes for one in residents)
        working_set = self._thrash.working_set(now)
        self._working_set_bytes = sum(working_set.values())
        self._thrash_share = self._thrash.share(now)
        if self._thrash.is_to_be_told(now):
            _LOG.warning(
                "models are loaded again that were given up within the minute: the %d models that were called"
                " in it hold %d MiB, and memory-mb is %d",
                *(len(working_set), math.ceil(self._working_set_bytes / _MIB), int(self._limit // _MIB)),
            )

    def _wishes(
        self, holdings: Mapping[str, Holding], residents: Sequence[Resident], now: float
    ) -> list[Wish]:
        """What is to be loaded; what the repository has begun, and waits for its room alone, first."""
        models = self._models
        assert models is not None
        wished = dict(self.callers.wishes(now))
        wishes = list[Wish]()
        for name, holding in holdings.items():
            waiting = [one for one in holding.versions if one.state is State.WAITING]
            settings = self.callers.known.get(name)
            if not waiting or settings is None:
                continue
            if not (name in wished or settings.residency.pin or name in self._kept):
                # Who called it has left.
                models.give_up(name)
                continue
            was_known = all(self._learnt.bytes_of(name, one.number) is not None for one in waiting)
            needs = self._needs(name, waiting, residents)
            if needs is None:
                if name not in self._kept:
                    models.give_up(name)
                continue
            if not was_known:
                models.reconsider()
            wishes.append(Wish(name, needs, begun=True))
        begun = {wish.name for wish in wishes}
        for name, wish in wished.items():
            holding_of = holdings.get(name)
            if name in begun or name not in self.callers.known:
                continue
            if holding_of is None or not holding_of.called:
                if wish.nbytes is None:
                    wish.nbytes = self._needs(name, models.to_load(name), residents)
                if wish.nbytes is not None:
                    wishes.append(Wish(name, wish.nbytes))
            elif any(one.state is State.LOADING for one in holding_of.versions):
                wish.begun = now if wish.begun is None else wish.begun
            else:
                # The repository looks at its folder first.
                wishes.append(Wish(name, wish.nbytes or 0, begun=True))
        return wishes

    def _needs(self, name: str, versions: Sequence[Held], residents: Sequence[Resident]) -> int | None:
        """What a model needs, as far as that can be told; None: it cannot be loaded here, and who waits is
        told."""
        others = [one for one in residents if one.name != name]
        room = room_for(self._limit, others)
        needs, least = self._census.needs(versions, self.callers.known[name], room)
        if least <= room:
            return needs
        pinned = sum(one.nbytes for one in others if one.pinned)
        self.callers.unwish(name)
        self.callers.too_large(name, TooLargeForMemory(name, least, int(self._limit), pinned))
        return None

    def _take(self, steps: Steps, holdings: Mapping[str, Holding], now: float) -> None:
        assert self._models is not None
        for name in steps.give_up:
            if not self._census.save(holdings[name]):
                # It goes when that is done, if it is still its turn.
                continue
            self._ages.gave_up(name)
            self._thrash.gave_up(name, now)
            self._evictions += 1
            self._kept.pop(name, None)
            _LOG.debug("model '%s' is given up for others", name)
            self._models.give_up(name)
        for name in steps.begin:
            self._models.call(name)

    def _expect(self) -> None:
        """Tell the registry which models are loaded when they are called."""
        known = self.callers.known
        self._registry.loaded_at_call = MappingProxyType(
            {name: self._learnt.failure(name) is None for name in known}
        )


def _reasons(unavailable: Sequence[Unavailable]) -> str:
    return "; ".join(str(one.error) for one in unavailable)
