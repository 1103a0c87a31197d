"""Candidates under a real load, in turns: ABCD, DCBA, ABCD, so that a slow moment of the machine hits all.

Each has a server of its own, all up at once and one of them loaded at a time. What a turn measures is
compared with the other's of the same turn, which sent the same calls; the next turn sends others. One turn
alone compares nothing, so where the sender's own lag made too many void there are some more.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple, Protocol

from hotgraph_server.tuning.prediction import Candidate
from hotgraph_server.tuning.slo import Slo

Step = Mapping[str, Any]
"""A step of `hotgraph loadtest --json`, as its documentation has it."""

_CLEARLY = 0.05
FEWER_CORES = 0.1
"""Settings that take fewer processors do so by this share at least."""

# Turns that are to count, and turns in place of void ones.
_ENOUGH, _MORE_TURNS = 2, 2


class LoadTest(Protocol):
    """Sends a load."""

    def run(
        self, address: str, model: str, rate: float, seconds: float, rows: Mapping[int, float], seed: int
    ) -> Step:
        """Calls at a rate, open loop.

        Args:
            address: HOST:PORT.
            model: by name.
            rate: calls a second.
            seconds: that are measured.
            rows: sizes of calls, and how often each comes.
            seed: another one: other calls.
        """


class Server(Protocol):
    """See children.Served."""

    address: str

    def cpu_s(self) -> float: ...


Serve = Callable[[Candidate], AbstractContextManager[Server]]
"""Starts a server with the candidate's settings."""


class Turn(NamedTuple):
    """One load.

    Attributes:
        latency_s: by `p50`, `p99` and so on.
        achieved_per_s: calls that were answered, a second.
        errors: share of calls.
        cores: processors that the server kept busy; NaN: nothing tells.
        shares: ascending pairs of a share of the answered calls and seconds within which they were answered.
    """

    latency_s: Mapping[str, float]
    achieved_per_s: float
    errors: float
    cores: float
    shares: Sequence[tuple[float, float]] = ()

    def in_time_per_s(self, within_s: float) -> float:
        """Calls that were answered within so long, a second; NaN: nothing tells. Refusing many calls shortens
        the tail of the others, so where nothing keeps the objective this is what counts."""
        if not self.shares:
            return math.nan
        return self.achieved_per_s * max(
            (share for share, took_s in self.shares if took_s <= within_s), default=0.0
        )

    @property
    def p99_s(self) -> float:
        """NaN: nothing was answered."""
        return self.latency_s.get("p99", math.nan)


@dataclass
class Measured:
    """What became of a candidate's turns.

    Attributes:
        turns: None for one that does not count.
        steps: as they were told, of all turns.
        void: why those that do not count do not.
    """

    turns: list[Turn | None] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    void: list[str] = field(default_factory=list)

    def add(self, step: Step, cpu_s: float) -> None:
        """Another turn, and the processor time that the server took for it."""
        self.steps.append(step)
        if step.get("void"):
            self.turns.append(None)
            self.void.append(str(step.get("void_why", "")) or "the sender was late")
            return
        seconds = step["seconds"]
        failed = sum(step["errors"].values()) + step.get("wrong", 0)
        self.turns.append(
            Turn(
                {name: ms / 1e3 for name, ms in step["latency_ms"].items() if ms is not None},
                step["achieved_per_s"],
                min(failed / max(step["offered_per_s"] * seconds, 1.0), 1.0),
                # A load has a beginning that is not counted, and costs as much a call.
                cpu_s / (seconds + step.get("warm_up_s", 0.0)) if cpu_s else math.nan,
                [(share, ms / 1e3) for share, ms in step.get("distribution") or []],
            )
        )

    @property
    def counted(self) -> list[Turn]:
        """The turns that count."""
        return [turn for turn in self.turns if turn is not None]

    def latency(self, name: str) -> float:
        """The median of the turns, seconds; NaN: unknown."""
        return _median(turn.latency_s.get(name, math.nan) for turn in self.counted)

    def middle(self, of: Callable[[Turn], float]) -> float:
        """The median of the turns; NaN: unknown."""
        return _median(of(turn) for turn in self.counted)

    def broken(self, slo: Slo) -> str:
        """Why the objective did not hold in the median of the turns; empty: it did."""
        errors = self.middle(lambda turn: turn.errors)
        return slo.broken({name: self.latency(name) for name in slo.latencies}, errors)


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return median(known) if known else math.nan


