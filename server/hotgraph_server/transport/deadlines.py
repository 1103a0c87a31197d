"""Which calls are to be told that their time is up, and when the next one is. Pure but for one queue."""

from __future__ import annotations

import heapq
import itertools
import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

_LOG = logging.getLogger(__name__)

CLEARED_AT = 1024
"""Calls that ended long before their deadlines are cleared away when so many more are noted than open."""


class Expires(Protocol):
    """What has a deadline (monotonic seconds), and needs to hear of it only while it is open."""

    deadline: float
    open: bool


class Alarm:
    """Something that a stream wants done at a moment; see StreamOfCalls.call_at.

    Attributes:
        deadline: the moment, monotonic seconds.
        open: it is still wanted.
    """

    __slots__ = ("_act", "deadline", "open")

    def __init__(self, deadline: float, act: Callable[[], None]) -> None:
        self.deadline = deadline
        self.open = True
        self._act: Callable[[], None] | None = act

    def expire(self) -> None:
        """The moment has come."""
        act = self._act
        self.take_back()
        if act is None:
            return
        try:
            act()
        except Exception:
            # One call's trouble; the thread that serves it has others to look after.
            _LOG.exception("a call could not be told that its time is up")

    def take_back(self) -> None:
        """It is not wanted any more; any thread."""
        self.open = False
        self._act = None


Call = TypeVar("Call", bound=Expires)


class Deadlines(Generic[Call]):
    """Any thread adds; one at a time does the rest (of a server's, the one that has its connections_lock)."""

    def __init__(self) -> None:
        self._added: deque[Call] = deque()
        self._in_order: deque[Call] = deque()
        self._heap: list[tuple[float, int, Call]] = []
        self._counter = itertools.count()  # two calls with one deadline need not be comparable
        self._open_at_least = 0

    def add(self, call: Call) -> None:
        """Note a call, which may be noted again when its deadline has come nearer."""
        self._added.append(call)

    def add_in_order(self, call: Call) -> None:
        """Note a call that has as long as all others that are noted so, and comes after them: that costs no
        search for its place. One whose deadline comes nearer is noted with `add` too; where clocks of several
        threads differ a little, what comes first is told a little late."""
        self._in_order.append(call)

    def due(self, now: float) -> list[Call]:
        """Those whose deadline has come, each told once for each time that it was noted."""
        heap = self._heap
        while self._added:
            call = self._added.popleft()
            heapq.heappush(heap, (call.deadline, next(self._counter), call))
        due = []
        in_order = self._in_order
        while in_order and (not in_order[0].open or in_order[0].deadline <= now):
            call = in_order.popleft()
            if call.open:
                due.append(call)
        while heap and heap[0][0] <= now:
            due.append(heapq.heappop(heap)[2])
        if len(heap) > 2 * self._open_at_least + CLEARED_AT:
            heap[:] = [entry for entry in heap if entry[2].open]
            heapq.heapify(heap)
            self._open_at_least = len(heap)
        return due

    @property
    def next(self) -> float:
        """When to look again, monotonic seconds; infinite if there is nothing to wait for."""
        if self._added:
            return -math.inf
        heap = self._heap
        # The thread is not to be woken for calls that have ended: under load, most have.
        while heap and not heap[0][2].open:
            heapq.heappop(heap)
        first = heap[0][0] if heap else math.inf
        in_order = self._in_order
        while in_order and not in_order[0].open:
            in_order.popleft()
        return min(first, in_order[0].deadline) if in_order else first
