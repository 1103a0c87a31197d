"""What the queue decides: which lane goes, which of its calls, how long to wait. Pure: values, a moment and a
cost curve in, a decision out; no thread, no lock, no clock.

The contract that these rules add up to is at the head of queue.py; the simulator shows what follows from
them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.cost import CostCurve
from hotgraph_server.batching.estimates import SLACK_S, slack_s
from hotgraph_server.batching.expiry import is_wanted
from hotgraph_server.batching.lane import Flow, Lane

PASS_OVER = 8
"""So many batches in a row may pass over the oldest call: for priority, or to keep a deadline in time. Where
a deadline would be lost by its turn, twice as many."""

MISFITS = 64
"""Calls that do not fit into a batch and are passed over before the search for smaller ones ends."""

BETWEEN_APART = 3
"""So many batches of the others go between two runs of calls that run apart, if they are there. With one run
in four a caller whose calls keep failing hears of it soon, and the others, who share theirs, hardly
notice."""


class Choice(NamedTuple):
    """What a free executor does now.

    Attributes:
        lane: to take a batch from; None: wait.
        wait_until: when to look again if nothing happens, monotonic seconds; infinite: not before a call.
        passes_over: does the oldest call of those that may go stay behind?
    """

    lane: Lane | None
    wait_until: float = math.inf
    passes_over: bool = False


def choose(
    lanes: Iterable[Lane],
    now: float,
    max_rows: int,
    max_wait_s: float,
    *,
    preferred: Sequence[int] = (),
    passed_over: int = 0,
    yielding: Lane | None = None,
    apart_waits: bool = False,
) -> Choice:
    """The lane that goes at `now`.

    Among those that may go (see `goes_at`): the highest level first. In it the earliest deadline of those
    that would be missed if another lane went first and can be kept by going now; if there is none such,
    the oldest call. When `passed_over` batches have passed over the oldest call of all, its lane goes: after
    PASS_OVER of them if that costs no deadline of a higher level, after twice as many in any case.

    Args:
        lanes: none of them empty.
        now: monotonic seconds.
        max_rows: of a batch.
        max_wait_s, preferred: see `goes_at`.
        passed_over: how many batches in a row have passed over the oldest call.
        yielding: goes only if no other may: a piece of its call has just been run.
        apart_waits: so do lanes of calls that run apart: the last of them was run less than BETWEEN_APART
            batches ago.
    """
    ready: list[Lane] = []
    wait_until = math.inf
    for lane in lanes:
        at = goes_at(lane, now, max_rows, max_wait_s, preferred)
        if at <= now:
            ready.append(lane)
        else:
            wait_until = min(wait_until, at)
    if yielding is not None and len(ready) > 1:
        ready = [lane for lane in ready if lane is not yielding]
    if apart_waits:
        ready = [lane for lane in ready if not lane.apart] or ready
    if len(ready) < 2:
        return Choice(ready[0]) if ready else Choice(None, wait_until)
    level = min(lane.level for lane in ready)
    equals = [lane for lane in ready if lane.level == level]
    urgent = _urgent(equals, ready, now, max_rows)
    chosen = urgent or min(equals, key=_oldest)
    oldest = min(ready, key=_oldest)
    if chosen is oldest or passed_over >= (PASS_OVER if urgent is None else 2 * PASS_OVER):
        return Choice(oldest)
    return Choice(chosen, passes_over=True)


def _oldest(lane: Lane) -> float:
    return lane.oldest


def _run_s(lane: Lane, max_rows: int) -> float:
    """How long the batch that this lane would give now is predicted to run."""
    if not lane.joins:
        return next(iter(lane.calls.values()))
    return lane.flow.curve.predict(min(lane.rows, max_rows, lane.max_rows))


def _urgent(lanes: Sequence[Lane], ready: Sequence[Lane], now: float, max_rows: int) -> Lane | None:
    """Of the lanes that keep a deadline by going now and miss it behind the longest run of those that are
    `ready`, the one with the earliest.
    """
    with_deadlines = [lane for lane in lanes if lane.has_deadlines]
    if not with_deadlines:
        return None
    other_s = max(_run_s(lane, max_rows) for lane in ready)
    found, earliest = None, math.inf
    for lane in with_deadlines:
        deadline = earliest_deadline(lane, max_rows)
        spare_s = deadline - now - _run_s(lane, max_rows)
        if 0.0 <= spare_s < other_s and deadline < earliest:
            found, earliest = lane, deadline
    return found


def earliest_deadline(lane: Lane, max_rows: int) -> float:
    """Of the calls that could go next: the first in a lane that joins (a call has a row at least)."""
    return min(call.deadline for call in islice(lane.calls, max_rows if lane.joins else 1))


def goes_at(lane: Lane, now: float, max_rows: int, max_wait_s: float, preferred: Sequence[int] = ()) -> float:
    """When a lane may go, monotonic seconds; -inf: at once.

    It waits for more rows while all of this holds: it joins, is not full, its first calls do not give one of
    the `preferred` numbers of rows, its oldest call has not waited `max_wait_s`, no deadline in it is in
    danger and no call's time in the queue about to be over, and waiting pays.
    """
    if max_wait_s <= 0.0 or not lane.joins or lane.rows >= min(max_rows, lane.max_rows):
        return -math.inf
    until = lane.oldest + max_wait_s
    if until <= now or not waiting_pays(lane.rows, lane.flow):
        return -math.inf
    if preferred and exactly(lane.calls, preferred):
        return -math.inf
    if lane.has_timeouts:
        until = min(until, min(call.queue_until for call in islice(lane.calls, max_rows)) - SLACK_S)
    if lane.has_deadlines:
        run_s = lane.flow.curve.predict(lane.rows + 1)
        until = min(until, earliest_deadline(lane, max_rows) - lane.flow.curve.margin * run_s - SLACK_S)
    return until


def waiting_pays(rows: int, flow: Flow) -> bool:
    """Is it worth a free executor's while to wait for one more row?

    Compare the waits in all. Going now, the next row, a gap later, waits for the end of our run and takes
    one of its own: it ends at S(rows) + S(1). Waiting for it, it ends at gap + S(rows + 1), and so do the
    others, which would have ended at S(rows). So waiting pays if

        S(rows) + S(1) - S(rows + 1) - gap  >  rows * (gap + S(rows + 1) - S(rows))

    With S = a + b * rows that is (rows + 1) * gap + rows * b < a: the fixed cost of a run buys the time.
    Where no run has been seen, the owner's wish to wait stands unjudged.
    """
    if not flow.curve.known:
        return True
    gap_s = flow.gap_s
    if math.isinf(gap_s):
        return False
    now_s, one_s, more_s = (flow.curve.predict(count) for count in (rows, 1, rows + 1))
    return now_s + one_s - more_s - gap_s > rows * (gap_s + more_s - now_s)


@dataclass
class Pick:
    """What is taken out of a lane.

    Attributes:
        taken: to be run together; may be empty.
        expired: their callers want them no more; they are not run.
        shrunk: was the batch kept small for the sake of a deadline?
    """

    taken: list[Call]
    expired: list[Call] = field(default_factory=list)
    shrunk: bool = False


def pick(lane: Lane, now: float, max_rows: int, *, passed_over: int = 0) -> Pick:
    """The calls of `lane` that go at `now`.

    If no more wait than a batch takes, all of them: unless that is predicted to miss a deadline which a
    smaller batch keeps. Then those with the earliest deadlines go, as many as keep the first of them; but
    when PASS_OVER batches have passed over the oldest call, all go, so that no call is left behind for ever.

    If more wait, throughput is what keeps deadlines, and batches stay full: calls in arrival order while
    they fit. One that does not fit is passed over and is the first of a batch when all before it are gone,
    because the first always fits. One that cannot be in time any more gets only the room that is left.
    """
    if not lane.joins:
        (head,) = islice(lane.calls, 1)
        return Pick([head]) if is_wanted(head, now) else Pick([], [head])
    if lane.rows > max_rows and len(lane.calls) > 1:
        return _pick_from_crowd(lane, now, max_rows)
    # As `is_wanted` says, without asking it for each: this is on the path of every batch.
    taken = [call for call in lane.calls if call.deadline > now and not call.completion.taken]
    picked = Pick(taken)
    if len(taken) < len(lane.calls):
        picked.expired = [call for call in lane.calls if not is_wanted(call, now)]
    if lane.has_deadlines and len(taken) > 1 and passed_over < PASS_OVER:
        kept = _in_time(taken, now, lane.flow.curve)
        picked.shrunk = len(kept) < len(taken)
        picked.taken = kept
    return picked


def _in_time(calls: list[Call], now: float, curve: CostCurve) -> list[Call]:
    """All calls; or those with the earliest deadlines that keep the first one which can be kept."""
    rows = sum([call.rows for call in calls])
    if now + curve.predict(rows) <= min([call.deadline for call in calls]):
        return calls
    kept: list[Call] = []
    room = 0
    for call in sorted(calls, key=lambda one: one.deadline):
        if not kept:
            room = curve.rows_within(call.deadline - now)
            if call.rows > room:
                continue  # It is late whatever we do.
        if call.rows <= room:
            kept.append(call)
            room -= call.rows
    return kept or calls


def _pick_from_crowd(lane: Lane, now: float, max_rows: int) -> Pick:
    picked = Pick([])
    late: list[Call] = []
    too_late = -math.inf
    if lane.has_deadlines:
        curve = lane.flow.curve
        run_s = curve.predict(max_rows)
        too_late = now + curve.margin * run_s + slack_s(run_s)
    room, misfits = max_rows, 0
    for call in lane.calls:
        if call.deadline <= now or call.completion.taken:  # as `is_wanted` says
            picked.expired.append(call)
        elif call.deadline < too_late:
            late.append(call)
        elif call.rows <= room:
            picked.taken.append(call)
            room -= call.rows
            if not room:
                break
        else:
            misfits += 1
            if misfits == MISFITS:
                break
    for call in late:
        if call.rows <= room:
            picked.taken.append(call)
            room -= call.rows
    return picked


def exactly(calls: Iterable[Call], sizes: Sequence[int]) -> list[Call]:
    """The first of `calls`, so many that their rows are the greatest of `sizes` that can be had so; none if
    none can.
    """
    largest = max(sizes)
    seen: list[Call] = []
    kept = rows = 0
    for call in calls:
        rows += call.rows
        if rows > largest:
            break
        seen.append(call)
        if rows in sizes:
            kept = len(seen)
    return seen[:kept]


def backfill(taken: Sequence[Call], lane: Lane, now: float, max_rows: int) -> list[Call]:
    """Calls of another level's `lane` that go with `taken`, in the room and time that they leave."""
    room = max_rows - sum(call.rows for call in taken)
    earliest = min(call.deadline for call in taken)
    if earliest < math.inf:
        room -= max_rows - min(max_rows, lane.flow.curve.rows_within(earliest - now))
    found: list[Call] = []
    for call in islice(lane.calls, MISFITS):
        if room <= 0:
            break
        if call.rows <= room and is_wanted(call, now):
            found.append(call)
            room -= call.rows
    return found
