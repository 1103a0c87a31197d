"""The executor: the one thread that owns the session of a version.

It opens the graph, has it prepared (warmup/prepare.py), runs batch after batch and closes the session at the
end. Nothing else ever touches the session, so no lock is needed around it and no two runs ever meet.

The executor only runs. Decoding has happened before a call reaches it; encoding and sending are the
finisher's (finisher.py) while calls wait. What a batch goes through is the runner's (runner.py).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.batching.trust import Trust
from hotgraph_server.execution.denormals import switch_of_this_thread
from hotgraph_server.execution.finisher import Finisher
from hotgraph_server.execution.runner import Runner
from hotgraph_server.execution.verification import remembered, stops, trust_in
from hotgraph_server.row_independence.verdict import Judgement
from hotgraph_server.settings import BatchSettings, WarmupSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.state.learnt import Learnt
from hotgraph_server.state.restore import StateRestore
from hotgraph_server.state.session_state import SessionState, StatefulGraph, begin
from hotgraph_server.state.snapshotter import Snapshotter
from hotgraph_server.statistics import Statistics
from hotgraph_server.tensors import Array
from hotgraph_server.threads.leadership import Leadership
from hotgraph_server.threads.progress import Sign, Steps
from hotgraph_server.warmup import prepare
from hotgraph_server.warmup.calibration import Timed
from hotgraph_server.warmup.first_runs import FirstRuns
from hotgraph_server.warmup.plan import Plan
from hotgraph_server.warmup.prepare import Preparation
from hotgraph_server.warmup.synthetic_inputs import Kind
from hotgraph_server.warmup.warmup_calls import WarmupSource, nothing, samples_of

_LOG = logging.getLogger(__name__)

_FINISH_S = 30.0
"""For the finisher's last batches, of which it sends each in milliseconds; one that takes longer hangs."""


class OpenGraph(StatefulGraph, prepare.Runnable, Protocol):
    """What graph.Graph is to the executor."""

    signature_defs: Mapping[str, Any]
    tensor_bytes: int

    def settle(
        self, kinds: Mapping[str, Kind], rows: Mapping[str, Sequence[Sequence[Array]]]
    ) -> Mapping[str, Plan]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Opened:
    """All that is known about a graph once it may be called; see graph.Graph and warmup.first_runs.

    Attributes:
        unbatched_reasons: why calls of a signature run alone, None where they share batches. It changes while
            the version is live, when a check in service finds that joined calls get other answers than alone,
            so it is to be looked at each time.
        padded: for each signature, the dimensions in which calls may differ and share a batch all the same.
        warmed: what each signature was run with before, or why it was not; in words.
        proofs: what the structure of the graph proves of the rows of a signature.
        buckets: for each signature whose runs are filled up, the numbers of rows that they have.
        snapshotter: of the values that its signatures write; None: none are taken.
        trust: how far the joined answers of a signature are trusted; not there where they are not checked.
        generated: the kind of generated input that a signature takes; not there: none is known.
        tensor_bytes: of the graph's variables and constants, at least.
    """

    signatures: Mapping[str, Signature]
    unusable: Mapping[str, str]
    signature_defs: Mapping[str, Any]
    unbatched_reasons: Mapping[str, str | None]
    plans: Mapping[str, Plan]
    padded: Mapping[str, frozenset[tuple[str, int]]] = field(default_factory=dict)
    warmed: Mapping[str, str] = field(default_factory=dict)
    proofs: Mapping[str, Judgement] = field(default_factory=dict)
    buckets: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    snapshotter: Snapshotter | None = None
    trust: Mapping[str, Trust] = field(default_factory=dict)
    generated: Mapping[str, Kind] = field(default_factory=dict)
    tensor_bytes: int = 0


