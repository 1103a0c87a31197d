"""The executor: the one thread that owns the session of a version.

It opens the graph, warms it up, runs batch after batch and closes the session at the end. Nothing else
ever touches the session, so no lock is needed around it and no two runs ever meet.

The executor only runs. Decoding has happened before a call reaches it; encoding and sending are the
finisher's (finisher.py) while calls wait. What a batch goes through is the runner's (runner.py).
"""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from hotgraph_server.batching.joining import PLAIN, Joining, compiled_buckets, joining_of
from hotgraph_server.batching.padding import Padding, names_nobody_has, padding_of, why_not_padded
from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.batching.trust import Trust
from hotgraph_server.errors import LoadError
from hotgraph_server.execution.denormals import flush_to_zero
from hotgraph_server.execution.finisher import Finisher
from hotgraph_server.execution.runner import Runner
from hotgraph_server.execution.verifier import remembered, stops, trust_in
from hotgraph_server.row_independence.verdict import Judgement
from hotgraph_server.settings import BatchSettings, WarmupSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.state.learnt import Learnt
from hotgraph_server.state.restore import StateRestore
from hotgraph_server.state.session_state import Changing, Writes, begin
from hotgraph_server.state.snapshotter import Snapshotter
from hotgraph_server.statistics import Statistics
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.calibration import BUDGET_S, time_runs
from hotgraph_server.warmup.first_runs import FirstRuns, Samples, warm_up, warm_up_sizes, warmed
from hotgraph_server.warmup.plan import Plan
from hotgraph_server.warmup.probing import Measured
from hotgraph_server.warmup.synthetic_inputs import Kind
from hotgraph_server.warmup.warmup_calls import WarmupSource, nothing, replay, samples_of

_LOG = logging.getLogger(__name__)


