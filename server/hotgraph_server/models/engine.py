"""What runs the calls of a version: its queue, its executor and the timer of its queue policies, as one.

The constructor starts nothing. `start` comes back when the graph may be called; `stop` answers what was taken
and ends the threads. What waits in between is the queue's (batching/queue.py), what runs is the executor's.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.batching.timer import QueueTimer
from hotgraph_server.errors import Draining
from hotgraph_server.execution.executor import Executor, Opened, OpenGraph
from hotgraph_server.settings import ModelSettings
from hotgraph_server.state.restore import StateRestore
from hotgraph_server.state.snapshotter import Snapshotter
from hotgraph_server.statistics import Statistics
from hotgraph_server.threads.leadership import Leadership
from hotgraph_server.threads.progress import Sign
from hotgraph_server.warmup.warmup_calls import WarmupSource, nothing

# For a snapshot of what has been answered, where a run does not end; a disk may hang as well.
_SAVE_S = 10.0
# The timer waits for no other thread; this is for a delivery that it is in the middle of.
_TIMER_ENDS_IN_S = 1.0


class Engine:
    """Of one version.

    Args:
        title: of the version, for threads, logs and errors.
        settings: of its model.
        number: of the version.
        open_graph: called in the executor's thread; what it raises, `start` raises.
        clock: monotonic seconds.
        brings: the calls that the model brings to be warmed up with.
        logged: calls that were asked before.
        restore: what its state begins with, and where its snapshots go.
        leadership: of the threads that bring calls; None: the executor follows nobody.

    Attributes:
        statistics: what it has run.
        queue: where its calls wait.
        clock: as given.
    """

    def __init__(
        self,
        title: str,
        settings: ModelSettings,
        number: int,
        open_graph: Callable[[], OpenGraph],
        clock: Callable[[], float] = time.monotonic,
        brings: WarmupSource = nothing,
        logged: WarmupSource = nothing,
        restore: StateRestore | None = None,
        leadership: Leadership | None = None,
    ) -> None:
        self.statistics = Statistics()
        self.clock = clock
        self.queue = BatchQueue(title, settings.batch, clock, self.statistics, leadership)
        self._title = title
        self._timer = QueueTimer(title, self.queue, clock) if settings.batch.has_queue_timeouts else None
        self._executor = Executor(
            title,
            open_graph,
            self.queue,
            self.statistics,
            clock,
            settings.batch,
            brings,
            settings.warmup,
            restore or StateRestore(settings.state, settings.name, number),
            logged,
            leadership,
        )
        self._snapshotter: Snapshotter | None = None

    def start(self) -> Opened:
        """Open the graph and warm it up.

        Raises:
            StartError: it cannot be served; no thread is left.
        """
        opened = self._executor.start()
        self._snapshotter = opened.snapshotter
        if self._timer is not None:
            self._timer.start()
        return opened

    @property
    def in_run_since(self) -> float | None:
        """When the run began that the graph is in now, in `clock`'s seconds; None: it is in none."""
        return self._executor.in_run_since

    def signs(self) -> list[Sign]:
        """Of the threads that its calls wait for; any thread may ask."""
        return self._executor.signs()

    def stop(self, timeout_s: float) -> bool:
        """Take no calls any more, answer what was taken, close the session.

        Calls that still wait after `timeout_s` end with Draining, and the state that was written is saved.
        Returns whether the executor ended in time. Idempotent.
        """
        self.queue.close()
        ended = self._executor.stop(timeout_s)
        if not ended:
            self.queue.abandon(Draining(self._title))
            if self._snapshotter is not None:
                # The executor's thread would do it at its end, which may never come.
                self._snapshotter.save_now(_SAVE_S)
        if self._timer is not None:
            self._timer.stop(_TIMER_ENDS_IN_S)
        return ended
