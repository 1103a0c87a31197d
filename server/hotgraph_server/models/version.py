"""A version of a model: its signatures, its queue and its executor, from loading to closed."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.completion import Completion
from hotgraph_server.batching.lane_key import LaneKey, joins_by_values, lane_key
from hotgraph_server.batching.policies import queue_until
from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.batching.timer import QueueTimer
from hotgraph_server.batching.trust import Trust
from hotgraph_server.errors import (
    NOT_RUN,
    CallError,
    Cancelled,
    DeadlineExceeded,
    Draining,
    InvalidCall,
    NotReady,
)
from hotgraph_server.execution.executor import Executor, OpenGraph
from hotgraph_server.execution.executor_task import ExecutorTask
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.response_cache import ResponseCache, VersionCache
from hotgraph_server.models.state_transfer import Gate, same_call
from hotgraph_server.models.status import State
from hotgraph_server.row_independence.verdict import Judgement
from hotgraph_server.sequences.batcher import Sequences
from hotgraph_server.sequences.call import SequenceCall
from hotgraph_server.sequences.factory import sequences_of
from hotgraph_server.settings import ModelSettings
from hotgraph_server.signatures import Signature, default_signature
from hotgraph_server.state.restore import StateRestore
from hotgraph_server.state.session_state import SessionState
from hotgraph_server.state.snapshotter import Snapshotter
from hotgraph_server.statistics import Event, Statistics
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.batching_rules import has_rows, joined_because
from hotgraph_server.warmup.plan import Plan
from hotgraph_server.warmup.warmup_calls import WarmupSource, nothing

Left = CallError | bool | None
"""What leaving a call has come to; see Version.leave, and transport.service.Left, which is the same."""


# For a snapshot of what has been answered, where a run does not end; a disk may hang as well.
_SAVE_S = 10.0


class Version:
    """One numbered SavedModel of a model.

    Attributes:
        name: of the model.
        number: of the version.
        state: see State; anyone may read it, only start and stop change it.
        statistics: what it has run.
        refuse_with: the name of the status of calls that are refused for load, as in its settings.
        refuse_by_policy_with: of those that are refused or ended by a queue policy.
        signatures: those that can be called, by name; set by `start`, like what follows.
        unusable: why the others cannot be called, by name.
        signature_defs: all of them as saved.
        alone: why a signature's calls run alone; None where they share batches.
        plans: how each signature is run, and why.
        warmed: what each signature was run with before it was live, or why it was not; in words.
        proofs: what the structure of the graph proves of the rows of a signature.
        buckets: for each signature whose joined runs are filled up, the numbers of rows that they have.
        default_signature: of calls that name none.
        load_s: seconds that loading and warming up took.
        snapshotter: of what its signatures write.
        trust: how far the joined answers of a signature are trusted; not there where they are not checked.
        gate: before the calls that change state.
        contract: what its clients may count on; set by whoever loads it, before it can be called.
        sequences: takes the calls of the signature that the contract is about; None: they belong to none.
    """

    def __init__(
        self,
        settings: ModelSettings,
        number: int,
        open_graph: Callable[[], OpenGraph],
        clock: Callable[[], float] = time.monotonic,
        brings: WarmupSource = nothing,
        logged: WarmupSource = nothing,
        restore: StateRestore | None = None,
    ) -> None:
        self.name = settings.name
        self.number = number
        self.state = State.LOADING
        self.statistics = Statistics()
        self.refuse_with = settings.batch.refuse_with
        self.refuse_by_policy_with = settings.batch.refuse_by_policy_with
        self.signatures: Mapping[str, Signature] = {}
        self.unusable: Mapping[str, str] = {}
        self.signature_defs: Mapping[str, Any] = {}
        self.alone: Mapping[str, str | None] = {}
        self.plans: Mapping[str, Plan] = {}
        self.proofs: Mapping[str, Judgement] = {}
        self.warmed: Mapping[str, str] = {}
        self.buckets: Mapping[str, tuple[int, ...]] = {}
        self.default_signature: Signature | None = None
        self.load_s = 0.0
        self.snapshotter: Snapshotter | None = None
        self.trust: Mapping[str, Trust] = {}
        self.gate = Gate()
        self.contract = Contract(config=settings.config)
        self.sequences: Sequences | None = None
        self._settings = settings
        self._kept: VersionCache | None = None
        self._clock = clock
        self._padded: Mapping[str, frozenset[tuple[str, int]]] = {}
        self._without_rows: frozenset[str] = frozenset()
        self._default_timeout_s = settings.batch.default_timeout_ms / 1e3 or math.inf
        self._has_levels = settings.batch.priority_levels > 1
        self._has_policies = settings.batch.has_policies
        self._max_call_rows = settings.batch.max_call_rows
        self._queue = BatchQueue(self.title, settings.batch, clock, self.statistics)
        self._timer = (
            QueueTimer(self.title, self._queue, clock) if settings.batch.has_queue_timeouts else None
        )
        self._executor = Executor(
            self.title,
            open_graph,
            self._queue,
            self.statistics,
            clock,
            settings.batch,
            brings,
            settings.warmup,
            restore or StateRestore(settings.state, settings.name, number),
            logged,
        )
        self._stopping = threading.Lock()  # stop() from two threads: the second waits for the first

    @property
    def title(self) -> str:
        """How logs and errors call it."""
        return f"model '{self.name}' version {self.number}"

    @property
    def waiting(self) -> int:
        """Calls that wait for a run now."""
        return len(self._queue)

    @property
    def suspects(self) -> Mapping[str, int]:
        """How many connections there are whose calls share no run now because they keep failing, by
        signature."""
        return self._queue.suspects.at(self._clock())

    def start(self) -> None:
        """Load, warm up, become live.

        Raises:
            StartError: it cannot be served; its state is failed.
        """
        started = self._clock()
        try:
            opened = self._executor.start()
        except BaseException:
            self.state = State.FAILED
            raise
        self.load_s = self._clock() - started
        self.signatures = opened.signatures
        self.unusable = opened.unusable
        self.signature_defs = opened.signature_defs
        self.alone = opened.alone
        self.plans = opened.plans
        self._padded = opened.padded
        self.proofs = opened.proofs
        self._without_rows = frozenset(
            name
            for name, signature in opened.signatures.items()
            if opened.alone[name] is not None and not has_rows(signature, opened.proofs.get(name))
        )
        self.warmed = opened.warmed
        self.buckets = opened.buckets
        self.default_signature = default_signature(opened.signatures)
        self.snapshotter = opened.snapshotter
        self.trust = opened.trust
        if self._timer is not None:
            self._timer.start()
        self.state = State.LIVE

    def joined_because(self, name: str) -> str:
        """What it rests on that calls of a signature share batches; empty where they run alone."""
        if self.alone[name] is not None:
            return ""
        batching = self._settings.batch.batching_of(name)
        return joined_because(self.signatures[name], batching, self.proofs.get(name))

    def keep_answers(self, cache: ResponseCache) -> None:
        """Answer calls from `cache` where others have asked the same; to be said before the first call."""
        self._kept = cache.answers_of(self.title, self.signatures, self.statistics)

    def keep_sequences(self) -> None:
        """Begin what `contract` says of sequences, if it does; to be said before the first call.

        Raises:
            LoadError: the signature cannot follow it.
        """
        contract = self.contract
        if contract.sequence is None or contract.signature is None:
            return
        self.sequences = sequences_of(
            self.title,
            self.name,
            self.signatures[contract.signature],
            contract.sequence,
            self._settings.sequences,
            self._settings.batch,
            self.call,
            self._queue.withdraw,
            batched=contract.batched,
            max_batch_size=contract.config.max_batch_size,
            statistics=self.statistics,
            clock=self._clock,
        )
        self.sequences.start()

    def padded_of(self, signature: Signature) -> frozenset[tuple[str, int]]:
        """The dimensions in which calls of a signature may differ and share a batch all the same: alias of
        an input, and its dimension."""
        return self._padded.get(signature.name, frozenset())

    def lane_key(
        self, signature: Signature, outputs: tuple[str, ...], shapes: Sequence[tuple[int, ...]]
    ) -> LaneKey | None:
        """What `call` takes as `lane`, for whoever gets many calls with the same shapes.

        Args:
            signature: one of `signatures`.
            outputs: as in `call`.
            shapes: of all inputs, in the signature's order, dimension 0 included and above 0.

        Returns:
            The key; None where it depends on more than the shapes, or where such calls run alone.
        """
        if joins_by_values(signature):
            return None
        return lane_key(signature, outputs, shapes, self._padded.get(signature.name, ()))

    def call(
        self,
        signature: Signature,
        inputs: Sequence[Array],
        outputs: tuple[str, ...],
        completion: Completion,
        *,
        deadline: float = math.inf,
        timeout_s: float = math.inf,
        priority: int = 0,
        lane: LaneKey | None = None,
        rows: int = 0,
        nbytes: int = -1,
        company: Sequence[float] = (),
        peer: Hashable = None,
    ) -> Call:
        """Hand a decoded call to the queue; its outcome lands in `completion`, by whatever thread ends it.

        Whoever has a timer calls `leave` at the call's `deadline`, which may be earlier than the one given.

        Args:
            signature: one of `signatures`.
            inputs: one array for each input, in the signature's order, with exactly its dtype.
            outputs: aliases of the outputs wanted, each once.
            completion: not yet taken.
            deadline: monotonic seconds; infinite: the settings' default, if there is one.
            timeout_s: seconds that the caller wants to wait at most; infinite: it does not say. Where the
                model has queue policies, they say what that means for the time before the run; where it has
                none, it is a deadline like the other.
            priority: 1 is the highest; 0, or what is no level: the settings' default. Calls that change state
                all have that one, because they run in the order of their arrival.
            lane: what `lane_key` says, if the caller has it already.
            rows: goes with `lane`: the size of all inputs along dimension 0.
            nbytes: that the call holds, if the caller knows; below 0: worked out from the arrays.
            company: of one that carries a row for each of several callers, and perhaps empty ones: when they
                came, monotonic seconds. It shares no run.
            peer: the connection that it comes by; calls of one that keep failing share no runs for a while
                (batching/suspects.py). None: nobody knows.

        Raises:
            InvalidCall: it has more rows than the settings allow.
            QueueFull: too much waits.
            QueueSizeExceeded: too much of its level waits, by a queue policy.
            WouldBeLate: it cannot be answered before its deadline.
            Draining: this version takes no calls any more.
        """
        arrived = self._clock()
        if timeout_s != math.inf and not self._has_policies:
            deadline = min(deadline, arrived + timeout_s)
        if deadline == math.inf:
            deadline = arrived + self._default_timeout_s
        level = 1
        if self._has_levels:
            level = self._settings.batch.level_of(0 if signature.writes else priority)
        call = Call(
            signature,
            inputs,
            outputs,
            completion,
            arrived=arrived,
            deadline=deadline,
            joinable=self.alone[signature.name] is None and not company,
            level=level,
            padded=self._padded.get(signature.name, ()),
            lane=lane,
            rows=rows,
            nbytes=nbytes,
        )
        call.peer = peer
        if signature.name in self._without_rows and not self._is_batch(signature):
            call.rows = 1
        if company:
            call.rows, call.company = len(company), company[1:]
        if 0 < self._max_call_rows < call.rows:
            # TensorFlow Serving's words: who asks for this limit has its clients.
            raise InvalidCall(
                f"Task size {call.rows} is larger than maximum input batch size {self._max_call_rows}"
            )
        if self._kept is not None and self._kept.answer(call):
            return call
        if self._has_policies:
            call.queue_until = queue_until(self._settings.batch, signature, level, arrived, timeout_s)
        if self.statistics.watcher is not None:
            self.statistics.watcher.queued(call)
        if signature.writes:
            return self.gate.put(functools.partial(self._placed, call))
        self._queue.put(call)
        return call

    def _is_batch(self, signature: Signature) -> bool:
        """Has the owner said that dimension 0 is the batch's?"""
        return self.contract.batched and self.contract.signature == signature.name

    def ask(self, task: Callable[[SessionState], Any]) -> Future[Any]:
        """Let the executor's thread do something, behind the calls that change state and have come before.

        Raises:
            Draining: this version takes nothing any more.
        """
        level = self._settings.batch.level_of(0) if self._has_levels else 1
        errand = ExecutorTask(task, arrived=self._clock(), level=level)
        self._queue.put_errand(errand)
        return errand.done

    @property
    def has_waiting_writes(self) -> bool:
        """Do calls wait that change state?"""
        return self._queue.has_writes()

    def _placed(self, call: Call, end: Version | None) -> tuple[Call, Callable[[Call], object]]:
        """A call that changes state as it is to be queued, and how, where such calls go to `end` now.

        Raises:
            NotReady: `end` cannot take it.
        """
        if end is None:
            return call, self._queue.put
        mine, other = call.signature, end.signatures.get(call.signature.name)
        if other is None or not same_call(mine, other):
            raise NotReady(f"{self.title} is being replaced; the call was not run")
        moved = Call(
            other,
            call.inputs,
            call.outputs,
            call.completion,
            arrived=call.arrived,
            deadline=call.deadline,
            joinable=end.alone[other.name] is None and not call.company,
            level=call.level,
            padded=end._padded.get(other.name, ()),
            nbytes=call.nbytes,
            queue_until=call.queue_until,
        )
        if call.company:
            moved.rows, moved.company = call.rows, call.company
        return moved, end._queue_moved

    def _queue_moved(self, call: Call) -> None:
        self.gate.put(functools.partial(self._placed, call))

    def leave(self, call: Call | SequenceCall, *, expired: bool | None = None) -> Left:
        """End a call early, and make room if it was still waiting. One that has ended stays as it ended; so
        does one that changes state and has begun to run, because its caller must hear what came of it.

        Args:
            call: from `call`, or from `sequences`.
            expired: has its deadline passed, or has the caller left? None: the clock tells.

        Returns:
            Of a call that changes state: what it has ended with, or True if its outcome is still to come;
            else None.
        """
        if isinstance(call, SequenceCall):
            assert self.sequences is not None
            self.sequences.leave(call, expired=expired)
            return None
        if self.gate.end is not None and call.signature is not self.signatures.get(call.signature.name):
            # It went on to the next version, whose queue alone knows it.
            return self.gate.end.leave(call, expired=expired)
        if call.completion.taken:
            return None
        if expired is None:
            expired = call.deadline <= self._clock()
        writes = call.signature.writes
        note = NOT_RUN if writes else ""
        error = DeadlineExceeded(note) if expired else Cancelled(note)
        if not call.completion.leave(error):
            return True if writes else None
        self._queue.withdraw(call)
        self.statistics.count(call.signature.name, Event.EXPIRED if expired else Event.CANCELLED)
        return error if writes else None

    def stop(self, timeout_s: float) -> bool:
        """Answer what was taken, then close the session.

        Calls that still wait after `timeout_s` are ended with Draining; so is everything that waits
        when it is 0. Returns whether the executor ended in time. Idempotent.
        """
        with self._stopping:
            if self.state is State.LIVE:
                self.state = State.DRAINING
            if self.sequences is not None:
                # Their calls come to the queue one after the other, so it is closed behind the last.
                began = time.monotonic()
                self.sequences.stop(timeout_s)
                timeout_s = max(0.0, timeout_s - (time.monotonic() - began))
            self._queue.close()
            ended = self._executor.stop(timeout_s)
            if not ended:
                self._queue.abandon(Draining(self.title))
                if self.snapshotter is not None:
                    # The executor's thread would do it at its end, which may never come.
                    self.snapshotter.save_now(_SAVE_S)
            if self._timer is not None:
                # It waits for nobody; a second is for a delivery that it is in the middle of.
                self._timer.stop(1.0)
            if self._kept is not None:
                self._kept.forget()
            if self.state is State.DRAINING:
                self.state = State.CLOSED
            return ended
