"""The runner: runs batches on one graph, and ends their calls.

What it promises. Every call that it is given ends exactly once (or has ended by itself before), with the
answer or the error that it would have got alone. What it does for that:

* A run that fails and had several calls is run again in parts (retries.py), so a call that the graph refuses
  costs its neighbours a delay and nothing else. Calls that change state are never among several.
* A run that does not fit into memory is run again at half the rows, and so are all later ones.
* A call larger than the row limit runs in pieces, others in between (large_calls.py).
* Calls that change state have a way of their own, which runs nothing twice (write_runs.py).
* Joined calls are run alone as well, some before any answer of their batch leaves and some later, and joining
  ends for their signature if the answers differ (verification.py; which ones: batching/trust.py).

It is the executor's own, in the executor's thread; see executor.py for what happens around it. The next batch
is not joined beside a run, because that does not pay: 32 images (19 MB) join in 5 ms where they run for 800,
and 32 small rows in 5 us, which is less than it takes to wake another thread for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping, Sequence

from hotgraph_server.batching.backlog import Batch
from hotgraph_server.batching.joining import Joining
from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.batching.trust import Trust
from hotgraph_server.errors import InternalError
from hotgraph_server.execution.executor_task import ExecutorTask
from hotgraph_server.execution.finisher import Finisher
from hotgraph_server.execution.large_calls import LargeCalls
from hotgraph_server.execution.retries import Retries
from hotgraph_server.execution.row_limits import within_rows
from hotgraph_server.execution.runs import Runnable, Runs
from hotgraph_server.execution.verification import Verifier
from hotgraph_server.execution.write_runs import WriteRuns
from hotgraph_server.row_independence.verdict import Judgement
from hotgraph_server.settings import BatchSettings
from hotgraph_server.state.learnt import Memory
from hotgraph_server.state.session_state import SessionState, untracked
from hotgraph_server.statistics import Statistics
from hotgraph_server.threads.progress import Steps

_LOG = logging.getLogger(__name__)


class Runner:
    """Runs what the queue gives.

    Args:
        title: of the version, for the log. graph: what is run; the caller's thread owns it. queue: takes
        back what is not finished. statistics: gets every run and event. finisher: ends calls beside the next
        run where that pays. settings: of the model. unbatched_reasons: why a signature's calls run alone,
        None where they are joined; a check may change it. joinings: how calls of a signature are joined; not
        named: the plain way. clock: monotonic seconds. writes: keeps what runs write; None: it is forgotten.
        row_caps: see Runs. trust: of the signatures whose joined calls are checked; None: none are. proofs:
        what the structure of the graph says, for the log of a difference. memory: keeps what the checks
        learn; None: it is forgotten. steps: of the executor's thread.
    """

    def __init__(
        self,
        title: str,
        graph: Runnable,
        queue: BatchQueue,
        statistics: Statistics,
        finisher: Finisher,
        settings: BatchSettings,
        unbatched_reasons: MutableMapping[str, str | None],
        joinings: dict[str, Joining],
        clock: Callable[[], float],
        writes: SessionState | None = None,
        row_caps: Mapping[str, int] | None = None,
        trust: Mapping[str, Trust] | None = None,
        proofs: Mapping[str, Judgement] | None = None,
        memory: Memory | None = None,
        steps: Steps | None = None,
    ) -> None:
        self._title = title
        self._steps = steps or Steps()
        self._queue = queue
        self._settings = settings
        self._unbatched_reasons = unbatched_reasons
        self._runs = Runs(
            title,
            graph,
            queue.__len__,
            statistics,
            finisher,
            settings,
            unbatched_reasons,
            joinings,
            clock,
            queue.limit_rows,
            row_caps,
            queue.suspects,
            trust,
            queue.in_graph,
            self._steps,
        )
        self._large_calls = LargeCalls(
            self._runs,
            queue.put_back,
            split=settings.split,
            is_joined=lambda name: unbatched_reasons[name] is None,
        )
        self._clock = clock
        self._retries = Retries(title, self._runs, self._large_calls)
        self._writes = writes or untracked(title)
        self._write_runs = WriteRuns(title, self._runs, self._writes)
        self._verifier = Verifier(
            title,
            queue,
            self._runs,
            self._retries,
            settings,
            unbatched_reasons,
            trust or {},
            proofs or {},
            memory or Memory(title),
        )
        self._runs.may_leave = self._verifier.may_leave

    def run(self, batch: Batch) -> None:
        """Run what the queue gave; an error that is not expected ends its calls and nothing else."""
        try:
            self._run(batch)
            self._runs.failing.settle(self._clock())
        except Exception:
            _LOG.exception("%s: a run of signature %r broke", self._title, batch[0].signature.name)
            for call in batch:
                call.completion.finish(InternalError())

    def check_if_due(self) -> None:
        """Run the sampled call alone, if there is one and now is the time for it."""
        if self._verifier.sample is None:
            return
        try:
            self._verifier.run_if_idle()
        except Exception:
            _LOG.exception("%s: a check broke", self._title)

    def close(self) -> None:
        """Keep what was learnt."""
        self._verifier.close()

    def _run(self, batch: Batch) -> None:
        first = batch[0]
        if isinstance(first, ExecutorTask):
            self._verifier.forget()
            # A state may be large, and where it is kept slow.
            self._steps.begin_long(self._clock())
            first.run(self._writes)
            return
        if first.signature.writes:
            self._verifier.forget()
            self._write_runs.run(batch)
            return
        limits, limit = self._runs.limits, self._settings.max_batch_rows
        if limits.any:
            limit = limits.of(first.signature.name)
        if len(batch) == 1:
            parts: Sequence[Batch] = [batch]
        elif self._unbatched_reasons[first.signature.name] is not None:
            # A check has found a difference since these were put in a lane.
            parts = [[call] for call in batch]
        elif limit < self._settings.max_batch_rows:
            parts = within_rows(batch, limit)
        else:
            parts = [batch]
        for number, part in enumerate(parts):
            if number:
                part = [call for call in part if self._runs.is_wanted(call)]
            # One whose first piece has run goes on so, though the limit may have risen since.
            in_pieces = len(part) == 1 and (part[0].rows > limit or part[0].rows_done > 0)
            if in_pieces and self._large_calls.may_split(part[0]):
                self._large_calls.run_next(part[0], limit)
            elif part:
                self._run_part(part)

    def _run_part(self, part: Batch) -> None:
        ran = self._runs.execute(part)
        if ran.error is None:
            self._runs.answer(part, ran)
            return
        # What follows is no measure of what such a batch costs.
        self._queue.done()
        self._retries.after(part, ran)
