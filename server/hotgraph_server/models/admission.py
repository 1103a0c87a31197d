"""Admission: what a version does with a request before its call waits, and how a call ends before its run.

`submit` takes a request and settles, in this order: the deadline, the level, the rows, whether the cache has
the answer, the time to wait by queue policy. Then it tells the call's observer, and hands the call to the
queue, through the write gate if it changes state. Everything that can be refused is refused before the call
waits, and the request's completion is not used then.

A completion is wrapped in one place, `_wrap`, where the cache wants to see the answer; the queue puts its
turns around it where answers come in the order of their calls (batching/ordering.py).

`cancel` ends a call wherever it is now: at the version that it was submitted to, at a later one that its
writes were redirected to, or in a sequence. Each call knows what has taken it.

Any thread may call both. They never wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.policies import queue_until
from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.batching.request import Request
from hotgraph_server.call_observer import Queued
from hotgraph_server.errors import NOT_RUN, CallError, Cancelled, DeadlineExceeded, InvalidCall
from hotgraph_server.models.response_cache import VersionCache
from hotgraph_server.models.write_gate import WriteGate
from hotgraph_server.sequences.batcher import Sequences
from hotgraph_server.settings import BatchSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.statistics import Event, Statistics

Left = CallError | bool | None
"""What cancelling a call has come to; see `cancel`, and transport.service.Left, which is the same."""


class Submitted(Protocol):
    """A call that a version has taken.

    Attributes:
        deadline: monotonic seconds; it may be earlier than the request's. Who has a timer cancels the call
            then.
        taken_by: what can cancel it.
    """

    deadline: float
    taken_by: Any


Submit = Callable[[Request], Submitted]
"""Takes a request; its outcome lands in its completion, by the thread that ends it.

Raises:
    InvalidCall: it has more rows than the settings allow; of a call in a sequence, see sequences.batcher.
    QueueFull: too much waits.
    QueueSizeExceeded: too much of its level waits, by a queue policy.
    OverLimit: too many sequences live, or they hold too much state.
    WouldBeLate: it cannot be answered before its deadline.
    NotReady: it changes state, and the version that replaces this one does not know its signature.
    Draining: the version takes no calls any more.
