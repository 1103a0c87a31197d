"""The simulator where the queue's decisions are simple, tens of times as fast. Pure.

With one level, one lane, no deadlines, no policies and no waiting, the rules at the head of queue.py come
down to two: a free executor takes what waits, in the order of arrival, as far as it fits; and the edges
refuse. A search that asks for thousands of traces asks here first, and simulator.py for everything else. The
tests hold both against each other on random traces: whoever changes the queue's decisions finds out there.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hotgraph_server.batching.decisions import MISFITS
from hotgraph_server.settings import BatchSettings


class Course(NamedTuple):
    """What became of a trace.

    Attributes:
        ended: when each call was answered, seconds, in the order of arrival; NaN: it was refused.
        batches: rows of every run.
        busy_s: seconds of all runs.
    """

    ended: list[float]
    batches: list[int]
    busy_s: float


def is_plain(settings: BatchSettings, most_rows: int, *, joins: bool) -> bool:
    """Do these settings leave nothing to decide but what fits, for calls without deadlines?

    Args:
        settings: of the queue.
        most_rows: that a call has.
        joins: may calls share runs?
    """
    return (
        not settings.max_wait_us
        and not settings.preferred_batch_rows
        and not settings.preserve_ordering
        and not settings.has_policies
        and settings.priority_levels == 1
        and (not joins or most_rows <= settings.max_batch_rows)
    )


def simulate_plainly(
    moments: Sequence[float],
    rows: Sequence[int],
    run_s: Callable[[int], float],
    settings: BatchSettings,
    *,
    joins: bool = True,
) -> Course:
    """What `simulator.simulate` makes of these calls, where `is_plain` says so.

    Args:
        moments: of arrival, seconds, ascending.
        rows: of each call.
        run_s: seconds that a run of so many rows takes; asked once for each run.
        settings: of the queue.
        joins: may calls share runs? If not, the queue takes each for one row, as the server does, though its
            run has all of them.
    """
    count = len(moments)
    weights = rows if joins else [1] * count
    ended = [math.nan] * count
    batches: list[int] = []
    busy_s = 0.0
    most = settings.max_batch_rows
    most_calls, most_queued = settings.max_queued_calls, settings.max_queued_rows or math.inf
    waiting: deque[int] = deque()
    queued = 0  # rows that wait
    coming = 0
    now = 0.0
    while waiting or coming < count:
        if not waiting:
            # Nobody is there, so the first who comes goes alone.
            now = moments[coming]
            taken, size = [coming], rows[coming]
            coming += 1
        else:
            taken, size = _pick(waiting, rows, queued, most) if joins else _first(waiting, rows)
            queued -= size if joins else 1
        seconds = run_s(size)
        batches.append(size)
        busy_s += seconds
        now += seconds
        for place in taken:
            ended[place] = now
        # Who comes at the very moment at which a run ends is there when the executor looks.
        while coming < count and moments[coming] <= now:
            if not waiting or (len(waiting) < most_calls and queued + weights[coming] <= most_queued):
                waiting.append(coming)
                queued += weights[coming]
            coming += 1
    return Course(ended, batches, busy_s)


def _first(waiting: deque[int], rows: Sequence[int]) -> tuple[list[int], int]:
    place = waiting.popleft()
    return [place], rows[place]


def _pick(waiting: deque[int], rows: Sequence[int], queued: int, most: int) -> tuple[list[int], int]:
    """As decisions.pick does."""
    if queued <= most:
        everybody = list(waiting)
        waiting.clear()
        return everybody, queued
    taken: list[int] = []
    passed: list[int] = []
    room = most
    while waiting and room and len(passed) < MISFITS:
        place = waiting.popleft()
        if rows[place] <= room:
            taken.append(place)
            room -= rows[place]
        else:
            passed.append(place)
    waiting.extendleft(reversed(passed))
    return taken, most - room
