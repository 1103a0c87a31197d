"""What is loaded and what is given up next: how much each model holds and who waits, in; steps, out. Pure: no
thread, no clock, no model.

The rules.

* What is in memory, on its way in or on its way out counts until it is gone. What is begun fits beside all of
  that, so the sum of what is known to be held never passes the limit.
* Models that are waited for are loaded in the order in which they were first called, however many wait for
  each, and as many at a time as there are slots. One that does not fit holds up those behind it: otherwise a
  large one would never come, because small ones always fit in before it. A new version of a live model holds
  up nobody: that model answers, and may be busy or kept for good.
* What has to go for it is chosen by `order` among those that may go, and only if enough of them do: nothing
  is given up in vain. Of those chosen the ones go that are still needed when the last has been chosen.
* A new version that does not fit beside the one before it has that one go first, a pinned one too.
* Else nobody goes that is pinned, and nobody at all that has calls inside, or has been live for less long
  than its load took (`kept`). The latter damps thrash: where more is called than there is room for, each
  model still answers at least as long as it loads, and not all of the machine's time goes into loads.
* What turns out to be larger than it was thought is made room for as soon as others may go, at nobody's call.
"""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

LOOK_AGAIN_S = 0.02
"""So much later it is looked whether a model that had calls inside has none any more; nothing tells so."""


class Phase(enum.Enum):
    """Of a model in memory."""

    COMING = "it is being loaded"
    LIVE = "it is live"
    LEAVING = "it answers what it has taken, and is closed"


class Resident(NamedTuple):
    """A model in memory.

    Attributes:
        name: of it.
        nbytes: that it holds, or will as far as that can be told.
        phase: see there.
        pinned: it stays.
        busy: it has calls inside, or anything else that it must not be closed for.
        kept: until when it stays, monotonic seconds.
    """

    name: str
    nbytes: int
    phase: Phase
    pinned: bool = False
    busy: bool = False
    kept: float = -math.inf


class Wish(NamedTuple):
    """A model that shall be loaded.

    Attributes:
        name: of it.
        nbytes: that it needs, as far as that can be told.
        begun: the load has been asked for, and waits for its room alone.
        answers: the model is live by another version.
    """

    name: str
    nbytes: int
    begun: bool = False
    answers: bool = False


class Steps(NamedTuple):
    """What to do now.

    Attributes:
        give_up: models that have to go.
        begin: models to load.
        look_at: when to decide again if nothing happens before, monotonic seconds; infinite: no sooner.
        replaced: of those that have to go, the ones that go for a version of their own.
    """

    give_up: Sequence[str] = ()
    begin: Sequence[str] = ()
    look_at: float = math.inf
    replaced: Sequence[str] = ()


Order = Callable[[Iterable[str]], Sequence[str]]
"""Names in the order in which they should go."""


def next_steps(
    limit: float, residents: Sequence[Resident], wishes: Sequence[Wish], order: Order, slots: int, now: float
) -> Steps:
    """What is to be done.

    Args:
        limit: bytes that all together may hold; infinite: there is none.
        residents: one row for each model and phase that it is in.
        wishes: the one that was called first stands first.
        order: see there.
        slots: so many may be loaded at a time.
        now: monotonic seconds.
    """
    held = float(sum(one.nbytes for one in residents))
    leaving: float = sum(one.nbytes for one in residents if one.phase is Phase.LEAVING)
    free_slots = slots - len({one.name for one in residents if one.phase is Phase.COMING})
    wished = {wish.name for wish in wishes}
    begin, gone, replaced, look_at = list[str](), list[str](), list[str](), math.inf

    def may_go(one: Resident) -> bool:
        idle = one.phase is Phase.LIVE and not one.busy and one.kept <= now
        return idle and one.name not in gone

    def make_room(short: float, others: Callable[[Resident], bool], *, in_part: bool) -> float:
        """Returns the bytes that go."""
        choice = [one for one in residents if may_go(one) and others(one)]
        chosen = _enough(short, choice, order)
        if sum(one.nbytes for one in chosen) < short and not in_part:
            return 0
        gone.extend(one.name for one in chosen)
        return sum(one.nbytes for one in chosen)

    def is_other(one: Resident) -> bool:
        return not one.pinned and one.name not in wished

    if held - leaving > limit:
        leaving += make_room(held - leaving - limit, is_other, in_part=True)
        look_at = now + LOOK_AGAIN_S
    for wish in wishes:
        if free_slots <= 0:
            break
        short = held + wish.nbytes - limit
        if short > leaving:
            room = make_room(short - leaving, is_other, in_part=False)
            if not room and wish.answers:
                room = make_room(short - leaving, functools.partial(_is, wish.name), in_part=True)
                replaced += [wish.name] if room else []
            if not room:
                look_at = min(look_at, _next_chance(residents, wish.name, now))
                if wish.answers:
                    continue
                break
            leaving += room
        elif short <= 0 and not wish.begun:
            begin.append(wish.name)
        # What was promised to the one before is not there for those behind.
        held += wish.nbytes
        free_slots -= 1
    return Steps(tuple(gone), tuple(begin), look_at, tuple(replaced))


def room_for(limit: float, residents: Iterable[Resident]) -> float:
    """Bytes that a model can ever have: all but what stays."""
    return limit - sum(one.nbytes for one in residents if one.pinned)


def expected_s(own_s: float, ahead_s: Sequence[float], slots: int) -> float:
    """How long it takes at least until a model is loaded.

    Args:
        own_s: its load, as short as it ever was.
        ahead_s: the same of those that are loaded before it, or what is left of them.
        slots: so many are loaded at a time.
    """
    # The last of those ahead begins when so much of the work has been done, at the earliest.
    return own_s + (sum(ahead_s) / slots if len(ahead_s) >= slots else 0.0)


def _is(name: str, one: Resident) -> bool:
    return one.name == name


def _enough(short: float, choice: Sequence[Resident], order: Order) -> list[Resident]:
    by_name = {one.name: one for one in choice}
    chosen, total = list[Resident](), 0
    for name in order(by_name):
        if total >= short:
            break
        chosen.append(by_name[name])
        total += by_name[name].nbytes
    # A large one at the end may have made those before it unnecessary; the dearest of them stay.
    for one in reversed(chosen[:-1]):
        if total - one.nbytes >= short:
            chosen.remove(one)
            total -= one.nbytes
    return chosen


def _next_chance(residents: Sequence[Resident], name: str, now: float) -> float:
    """When something may go, for a model of that name, that may not now."""
    chances = [
        one.kept if one.kept > now and not one.busy else now + LOOK_AGAIN_S
        for one in residents
        if one.phase is Phase.LIVE and (not one.pinned or one.name == name)
    ]
    return min(chances, default=math.inf)
