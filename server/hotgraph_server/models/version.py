"""A version of a model, from live to closed.

A version is complete when there is one: it is loaded, warmed up and ready to be called (opening.py). What it
does with calls is its admission's (admission.py), what runs them its engine's (engine.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from hotgraph_server.execution.executor import Opened
from hotgraph_server.execution.executor_task import ExecutorTask
from hotgraph_server.models.admission import Admission, SequenceAdmission, Submit
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.engine import Engine
from hotgraph_server.models.memory_usage import MemoryUsage
from hotgraph_server.models.response_cache import VersionCache
from hotgraph_server.models.shadow_figures import ShadowFigures
from hotgraph_server.models.status import State
from hotgraph_server.sequences.batcher import Sequences
from hotgraph_server.settings import ModelSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.state.session_state import SessionState
from hotgraph_server.tensors import Array
from hotgraph_server.threads.progress import Sign
from hotgraph_server.warmup.batching_rules import joined_because


def title_of(name: str, number: int) -> str:
    """How logs and errors call a version of the model of that name."""
    return f"model '{name}' version {number}"


class Version:
    """One numbered SavedModel of a model, live until it is stopped.

    Args:
        settings: of the model.
        number: of the version.
        opened: its graph, which may be called.
        contract: what its clients may count on.
        engine: runs it; stopped with it.
        admission: to the engine's queue.
        sequences: of its calls; stopped with it. None: it keeps none.
        kept: its answers in the cache, which go with it; None: none are kept.
        default_signature: of calls that name none; None: each must.
        load_s: seconds that loading and warming up took.

    Attributes:
        name, number: of the model, of the version.
        title: how logs and errors call it.
        state: live, draining or closed; any thread may read it, only `stop` changes it.
        submit: takes a request; see admission.Submit. What it returns, admission.cancel takes.
        shadowing: what comes of it in the shadow of another version; None: it is in none.
        write_gate: before the calls that change state.
        statistics: what it has run.
        refuse_with: the name of the status of calls that are refused for load, as in its settings.
        refuse_by_policy_with: of those that are refused or ended by a queue policy.
        signatures: those that can be called, by name.
        unusable: why the others cannot be called, by name.
        signature_defs: all of them as saved.
        unbatched_reasons: why a signature's calls run alone; None where they share batches. It may change:
            see Opened.
        padded: for each signature, the dimensions in which calls may differ and share a batch all the same:
            alias of an input, and its dimension.
        plans: how each signature is run, and why.
        warmed: what each signature was run with before it was live, or why it was not; in words.
        proofs: what the structure of the graph proves of the rows of a signature.
        buckets: for each signature whose joined runs are filled up, the numbers of rows that they have.
        snapshotter: saves what its signatures write.
        trust: how far the joined answers of a signature are trusted; not there where they are not checked.
        generated: the kind of generated input that a signature takes; not there: none is known.
        tensor_bytes: of its variables and constants, at least.
        memory: what it takes; whoever loads it says so, and may know better a little later.
        contract, sequences, default_signature, load_s: as given.
        loaded_at_call: is its model loaded when it is called? Then who has found the version, and comes when
            it takes no calls any more, waits for the next one. Said before callers find it.
    """

    def __init__(
        self,
        settings: ModelSettings,
        number: int,
        opened: Opened,
        contract: Contract,
        engine: Engine,
        admission: Admission,
        sequences: Sequences | None,
        kept: VersionCache | None,
        default_signature: Signature | None,
        load_s: float,
    ) -> None:
        self.name = settings.name
        self.number = number
        self.title = title_of(settings.name, number)
        self.state = State.LIVE
        self._submit: Submit = admission.submit
        if sequences is not None:
            self._submit = SequenceAdmission(admission, sequences).submit
        self.submit: Submit = self._submit
        self.shadowing: ShadowFigures | None = None
        self.write_gate = admission.write_gate
        self.statistics = engine.statistics
        self.refuse_with = settings.batch.refuse_with
        self.refuse_by_policy_with = settings.batch.refuse_by_policy_with
        self.signatures = opened.signatures
        self.unusable = opened.unusable
        self.signature_defs = opened.signature_defs
        self.unbatched_reasons = opened.unbatched_reasons
        self.padded = opened.padded
        self.plans = opened.plans
        self.warmed = opened.warmed
        self.proofs = opened.proofs
        self.buckets = opened.buckets
        self.snapshotter = opened.snapshotter
        self.trust = opened.trust
        self.generated = opened.generated
        self.tensor_bytes = opened.tensor_bytes
        self.memory = MemoryUsage(opened.tensor_bytes)
        self.contract = contract
        self.sequences = sequences
        self.default_signature = default_signature
        self.load_s = load_s
        self.loaded_at_call = False
        self._batch = settings.batch
        self._engine = engine
        self._kept = kept
        self._stopping = threading.Lock()  # stop() from two threads: the second waits for the first

    @property
    def waiting(self) -> int:
        """Calls that wait for a run now."""
        return len(self._engine.queue)

    @property
    def max_waiting(self) -> int:
        """Calls that may wait; further ones are refused."""
        return self._batch.max_queued_calls

    @property
    def in_run_for_s(self) -> float:
        """How long the graph has been in the present run, seconds; 0: it is in none."""
        since = self._engine.in_run_since
        return 0.0 if since is None else max(0.0, self._engine.clock() - since)

    @property
    def may_hold_s(self) -> float:
        """How long its executor may wait for more rows while a call is there, seconds."""
        return self._batch.max_wait_us / 1e6

    def call_through(self, around: Callable[[Submit], Submit] | None) -> None:
        """From now on calls go through what `around` makes of `submit`; None: the direct way."""
        self.submit = self._submit if around is None else around(self._submit)

    def predicted_s(self, signature: Signature, inputs: Sequence[Array]) -> float:
        """How long a run of these inputs alone takes by the cost curve, seconds; 0: it is not known."""
        rows = len(inputs[0]) if inputs and inputs[0].ndim else 1
        return self._engine.queue.predicted_s(signature.name, inputs, rows)

    def signs(self) -> list[Sign]:
        """Of the threads that its calls wait for, as long as it is live."""
        return self._engine.signs() if self.state is State.LIVE else []

    @property
    def suspects(self) -> Mapping[str, int]:
        """How many connections there are whose calls share no run now because they keep failing, by
        signature."""
        return self._engine.queue.suspects.at(self._engine.clock())

    @property
    def has_waiting_writes(self) -> bool:
        """Do calls wait that change state?"""
        return self._engine.queue.has_writes()

    def joined_because(self, name: str) -> str:
        """What it rests on that calls of a signature share batches; empty where they run alone."""
        if self.unbatched_reasons[name] is not None:
            return ""
        return joined_because(self.signatures[name], self._batch.batching_of(name), self.proofs.get(name))

    def submit_to_executor(self, task: Callable[[SessionState], Any]) -> Future[Any]:
        """Let the executor's thread do something, behind the calls that change state and have come before.

        Raises:
            Draining: this version takes nothing any more.
        """
        level = self._batch.level_of(0) if self._batch.priority_levels > 1 else 1
        waiting = ExecutorTask(task, arrived=self._engine.clock(), level=level)
        self._engine.queue.put_task(waiting)
        return waiting.done

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
            ended = self._engine.stop(timeout_s)
            if self._kept is not None:
                self._kept.forget()
            self.state = State.CLOSED
            return ended
