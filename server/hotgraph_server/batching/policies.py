"""What queue policies ask of calls that wait: how many of a level there may be, and until when. The queue's
bookkeeping, like backlog.py: no thread, no lock, no clock; queue.py has the contract.

Moments are kept in a heap beside the calls, and not in them alone, because they do not come in the order of
arrival where a call may ask for less time than others have. An entry holds no call: what has left the
queue is given back at once, and its entry is dropped when its moment comes, or when most of them are dead.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from hotgraph_server.batching.call import Call
from hotgraph_server.errors import QueueSizeExceeded
from hotgraph_server.settings import BatchSettings
from hotgraph_server.signatures import Signature

# Below so many entries it does not matter how many are dead. A guess.
_WORTH_CLEANING = 64

DELAYED = -math.inf
"""`Call.queue_until` of a call that has been put behind the others of its level."""


def queue_until(
    settings: BatchSettings, signature: Signature, level: int, arrived: float, asked_s: float
) -> float:
    """When the time that a call may wait for its run is over, monotonic seconds; infinite: never.

    A call that changes state is never put behind later ones, because such calls run in the order of their
    arrival.

    Args:
        settings: of the model.
        signature: of the call.
        level: of the call.
        arrived: monotonic seconds.
        asked_s: the seconds that the call asks for; infinite: it does not.
    """
    asked_us = 0 if math.isinf(asked_s) else max(1, round(asked_s * 1e6))
    policy = settings.policy_of(level)
    timeout_us = 0 if policy.delays and signature.writes else policy.timeout_us(asked_us)
    return arrived + timeout_us / 1e6 if timeout_us else math.inf


class Policies:
    """Of one queue, and the calls in it that they are about; `title` names the queue in errors."""

    def __init__(self, title: str, settings: BatchSettings) -> None:
        self._title = title
        levels = range(settings.priority_levels + 1)
        self._max_calls = [settings.policy_of(level).max_queue_size or math.inf for level in levels]
        self._delays = [settings.policy_of(level).delays for level in levels]
        self._calls = [0 for _ in levels]
        self._until: dict[int, Call] = {}  # those with a moment, by identity
        # A heap: moment, number, identity of the call. The number keeps equal moments in order of arrival.
        self._moments: list[tuple[float, int, int]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        """Moments that are kept; some may be those of calls that have left."""
        return len(self._moments)

    def refusal(self, call: Call) -> QueueSizeExceeded | None:
        """Why there is no place for `call`."""
        level = call.level
        if self._calls[level] < self._max_calls[level]:
            return None
        return QueueSizeExceeded(self._title, level, self._calls[level])

    def entered(self, call: Call) -> None:
        """A call waits. One that is in the middle of its run, in pieces, has no time to lose any more."""
        self._calls[call.level] += 1
        if math.isfinite(call.queue_until) and not call.rows_done:
            self._until[id(call)] = call
            heappush(self._moments, (call.queue_until, next(self._numbers), id(call)))

    def left(self, calls: Iterable[Call]) -> None:
        """Calls that waited do so no more."""
        for call in calls:
            self._calls[call.level] -= 1
            self._until.pop(id(call), None)
        if len(self._moments) > _WORTH_CLEANING + 2 * len(self._until):
            self._moments = [entry for entry in self._moments if self._is_alive(entry)]
            heapify(self._moments)

    @property
    def next_moment(self) -> float:
        """When the next call's time is over, monotonic seconds; may be that of a call that has left.
        Infinite: there is none."""
        return self._moments[0][0] if self._moments else math.inf

    def due(self, now: float) -> list[Call]:
        """The calls that wait and whose time is over at `now`, in the order in which it was; asked once for
        each, which still waits."""
        found: list[Call] = []
        while self._moments and self._moments[0][0] <= now:
            entry = heappop(self._moments)
            if self._is_alive(entry):
                found.append(self._until.pop(entry[-1]))
        return found

    def _is_alive(self, entry: tuple[float, int, int]) -> bool:
        """Does its call wait? Another one may have the identity of one that has left, and even its moment;
        the first entry is its own then as well."""
        moment, _, key = entry
        call = self._until.get(key)
        return call is not None and call.queue_until == moment

    def delays(self, call: Call) -> bool:
        """Is `call` put behind others when its time is over, and not ended?"""
        return self._delays[call.level]
