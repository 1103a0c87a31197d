"""The loop that sends: calls when they are due, answers when they come, and nothing else in between.

It waits until a little before the next call is due and looks at the clock from there on: the system wakes
whoever sleeps some fifty microseconds late, and rather more when that is not asked for often.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ..load import Assignment
from . import statuses
from .calls import Call, Reply
from .messages import Known
from .schedule import Schedule
from .tally import Tally

_EARLY_S = 0.00006
# Between two looks at what is neither a call nor an answer.
_ROUND_S = 0.02
# As many calls are sent before answers are read again, where there are more due than can be sent.
_AT_ONCE = 16


class Connections(Protocol):
    """What carries calls: pools.py, where it is said more fully."""

    def send(self, call: Call, now: float) -> None: ...
    def give_up(self, call: Call) -> None: ...
    def turn(self, wait_s: float) -> None: ...
    def tend(self, now: float) -> None: ...


class Control(Protocol):
    """Whoever has asked for the calls."""

    def heard(self, schedule: Schedule, now: float) -> bool:
        """Carry out what was asked since; whether calls are to end now."""

    def tell(self, known: list[Known]) -> bool:
        """What came to be known of a second; False: it cannot be told just now, and is given again."""


class Loop:
    """The calls of one assignment.

    Attributes:
        untold: what came to be known and was not told.
        cpu_s, seconds: that the measured part took.

    Args:
        begin_s: when the warm-up begins.
        clock, cpu: monotonic seconds, and those of the processor.
    """

    def __init__(
        self,
        assignment: Assignment,
        begin_s: float,
        schedule: Schedule,
        tally: Tally,
        control: Control,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self._epoch = begin_s + assignment.warm_up_s
        self._end = self._epoch + assignment.seconds
        self._limit_s = assignment.patience_s + (assignment.deadline_s or 0.0)
        self._schedule = schedule
        self._tally = tally
        self._control = control
        self._clock = clock
        self._cpu = cpu
        self._under_way: deque[Call] = deque()
        self._open = 0
        self._next_round = begin_s
        self._next_word = self._epoch - math.ceil(assignment.warm_up_s) + 1
        self._cpu_began: float | None = None
        self._is_measured = False
        self.untold: list[Known] = []
        self.cpu_s = 0.0
        self.seconds = 0.0

    def run(self, connections: Connections) -> None:
        """Send all calls and see them end, on connections that tell `over` of it."""
        schedule, clock = self._schedule, self._clock
        while True:
            now = clock()
            if now >= self._next_round:
                self._round(connections, now)
            sent = 0
            while schedule.next_due <= now and sent < _AT_ONCE:
                self._send(connections, now)
                sent += 1
                now = clock()
            if now >= self._end and schedule.next_due == math.inf and not self._open:
                break
            if now >= self._end + self._limit_s and schedule.next_due != math.inf:
                # far more than this process can send; its lag says so
                schedule.stop()
            wait_s = min(schedule.next_due, self._next_round) - now - _EARLY_S
            connections.turn(wait_s if wait_s > 0 else 0.0)
        self._measure(clock())
        self.untold += self._tally.take()

    def over(self, call: Call, reply: Reply, now: float) -> None:
        """A call has ended."""
        if not call.over:
            call.over = True
            self._open -= 1
            self._schedule.call_over(now, self._tally.over(call, reply, now))

    def _send(self, connections: Connections, now: float) -> None:
        due, payload = self._schedule.take()
        call = Call(payload, due)
        self._tally.due(call, now)
        self._under_way.append(call)
        self._open += 1
        connections.send(call, now)

    def _round(self, connections: Connections, now: float) -> None:
        self._next_round = now + _ROUND_S
        connections.tend(now)
        self._give_up(connections, now)
        if self._cpu_began is None and now >= self._epoch:
            self._cpu_began = self._cpu()
        if self._control.heard(self._schedule, now) and now < self._end:
            self._schedule.stop()
            self._end = now
        if now >= self._end:
            self._measure(now)
        if now >= self._next_word:
            self._next_word += math.ceil(now - self._next_word) or 1
            self._say()

    def _give_up(self, connections: Connections, now: float) -> None:
        # In the order in which they were due, so that the first that may wait on ends it.
        while self._under_way:
            call = self._under_way[0]
            if not call.over:
                if now - call.due < self._limit_s:
                    break
                self.over(call, Reply(statuses.NO_ANSWER), now)
                connections.give_up(call)
            self._under_way.popleft()

    def _measure(self, now: float) -> None:
        if not self._is_measured:
            self._is_measured = True
            self.seconds = max(min(now, self._end) - self._epoch, 0.0)
            self.cpu_s = 0.0 if self._cpu_began is None else self._cpu() - self._cpu_began

    def _say(self) -> None:
        self.untold += self._tally.take()
        if self._control.tell(self.untold):
            self.untold = []
