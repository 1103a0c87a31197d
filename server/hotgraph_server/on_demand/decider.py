"""One look at what there is, and what is done about it: what became of models since the last look, who was
called, who goes and who comes. In the thread of the coordinator alone; the figures are read by any.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from hotgraph_server.errors import LoadFails, NotFound, TooLargeForMemory
from hotgraph_server.models.status import State, Unavailable
from hotgraph_server.models.version import Version
from hotgraph_server.on_demand.ages import Ages
from hotgraph_server.on_demand.callers import Callers
from hotgraph_server.on_demand.census import Census
from hotgraph_server.on_demand.decisions import Phase, Resident, Steps, Wish, next_steps, room_for
from hotgraph_server.on_demand.handing_out import HandingOut
from hotgraph_server.on_demand.learnt import Learnt
from hotgraph_server.on_demand.thrash import Thrash
from hotgraph_server.repository.room import Held, Holding

_LOG = logging.getLogger(__name__)

MIB = 2**20
# Of what ends nobody tells, such as a look at a folder: while a model is waited for, it is looked so often.
_LOOK_AT_LEAST_S = 0.5
# A model that had to go for its own next version is loaded again at nobody's call, if there is room by then.
_REPLACED_WITHIN_S = 60.0


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


class Decider:
    """
    Args:
        limit: bytes that all models may hold; infinite: there is none.
        slots: so many are loaded at a time.
        models: of the repository.
        callers: who waits.
        handing_out: lets them go on.
        learnt, census: see there.
        expect: told the name of a model of which another thing is expected now than before.

    Attributes:
        loads, evictions, held_bytes, working_set_bytes, thrash_share: see DemandFigures.
    """

    def __init__(
        self,
        limit: float,
        slots: int,
        models: Models,
        callers: Callers,
        handing_out: HandingOut,
        learnt: Learnt,
        census: Census,
        expect: Callable[[str], object],
    ) -> None:
        self.loads = self.evictions = self.held_bytes = self.working_set_bytes = 0
        self.thrash_share = 0.0
        self._limit = limit
        self._slots = slots
        self._models = models
        self._callers = callers
        self._handing_out = handing_out
        self._learnt = learnt
        self._census = census
        self._expect = expect
        self._ages = Ages()
        self._thrash = Thrash()
        # The models that are live, and until when each is kept at least, monotonic seconds.
        self._kept: dict[str, float] = {}

    @property
    def reloads(self) -> int:
        """See DemandFigures."""
        return self._thrash.reloads

    def decide(self, now: float) -> float:
        """Look, decide, and have it done. Returns when to do so again, monotonic seconds; infinite: when
        something happens."""
        holdings = {holding.name: holding for holding in self._models.holdings()}
        self._kept = {name: until for name, until in self._kept.items() if name in holdings}
        for holding in holdings.values():
            self._hear(holding, now)
        for name in self._callers.unknown():
            self._callers.refuse(name, functools.partial(NotFound, f"model '{name}' is not known any more"))
        residents = self._residents(list(holdings.values()))
        self._follow(holdings, residents, now)
        wishes = self._wishes(holdings, residents, now)
        # What is known before the first load is a guess; the ones after it are guessed by what that took.
        slots = self._slots if self.loads or self._limit == math.inf else 1
        steps = next_steps(self._limit, residents, wishes, self._ages.least_first, slots, now)
        self._take(steps, holdings, now)
        waits = now + _LOOK_AT_LEAST_S if self._callers.waiting else math.inf
        again = self._callers.next_wish(now)
        return min(steps.look_at, self._callers.end_expired(now), waits, again)

    def unload(self, name: str) -> None:
        """Give a model up because somebody wants it so."""
        self._models.give_up(name)
        self._ages.forget(name)
        if not self._callers.has(name):
            self._callers.unwish(name)

    def _hear(self, holding: Holding, now: float) -> None:
        """What became of a model since the last time."""
        name = holding.name
        live = [one.version for one in holding.versions if one.state is State.LIVE and one.version]
        if live and not self._callers.is_live(name):
            # The first of several versions, which are shown together; or it has gone since the look.
            return
        if live:
            if name not in self._kept:
                self._went_live(name, live, now)
            if self._callers.has(name):
                self._handing_out.start(name, self._callers.take(name, now))
            return
        self._kept.pop(name, None)
        under_way = any(one.state in (State.WAITING, State.LOADING) for one in holding.versions)
        if holding.called and holding.outcome is not None and not under_way:
            self._failed(name, reasons(holding.outcome) or "there is no version to load", now)

    def _went_live(self, name: str, versions: Sequence[Version], now: float) -> None:
        load_s = max(version.load_s for version in versions)
        nbytes = sum(version.memory.total_bytes for version in versions)
        had_failed = self._learnt.failure(name) is not None
        self._learnt.loaded(name, load_s, nbytes)
        # At least as long as it took: see decisions.py.
        self._kept[name] = now + load_s
        self._ages.called(name, self._learnt.load_s(name, nbytes), nbytes)
        self._thrash.loaded(name, load_s, now)
        self.loads += 1
        self._callers.unwish(name)
        self._callers.size_anew()
        if had_failed:
            self._expect(name)

    def _failed(self, name: str, why: str, now: float) -> None:
        failure = self._learnt.failed(name, why, now)
        pinned = self._is_pinned(name)
        when = "" if pinned else " when it is called,"
        _LOG.info("model '%s' is tried again%s not before %.1f s", name, when, failure.until - now)
        self._models.give_up(name)
        self._callers.unwish(name)
        if pinned:
            self._callers.wish(name, math.inf, after=failure.until)
        self._expect(name)
        self._callers.refuse(name, lambda: LoadFails(name, why, max(failure.until - now, 0.0)))

    def _residents(self, holdings: Sequence[Holding]) -> list[Resident]:
        busy = self._handing_out.models
        return [
            resident
            for holding in holdings
            for resident in self._census.residents(
                holding,
                self._callers.known.get(holding.name),
                self._kept.get(holding.name, -math.inf),
                busy=holding.name in busy or holding.name not in self._kept,
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
        self.held_bytes = sum(one.nbytes for one in residents)
        working_set = self._thrash.working_set(now)
        self.working_set_bytes = sum(working_set.values())
        self.thrash_share = self._thrash.share(now)
        if self._thrash.is_to_be_told(now):
            _LOG.warning(
                "models are loaded again that were given up within the minute: the %d models that were called"
                " in it hold %d MiB, and memory-mb is %d",
                *(len(working_set), math.ceil(self.working_set_bytes / MIB), int(self._limit // MIB)),
            )

    def _wishes(
        self, holdings: Mapping[str, Holding], residents: Sequence[Resident], now: float
    ) -> list[Wish]:
        """What is to be loaded; what the repository has begun, and waits for its room alone, first."""
        models = self._models
        wished = dict(self._callers.wishes(now))
        wishes = list[Wish]()
        for name, holding in holdings.items():
            waiting = [one for one in holding.versions if one.state is State.WAITING]
            settings = self._callers.known.get(name)
            if not waiting or settings is None:
                continue
            if not (name in wished or settings.residency.pin or name in self._kept):
                # Who called it has left.
                models.give_up(name)
                continue
            before = [self._learnt.bytes_of(name, one.number) for one in waiting]
            needs = self._needs(name, waiting, residents)
            if needs is None:
                if name not in self._kept:
                    models.give_up(name)
                continue
            if before != [self._learnt.bytes_of(name, one.number) for one in waiting]:
                # What the repository has refused by what was known before, it may admit now.
                models.reconsider()
            wishes.append(Wish(name, needs, begun=True, answers=name in self._kept))
        begun = {wish.name for wish in wishes}
        for name, wish in wished.items():
            holding_of = holdings.get(name)
            if name in begun or name not in self._callers.known:
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
        # What answers goes for a version of its own, if need be. Of several that are loaded together, none.
        goes = name in self._kept
        others = [one for one in residents if one.name != name]
        own = (
            [] if goes else [one for one in residents if one.name == name and one.phase is not Phase.LEAVING]
        )
        room = room_for(self._limit, others) - sum(one.nbytes for one in own)
        needs, least = self._census.needs(versions, self._callers.known[name], room)
        if least <= room:
            return needs
        pinned = sum(one.nbytes for one in others if one.pinned)
        self._callers.unwish(name)
        self._callers.too_large(name, TooLargeForMemory(name, least, int(self._limit), pinned))
        return None

    def _take(self, steps: Steps, holdings: Mapping[str, Holding], now: float) -> None:
        for name in steps.give_up:
            if not self._census.save(holdings[name]):
                # It goes when that is done, if it is still its turn.
                continue
            if name in steps.replaced:
                self._replace(name, now)
                continue
            self._ages.gave_up(name)
            self._thrash.gave_up(name, now)
            self.evictions += 1
            self._kept.pop(name, None)
            _LOG.debug("model '%s' is given up for others", name)
            self._models.give_up(name)
        for name in steps.begin:
            self._models.call(name)

    def _is_pinned(self, name: str) -> bool:
        settings = self._callers.known.get(name)
        return settings is not None and settings.residency.pin

    def _replace(self, name: str, now: float) -> None:
        """Give a model up for a version of its own, which comes at nobody's call."""
        # Not where several are to be live: those may not fit together at all, and would come and go.
        is_one = len(self._models.to_load(name)) == 1
        self.unload(name)
        self._kept.pop(name, None)
        if is_one:
            self._callers.wish(name, math.inf if self._is_pinned(name) else now + _REPLACED_WITHIN_S)


def reasons(unavailable: Sequence[Unavailable]) -> str:
    """Why models did not become available, in a line."""
    return "; ".join(str(one.error) for one in unavailable)
