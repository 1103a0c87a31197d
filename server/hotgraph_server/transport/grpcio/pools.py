"""The threads that methods run in on grpc's own server.

Pools of their own, so that no kind of call can hold up another:

* hot calls wait in a pool of their own, each in a thread until its answer is there;
* the plain methods of each service have one, so that health answers whatever else is asked: a busy server
  is a healthy server;
* streams hold threads for as long as the caller likes: one sends, and where callers may say more than one
  thing, another listens.

What grpc does not let us help here: a caller who opens a call and never sends its message holds a thread
of the pool until it leaves. The HTTP/2 server has no such wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from hotgraph_server.errors import CallError
from hotgraph_server.transport.open_calls import OpenCalls
from hotgraph_server.transport.service import Tell
from hotgraph_server.transport.thread_pool import ThreadPool, stop

# Threads that wait cost little, but each has a stack; beyond these, calls wait without a thread.
_MAX_HOT_THREADS = 512
# One would do for the work. The others are for callers who open a call and never send its message.
_PLAIN_THREADS = 64
_STREAM_THREADS = 256
_REFUSING_THREADS = 4


class Pools:
    """Made with the server; `stop` when the server has stopped.

    Attributes:
        tell: is told of calls that fail; None: nobody is.
        refusal: what calls that streams bring from now on are refused with; None: they are taken.
    """

    def __init__(self, max_calls: int, calls: OpenCalls, tell: Tell | None = None) -> None:
        self.tell = tell
        self.hot = _CountingPool(min(max_calls, _MAX_HOT_THREADS), "hot call", calls)
        self.refusals = ThreadPool(_REFUSING_THREADS, "refusal")
        self.streams = ThreadPool(_STREAM_THREADS, "stream")
        self.max_calls = max_calls
        self.refusal: CallError | None = None
        self.calls = calls
        self._plain: dict[str, _CountingPool] = {}

    def plain(self, service: str) -> ThreadPool:
        """The pool of a service's plain methods."""
        if service not in self._plain:
            self._plain[service] = _CountingPool(_PLAIN_THREADS, service, self.calls)
        return self._plain[service]

    def stop(self, deadline: float) -> None:
        """Let the threads end, and wait for them until `deadline`, monotonic seconds; a warning names those
        that have not."""
        stop((self.hot, self.refusals, self.streams, *self._plain.values()), deadline)


class _CountingPool(ThreadPool):
    """Knows how many calls are in it, waiting or running."""

    def __init__(self, threads: int, name: str, calls: OpenCalls) -> None:
        super().__init__(threads, name)
        self.inside = 0
        self._calls = calls
        self._counting = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        with self._counting:
            self.inside += 1
        self._calls.enter()
        future = super().submit(fn, *args, **kwargs)
        future.add_done_callback(self._leave)
        return future

    def _leave(self, _: Future[Any]) -> None:
        with self._counting:
            self.inside -= 1
        self._calls.leave()
