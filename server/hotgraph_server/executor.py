"""The executor: the one thread that owns the session of a version.

It opens the graph, warms it up, runs batch after batch and closes the session at the end. Nothing else
ever touches the session, so no lock is needed around it and no two runs ever meet.

The executor only runs. Decoding has happened before a call reaches it; encoding and sending are the
finisher's (finisher.py) while calls wait. One bad batch never ends the thread: a run that fails gives
its calls errors, and when several calls shared it each is run again by itself first, so that a call
which the graph refuses costs its neighbours a delay and nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from hotgraph_server.batching.joining import cut, join
from hotgraph_server.batching.queue import Batch, BatchQueue
from hotgraph_server.errors import DeadlineExceeded, InternalError, RunFailed, forget_traceback
from hotgraph_server.finisher import WORTH_A_HAND_OVER_S, Finisher, finish
from hotgraph_server.plan import Plan
from hotgraph_server.signatures import Signature
from hotgraph_server.statistics import Statistics
from hotgraph_server.tensors import Array
from hotgraph_server.warmup import warm_up

_LOG = logging.getLogger(__name__)


class OpenGraph(Protocol):
    """What graph.Graph is to the executor."""

    signatures: dict[str, Signature]
    unusable: dict[str, str]
    signature_defs: Mapping[str, Any]

    def run(
        self, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]
    ) -> Sequence[Array]: ...

    def settle(self) -> Mapping[str, Plan]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Opened:
    """What is known about a graph once it may be called; see graph.Graph and warmup.warm_up."""

    signatures: Mapping[str, Signature]
    unusable: Mapping[str, str]
    signature_defs: Mapping[str, Any]
    alone: Mapping[str, str | None]
    plans: Mapping[str, Plan]


class Executor:
    """One thread, one session, one queue.

    Args:
        name: of the model and version, for the thread and for errors.
        open_graph: called in the executor's thread; what it raises, `start` raises.
        queue: where batches come from; its end is the thread's end.
        statistics: gets every run.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        open_graph: Callable[[], OpenGraph],
        queue: BatchQueue,
        statistics: Statistics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._open_graph = open_graph
        self._queue = queue
        self._statistics = statistics
        self._clock = clock
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
        try:
            graph = self._open()
        except BaseException as error:
            self._opened.set_exception(error)
            return
        self._finisher.start()
        while (batch := self._queue.take()) is not None:
            self._run(graph, batch)
            # While the executor waits for the next batch, it must not keep this one's arrays alive.
            del batch
        # When this thread has ended, every call that was taken has its answer.
        self._finisher.stop()
        graph.close()

    def _open(self) -> OpenGraph:
        graph = self._open_graph()
        try:
            alone = warm_up(graph, self._name)
            plans = graph.settle()
        except BaseException:
            graph.close()
            raise
        self._opened.set_result(Opened(graph.signatures, graph.unusable, graph.signature_defs, alone, plans))
        return graph

    def _run(self, graph: OpenGraph, batch: Batch) -> None:
        if self._run_safely(graph, batch):
            return
        for call in batch:
            # Time has passed, and callers may have left.
            if call.deadline <= self._clock():
                call.slot.finish(DeadlineExceeded())
            elif not call.slot.taken:
                self._run_safely(graph, [call])

    def _run_safely(self, graph: OpenGraph, batch: Batch) -> bool:
        """`_run_together`, but an error that nobody expects ends the calls and not the thread."""
        try:
            return self._run_together(graph, batch)
        except Exception:
            _LOG.exception("%s: a run of signature %r broke", self._name, batch[0].signature.name)
            for call in batch:
                call.slot.finish(InternalError())
            return True

    def _run_together(self, graph: OpenGraph, batch: Batch) -> bool:
        """Run a batch once and finish its slots. False: it failed and had several calls, none finished."""
        signature, outputs = batch[0].signature, batch[0].outputs
        arrivals = [call.arrived for call in batch]
        rows = sum(call.rows for call in batch)
        started = self._clock()
        try:
            answers = cut(batch, graph.run(signature, outputs, join(batch)))
        except Exception as error:
            if len(batch) > 1:
                # Joined calls never change state (batching/rules.py), so running them again is safe.
                _LOG.debug("%s: %d calls run again one by one: %s", self._name, len(batch), error)
                return False
            if not isinstance(error, RunFailed):
                raise
            self._statistics.add_run(arrivals, rows, started, self._clock(), failed=True)
            # It travels without the frames that it came through: this one holds the batch.
            forget_traceback(error)
            batch[0].slot.finish(error)
            return True
        ended = self._clock()
        self._statistics.add_run(arrivals, rows, started, ended)
        if len(self._queue) and ended - started > WORTH_A_HAND_OVER_S:
            self._finisher.hand_over(batch, answers)
        else:
            finish(batch, answers)
        return True
