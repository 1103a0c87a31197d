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
their own (handing_out.py).
"""

from __future__ import annotations

import functools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import MappingProxyType

from hotgraph_server.errors import CallError, LoadFailed, StartError
from hotgraph_server.models.demand_figures import DemandFigures
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import Unavailable
from hotgraph_server.models.version import Version
from hotgraph_server.on_demand.callers import Callers
from hotgraph_server.on_demand.census import Census, Estimate, held_bytes
from hotgraph_server.on_demand.decider import MIB, Decider, Models, reasons
from hotgraph_server.on_demand.handing_out import HandingOut
from hotgraph_server.on_demand.learnt import Learnt
from hotgraph_server.on_demand.waiting import Waiter
from hotgraph_server.repository.room import Held
from hotgraph_server.settings import ModelSettings, OnDemandSettings, RepositorySettings
from hotgraph_server.threads import processors
from hotgraph_server.threads.periodic import PeriodicThread

Tell = Callable[[CallError | None], None]


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
        handing_out: calls that go on.
        learnt: of models so far.
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
        self._limit = float(settings.memory_mb * MIB) if settings.memory_mb else math.inf
        self._slots = repository.load_threads or max(processors.usable(), 2)
        self._registry = registry
        self._changed = changed
        self._clock = clock
        self._thread = PeriodicThread("on demand", self.tick, clock, "deciding what is loaded failed")
        self.learnt = Learnt(repository.load_retry_s)
        self._census = Census(self.learnt, estimate)
        self.callers = Callers(settings, self.learnt, self._slots, self._thread.wake, clock)
        self._models: Models | None = None
        self._decider: Decider | None = None
        self.handing_out = HandingOut(self._thread.wake)
        self._jobs: deque[Callable[[], None]] = deque()
        self._stopping = threading.Event()
        self._telling = threading.Lock()  # the registry; nothing else is asked for under it that waits

    # The repository.

    def admits(self, held: Sequence[Held], wanted: Held) -> bool:
        """See Room."""
        sizes = [held_bytes(one, self.learnt) for one in (*held, wanted)]
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
        self.learnt.forget_but(self.callers.known)
        self._tell_registry()
        self._thread.wake()

    def expects(self, name: str) -> bool:
        """Would a call of the model be answered, as far as can be told?"""
        return self._registry.loaded_at_call.get(name, False)

    def load(self, name: str, tell: Tell) -> None:
        """Load a model now, whatever became of it before; returns at once. `tell` is told how that went."""
        models = self._models
        assert models is not None
        self.callers.forgive(name)
        now = self._clock()

        def settled(unavailable: list[Unavailable]) -> None:
            tell(LoadFailed(name, reasons(unavailable)) if unavailable else None)

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
            if self._decider is not None:
                self._decider.unload(name)
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
        callers, decider, calls = self.callers, self._decider, self._census.calls
        misses = callers.waits.count
        return DemandFigures(
            limit_bytes=0 if self._limit == math.inf else int(self._limit),
            held_bytes=decider.held_bytes if decider else 0,
            working_set_bytes=decider.working_set_bytes if decider else 0,
            hits=max(calls - misses, 0),
            misses=misses,
            refused=callers.refused,
            loads=decider.loads if decider else 0,
            reloads=decider.reloads if decider else 0,
            evictions=decider.evictions if decider else 0,
            waiting=callers.waiting,
            most_waiting=callers.most_waiting,
            waits=tuple(callers.waits.counts),
            waited_s=callers.waits.total_s,
            thrash_share=decider.thrash_share if decider else 0,
        )

    def over(self, models: Models) -> None:
        """This is the repository that the decisions are about."""
        self._models = models
        self._decider = Decider(
            *(self._limit, self._slots, models, self.callers, self.handing_out),
            *(self.learnt, self._census, self._expects_another_thing),
        )

    def start(self) -> None:
        """Begin to decide; after `over`."""
        self._thread.start()

    def wind_down(self) -> None:
        """Load nothing any more, and refuse who waits."""
        self._stopping.set()
        self.callers.wind_down()

    def stop(self, timeout_s: float) -> None:
        """End the threads."""
        self.wind_down()
        self._thread.stop(timeout_s)
        self.handing_out.stop(timeout_s)

    def tick(self) -> float:
        """Decide, and have it done; for the thread alone. Returns when to decide again, monotonic seconds."""
        while self._jobs:
            self._jobs.popleft()()
        if self._decider is None or self._stopping.is_set():
            return math.inf
        return self._decider.decide(self._clock())

    def _expects_another_thing(self, name: str) -> None:
        self._tell_registry()
        self._changed(name)

    def _tell_registry(self) -> None:
        """Which models are loaded when they are called."""
        # Who is told last must be told what is known last: a model that was left out would not be found.
        with self._telling:
            known = self.callers.known
            self._registry.loaded_at_call = MappingProxyType(
                {name: self.learnt.failure(name) is None for name in known}
            )
