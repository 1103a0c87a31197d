"""What waits in a queue, in lanes, and who of it goes. The queue's bookkeeping: no thread, no lock, no clock;
queue.py has the contract and holds its lock around everything here, load_estimate.py knows how long it all
takes.

Sums of calls, rows and bytes are kept and not taken again and again, because each call asks for them.

Levels here are the queue's: those of priority, or, where a queue policy puts calls behind the others of their
priority, two for each, the second for these calls. All else that is said of levels goes for both.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from itertools import islice
from typing import TypeVar

from hotgraph_server.batching import decisions, estimates
from hotgraph_server.batching.call import Call
from hotgraph_server.batching.cost import MAX_MARGIN
from hotgraph_server.batching.lane import Lane
from hotgraph_server.batching.load_estimate import LoadEstimate
from hotgraph_server.batching.policies import DELAYED, Policies
from hotgraph_server.errors import QueueFull, Refused, WouldBeLate
from hotgraph_server.settings import BatchSettings

Batch = list[Call]
"""Calls that run together; never empty, one lane key (or one call)."""

AnyRefused = TypeVar("AnyRefused", bound=Refused)

_MIB = 1 << 20

# Of the edge in calls, those that run apart may take one part in so many: they are run slowly, and however
# fast they come, there shall be room for the others. A guess.
_APART_PART = 8
_APART = "apart"


class Backlog:
    """Calls that wait for one executor, and the run that it is busy with; `title` names the queue in errors.

    Attributes:
        calls: how many wait.
        rows: of these.
        nbytes: that their inputs hold.
        apart: how many of them run apart.
        lanes: that they wait in, by key; none of them is empty.
        load: how long they will keep the executor.
    """

    def __init__(self, title: str, settings: BatchSettings) -> None:
        self.calls = 0
        self._title = title
        self._settings = settings
        self._max_rows = settings.max_batch_rows
        self._max_wait_s = settings.max_wait_us / 1e6
        self._max_calls = settings.max_queued_calls
        self._max_apart = max(self._max_calls // _APART_PART, 1)
        self._max_queued_rows = settings.max_queued_rows or math.inf
        self._max_bytes = settings.max_queued_mb * _MIB or math.inf
        self._preferred = settings.preferred_batch_rows
        self._policies = Policies(title, settings) if settings.has_policies else None
        self._delays = any(
            settings.policy_of(level).delays for level in range(1, settings.priority_levels + 1)
        )
        self._levels = settings.priority_levels * (2 if self._delays else 1)
        # What memory has taught: the rows of a batch by signature, and the least of them all.
        self._limits: dict[str, int] = {}
        self._least_rows = self._max_rows
        self.lanes: dict[Hashable, Lane] = {}
        self.rows = 0
        self.nbytes = 0
        self._passed_over = 0
        self._yielding: Lane | None = None
        self.apart = 0
        self._since_apart = decisions.BETWEEN_APART  # batches of others since the last that ran apart
        self.load = LoadEstimate(self._levels, self._max_rows)

    def refusal(self, call: Call, now: float) -> Refused | None:
        """Why `call` is not taken in at `now`, monotonic seconds; of no matter where it has no deadline."""
        if self.calls:
            if self.calls >= self._max_calls:
                return self._full(self.calls, self._max_calls, "calls")
            if call.apart and self.apart >= self._max_apart:
                return self._full(self.apart, self._max_apart, "calls of callers whose calls keep failing")
            if self.rows + call.rows > self._max_queued_rows:
                return self._full(self.rows, int(self._max_queued_rows), "rows")
            if self.nbytes + call.nbytes > self._max_bytes:
                return self._full(self.nbytes // _MIB, self._settings.max_queued_mb, "MiB of inputs")
            if self._policies is not None:
                refusal = self._policies.refusal(call)
                if refusal is not None:
                    return self._worth_another_try(refusal)
        elif self.load.free_at == -math.inf:
            return None
        if call.deadline != math.inf:
            # Cheaper than to count what is ahead: each call one run of the longest kind, each batch of large
            # calls' rows another, our own and the present one.
            runs = self.calls + (self.rows + call.rows) // self._least_rows + 2
            if now + MAX_MARGIN * runs * self.load.longest_run_s + estimates.SLACK_S > call.deadline:
                work_s = self._work_ahead_s(call, max(0.0, self.load.free_at - now))
                margin = self.load.flow(call).curve.margin
                late_by_s = estimates.late_by_s(now, call.deadline, self.load.free_at, work_s, margin)
                if late_by_s > 0.0:
                    return WouldBeLate(self._title, late_by_s)
        return None

    def insert(self, call: Call, *, comes: bool = True) -> Lane:
        """Let a call wait, behind those of its lane. `comes`: it was not here before."""
        key = self._key(call)
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Lane(
                key,
                self.load.flow(call),
                self._level_of(call) if self._delays else call.level,
                joins=call.lane is not None and (not call.apart or self._is_large(call)),
                apart=call.apart,
                max_rows=self._max_rows_of(call) if self._limits else self._max_rows,
            )
        lane.append(call, 0.0 if lane.joins else self.load.flow(call).curve.predict(call.length))
        if comes and (self._max_wait_s or lane.has_deadlines):
            lane.flow.arrival(call.arrived, call.rows)
        self.load.uncounted.add(lane)
        self.calls += 1
        self.apart += call.apart
        self.rows += call.rows - call.rows_done
        self.nbytes += call.nbytes
        if self._policies is not None:
            self._policies.entered(call)
            lane.has_timeouts = lane.has_timeouts or call.queue_until < math.inf
        return lane

    def insert_rest(self, call: Call) -> None:
        """Take in the rest of a large call; others that may go now go first."""
        self._yielding = self.insert(call, comes=False)

    def remove(self, call: Call) -> bool:
        """Let a call go. Returns whether it was waiting."""
        lane: Lane | None = call.waits_in
        return lane is not None and self._remove(lane, (call,)) == 1

    @property
    def next_timeout(self) -> float:
        """When to call `time_out` next, monotonic seconds; infinite: not for any call that waits now."""
        return math.inf if self._policies is None else self._policies.next_moment

    def time_out(self, now: float) -> tuple[list[Call], list[Call]]:
        """Do what queue policies ask for with the calls whose time to wait is over at `now`.

        Returns:
            Those that were let go, and those that were put behind the others of their priority.
        """
        if self._policies is None:
            return [], []
        ended: list[Call] = []
        delayed: list[Call] = []
        for call in self._policies.due(now):
            self.remove(call)
            if self._policies.delays(call):
                call.queue_until = DELAYED
                self.insert(call, comes=False)
                delayed.append(call)
            else:
                ended.append(call)
        return ended, delayed

    def limit_rows(self, signature: str, rows: int) -> None:
        """Form batches of a signature, by its name, of so many rows at most; never more than by the
        settings."""
        if rows < self._max_rows:
            self._limits[signature] = rows
        else:
            self._limits.pop(signature, None)
        self._least_rows = min(self._limits.values(), default=self._max_rows)
        for lane in list(self.lanes.values()):
            (call,) = islice(lane.calls, 1)
            if call.signature.name == signature:
                # Those that have become larger than a batch, or are so no more, want other lanes.
                for moved in self._remove_all(lane):
                    self.insert(moved, comes=False)

    def has_writes(self) -> bool:
        """Does any call wait that changes state?"""
        return any(call.signature.writes for lane in self.lanes.values() for call in lane.calls)

    def clear(self) -> list[Call]:
        """Let all calls go."""
        return [call for lane in list(self.lanes.values()) for call in self._remove_all(lane)]

    def next_graph_s(self) -> float:
        """How long the run of all that waits is predicted to be in the graph, seconds; infinite: it is more
        than one run."""
        if len(self.lanes) != 1:
            return math.inf
        (lane,) = self.lanes.values()
        if lane.rows > min(lane.max_rows, self._max_rows) or (len(lane.calls) > 1 and not lane.joins):
            return math.inf
        (first,) = islice(lane.calls, 1)
        return self.load.in_graph_of(first, lane.flow.curve, lane.rows)

    def choose(self, now: float, *, closing: bool) -> decisions.Choice:
        """What a free executor does at `now`; `closing`: no further calls will come."""
        if len(self.lanes) == 1 and not self._max_wait_s:
            (lane,) = self.lanes.values()
            return decisions.Choice(lane)
        # A closing queue waits for no more rows: none will come.
        max_wait_s = 0.0 if closing else self._max_wait_s
        return decisions.choose(
            self.lanes.values(),
            now,
            self._max_rows,
            max_wait_s,
            preferred=self._preferred,
            passed_over=self._passed_over,
            yielding=self._yielding,
            apart_waits=self._since_apart < decisions.BETWEEN_APART,
        )

    def take(self, lane: Lane, now: float, *, passes_over: bool) -> tuple[Batch, list[Call]]:
        """Begin the run of a batch that begins with calls of `lane`.

        Returns:
            The batch, and the calls that have expired on the way. Without a batch, no run begins.
        """
        self._yielding = None
        max_rows = min(lane.max_rows, self._max_rows)
        picked = decisions.pick(lane, now, max_rows, passed_over=self._passed_over)
        self._passed_over = self._passed_over + 1 if passes_over or picked.shrunk else 0
        batch, expired = picked.taken, picked.expired
        fills = self._levels > 1 and lane.joins and not picked.shrunk
        if self._preferred and lane.joins and not picked.shrunk:
            preferred = self._preferred_of(lane, batch, now)
            fills = fills and not preferred
            batch = preferred or batch
        if len(batch) + len(expired) == len(lane.calls):
            self._remove_all(lane)
        else:
            self._remove(lane, batch + expired if expired else batch)
        if batch:
            self._since_apart = 0 if lane.apart else self._since_apart + 1
            if fills:
                self._backfill(lane, batch, now)
            rows = batch[0].length
            if lane.joins:
                waited = sum([call.rows - call.rows_done for call in batch])
                rows = min(waited, self._max_rows_of(batch[0]) if self._limits else self._max_rows)
            self.load.begin(lane, batch[0], rows, now)
        return batch, expired

    def _full(self, waiting: int, limit: int, unit: str) -> QueueFull:
        return self._worth_another_try(QueueFull(self._title, waiting, limit, unit))

    def _worth_another_try(self, error: AnyRefused) -> AnyRefused:
        work_s = self.load.waiting_s(self._levels)
        if work_s > 0.0:
            # When half of what waits now is done, there is room, and not all callers come back at once.
            error.retry_after_ms = max(1, math.ceil(work_s * 500))
        return error

    def _work_ahead_s(self, call: Call, free_in_s: float) -> float:
        """What goes before the end of the batch that `call` would go in, but for the present run, which
        ends in `free_in_s`.
        """
        work_s = self.load.waiting_s(self._level_of(call))
        if call.lane is None or call.apart:
            return work_s + self.load.flow(call).curve.predict(call.length)
        lane = self.lanes.get(self._key(call))
        if lane is None:
            flow, rows = self.load.flow(call), call.rows
        else:
            # It shares the lane's last batch.
            flow, rows = lane.flow, lane.rows + call.rows
            work_s -= lane.counted_s
        return work_s + estimates.shared_work_s(rows, self._max_rows_of(call), flow, free_in_s + work_s)

    def _key(self, call: Call) -> Hashable:
        """Of the lane that `call` waits in: no call can join one that is larger than a batch, or was when its
        first piece ran."""
        if (call.rows > self._least_rows or call.rows_done) and self._is_large(call):
            return id(call)  # not the call itself, which knows its lane: that would be a cycle
        key = _APART if call.apart else call.lane
        return key if self._levels == 1 else (self._level_of(call), key)

    def _is_large(self, call: Call) -> bool:
        return call.lane is not None and (call.rows_done > 0 or call.rows > self._max_rows_of(call))

    def _level_of(self, call: Call) -> int:
        """The queue's, from the call's."""
        return 2 * call.level - (call.queue_until != DELAYED) if self._delays else call.level

    def _max_rows_of(self, call: Call) -> int:
        """Of a batch with `call`."""
        return self._limits.get(call.signature.name, self._max_rows) if self._limits else self._max_rows

    def _preferred_of(self, lane: Lane, batch: Batch, now: float) -> Batch:
        """So many of `batch` as give a preferred number of rows; none: it may go as it is."""
        if self._max_wait_s and now >= lane.oldest + self._max_wait_s:
            return []
        return decisions.exactly(batch, self._preferred)

    def _backfill(self, lane: Lane, batch: Batch, now: float) -> None:
        """Fill a batch up from the other levels' lanes of the same key."""
        for level in range(1, self._levels + 1):
            other = self.lanes.get((level, batch[0].lane))
            if other is None or other is lane:
                continue
            added = decisions.backfill(batch, other, now, min(lane.max_rows, self._max_rows))
            self._remove(other, added)
            batch += added

    def _remove(self, lane: Lane, calls: Sequence[Call]) -> int:
        """Let calls go that may wait in `lane`. Returns how many did."""
        rows, nbytes = lane.rows, lane.nbytes
        removed = lane.remove(calls)
        if self._policies is not None:
            self._policies.left(removed)
        self.rows -= rows - lane.rows
        self.nbytes -= nbytes - lane.nbytes
        self.calls -= len(removed)
        if lane.apart:
            self.apart -= len(removed)
        self._recount(lane)
        return len(removed)

    def _remove_all(self, lane: Lane) -> list[Call]:
        self.rows -= lane.rows
        self.nbytes -= lane.nbytes
        calls = lane.take_all()
        self.calls -= len(calls)
        self.apart -= len(calls) if lane.apart else 0
        if self._policies is not None:
            self._policies.left(calls)
        self._recount(lane)
        return calls

    def _recount(self, lane: Lane) -> None:
        """Calls have left `lane`."""
        if lane.calls:
            self.load.uncounted.add(lane)
        elif self.lanes.get(lane.key) is lane:
            # Keys are made from callers' shapes: a lane that outlived its calls would be a leak that
            # callers can drive.
            del self.lanes[lane.key]
            self.load.gone(lane, last=not self.lanes)
