"""A pool of threads that can be waited for with a limit, which the standard library's cannot."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

_LOG = logging.getLogger(__name__)


class ThreadPool(ThreadPoolExecutor):
    """
    Args:
        max_threads: they are started as they are needed.
        name: theirs begin with it.

    Attributes:
        threads: that have been started.
    """

    def __init__(self, max_threads: int, name: str) -> None:
        self.threads: list[threading.Thread] = []
        threads = self.threads
        # No method of this object: a thread would keep the pool that it ends with.
        super().__init__(max_threads, name, lambda: threads.append(threading.current_thread()))


def stop(pools: Iterable[ThreadPool], deadline: float) -> None:
    """Let pools take no more work, do what they have, and end; a warning names the threads that have not
    ended at `deadline`, monotonic seconds."""
    pools = list(pools)
    for pool in pools:
        pool.shutdown(wait=False)
    for pool in pools:
        for thread in pool.threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
            if thread.is_alive():
                _LOG.warning("thread %r has not ended", thread.name)