class Executor:
    """One thread, one session, one queue.

    Args:
        name: of the model and version, for the thread and for errors.
        open_graph: called in the executor's thread; what it raises, `start` raises.
        queue: where batches come from; its end is the thread's end.
        statistics: gets every run.
        clock: monotonic seconds.
        settings: of the model.
        brings: the calls that the model brings to be warmed up with.
        warmup: what is run before the first call, and within which limits.
        restore: what its state begins with, and where its snapshots go.
        logged: calls that were asked before, to try batch safety with.
        leadership: see Finisher.
    """

    def __init__(
        self,
        name: str,
        open_graph: Callable[[], OpenGraph],
        queue: BatchQueue,
        statistics: Statistics,
        clock: Callable[[], float] = time.monotonic,
        settings: BatchSettings | None = None,
        brings: WarmupSource = nothing,
        warmup: WarmupSettings | None = None,
        restore: StateRestore | None = None,
        logged: WarmupSource = nothing,
        leadership: Leadership | None = None,
    ) -> None:
        self._name = name
        self._open_graph = open_graph
        self._queue = queue
        self._statistics = statistics
        self._clock = clock
        self._settings = settings or BatchSettings()
        self._brings = brings
        self._logged = logged
        self._warmup = warmup or WarmupSettings()
        self._restore = restore or StateRestore()
        self._opened: Future[Opened] = Future()
        self._steps = Steps()
        self._finisher = Finisher(name, leadership.scope if leadership else None)
        # A daemon, so that a run which never ends cannot keep the process from ending.
        self._thread = threading.Thread(target=self._main, name=f"executor {name}", daemon=True)

    def start(self) -> Opened:
        """Start the thread; returns when the graph may be called.

        Raises:
            StartError: the graph cannot be opened or cannot be run; the thread has ended.
        """
        self._thread.start()
        return self._opened.result()

    @property
    def in_run_since(self) -> float | None:
        """When the run began that the graph is in now, in `clock`'s seconds; None: it is in none."""
        return self._steps.long_since

    def signs(self) -> list[Sign]:
        """Of its threads, once it is started; any thread may ask."""
        steps = self._steps
        # The last first: a step that ends in between shall not be taken for one that has not begun.
        long_since, in_hand = steps.long_since, steps.in_hand
        has_work = in_hand or len(self._queue) > 0
        alive, may_hold_s = self._thread.is_alive(), self._settings.max_wait_us / 1e6
        return [
            Sign(self._thread.name, alive, steps.count, has_work, long_since, may_hold_s),
            *self._finisher.signs(),
        ]

    def stop(self, timeout_s: float) -> bool:
        """Wait until the queue's end has ended the thread. Close the queue first.

        Returns whether it ended in time; if not, a warning names it.
        """
        if not self._thread.ident:
            return True
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            _LOG.warning("thread %r still runs its graph after %.1f s", self._thread.name, timeout_s)
            return False
        return True

    def _main(self) -> None:
        denormals = switch_of_this_thread()
        if denormals is None:
            _LOG.debug("%s: denormal floats are computed with, for this system is not known", self._name)
        else:
            denormals.flush()
            self._queue.turn_between(denormals.keep, denormals.flush)
        try:
            graph, runner, state = self._open()
        except BaseException as error:
            self._opened.set_exception(error)
            return
        steps = self._steps
        while (batch := self._queue.take()) is not None:
            steps.in_hand = True
            runner.run(batch)
            # While the executor waits for the next batch, it must not keep this one's arrays alive.
            del batch
            runner.check_if_due()
            steps.in_hand = False
            steps.done()
        runner.close()
        # What was written last is saved, and callers that wait for that are answered.
        state.snapshotter.close()
        # When this thread has ended, every call that was taken has its answer.
        self._finisher.stop(_FINISH_S)
        graph.close()

    def _open(self) -> tuple[OpenGraph, Runner, SessionState]:
        graph = self._open_graph()
        try:
            state = begin(self._name, graph, self._restore)
            samples = samples_of(
                self._brings(graph.signatures, graph.unusable), self._logged(graph.signatures, graph.unusable)
            )
            preparation = Preparation(self._name, graph, self._settings, self._warmup, self._clock)
            first = preparation.first_runs(samples, batch_writes=self._restore.settings.state_batch_writes)
            memory = self._restore.memory(self._name)
            learnt = memory.recall()
            self._heed(first, learnt)
            generated = {name: taken.kind for name, taken in first.taken.items()}
            plans = graph.settle(generated, first.odd)
            joinings = preparation.joinings(first)
            row_caps = preparation.run_as_in_service(first, joinings, self._brings, self._learn_cost)
            # What the calls that a model brings may have written was not asked for.
            state.go_back()
        except BaseException:
            graph.close()
            raise
        trust = trust_in(
            graph.signatures, first.unbatched_reasons, graph.proofs, joinings, self._settings, learnt
        )
        runner = Runner(
            self._name,
            graph,
            self._queue,
            self._statistics,
            self._finisher,
            self._settings,
            first.unbatched_reasons,
            joinings,
            self._clock,
            state,
            row_caps,
            trust,
            graph.proofs,
            memory,
            self._steps,
        )
        state.snapshotter.start()
        padded = {
            name: joining.padding.dimensions
            for name, joining in joinings.items()
            if joining.padding is not None
        }
        self._opened.set_result(
            Opened(
                signatures=graph.signatures,
                unusable=graph.unusable,
                signature_defs=graph.signature_defs,
                unbatched_reasons=first.unbatched_reasons,
                plans=plans,
                padded=padded,
                warmed=first.warmed,
                proofs=graph.proofs,
                buckets={name: joining.buckets for name, joining in joinings.items() if joining.buckets},
                snapshotter=state.snapshotter,
                trust=trust,
                generated=generated,
                tensor_bytes=graph.tensor_bytes,
            )
        )
        return graph, runner, state

    def _heed(self, first: FirstRuns, learnt: Mapping[str, Learnt]) -> None:
        """Join no calls of a signature for which an earlier run of the server has found a difference."""
        for name, one in learnt.items():
            if (
                one.difference
                and stops(self._settings, name)
                and first.unbatched_reasons.get(name, "") is None
            ):
                reason = first.unbatched_reasons[name] = remembered(one.difference)
                _LOG.warning("%s: calls of signature %r run alone: %s", self._name, name, reason)

    def _learn_cost(self, name: str, timed: Timed) -> None:
        self._queue.ran(name, timed.inputs, timed.rows, timed.seconds)
