"""Callers that want to know when models are settled. No thread; guarded by the repository's lock."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hotgraph_server.errors import StartError
from hotgraph_server.models.status import Unavailable
from hotgraph_server.repository.outcome import outcome_of
from hotgraph_server.repository.records import Record

Callback = Callable[[list[Unavailable]], None]


@dataclass(eq=False, frozen=True)
class Waiter:
    """One of them.

    Attributes:
        names: of the models.
        tell: gets what of them did not become available.
        patient: a load that will be tried again is not settled, nor is a model that has no version yet.
        all_of_them: if not, the first that did not become available is enough to know.
    """

    names: frozenset[str]
    tell: Callback
    patient: bool
    all_of_them: bool


class Waiting:
    """All of them, in the order in which they came."""

    def __init__(self) -> None:
        self._waiters: list[Waiter] = []

    def add(self, waiter: Waiter) -> None:
        self._waiters.append(waiter)

    def forget(self, waiter: Waiter) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def settled(self, models: Mapping[str, Record]) -> list[Callable[[], None]]:
        """Who is to be told now, as calls to be made without the lock. They wait no more."""
        acts: list[Callable[[], None]] = []
        for waiter in list(self._waiters):
            found = [
                outcome_of(models[name], patient=waiter.patient) for name in waiter.names if name in models
            ]
            unavailable = [one for some in found for one in some or ()]
            if None not in found or (unavailable and not waiter.all_of_them):
                self._waiters.remove(waiter)
                acts.append(functools.partial(waiter.tell, unavailable))
        return acts

    def let_go(self) -> list[Callable[[], None]]:
        """Like `settled`, for all of them, because the server is stopping."""
        waiters, self._waiters = self._waiters, []
        leaving = StartError("the server is stopping")
        return [
            functools.partial(
                waiter.tell, [Unavailable(name, None, leaving) for name in sorted(waiter.names)]
            )
            for waiter in waiters
        ]
