"""The decisions on a virtual clock, beside an ideal LRU on the same calls: no thread, no model."""

from __future__ import annotations

import heapq
import random
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hotgraph_server.on_demand.ages import Ages
from hotgraph_server.on_demand.decisions import Phase, Resident, Wish, next_steps

Call = tuple[float, str]


def zipf_calls(models: int, calls: int, rate: float, exponent: float = 1.0, seed: int = 1) -> list[Call]:
    """Calls with exponential pauses, of models by Zipf's law."""
    dice = random.Random(seed)
    weights = [1 / (rank + 1) ** exponent for rank in range(models)]
    names = dice.choices([f"m{number}" for number in range(models)], weights, k=calls)
    now, found = 0.0, list[Call]()
    for name in names:
        now += dice.expovariate(rate)
        found.append((now, name))
    return found


def ideal_lru_loads(calls: Sequence[Call], sizes: Mapping[str, int], limit: int) -> int:
    """Loads of a server that loads in no time and knows nothing but LRU."""
    there, loads = OrderedDict[str, int](), 0
    for _, name in calls:
        if name in there:
            there.move_to_end(name)
            continue
        while sum(there.values()) + sizes[name] > limit:
            there.popitem(last=False)
        there[name] = sizes[name]
        loads += 1
    return loads


@dataclass
class Result:
    """
    Attributes:
        loads: by model.
        load_s: spent in loads.
        most_held: bytes, at any moment.
        waits: of calls that found their model not live, seconds.
        unanswered: calls that wait for ever.
    """

    loads: Counter[str] = field(default_factory=Counter)
    load_s: float = 0.0
    most_held: int = 0
    waits: list[float] = field(default_factory=list)
    unanswered: int = 0


def simulate(
    calls: Sequence[Call],
    sizes: Mapping[str, int],
    load_s: Mapping[str, float],
    limit: int,
    *,
    slots: int = 2,
    run_s: float = 0.01,
    leave_s: float = 0.02,
    pinned: Sequence[str] = (),
) -> Result:
    """What the decisions do with these calls."""
    result, ages = Result(), Ages()
    phases: dict[str, Phase] = {}
    kept: dict[str, float] = {}
    busy_until: dict[str, float] = {}
    waiting: OrderedDict[str, list[float]] = OrderedDict()
    events: list[tuple[float, int, str, str]] = []
    numbers = iter(range(10**9))

    def at(moment: float, what: str, name: str) -> None:
        heapq.heappush(events, (moment, next(numbers), what, name))

    def decide(now: float) -> None:
        residents = [
            Resident(
                name, sizes[name], phase, name in pinned, busy_until.get(name, 0.0) > now, kept.get(name, 0.0)
            )
            for name, phase in phases.items()
        ]
        result.most_held = max(result.most_held, sum(one.nbytes for one in residents))
        wishes = [Wish(name, sizes[name]) for name in waiting if name not in phases]
        steps = next_steps(limit, residents, wishes, ages.least_first, slots, now)
        for name in steps.give_up:
            assert name not in pinned
            ages.gave_up(name)
            phases[name] = Phase.LEAVING
            at(now + leave_s, "closed", name)
        for name in steps.begin:
            phases[name] = Phase.COMING
            result.loads[name] += 1
            result.load_s += load_s[name]
            at(now + load_s[name], "live", name)
        held = sum(sizes[name] for name in phases)
        assert held <= limit, "above the limit"
        if steps.look_at < float("inf") and waiting:
            at(steps.look_at, "look", "")

    for moment, name in calls:
        at(moment, "call", name)
    while events:
        now, _, what, name = heapq.heappop(events)
        if what == "call":
            if phases.get(name) is Phase.LIVE:
                busy_until[name] = now + run_s
                ages.called(name, load_s[name], sizes[name])
                continue
            waiting.setdefault(name, []).append(now)
        elif what == "live":
            phases[name] = Phase.LIVE
            kept[name] = now + load_s[name]
            busy_until[name] = now + run_s
            ages.called(name, load_s[name], sizes[name])
            result.waits += [now - came for came in waiting.pop(name, [])]
        elif what == "closed":
            del phases[name]
        decide(now)
    result.unanswered = sum(map(len, waiting.values()))
    return result
