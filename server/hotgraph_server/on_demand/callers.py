"""Who waits for which model to be loaded, and who is refused at once.

Any thread may call everything, and never waits. One lock guards what is known here; no call goes on or fails
under it, and nobody is asked. It may be taken under the repository's, so the repository is never asked under
it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hotgraph_server.errors import (
    CallError,
    DeadlineExceeded,
    Draining,
    LoadFails,
    LoadTooLong,
    NotFound,
    Refused,
    TooLargeForMemory,
)
from hotgraph_server.models.demand_figures import Waits
from hotgraph_server.on_demand.decisions import expected_s
from hotgraph_server.on_demand.learnt import Learnt
from hotgraph_server.on_demand.waiting import Waiter, Waiting
from hotgraph_server.settings import ModelSettings, OnDemandSettings

# A model that nobody waits for, because it would have been too late, is loaded for those who come again.
_COME_AGAIN_S = 5.0
# What is too large is looked at again after so long: its files may be others by then.
_TOO_LARGE_FOR_S = 10.0


@dataclass
class Wish:
    """A model that was called, and is not live.

    Attributes:
        until: without anybody who waits for it, it is dropped then; monotonic seconds.
        after: without anybody who waits for it, it is not granted before.
        nbytes: that it needs, as far as that can be told; None: that was not looked at.
        begun: when its load began, monotonic seconds; None: it has not.
    """

    until: float
    nbytes: int | None = None
    begun: float | None = None
    after: float = -math.inf


class Callers:
    """Of all models that are loaded when they are called.

    Args:
        settings: see there.
        learnt: of models so far.
        slots: so many are loaded at a time.
        wake: called when there is something to decide.
        clock: monotonic seconds.

    Attributes:
        known: the models, by name; swapped, never changed.
        waits: of calls that went on.
        refused: calls that were not live and could not wait, or waited in vain.
    """

    def __init__(
        self,
        settings: OnDemandSettings,
        learnt: Learnt,
        slots: int,
        wake: Callable[[], object],
        clock: Callable[[], float],
    ) -> None:
        self.known: Mapping[str, ModelSettings] = {}
        self.waits = Waits()
        self.refused = 0
        self._load_wait_s = settings.load_wait_s
        self._learnt = learnt
        self._slots = slots
        self._wake = wake
        self._clock = clock
        self._waiting = Waiting(settings.max_load_waits)
        self._lock = threading.Lock()  # guards what follows, and the counts above
        self._live: set[str] = set()
        self._wishes: dict[str, Wish] = {}
        self._too_large: dict[str, tuple[TooLargeForMemory, float]] = {}
        self._winding_down = False

    # Callers.

    def wait(self, waiter: Waiter) -> bool:
        """Let somebody wait for a model. Returns whether that is so; False: the model is live.

        Raises:
            Draining: the server stops.
            NotFound: there is no such model any more.
            LoadFails: it could not be loaded a moment ago.
            TooLargeForMemory: it cannot be loaded here.
            LoadTooLong: not in time, by what is known.
            QueueFull: too many wait.
        """
        try:
            with self._lock:
                if waiter.model in self._live:
                    return False
                self._take(waiter, self._clock())
        except CallError as error:
            settings = self.known.get(waiter.model)
            if isinstance(error, Refused) and settings is not None:
                error.refuse_with(settings.batch.refuse_with)
            raise
        finally:
            self._wake()
        return True

    def leave(self, waiter: Waiter) -> None:
        """One waits no longer, of its own accord."""
        if self._waiting.leave(waiter):
            self._wake()

    def expiry(self, now: float) -> float:
        """Until when a call that came at `now` may wait, monotonic seconds."""
        return now + self._load_wait_s

    def forgive(self, name: str) -> None:
        """Somebody wants a model tried, whatever became of it before."""
        self._learnt.forgive(name)
        with self._lock:
            self._too_large.pop(name, None)

    # The repository.

    def published(self, name: str, *, live: bool) -> None:
        """Callers find a model from now on, or find it no more."""
        with self._lock:
            if live:
                self._live.add(name)
            else:
                self._live.discard(name)

    # Who decides.

    def is_live(self, name: str) -> bool:
        """Do callers find it?"""
        return name in self._live

    def wishes(self, now: float) -> list[tuple[str, Wish]]:
        """The models that shall be loaded, the one that was called first first. Those that nobody waits for
        any more are dropped."""
        with self._lock:
            for name, wish in list(self._wishes.items()):
                # One that was live and is gone again may have those who wait still.
                over = name in self._live or name not in self.known or wish.until <= now
                if over and not self._waiting.has(name):
                    del self._wishes[name]
            return [
                (name, wish)
                for name, wish in self._wishes.items()
                if wish.after <= now or self._waiting.has(name)
            ]

    def next_wish(self, now: float) -> float:
        """When the next one is granted that is not yet, monotonic seconds."""
        with self._lock:
            return min((one.after for one in self._wishes.values() if one.after > now), default=math.inf)

    def wish(self, name: str, until: float, after: float = -math.inf) -> None:
        """A model is wished for though nobody waits for it; see Wish."""
        with self._lock:
            if not self._winding_down:
                wish = self._wishes.setdefault(name, Wish(until))
                wish.until, wish.after = max(wish.until, until), after

    def size_anew(self) -> None:
        """What is known of models is more than it was: what those need that are wished for is to be looked at
        again."""
        with self._lock:
            for wish in self._wishes.values():
                wish.nbytes = None

    def unwish(self, name: str) -> None:
        """A load of a model is over, or not begun."""
        with self._lock:
            self._wishes.pop(name, None)

    def take(self, name: str, now: float) -> list[Waiter]:
        """Those who wait for a model that is live, and go on."""
        taken = self._waiting.take(name)
        with self._lock:
            for waiter in taken:
                if waiter.is_call:
                    self.waits.add(max(now - waiter.arrived, 0.0))
        return taken

    def refuse(self, name: str, error: Callable[[], CallError]) -> None:
        """Tell those who wait for a model why it is not loaded; each gets an error of its own."""
        self._tell([(waiter, error()) for waiter in self._waiting.take(name)])

    def too_large(self, name: str, error: TooLargeForMemory) -> None:
        """A model cannot be loaded here; whoever waits for it, or calls it soon, hears so."""
        with self._lock:
            self._too_large[name] = error, self._clock() + _TOO_LARGE_FOR_S
        self.refuse(name, lambda: _again(error))

    def end_expired(self, now: float) -> float:
        """Tell those who have waited as long as calls may. Returns when the next one has, monotonic
        seconds."""
        expired = self._waiting.take_expired(now)
        self._tell([(one, self._too_late(one)) for one in expired])
        return self._waiting.next_expiry()

    def unknown(self) -> list[str]:
        """Models that are waited for, and not known any more."""
        return [name for name in self._waiting.models() if name not in self.known]

    def has(self, name: str) -> bool:
        """Does anybody wait for it?"""
        return self._waiting.has(name)

    def known_too_large(self) -> list[TooLargeForMemory]:
        """Of the models that always stay."""
        with self._lock:
            known = self.known
            found = [(name, error) for name, (error, _) in self._too_large.items() if name in known]
        return [error for name, error in found if known[name].residency.pin]

    def wind_down(self) -> None:
        """Refuse who waits and who comes: the server stops."""
        with self._lock:
            self._winding_down = True
            self._wishes.clear()
        for name in self._waiting.models():
            self.refuse(name, lambda: Draining("this server"))

    @property
    def waiting(self) -> int:
        """Calls that wait now."""
        return len(self._waiting)

    @property
    def most_waiting(self) -> int:
        """That may."""
        return self._waiting.most

    def _take(self, waiter: Waiter, now: float) -> None:
        """Requires the lock. Raises CallError."""
        assert self._lock.locked()
        name = waiter.model
        try:
            if self._winding_down:
                raise Draining("this server")
            if name not in self.known:
                raise NotFound(f"model '{name}' is not known")
            self._check_loads(name, now)
            needed_s = self._expected_s(name, now)
            late = now + needed_s > waiter.expires
            if not late:
                self._waiting.add(waiter)
            wish = self._wishes.setdefault(name, Wish(now))
            if late:
                wish.until = max(wish.until, now + needed_s + _COME_AGAIN_S)
                raise LoadTooLong(name, needed_s, waiter.expires - now)
        except CallError:
            self.refused += 1
            raise

    def _check_loads(self, name: str, now: float) -> None:
        """Raises CallError: it is known that the model cannot be loaded now."""
        failure = self._learnt.failure(name)
        if failure is not None and failure.until > now:
            raise LoadFails(name, failure.why, failure.until - now)
        error, until = self._too_large.get(name, (None, 0.0))
        if error is not None and until > now:
            raise _again(error)
        self._too_large.pop(name, None)

    def _expected_s(self, name: str, now: float) -> float:
        """How long it takes at least until a model is live."""
        ahead = list[float]()
        for other, wish in self._wishes.items():
            left_s = self._load_s(other)
            if wish.begun is not None:
                left_s = max(left_s - (now - wish.begun), 0.0)
            if other == name:
                return left_s if wish.begun is not None else expected_s(left_s, ahead, self._slots)
            ahead.append(left_s)
        return expected_s(self._load_s(name), ahead, self._slots)

    def _too_late(self, waiter: Waiter) -> CallError:
        if waiter.has_deadline:
            # The transport is about to say the same.
            return DeadlineExceeded()
        return LoadTooLong(waiter.model, self._load_s(waiter.model), waiter.expires - waiter.arrived)

    def _load_s(self, name: str) -> float:
        wish = self._wishes.get(name)
        return self._learnt.load_s(name, (wish.nbytes if wish else None) or 0)

    def _tell(self, told: Sequence[tuple[Waiter, CallError]]) -> None:
        with self._lock:
            self.refused += len(told)
        for waiter, error in told:
            settings = self.known.get(waiter.model)
            if isinstance(error, Refused) and settings is not None:
                error.refuse_with(settings.batch.refuse_with)
            waiter.fail(error)


def _again(error: TooLargeForMemory) -> TooLargeForMemory:
    # An error has one traceback, and each caller one of its own.
    return TooLargeForMemory(error.model, error.needs_bytes, error.limit_bytes, error.pinned_bytes)
