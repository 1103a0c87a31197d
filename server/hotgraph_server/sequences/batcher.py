"""The sequences of a version: between the door and the queue, so that calls that belong together go one after
the other, each with what the one before it left.

What a client may rely on:

* Of a sequence one call is run at a time, in the order in which the calls came. Different sequences run side
  by side: `oldest` hands a call to the version's queue as soon as it is its turn, and lanes make batches as
  they do of any calls; `direct` gives each sequence a row of the batch, always the same, and hands in one
  call of all rows at a time. A row that belongs to no sequence, or to one that has nothing to say, has READY
  false.
* The model is told by control tensors which call begins or ends a sequence, and whose it is. A version whose
  configuration names states gets, with each call, what the call before it left; the first gets the initial
  ones. A call that fails leaves the state as it was.
* A call of one sequence that fails harms no other. Where sequences with rows of their own shared the run,
  each is run again alone. A run that writes variables cannot be tried again, so such sequences share no runs,
  unless the owner says so (`share_slot_runs`); then all of a run that fails get its error, and end.
* A caller who leaves holds up no other. Its call is taken out if it was not yet run, and then its sequence
  ends, and what it had waiting with it. A call that is being run counts, though its answer goes nowhere.
* Everything has an edge: sequences (`max_sequences`), state (`max_sequence_state_mb`), calls and bytes that
  wait (`max_queued_calls`, `max_queued_mb`, apart from the queue's own). Over it, a call is refused, and what
  is there stays: no sequence ends for another's sake. Slots are no such edge; a sequence that finds none free
  waits.
* A sequence ends with its END, by silence, or with its version. One version of a model gives way to another
  when the calls that wait are answered; the sequence ends with it, because no other version can be trusted
  with its state, and the next call of it is told that it must start.

The longest wait of a call: all calls of its sequence before it; with no slot free, until a sequence ends, for
which its client or `idle_s` care; with `direct`, `delay_s` and the run before, and so many runs as there are
kinds of calls (outputs and shapes) that are ready.

Threads. Any thread may submit and cancel; they never wait. What a run gave is sorted out in the thread that
ends it, the executor's or its finisher's. One periodic thread of our own looks after what time makes due, so
that silent sequences give back their memory though no call comes any more. One lock guards the table;
everything that the table decides is done outside of it.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from hotgraph_server.batching.completion import Completion, Outcome
from hotgraph_server.batching.request import Request
from hotgraph_server.call_observer import of_all
from hotgraph_server.errors import (
    CallError,
    Cancelled,
    DeadlineExceeded,
    Draining,
    InternalError,
    InvalidCall,
    QueueFull,
    Refused,
    SequenceCut,
)
from hotgraph_server.sequences.call import Actions, Result, Run, SequenceCall
from hotgraph_server.sequences.figures import SequenceFigures
from hotgraph_server.sequences.layout import Layout
from hotgraph_server.sequences.table import Table
from hotgraph_server.statistics import Event, Statistics
from hotgraph_server.threads.periodic import PeriodicThread

_LOG = logging.getLogger(__name__)

# It waits for no other thread.
_TIMER_ENDS_IN_S = 5.0


Submit = Callable[[Request], Any]
"""Takes a call of the version's queue; see models.admission.Submit. What it returns, `withdraw` takes."""


