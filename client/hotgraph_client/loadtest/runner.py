"""Puts loads on, one after another, and makes steps of what comes back.

What it promises:

- Loads are put on in order, and all of them again for each repeat.
- Of a run: the warm-up, the measured part, then the last answers; then they are checked. The next begins
  after that, so that none bears the end of another.
- `stop` (from a signal's handler, or another thread) ends the run that is on; what it has seen by then
  counts, and no other begins.

It owns the sampler of the server's counters for the length of a run. What sends is given to it, and so is the
clock: tests have their own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .document import ServerFigures, Step
from .load import Answer, Arrivals, Assignment, Destination, Ended, Interval, Payload
from .plan import Closed, Load, in_turn
from .sending.merging import sum_of
from .server_figures import Sampler
from .steps import Checked, Run, step_of

AHEAD_S = 0.5
"""From an assignment to the beginning of its load: for payloads of some MiB to come to the processes."""

_WATCHED_SECONDS = 60


class Generator(Protocol):
    """Processes that send."""

    def run(self, assignments: Sequence[Assignment], on_interval: Callable[[Interval], None]) -> Ended:
        """Put a load on; returns what became of it, of all processes together."""

    def change(self, rate: float) -> None:
        """Send that many calls a second from now on, all processes together."""

    def stop_early(self) -> None:
        """End the run that is on."""


class Watcher(Protocol):
    """Who is shown what happens, while it does."""

    def began(self, load: Load, place: int, of: int | None, seconds: float) -> None:
        """A run begins, the so manieth of so many (None: nobody knows), and ends in so many seconds."""

    def second(self, interval: Interval, server: ServerFigures) -> None:
        """What is known of a second by now, with what the server said last; more of it may come later.
        Seconds below 0 are the warm-up's."""

    def ended(self, step: Step) -> None:
        """A run is over."""


@dataclass(frozen=True)
class Calls:
    """What is sent, and to whom.

    Attributes:
        weights: of payloads; None: in turn.
        moments: of a replay or a trace, seconds from its beginning; None: it is none.
        order: places in payloads, one for each moment; None: as `weights` say.
        check: looks at a run's answers.
    """

    destinations: tuple[Destination, ...]
    payloads: tuple[Payload, ...]
    check: Callable[[Sequence[Answer]], Checked]
    weights: tuple[float, ...] | None = None
    moments: NDArray[np.float64] | None = None
    order: NDArray[np.int64] | None = None
    keep_answers: int = 4096


@dataclass(frozen=True)
class Timing:
    """How long, and how calls come.

    Attributes:
        usable_cores: see steps.Run.
        connections: of each process.
    """

    seconds: float
    warm_up_s: float
    arrivals: str
    usable_cores: int
    connections: int
    deadline_s: float | None
    seed: int


Split = Callable[[Assignment], Sequence[Assignment]]
"""One assignment of everything as one for each process."""


class Runner:
    """See above.

    Attributes:
        stopped: `stop` was called.
    """

    def __init__(
        self,
        generator: Generator,
        split: Split,
        calls: Calls,
        timing: Timing,
        watcher: Watcher,
        *,
        sampler: Sampler | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._generator = generator
        self._split = split
        self._calls = calls
        self._timing = timing
        self._watcher = watcher
        self._sampler = sampler or Sampler(None)
        self._clock = clock
        self._stopped = threading.Event()
        self._running = False
        self._begun = 0
        self._seconds: dict[int, Interval] = {}

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """End the run that is on, and begin no other."""
        self._stopped.set()
        if self._running:
            self._generator.stop_early()

    def steps(self, loads: Sequence[Load], repeats: int = 1) -> list[Step]:
        """Each load as a step, in order; fewer where it was stopped."""
        runs: list[list[Run]] = [[] for _ in loads]
        for number, (place, load) in enumerate(in_turn(loads, repeats), 1):
            if self.stopped:
                break
            run = self.once(load, place=number, of=len(loads) * repeats)
            # where it was stopped in its warm-up there is nothing to tell
            if run.measured or not self.stopped:
                runs[place].append(run)
        return [step_of(load, found) for load, found in zip(loads, runs, strict=True) if found]

    def once(
        self,
        load: Load,
        *,
        place: int | None = None,
        of: int | None = None,
        factor: float = 1.0,
        seconds: float | None = None,
    ) -> Run:
        """Put a load on once.

        Args:
            place: among the runs that there will be; None: after those that there were.
            of: how many runs there will be; None: nobody knows.
            factor: how many times as long as usual.
            seconds: how long, instead.
        """
        assignment = self._assignment(load, seconds or self._timing.seconds * factor)
        whole_s = AHEAD_S + assignment.warm_up_s + assignment.seconds
        self._begun += 1
        self._watcher.began(load, place or self._begun, of, whole_s)
        begin_s = assignment.begin_s + assignment.warm_up_s
        self._seconds = {}
        self._sampler.start(begin_s, begin_s + assignment.seconds)
        server: ServerFigures = {}
        self._running = True
        try:
            if self.stopped:
                ended = Ended()
            else:
                ended = self._generator.run(self._assignments(assignment), self._on_interval)
        finally:
            self._running = False
            server = self._sampler.stop()
        run = Run(load, ended, assignment.warm_up_s, self._timing.usable_cores, server=server)
        run = replace(run, checked=self._calls.check(ended.answers))
        self._watcher.ended(step_of(load, [run]))
        return run

    def _on_interval(self, part: Interval) -> None:
        """What one process came to know of a second."""
        known = self._seconds.get(part.second)
        if known is None and part.second < max(self._seconds, default=0) - _WATCHED_SECONDS:
            # nobody watches any more, and the whole has it all the same
            return
        whole = part if known is None else sum_of(known, part)
        self._seconds[part.second] = whole
        if len(self._seconds) > _WATCHED_SECONDS:
            del self._seconds[min(self._seconds)]
        self._watcher.second(whole, self._sampler.latest())

    def _assignments(self, assignment: Assignment) -> list[Assignment]:
        """Process by process, to one destination after the other."""
        destinations = self._calls.destinations
        return [
            replace(one, destination=destinations[place % len(destinations)])
            for place, one in enumerate(self._split(assignment))
        ]

    def _assignment(self, load: Load, seconds: float) -> Assignment:
        calls, timing = self._calls, self._timing
        warm_up_s = timing.warm_up_s
        order = None
        if isinstance(load, Closed):
            arrivals = Arrivals("closed", callers=load.callers)
        elif load.has_moments:
            assert calls.moments is not None
            arrivals, order, warm_up_s = Arrivals("trace", moments=calls.moments), calls.order, 0.0
            seconds = _whole_s(calls.moments)
        else:
            arrivals = Arrivals("uniform" if timing.arrivals == "uniform" else "poisson", rate=load.rate)
        return Assignment(
            destination=calls.destinations[0],
            payloads=calls.payloads,
            arrivals=arrivals,
            begin_s=self._clock() + AHEAD_S,
            seconds=seconds,
            warm_up_s=warm_up_s,
            order=order,
            weights=None if order is not None else calls.weights,
            deadline_s=timing.deadline_s,
            connections=timing.connections,
            # Another one for each run: the same moments again would be the same chance again.
            seed=timing.seed + 1000 * self._begun,
            keep_answers=calls.keep_answers,
        )


def _whole_s(moments: NDArray[np.float64]) -> float:
    """Of a trace: to its last call, and as long again as there is between two."""
    if not len(moments):
        return 0.0
    last = float(moments[-1])
    return last + last / max(len(moments) - 1, 1) if last else 1.0
