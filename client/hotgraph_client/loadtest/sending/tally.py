"""What became of calls, second by second, and which answers there were. Pure.

Kept as it comes: each call costs a few appends. Histograms are made elsewhere.
"""

from __future__ import annotations

import math

from ..load import Answer, Assignment
from . import statuses
from .calls import Call, Reply
from .messages import Known

_MOST_US = 3_600_000_000


class Tally:
    """Of one assignment.

    Args:
        epoch: monotonic seconds at which the measurement begins.
    """

    def __init__(self, assignment: Assignment, epoch: float) -> None:
        self._epoch = epoch
        self._deadline_s = assignment.deadline_s
        self._rows = [payload.rows for payload in assignment.payloads]
        self._seconds: dict[int, Known] = {}
        self._texts: dict[str, str] = {}
        self._answers = Answers(assignment.keep_answers, assignment.keep_bytes)

    def due(self, call: Call, now: float) -> None:
        """A call was due, and is attended to now."""
        known = self._known(call.due)
        known.due += 1
        known.lag_us.append(_microseconds(now - call.due))

    def over(self, call: Call, reply: Reply, now: float) -> str:
        """A call has ended; what its end is called."""
        latency_s = now - call.due
        status = reply.status
        if not status and self._deadline_s is not None and latency_s > self._deadline_s:
            status = statuses.LATE
        known = self._known(call.due)
        if status:
            known.errors[status] = known.errors.get(status, 0) + 1
            if status not in self._texts:
                self._texts[status] = "" if status is statuses.LATE else reply.body.decode(errors="replace")
        else:
            known.answered += 1
            known.rows += self._rows[call.payload]
            known.latency_us.append(_microseconds(latency_s))
            if known.second >= 0:
                self._answers.add(call.payload, reply)
        return status

    def take(self) -> list[Known]:
        """What came to be known since it was last asked for."""
        taken, self._seconds = self._seconds, {}
        return list(taken.values())

    @property
    def answers(self) -> list[Answer]:
        """Distinct ones, those within the measurement."""
        return self._answers.kept

    @property
    def unchecked(self) -> int:
        """Answers that were not kept."""
        return self._answers.lost

    @property
    def error_texts(self) -> dict[str, str]:
        """What the server said first with each status; empty: nothing."""
        return dict(self._texts)

    def _known(self, due: float) -> Known:
        second = math.floor(due - self._epoch)
        known = self._seconds.get(second)
        if known is None:
            known = self._seconds[second] = Known(second)
        return known


class _Kept:
    __slots__ = ("body", "count", "headers", "payload")

    def __init__(self, payload: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        self.payload = payload
        self.headers = headers
        self.body = body
        self.count = 1


class Answers:
    """Distinct answers to each payload, up to a number and to bytes of all of them.

    Attributes:
        lost: how many calls had answers that were not kept.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._bytes_left = most_bytes
        self._kept: dict[tuple[int, bytes], _Kept] = {}
        self._last: dict[int, _Kept] = {}
        self.lost = 0

    def add(self, payload: int, reply: Reply) -> None:
        """Count an answer."""
        # Most are as the one before was, which is seen without reading them as a key of a dictionary.
        last = self._last.get(payload)
        if last is None or last.body != reply.body:
            last = self._kept.get((payload, reply.body))
            if last is not None:
                self._last[payload] = last
        if last is not None:
            last.count += 1
        elif len(self._kept) < self._most and len(reply.body) <= self._bytes_left:
            self._bytes_left -= len(reply.body)
            kept = _Kept(payload, reply.headers, reply.body)
            self._kept[payload, reply.body] = self._last[payload] = kept
        else:
            self.lost += 1

    @property
    def kept(self) -> list[Answer]:
        """In the order in which they first came."""
        return [Answer(one.payload, one.headers, one.body, one.count) for one in self._kept.values()]


def _microseconds(seconds: float) -> int:
    return min(max(int(seconds * 1e6), 1), _MOST_US)
