"""The thread that sends spans, and what may wait for it.

What it promises: `offer` takes no lock, never waits and never raises. What it does not take, because too much
waits, is counted, and so is what could not be sent: `lost`, in calls. The log says once that the collector
cannot be reached, and why, and when it can be again how many calls were lost. Traces become spans in this
thread, which sends them together: so many at a time, or what there is when the oldest has waited long enough.

An export may take as long as the exporter tries (10 s, OTEL_EXPORTER_OTLP_TIMEOUT); what comes meanwhile
waits or is dropped. The constructor starts nothing; `stop` sends what waits, and gives up after its time.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from opentelemetry.sdk.trace import ReadableSpan

from hotgraph_server.observability.otlp.spans import SpanMaker
from hotgraph_server.observability.otlp.telling import Reach
from hotgraph_server.observability.tracing.trace import Trace
from hotgraph_server.threads.write_budget import WriteBudget

_LOG = logging.getLogger(__name__)

# Runs whose spans are made are remembered, so that the calls of one batch make one of it, and not for ever.
_BATCHES_KEPT = 4096


class Batching(NamedTuple):
    """How many go together: OpenTelemetry's names and defaults.

    Attributes:
        max_queue_size: calls that may wait.
        schedule_delay_s: that the oldest of them waits, seconds.
        max_export_batch_size: calls that are sent at a time.
    """

    max_queue_size: int = 2048
    schedule_delay_s: float = 5.0
    max_export_batch_size: int = 512


class SpanExport:
    """A tracing.followed.Sink; see the head of this file.

    Args:
        maker: of spans.
        export: sends spans; returns whether they have arrived. In the thread; it may take long.
        shut_down: ends an export that is under way; any thread.
        reach: is told how exports go.
        batching: see there.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        maker: SpanMaker,
        export: Callable[[Sequence[ReadableSpan]], bool],
        shut_down: Callable[[], None],
        reach: Reach,
        batching: Batching,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._maker = maker
        self._export = export
        self._shut_down = shut_down
        self._reach = reach
        self._batching = batching
        self._clock = clock
        self._budget = WriteBudget(batching.max_queue_size)
        self._queue: queue.SimpleQueue[Trace | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._lost = 0  # the thread's own
        self._batches: OrderedDict[int, None] = OrderedDict()

    @property
    def lost(self) -> int:
        """Calls whose spans were not sent so far, as known when something was last sent."""
        return self._lost

    def offer(self, trace: Trace) -> bool:
        """See Sink."""
        if not self._budget.take(1):
            return False
        self._queue.put(trace)
        return True

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Send what waits, and end; a warning says if that takes longer than `timeout_s` seconds."""
        if self._thread.ident is None:
            return
        self._queue.put(None)
        self._thread.join(timeout_s)
        self._shut_down()
        if self._thread.is_alive():
            _LOG.warning("the spans are not all sent after %.0f s; the rest is lost", timeout_s)

    def _run(self) -> None:
        waiting: list[Trace] = []
        due, ends = 0.0, False
        while not ends:
            try:
                trace = self._queue.get(timeout=max(due - self._clock(), 0.0) if waiting else None)
            except queue.Empty:
                pass
            else:
                ends = trace is None
                if trace is not None:
                    if not waiting:
                        due = self._clock() + self._batching.schedule_delay_s
                    waiting.append(trace)
                    if len(waiting) < self._batching.max_export_batch_size and self._clock() < due:
                        continue
            if waiting:
                self._send(waiting)
                waiting = []
            trace = None

    def _send(self, traces: Sequence[Trace]) -> None:
        try:
            sent = self._export(self._spans(traces))
        except Exception as error:
            # No span is worth the thread.
            self._reach.failed(len(traces), f"{type(error).__name__}: {error}")
            sent = False
        else:
            if not sent:
                self._reach.failed(len(traces))
        self._budget.give_back(len(traces))
        refused = self._budget.refused()
        self._lost += refused + (0 if sent else len(traces))
        if sent:
            self._reach.arrived()
        if refused:
            _LOG.warning("the spans of %d calls were not sent, because too many waited", refused)

    def _spans(self, traces: Sequence[Trace]) -> list[ReadableSpan]:
        epoch_ns = time.time_ns() - time.monotonic_ns()
        spans: list[ReadableSpan] = []
        for trace in traces:
            spans += self._maker.of_call(trace, epoch_ns)
            for run in trace.runs:
                if run.number and run.number not in self._batches:
                    self._batches[run.number] = None
                    if len(self._batches) > _BATCHES_KEPT:
                        self._batches.popitem(last=False)
                    spans.append(self._maker.of_batch(run, trace, epoch_ns))
        return spans