"""


def cancel(call: Submitted, *, expired: bool | None = None) -> Left:
    """End a call early, and make room if it was still waiting. One that has ended stays as it ended; so does
    one that changes state and has begun to run, because its caller must hear what came of it.

    Args:
        call: that was submitted.
        expired: has its deadline passed, or has the caller left? None: the clock tells.

    Returns:
        Of a call that changes state: what it has ended with, or True if its outcome is still to come;
        else None.
    """
    left: Left = call.taken_by.cancel(call, expired=expired)
    return left


class Admission:
    """To the queue of one version.

    Args:
        title, number: of the version.
        settings: of its model.
        signatures: those that can be called, by name.
        alone: why a signature's calls run alone, None where they share batches; changes while calls come.
        padded: for each signature, the dimensions in which calls may differ and share a batch all the same.
        without_rows: the names of those whose dimension 0 is known not to be rows.
        queue: that calls wait in.
        statistics: gets the calls that are cancelled.
        clock: monotonic seconds.
        cache: of answers; None: none are kept.

    Attributes:
        write_gate: before the calls that change state.
    """

    def __init__(
        self,
        title: str,
        number: int,
        settings: BatchSettings,
        signatures: Mapping[str, Signature],
        alone: Mapping[str, str | None],
        padded: Mapping[str, frozenset[tuple[str, int]]],
        without_rows: Collection[str],
        queue: BatchQueue,
        statistics: Statistics,
        clock: Callable[[], float],
        cache: VersionCache | None = None,
    ) -> None:
        self.write_gate = WriteGate(title, queue.put, self._adopt)
        self._number = number
        self._settings = settings
        self._signatures = signatures
        self._alone = alone
        self._padded = padded
        self._without_rows = without_rows
        self._queue = queue
        self._statistics = statistics
        self._clock = clock
        self._cache = cache
        self._default_timeout_s = settings.default_timeout_ms / 1e3 or math.inf
        self._has_levels = settings.priority_levels > 1
        self._has_policies = settings.has_policies
        self._max_call_rows = settings.max_call_rows

    def submit(self, request: Request) -> Call:
        """See Submit."""
        signature, timeout_s, deadline = request.signature, request.timeout_s, request.deadline
        name, members = signature.name, request.member_arrivals
        arrived = self._clock()
        if timeout_s != math.inf and not self._has_policies:
            deadline = min(deadline, arrived + timeout_s)
        if deadline == math.inf:
            deadline = arrived + self._default_timeout_s
        level = 1
        if self._has_levels:
            level = self._settings.level_of(0 if signature.writes else request.priority)
        lane, rows, nbytes = request.hints
        call = Call(
            signature,
            request.inputs,
            request.outputs,
            request.completion,
            arrived=arrived,
            deadline=deadline,
            joinable=self._alone[name] is None and not members,
            level=level,
            padded=self._padded.get(name, ()),
            lane=lane,
            rows=rows,
            nbytes=nbytes,
            peer=request.peer,
        )
        call.taken_by = self
        if members:
            call.rows, call.member_arrivals = len(members), members[1:]
        elif name in self._without_rows:
            call.rows = 1
        if 0 < self._max_call_rows < call.rows:
            # TensorFlow Serving's words: who asks for this limit has its clients.
            too_large = InvalidCall(
                f"Task size {call.rows} is larger than maximum input batch size {self._max_call_rows}"
            )
            self._statistics.failed(name, too_large)
            raise too_large
        if self._cache is not None and self._wrap(call, self._cache):
            return call
        if self._has_policies:
            call.queue_until = queue_until(self._settings, signature, level, arrived, timeout_s)
        if request.observer is not None:
            call.observer = request.observer
            names = [spec.alias for spec in signature.inputs]
            request.observer.queued(Queued(self._number, arrived, name, call.rows, names, request.inputs))
        if signature.writes:
            self.write_gate.submit(call)
        else:
            self._queue.put(call)
        return call

    def cancel(self, call: Call, *, expired: bool | None = None) -> Left:
        """See the function of that name."""
        if expired is None:
            expired = call.deadline <= self._clock()
        writes = call.signature.writes
        if call.completion.taken:
            # Of a write, a caller who still waits hears what came of it: that is on its way.
            return True if writes and expired else None
        note = NOT_RUN if writes else ""
        error = DeadlineExceeded(note) if expired else Cancelled(note)
        if not call.completion.leave(error):
            return True if writes else None
        self._queue.withdraw(call)
        self._statistics.count(call.signature.name, Event.EXPIRED if expired else Event.CANCELLED)
        if expired:
            # Who leaves is not told anything.
            self._statistics.failed(call.signature.name, error)
        return error if writes else None

    def _wrap(self, call: Call, cache: VersionCache) -> bool:
        """End a call with the answer that is kept for it; where there is none, have the one that it gets kept
        when it has been delivered. Returns whether the call has ended."""
        found = cache.look_up(call.signature, call.outputs, call.inputs)
        if found.answer is not None:
            call.completion.finish(found.answer)
            return True
        if found.key is not None:
            call.completion = cache.keeping(call.completion, call.signature.name, found.key)
        return False

    def _adopt(self, call: Call) -> bool:
        """See WriteTarget."""
        mine = self._signatures.get(call.signature.name)
        if mine is None or not same_call(call.signature, mine):
            return False
        rows, members = call.rows, call.member_arrivals
        call.move_to(
            mine,
            joinable=self._alone[mine.name] is None and not members,
            padded=self._padded.get(mine.name, ()),
        )
        if members:
            call.rows = rows
        elif mine.name in self._without_rows:
            call.rows = 1
        call.taken_by = self
        return True


class SequenceAdmission:
    """In front of the Admission of a version that keeps sequences."""

    def __init__(self, admission: Admission, sequences: Sequences) -> None:
        self._admission = admission
        self._sequences = sequences

    def submit(self, request: Request) -> Submitted:
        """See Submit."""
        if request.sequence is not None and request.signature.name == self._sequences.signature:
            return self._sequences.submit(request)
        return self._admission.submit(request)


def same_call(one: Signature, other: Signature) -> bool:
    """Does a call of `one` mean the same to `other`?"""
    return [(spec.alias, spec.dtype, spec.shape) for spec in one.inputs] == [
        (spec.alias, spec.dtype, spec.shape) for spec in other.inputs
    ] and set(one.output_aliases) <= set(other.output_aliases)