def confirm(
    candidates: Sequence[Candidate],
    serve: Serve,
    load: LoadTest,
    model: str,
    rate: float,
    rows: Mapping[int, float],
    *,
    seconds: float,
    turns: int,
    say: Callable[[str], object] = lambda _: None,
) -> dict[Candidate, Measured]:
    """Load each of them in turns.

    Args:
        turns: so many, and up to two more where too few count.

    Raises:
        StartError: a server does not start, or no load can be sent.
    """
    found = {candidate: Measured() for candidate in candidates}
    with contextlib.ExitStack() as stack:
        servers = {one: stack.enter_context(serve(one)) for one in candidates}
        for turn in range(turns + _MORE_TURNS):
            if turn >= turns and all(_is_enough(measured, turns) for measured in found.values()):
                break
            more = " more, as the sender was late too often" if turn >= turns else f" of {turns}"
            say(f"turn {turn + 1}{more}: {len(candidates)} settings under load, {seconds:g} s each")
            for one in candidates if turn % 2 == 0 else candidates[::-1]:
                before_s = servers[one].cpu_s()
                step = load.run(servers[one].address, model, rate, seconds, rows, turn + 1)
                found[one].add(step, servers[one].cpu_s() - before_s)
    return found


def _is_enough(measured: Measured, turns: int) -> bool:
    return len(measured.counted) >= min(_ENOUGH, turns)


def better(one: Measured, other: Measured, slo: Slo) -> bool:
    """Was `one` better than `other`, as the search has it: in the objective; in processors, or where neither
    keeps it in calls that were answered in time; in the tail; in every turn, and in the median by more than
    noise is?"""
    pairs = sum(1 for mine, its in zip(one.turns, other.turns, strict=True) if mine and its)
    if pairs < min(_ENOUGH, max(len(one.turns), 1)):
        return False
    holds, other_holds = not one.broken(slo), not other.broken(slo)
    if holds != other_holds:
        return holds and _breaks_less(one, other, slo)
    if holds and (_less(one, other, _cores, FEWER_CORES) or _less(other, one, _cores, FEWER_CORES)):
        return _less(one, other, _cores, FEWER_CORES)

    def in_time(turn: Turn) -> float:
        return turn.in_time_per_s(slo.latency_s)

    if not holds and (_less(one, other, in_time, _CLEARLY) or _less(other, one, in_time, _CLEARLY)):
        return _less(other, one, in_time, _CLEARLY)
    return _less(one, other, lambda turn: turn.p99_s, _CLEARLY)


def _breaks_less(one: Measured, other: Measured, slo: Slo) -> bool:
    """A tail at the very bound is on either side of it by chance."""
    return _less(one, other, lambda turn: turn.errors, _CLEARLY) or any(
        _less(one, other, lambda turn, name=name: turn.latency_s.get(name, math.nan), _CLEARLY)  # type: ignore[misc]
        for name in slo.latencies
    )


def _cores(turn: Turn) -> float:
    return turn.cores


def _less(one: Measured, other: Measured, of: Callable[[Turn], float], by: float) -> bool:
    pairs = [(of(mine), of(its)) for mine, its in zip(one.turns, other.turns, strict=True) if mine and its]
    if any(math.isnan(value) for pair in pairs for value in pair):
        return False
    return all(mine < its for mine, its in pairs) and median(1 - mine / its for mine, its in pairs) > by


def ratios(measured: Measured, predicted_p99_s: float) -> list[float]:
    """The 99th percentile of each turn in units of what was predicted."""
    if not 0.0 < predicted_p99_s < math.inf:
        return []
    found = [turn.p99_s / predicted_p99_s for turn in measured.counted]
    return [ratio for ratio in found if not math.isnan(ratio)]