class OpenGraph(Changing, Protocol):
    """What graph.Graph is to the executor."""

    signatures: dict[str, Signature]
    unusable: dict[str, str]
    signature_defs: Mapping[str, Any]
    proofs: Mapping[str, Judgement]

    def run(
        self, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]
    ) -> Sequence[Array]: ...

    def bounded(self, signature: Signature, run_s: float) -> Callable[[Sequence[Array]], Measured]: ...

    def give_up(self, name: str, reason: str) -> None: ...

    def settle(
        self, kinds: Mapping[str, Kind], rows: Mapping[str, Sequence[Sequence[Array]]]
    ) -> Mapping[str, Plan]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Opened:
    """What is known about a graph once it may be called; see graph.Graph and warmup.warm_up.

    Attributes:
        alone: changes while the version is live, when a check in service finds that joined calls get other
            answers than alone; whoever asks must look each time.
        padded: for each signature, the dimensions in which calls may differ and share a batch all the same.
        warmed: what each signature was run with before, or why it was not; in words.
        proofs: what the structure of the graph proves of the rows of a signature.
        buckets: for each signature whose runs are filled up, the numbers of rows that they have.
        keeper: of the values that its signatures write; None: it was opened by somebody who keeps none.
        trust: how far the joined answers of a signature are trusted; not there where they are not checked.
    """

    signatures: Mapping[str, Signature]
    unusable: Mapping[str, str]
    signature_defs: Mapping[str, Any]
    alone: Mapping[str, str | None]
    plans: Mapping[str, Plan]
    padded: Mapping[str, frozenset[tuple[str, int]]] = field(default_factory=dict)
    warmed: Mapping[str, str] = field(default_factory=dict)
    proofs: Mapping[str, Judgement] = field(default_factory=dict)
    buckets: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    keeper: Snapshotter | None = None
    trust: Mapping[str, Trust] = field(default_factory=dict)


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
        keeping: how what its signatures write is kept.
        logged: calls that were asked before, for the trial.
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
        keeping: StateRestore | None = None,
        logged: WarmupSource = nothing,
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
        self._keeping = keeping or StateRestore()
        self._opened: Future[Opened] = Future()
        self._finisher = Finisher(name)
        # A daemon, so that a run which never ends cannot keep the process from ending.
        self._thread = threading.Thread(target=self._main, name=f"executor {name}", daemon=True)

    def start(self) -> Opened:
        """Start the thread; returns when the graph may be called.

        Raises:
            StartError: the graph cannot be opened or cannot be run; the thread has ended.
        """
        self._thread.start()
        return self._opened.result()

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
        if not flush_to_zero():
            _LOG.debug("%s: denormal floats are computed with, for this system is not known", self._name)
        try:
            graph, runner, writes = self._open()
        except BaseException as error:
            self._opened.set_exception(error)
            return
        while (batch := self._queue.take()) is not None:
            runner.run(batch)
            # While the executor waits for the next batch, it must not keep this one's arrays alive.
            del batch
            runner.check_if_due()
        runner.close()
        # What was written last is saved, and who waits for that is answered.
        writes.keeper.close()
        # When this thread has ended, every call that was taken has its answer.
        self._finisher.stop()
        graph.close()

    def _open(self) -> tuple[OpenGraph, Runner, Writes]:
        graph = self._open_graph()
        try:
            writes = begin(self._name, graph, self._keeping)
            samples = samples_of(
                self._brings(graph.signatures, graph.unusable), self._logged(graph.signatures, graph.unusable)
            )
            first = self._first_runs(graph, samples)
            memory = self._keeping.memory(self._name)
            learnt = memory.recall()
            self._heed(first, learnt)
            plans = graph.settle({name: taken.kind for name, taken in first.taken.items()}, first.odd)
            joinings = self._joinings(graph, first)
            row_caps = self._warm_up_as_in_service(graph, first, joinings)
            # Nobody has asked for what the calls that a model brings may have written.
            writes.go_back()
        except BaseException:
            graph.close()
            raise
        trust = trust_in(graph.signatures, first.alone, graph.proofs, joinings, self._settings, learnt)
        runner = Runner(
            self._name,
            graph,
            self._queue,
            self._statistics,
            self._finisher,
            self._settings,
            first.alone,
            joinings,
            self._clock,
            writes,
            row_caps,
            trust,
            graph.proofs,
            memory,
        )
        writes.keeper.start()
        padded = {
            name: joining.padding.dimensions
            for name, joining in joinings.items()
            if joining.padding is not None
        }
        self._opened.set_result(
            Opened(
                graph.signatures,
                graph.unusable,
                graph.signature_defs,
                first.alone,
                plans,
                padded,
                first.warmed,
                graph.proofs,
                {name: joining.buckets for name, joining in joinings.items() if joining.buckets},
                writes.keeper,
                trust,
            )
        )
        return graph, runner, writes

    def _first_runs(self, graph: OpenGraph, samples: Samples) -> FirstRuns:
        """Try every signature, and give up those that can never be called.

        Raises:
            LoadError: none is left.
        """
        first = warm_up(
            graph,
            self._name,
            self._settings.batching_of,
            samples,
            batch_writes=self._keeping.settings.state_batch_writes,
            settings=self._warmup,
            max_rows=self._settings.max_batch_rows,
            clock=self._clock,
        )
        for name, reason in first.unusable.items():
            graph.give_up(name, reason)
            _LOG.warning("%s: signature %r cannot be called: %s", self._name, name, reason)
        if not graph.signatures:
            raise LoadError(self._name, _no_signature(graph.unusable))
        for name, signature in graph.signatures.items():
            if signature.python_call:
                _LOG.warning(
                    "%s: a run of signature %r that comes to %s fails: its Python function is not here",
                    self._name,
                    name,
                    signature.python_call,
                )
        return first

    def _heed(self, first: FirstRuns, learnt: Mapping[str, Learnt]) -> None:
        """Join no calls of a signature for which an earlier run of the server has found a difference."""
        for name, one in learnt.items():
            if one.difference and stops(self._settings, name) and first.alone.get(name, "") is None:
                reason = first.alone[name] = remembered(one.difference)
                _LOG.warning("%s: calls of signature %r run alone: %s", self._name, name, reason)

    def _joinings(self, graph: OpenGraph, first: FirstRuns) -> dict[str, Joining]:
        """How calls are joined, for each signature where that is not the plain way.

        Raises:
            LoadError: the owner pads what cannot be padded.
        """
        settings = self._settings
        unknown = names_nobody_has(graph.signatures, settings.pad, settings.unpad)
        if unknown:
            raise LoadError(
                self._name, f"pad and unpad name what no signature has: {', '.join(map(repr, unknown))}"
            )
        joinings = {}
        for name, signature in graph.signatures.items():
            try:
                padding = padding_of(signature, settings.pad, settings.unpad)
            except ValueError as error:
                raise LoadError(self._name, f"signature {name!r} cannot be padded: {error}") from error
            if first.alone[name] is not None:
                continue
            if signature.writes:
                # A row that only fills up would be learnt from like any other.
                joinings[name] = joining_of(signature)
                continue
            if padding is not None and not self._may_pad(graph, signature, padding, first.kind(name)):
                padding = None
            buckets = settings.row_buckets
            if signature.compiles and not buckets:
                buckets = compiled_buckets(settings.max_batch_rows)
            joining = joining_of(signature, padding, buckets)
            if joining != PLAIN:
                joinings[name] = joining
        return joinings

    def _may_pad(self, graph: OpenGraph, signature: Signature, padding: Padding, kind: Kind | None) -> bool:
        reason = why_not_padded(signature, padding, _running(graph, signature), kind)
        if reason is None:
            return True
        overruled = self._settings.batching_of(signature.name) == "always"
        _LOG.warning(
            "%s: signature %r is %s: %s",
            self._name,
            signature.name,
            "padded by setting, though" if overruled else "not padded",
            reason,
        )
        return overruled

    def _warm_up_as_in_service(
        self, graph: OpenGraph, first: FirstRuns, joinings: dict[str, Joining]
    ) -> dict[str, int]:
        """Run the calls that the model brings, every size that batches will be filled up to, and others for
        the time that they take.

        Returns:
            How many rows a run may have, of signatures for which that is less than the settings say.

        Raises:
            LoadError: a call cannot be read, or fails.
        """
        started = self._clock()
        brought = self._brings(graph.signatures, graph.unusable)
        counts = replay(brought, graph.run, self._name, self._warmup.warmup_rounds)
        sizes: dict[str, list[int]] = {}
        row_caps: dict[str, int] = {}
        until = started + self._warmup.warm_up_budget_s
        for name, joining in joinings.items():
            signature = graph.signatures[name]
            # What a setting names is run whatever it takes; what follows from a model's nature is not.
            last = until if signature.compiles and not self._settings.row_buckets else math.inf
            filled = warm_up_sizes(graph, signature, joining.buckets, first.kind(name), last, self._clock)
            if not filled:
                continue
            sizes[name] = filled
            if last < math.inf and filled[-1] < joining.buckets[-1]:
                joinings[name] = dataclasses.replace(joining, buckets=tuple(filled))
                row_caps[name] = filled[-1]
        for name, taken in first.taken.items():
            # Larger runs than these nobody has tried, and joined calls shall not be the first: where an op
            # asks for more than there is, or counts further than it can, the whole process may end.
            fitting = taken.rows_within(self._warmup.warm_up_memory_mb << 20)
            if first.alone[name] is None and fitting < self._settings.max_batch_rows:
                row_caps[name] = min(fitting, row_caps.get(name, fitting))
        for name, timed in self._time_runs(graph, first, joinings).items():
            sizes.setdefault(name, timed)
        words = warmed(counts, sizes)
        if words:
            _LOG.info("%s: warmed up in %.2f s with %s", self._name, self._clock() - started, words)
        return row_caps

    def _time_runs(
        self, graph: OpenGraph, first: FirstRuns, joinings: Mapping[str, Joining]
    ) -> dict[str, list[int]]:
        """Give the queue the first points of its cost curves; returns the rows of the runs, by signature."""
        sizes: dict[str, list[int]] = {}
        left = [graph.signatures[name] for name in first.taken]
        until = self._clock() + BUDGET_S
        while left:
            signature = left.pop()
            name, taken = signature.name, first.taken[signature.name]
            fitting = taken.rows_within(self._warmup.warm_up_memory_mb << 20)
            max_rows = min(self._settings.max_batch_rows, fitting) if first.alone[name] is None else 1
            budget_s = (until - self._clock()) / (len(left) + 1)
            joining = joinings.get(name, PLAIN)
            run = _running(graph, signature)
            for timed in time_runs(signature, run, taken.kind, max_rows, joining, budget_s, self._clock):
                self._queue.ran(name, timed.inputs, timed.rows, timed.seconds)
                if timed.rows not in sizes.setdefault(name, []):
                    sizes[name].append(timed.rows)
        return sizes


def _no_signature(unusable: Mapping[str, str]) -> str:
    """What is to be done about a graph that has none that can be called."""
    if unusable:
        reasons = "; ".join(f"{name!r}: {reason}" for name, reason in unusable.items())
        return f"none of its signatures can be called: {reasons}"
    return (
        "it has no signature, so there is nothing to call; export it with one: model.export(DIR), or"
        " tf.saved_model.save(obj, DIR, signatures=obj.__call__.get_concrete_function(...))"
    )


def _running(graph: OpenGraph, signature: Signature) -> Callable[[Sequence[Array]], Sequence[Array]]:
    return lambda inputs: graph.run(signature, signature.output_aliases, inputs)
