"""When calls are due, and with which payload. Pure: moments are drawn in pieces, and never depend on answers.

A closed loop alone asks for answers: a caller's next call is due when its last one is over.
"""

from __future__ import annotations

import bisect
import heapq
import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..load import Assignment
from . import statuses

_NEVER = math.inf
_PIECE = 1024
# A caller who can reach nobody tries again after a while, as people do.
_PAUSE_S = 0.1


class Schedule(Protocol):
    """What a loop asks for its calls.

    Attributes:
        next_due: monotonic seconds of the next one; infinite: none for now.
    """

    next_due: float

    def take(self) -> tuple[float, int]:
        """The moment and the payload of the next call, which must be there."""

    def call_over(self, now: float, status: str) -> None:
        """A call has ended."""

    def change(self, rate: float, now: float) -> None:
        """Go on at another rate; of traces and closed loops nothing changes."""

    def weigh(self, weights: tuple[float, ...]) -> None:
        """Go on with other weights of the payloads; of traces that say the payloads nothing changes."""

    def stop(self) -> None:
        """Have no more calls due."""


def schedule_of(assignment: Assignment, begin_s: float) -> Schedule:
    """The calls from `begin_s`, on `time.monotonic`, to the end of what is measured.

    Raises:
        ValueError: arrivals of no known kind, or without what their kind needs.
    """
    arrivals = assignment.arrivals
    epoch = begin_s + assignment.warm_up_s
    end = epoch + assignment.seconds
    payloads = PayloadChoice(len(assignment.payloads), assignment.weights, assignment.seed)
    if arrivals.kind == "closed":
        return ClosedLoop(arrivals.callers, begin_s, end, payloads)
    if arrivals.kind == "trace":
        if arrivals.moments is None:
            raise ValueError("a trace without moments")
        return Trace(arrivals.moments, assignment.order, begin_s, epoch, end, payloads)
    if arrivals.kind == "poisson":
        return Poisson(arrivals.rate, begin_s, end, payloads, assignment.seed)
    if arrivals.kind == "uniform":
        return Uniform(arrivals.rate, begin_s, end, payloads, arrivals.phase)
    raise ValueError(f"no arrivals are called {arrivals.kind!r}")


class PayloadChoice:
    """Which payload comes next: in turn, or drawn by weights."""

    def __init__(self, count: int, weights: tuple[float, ...] | None, seed: int) -> None:
        self._count = count
        self._turn = 0
        self._random = np.random.default_rng((seed, 1))
        self._edges: NDArray[np.float64] | None = None
        if weights is not None:
            self.weigh(weights)

    def weigh(self, weights: tuple[float, ...]) -> None:
        """Draw by these from now on.

        Raises:
            ValueError: not one for each payload, or none above 0.
        """
        if len(weights) != self._count or not min(weights) >= 0 or not 0 < sum(weights) < math.inf:
            raise ValueError(f"{len(weights)} weights for {self._count} payloads, or none above 0")
        self._edges = np.cumsum(np.asarray(weights, dtype=np.float64))

    def draw(self, count: int) -> list[int]:
        """The next so many."""
        if self._edges is not None:
            chances = self._random.random(count) * self._edges[-1]
            return [int(place) for place in np.searchsorted(self._edges, chances, side="right")]
        drawn = [(self._turn + place) % self._count for place in range(count)]
        self._turn = (self._turn + count) % self._count
        return drawn


class _Drawn:
    """An open loop: moments and payloads, a piece at a time, before `end`."""

    def __init__(self, end: float, payloads: PayloadChoice) -> None:
        self._end = end
        self._choice = payloads
        self._moments: list[float] = []
        self._payloads: list[int] = []
        self._place = 0
        self.next_due = _NEVER

    def take(self) -> tuple[float, int]:
        place = self._place
        taken = self._moments[place], self._payloads[place]
        self._place = place = place + 1
        if place < len(self._moments):
            self.next_due = self._moments[place]
        else:
            self._load(self._draw())
        return taken

    def call_over(self, now: float, status: str) -> None:
        pass

    def change(self, rate: float, now: float) -> None:
        pass

    def weigh(self, weights: tuple[float, ...]) -> None:
        self._choice.weigh(weights)
        self._payloads[self._place :] = self._choose(len(self._moments) - self._place)

    def stop(self) -> None:
        self._end = -_NEVER
        self._load([])

    def _load(self, moments: list[float]) -> None:
        if moments and moments[-1] >= self._end:
            moments = moments[: bisect.bisect_left(moments, self._end)]
        self._moments = moments
        self._payloads = self._choose(len(moments))
        self._place = 0
        self.next_due = moments[0] if moments else _NEVER

    def _draw(self) -> list[float]:
        """The next moments, ascending; none: there are no more."""
        return []

    def _choose(self, count: int) -> list[int]:
        return self._choice.draw(count)


