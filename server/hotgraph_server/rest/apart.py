"""Very large JSON, read and written in a process of its own.

Python holds the interpreter's lock while it reads JSON, some ten milliseconds a megabyte: in the server's own
process all calls would wait for it, those over gRPC as well. So what is very large goes to another
process, which knows JSON and arrays and nothing of TensorFlow; sending bytes and arrays there and back costs
a copy. The process starts when it is first needed.

If it cannot be started, or dies, that is said once, and from then on everything is read here.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_LOG = logging.getLogger(__name__)

_HERE_FROM_NOW_ON = "large JSON of REST calls is read in the server's own process now: %r"


class Apart:
    """Runs functions in another process. Any thread may call everything; the constructor starts nothing."""

    def __init__(self, processes: int) -> None:
        """
        Args:
            processes: how many there may be; 0: functions run here.
        """
        self._processes = processes
        self._starting = threading.Lock()  # guards what follows
        self._pool: ProcessPoolExecutor | None = None
        self._ended = not processes

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns or raises; waits for it. It and its arguments must be picklable, and it
        must not matter if it runs twice."""
        pool = self._started()
        if pool is not None:
            try:
                future = pool.submit(function, *args, **kwargs)
            except (RuntimeError, OSError) as error:
                # It has died, it was ended, or the system has no process or thread left for it.
                self._give_up(pool, error)
                return function(*args, **kwargs)
            try:
                return future.result()
            except (BrokenProcessPool, OSError, CancelledError) as error:
                self._give_up(pool, error)
        return function(*args, **kwargs)

    def stop(self) -> None:
        """End the process; what is asked for later runs here. Does not wait. Idempotent."""
        with self._starting:
            pool, self._pool = self._pool, None
            self._ended = True
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def _started(self) -> ProcessPoolExecutor | None:
        with self._starting:
            if self._pool is None and not self._ended:
                # A fork would have TensorFlow's threads' locks, and none of its threads.
                context = multiprocessing.get_context("spawn")
                try:
                    self._pool = ProcessPoolExecutor(self._processes, context, _begin)
                except (OSError, ImportError, NotImplementedError) as error:
                    # No semaphores: /dev/shm is not there, or cannot be written to.
                    self._ended = True
                    _LOG.warning(_HERE_FROM_NOW_ON, error)
            return self._pool

    def _give_up(self, pool: ProcessPoolExecutor, error: Exception) -> None:
        with self._starting:
            first = self._pool is pool
            if first:
                self._pool = None
                self._ended = True
        if first:
            _LOG.warning(_HERE_FROM_NOW_ON, error)
            pool.shutdown(wait=False)


def _begin() -> None:
    """In the new process, before anything else."""
    # These reach all processes of a terminal, and it is the server that decides what they mean.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="end with the server", daemon=True).start()


def _end_with_parent() -> None:
    # A server that is killed cannot stop us, and our end of the queue's pipe would keep us waiting.
    parent: Any = multiprocessing.parent_process()
    parent.join()
    os._exit(0)