class Sequences:
    """Of one version.

    Args:
        title: of the version.
        model: its name.
        layout: of the signature whose calls are of sequences.
        table: empty.
        submit: gives a call to the queue; raises CallError.
        withdraw: takes a call out of the queue; returns whether it was still waiting there.
        shares_no_batch: does a call of all slots' rows go through the queue at a time?
        refuse_with: the name of the status of calls that are refused for load.
        default_timeout_s: of calls that bring no deadline.
        statistics: gets what ends here and never comes to the queue.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        title: str,
        model: str,
        layout: Layout,
        table: Table,
        submit: Submit,
        withdraw: Callable[[Any], bool],
        *,
        shares_no_batch: bool,
        refuse_with: str = "resource_exhausted",
        default_timeout_s: float = math.inf,
        statistics: Statistics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._model = model
        self._layout = layout
        self._submit = submit
        self._withdraw = withdraw
        self._shares_no_batch = shares_no_batch
        self._refuse_with = refuse_with
        self._default_timeout_s = default_timeout_s
        self._statistics = statistics or Statistics()
        self._clock = clock
        self._timer = PeriodicThread(f"sequences {title}", self._tend, clock)
        self._drained = threading.Event()
        self._lock = threading.Lock()  # guards the table
        self._table = table

    @property
    def signature(self) -> str:
        """The name of the signature whose calls are of sequences."""
        return self._layout.signature.name

    def start(self) -> None:
        """Start the thread that looks after what time makes due."""
        self._timer.start()

    def submit(self, request: Request) -> SequenceCall:
        """Take in a call; see models.admission.Submit.

        Args:
            request: of the signature `signature`; its sequence says which it belongs to.

        Raises:
            InvalidCall: no id, one that does not fit the model, more than one row, or no START.
            OverLimit: too many sequences live, or they hold too much state.
            QueueFull: too much waits.
            Draining: this version takes no calls any more.
        """
        assert request.sequence is not None
        sequence_id, start, end = request.sequence
        inputs = request.inputs
        self._layout.check(sequence_id, inputs, self._model)
        arrived = self._clock()
        deadline = min(request.deadline, arrived + request.timeout_s)
        call = SequenceCall(
            # On the wire an id is signed, and means an unsigned one.
            sequence_id if isinstance(sequence_id, str) else sequence_id % 2**64,
            inputs,
            request.outputs,
            request.completion,
            start=start,
            end=end,
            arrived=arrived,
            deadline=arrived + self._default_timeout_s if deadline == math.inf else deadline,
            priority=request.priority,
            shapes=self._layout.shapes(inputs),
            nbytes=sum([array.nbytes for array in inputs]),
            taken_by=self,
            observer=request.observer,
        )
        with self._lock:
            now = self._clock()
            # A sequence that has been silent for too long is over from that moment, not from this look on.
            todo = [self._table.tend(now)]
            refusal = self._table.refusal(call)
            if refusal is None:
                todo.append(self._table.admit(call, now))
        self._act(todo)
        if refusal is not None:
            self._refuse(refusal)
        return call

    def cancel(self, call: SequenceCall, *, expired: bool | None = None) -> None:
        """End a call early. One that has ended stays as it ended.

        Args:
            call: from `submit`.
            expired: has its deadline passed, or has the caller left? None: the clock tells.
        """
        if call.completion.taken:
            return
        if expired is None:
            expired = call.deadline <= self._clock()
        error = DeadlineExceeded() if expired else Cancelled()
        if not call.completion.finish(error):
            return
        self._count(Event.EXPIRED if expired else Event.CANCELLED)
        if expired:
            self._failed(error)
        with self._lock:
            actions = self._table.left(call, self._clock(), expired=expired)
        self._act([actions])

    def figures(self) -> SequenceFigures:
        """What the table holds now."""
        with self._lock:
            table = self._table
            return SequenceFigures(
                len(table),
                table.with_slot,
                table.occupancy.waiting,
                table.occupancy.state_nbytes,
                dict(table.ended),
            )

    def stop(self, timeout_s: float) -> bool:
        """Take nothing in any more, and wait until what was taken has ended.

        The queue must still take calls meanwhile. What waits its turn after `timeout_s` ends with Draining.
        Returns whether nothing had to. Idempotent.
        """
        with self._lock:
            actions = self._table.close(self._clock())
        self._act([actions])
        if timeout_s > 0:
            self._drained.wait(min(timeout_s, threading.TIMEOUT_MAX))
        with self._lock:
            left = self._table.occupancy.waiting
            actions = self._table.abandon(Draining(self._title), self._clock())
        self._act([actions])
        self._timer.stop(_TIMER_ENDS_IN_S)
        return not left

    def _tend(self) -> float:
        with self._lock:
            actions = self._table.tend(self._clock())
        self._act([actions])
        with self._lock:
            return self._table.due()

    def _act(self, todo: Sequence[Actions]) -> None:
        """Do what the table has decided. Without the lock."""
        left = deque(todo)
        while left:
            actions = left.popleft()
            for warning in actions.warnings:
                _LOG.warning("%s", warning)
            for run in actions.withdrawn:
                # A run that is just being handed in by another thread has no call yet, and is run in vain.
                if run.call is not None and self._withdraw(run.call):
                    run.call.completion.finish(Cancelled())
            for run in actions.runs:
                refused = self._run(run)
                if refused is not None:
                    left.append(refused)
            for call, outcome, ended_here in actions.outcomes:
                if call.completion.finish(outcome) and ended_here:
                    self._count_ended(outcome)
        with self._lock:
            due = self._table.due()
            drained = self._table.closed and not self._table.calls
        self._timer.wake_at(due)
        if drained:
            self._drained.set()

    def _run(self, run: Run) -> Actions | None:
        """Hand a run to the queue. Returns what follows if it is not taken."""
        first = run.members[0]
        error: CallError
        try:
            run.call = self._submit(
                Request(
                    self._layout.signature,
                    self._layout.inputs(run.members),
                    self._layout.inner_outputs(first.outputs),
                    Completion(functools.partial(self._over, run)),
                    # As long as one of their callers waits for it.
                    deadline=max([call.deadline for call in run.members]),
                    priority=first.priority,
                    member_arrivals=[call.arrived for call in run.members] if self._shares_no_batch else (),
                    observer=of_all([call.observer for call in run.members]),
                )
            )
            return None
        except CallError as refusal:
            error = refusal
        except Exception:
            _LOG.exception("%s: a run of sequences could not be made", self._title)
            error = InternalError()
        with self._lock:
            return self._table.over(run, error, self._clock())

    def _over(self, run: Run, outcome: Outcome) -> None:
        """The queue's call has ended; in whatever thread ended it."""
        sorted_out: Sequence[Result] | CallError
        if isinstance(outcome, CallError):
            sorted_out = outcome
        else:
            try:
                sorted_out = self._layout.results(run.members, outcome)
            except Exception:
                _LOG.exception("%s: what a run of sequences gave cannot be told apart", self._title)
                sorted_out = InternalError()
        with self._lock:
            actions = self._table.over(run, sorted_out, self._clock())
        self._act([actions])

    def _refuse(self, refusal: CallError) -> None:
        if not isinstance(refusal, InvalidCall):
            self._count(Event.REFUSED_DRAINING if isinstance(refusal, Draining) else Event.REFUSED_FULL)
        if isinstance(refusal, Refused):
            refusal.refuse_with(self._refuse_with)
        self._failed(refusal)
        raise refusal

    def _count_ended(self, outcome: Outcome) -> None:
        if isinstance(outcome, DeadlineExceeded):
            self._count(Event.EXPIRED)
        elif isinstance(outcome, SequenceCut):
            self._count(Event.CANCELLED)
        elif isinstance(outcome, (Draining, QueueFull)):
            self._count(Event.REFUSED_DRAINING)
        else:
            return
        self._failed(outcome)

    def _failed(self, error: CallError) -> None:
        self._statistics.failed(self._layout.signature.name, error)

    def _count(self, event: Event) -> None:
        self._statistics.count(self._layout.signature.name, event)
