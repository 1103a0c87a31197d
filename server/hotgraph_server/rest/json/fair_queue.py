"""Which of the large jobs comes next. Pure; its caller holds a lock.

A job gets a tag when it comes: where the queue stands, and its own bytes times how many jobs of its caller
are here, it included. The lowest tag goes next, and the queue then stands there. So what is small passes what
is large, a caller that has sent much already passes no other, and no job waits longer than until others have
had as many bytes as its tag was ahead.

Small and large ones are also kept apart, so that a process can be reserved for the small. Of either kind so
many bytes may wait, and of one caller half of them; more is refused, but for a job that would be alone.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from hotgraph_server.errors import QueueFull

T = TypeVar("T")


@dataclass(order=True)
class Ticket(Generic[T]):
    """A job that is here: it waits, runs, or has been given up.

    Attributes:
        job: None: it has been given up.
        waits: it has been neither taken nor given up.
    """

    tag: float
    number: int
    job: T | None = field(compare=False)
    nbytes: int = field(compare=False)
    caller: str = field(compare=False)
    waits: bool = field(default=True, compare=False)


class FairQueue(Generic[T]):
    """See the head of this file.

    Args:
        small_bytes: up to so many a job is small.
        most_bytes: of small jobs, and of large ones, that may wait.
    """

    def __init__(self, small_bytes: int, most_bytes: int) -> None:
        self._small_bytes = small_bytes
        self._most_bytes = most_bytes
        self._stands = 0.0
        self._numbers = itertools.count()
        self._here: Counter[str] = Counter()
        self._small: list[Ticket[T]] = []
        self._large: list[Ticket[T]] = []
        # By whether the job is small; and by that and its caller.
        self._waiting: Counter[bool] = Counter()
        self._waiting_of: Counter[tuple[bool, str]] = Counter()

    def put(self, job: T, nbytes: int, caller: str) -> Ticket[T]:
        """A job has come.

        Raises:
            QueueFull: too much waits.
        """
        small = nbytes <= self._small_bytes
        for waits, most in (
            (self._waiting[small], self._most_bytes),
            (self._waiting_of[small, caller], self._most_bytes // 2),
        ):
            if waits and waits + nbytes > most:
                raise QueueFull("the queue for large JSON", waits, most, "bytes")
        self._here[caller] += 1
        tag = self._stands + nbytes * self._here[caller]
        ticket = Ticket(tag, next(self._numbers), job, nbytes, caller)
        heapq.heappush(self._small if small else self._large, ticket)
        self._count(ticket, nbytes)
        return ticket

    def take(self, *, small: bool = True, large: bool = True) -> Ticket[T] | None:
        """The next job, which `done` is owed for; None: there is none.

        Args:
            small, large: may it be such a one?
        """
        heaps = [heap for heap, may_be in ((self._small, small), (self._large, large)) if may_be]
        while waiting := [heap for heap in heaps if heap]:
            ticket = heapq.heappop(min(waiting, key=lambda heap: heap[0]))
            if ticket.waits:
                ticket.waits = False
                self._stands = max(self._stands, ticket.tag)
                self._count(ticket, -ticket.nbytes)
                return ticket
        return None

    def give_up(self, ticket: Ticket[T]) -> None:
        """A job is wanted no longer; one that was taken already goes on."""
        if ticket.waits:
            ticket.waits, ticket.job = False, None
            self._count(ticket, -ticket.nbytes)
            self.done(ticket)

    def done(self, ticket: Ticket[T]) -> None:
        """A job that was taken is over."""
        self._here[ticket.caller] -= 1
        if not self._here[ticket.caller]:
            del self._here[ticket.caller]

    def _count(self, ticket: Ticket[T], nbytes: int) -> None:
        small = ticket.nbytes <= self._small_bytes
        self._waiting[small] += nbytes
        self._waiting_of[small, ticket.caller] += nbytes
        if not self._waiting_of[small, ticket.caller]:
            del self._waiting_of[small, ticket.caller]