class _AtRate(_Drawn):
    """At a rate, which may be changed; 0: none, until it is."""

    def __init__(self, rate: float, end: float, payloads: PayloadChoice) -> None:
        super().__init__(end, payloads)
        self._rate = _checked(rate)

    def change(self, rate: float, now: float) -> None:
        self._rate = _checked(rate)
        self._go_on_from(now)
        # What is due already stays due.
        upto = bisect.bisect_right(self._moments, now)
        del self._moments[max(upto, self._place) :]
        if self._place >= len(self._moments):
            self._load(self._draw())

    def _go_on_from(self, now: float) -> None:
        raise NotImplementedError


class Poisson(_AtRate):
    """Independent calls: gaps are exponential, whatever came before."""

    def __init__(self, rate: float, begin: float, end: float, payloads: PayloadChoice, seed: int) -> None:
        super().__init__(rate, end, payloads)
        self._random = np.random.default_rng((seed, 0))
        self._last = begin
        self._load(self._draw())

    def _go_on_from(self, now: float) -> None:
        self._last = now

    def _draw(self) -> list[float]:
        if not self._rate or self._last >= self._end:
            return []
        gaps = self._random.exponential(1.0 / self._rate, _PIECE)
        moments: list[float] = (self._last + np.cumsum(gaps)).tolist()
        self._last = moments[-1]
        return moments


class Uniform(_AtRate):
    """Calls at equal distances, from `phase` on."""

    def __init__(self, rate: float, begin: float, end: float, payloads: PayloadChoice, phase: float) -> None:
        super().__init__(rate, end, payloads)
        self._origin = begin + phase
        self._drawn = 0
        self._load(self._draw())

    def _go_on_from(self, now: float) -> None:
        # The distance to the call before is that of the new rate.
        self._origin = now + (1.0 / self._rate if self._rate else 0.0)
        self._drawn = 0

    def _draw(self) -> list[float]:
        if not self._rate or self._origin + self._drawn / self._rate >= self._end:
            return []
        places = np.arange(self._drawn, self._drawn + _PIECE)
        self._drawn += _PIECE
        moments: list[float] = (self._origin + places / self._rate).tolist()
        return moments


class Trace(_Drawn):
    """Calls at given moments: those from `begin` to `end`.

    Args:
        moments: seconds from `epoch`, ascending.
        order: the payload of each; None: by choice.
    """

    def __init__(
        self,
        moments: NDArray[np.float64],
        order: NDArray[np.int64] | None,
        begin: float,
        epoch: float,
        end: float,
        payloads: PayloadChoice,
    ) -> None:
        if order is not None and len(order) != len(moments):
            raise ValueError(f"{len(moments)} moments of a trace, and payloads for {len(order)}")
        self._all = moments + epoch
        self._order = order
        self._upto = int(np.searchsorted(self._all, begin))
        super().__init__(end, payloads)
        self._load(self._draw())

    def _draw(self) -> list[float]:
        self._from, self._upto = self._upto, self._upto + _PIECE
        moments: list[float] = self._all[self._from : self._upto].tolist()
        return moments

    def weigh(self, weights: tuple[float, ...]) -> None:
        if self._order is None:
            super().weigh(weights)

    def _choose(self, count: int) -> list[int]:
        if self._order is None or not count:
            return super()._choose(count)
        chosen: list[int] = self._order[self._from : self._from + count].tolist()
        return chosen


class ClosedLoop:
    """Callers, each of whom calls again as soon as the call before is over."""

    def __init__(self, callers: int, begin: float, end: float, payloads: PayloadChoice) -> None:
        self._end = end
        self._choice = payloads
        self._free = [begin] * callers
        self._look()

    def take(self) -> tuple[float, int]:
        due = heapq.heappop(self._free)
        self._look()
        return due, self._choice.draw(1)[0]

    def call_over(self, now: float, status: str) -> None:
        heapq.heappush(self._free, now + _PAUSE_S if status == statuses.UNREACHABLE else now)
        self._look()

    def change(self, rate: float, now: float) -> None:
        pass

    def weigh(self, weights: tuple[float, ...]) -> None:
        self._choice.weigh(weights)

    def stop(self) -> None:
        self._end = -_NEVER
        self._look()

    def _look(self) -> None:
        self.next_due = self._free[0] if self._free and self._free[0] < self._end else _NEVER


def _checked(rate: float) -> float:
    if not 0 <= rate < _NEVER:
        raise ValueError(f"a rate of {rate}; 0 or more calls a second are possible")
    return rate
