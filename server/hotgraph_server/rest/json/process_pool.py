"""Very large JSON, read and written in processes of its own.

Python holds the interpreter's lock while it reads JSON, some ten milliseconds a megabyte: in the server's own
process all calls would wait for it, those over gRPC as well. So what is very large goes to another
process, which knows JSON and arrays and nothing of TensorFlow; sending bytes and arrays there and back costs
a copy. A process starts when it is first needed.

What it promises: for each process there is a thread here, which takes one job at a time (fair_queue.py says
which) and of it runs in the process what `run` is told to. That has so many seconds, or until the call's
deadline; then the process is ended, and the next job gets a new one. Of several processes one takes only
what is small, so that large jobs never keep out all others. A process that dies takes its job with it, and no
other.

If processes cannot be started here at all, that is said once, and everything is read in those threads.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from hotgraph_server.errors import DeadlineExceeded, Draining, NotReady
from hotgraph_server.rest.json.fair_queue import FairQueue, Ticket
from hotgraph_server.rest.json.process import CannotStart, JsonProcess
from hotgraph_server.threads.joining import join_within

P = ParamSpec("P")
T = TypeVar("T")

_LOG = logging.getLogger(__name__)

# A second of a process at worst.
_SMALL_BYTES = 4 * 2**20
# That may wait, of small jobs and of large ones each.
_MAX_BYTES = 2**30

_FOR_NOW = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)


@dataclass(frozen=True)
class _Job(Generic[T]):
    future: Future[T]
    function: Callable[[], T]
    deadline: float


class JsonProcessPool:
    """See the head of this file. Any thread may call everything; the constructor starts nothing."""

    def __init__(self, processes: int, limit_s: float = 20.0) -> None:
        """
        Args:
            processes: how many there may be; 0: `submit` must not be called.
            limit_s: for one `run`.
        """
        self.processes = processes
        self._limit_s = limit_s
        self._changed = threading.Condition()  # guards what follows
        self._queue: FairQueue[_Job[Any]] = FairQueue(_SMALL_BYTES, _MAX_BYTES)
        self._workers: list[JsonProcess] = []
        self._threads: list[threading.Thread] = []  # one for each of them
        # One that takes what is small is idle.
        self._reserved_is_free = processes > 1
        self._ended = False
        self._here = False
        self._mine = threading.local()  # `process` and `deadline` of the thread's job

    def submit(
        self, function: Callable[[], T], nbytes: int, caller: str, deadline: float = float("inf")
    ) -> Future[T]:
        """Have a function called in one of the threads; the future is its result, or its error.

        Args:
            nbytes: how much JSON it is about.
            caller: whose it is; those of many jobs come after others.
            deadline: monotonic seconds; later it need not be called.

        Raises:
            QueueFull: too much waits.
            Draining: `stop` was called.
        """
        job = _Job(Future[T](), function, deadline)
        with self._changed:
            if self._ended:
                raise Draining("this server")
            ticket = self._queue.put(job, nbytes, caller)
            while len(self._workers) < self.processes:
                self._start_thread()
            self._changed.notify_all()
        job.future.add_done_callback(lambda future: self._let_go(ticket, future))
        return job.future

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns or raises: in the thread's process where this is called in one of our
        threads, and here anywhere else. It and its arguments must be picklable.

        Raises:
            DeadlineExceeded: it has taken too long.
            NotReady: its process has died, or there is none to be had now.
        """
        process: JsonProcess | None = getattr(self._mine, "process", None)
        if process is None or self._here:
            return function(*args, **kwargs)
        limit_s = min(self._limit_s, self._mine.deadline - time.monotonic())
        if limit_s <= 0:
            raise DeadlineExceeded
        try:
            found: T = process.run(function, args, kwargs, limit_s)
        except NotReady:
            if self._ended:
                raise Draining("this server") from None
            raise
        except CannotStart as error:
            if getattr(error.error, "errno", None) in _FOR_NOW:
                raise NotReady(f"large JSON cannot be read now: {error}") from error
            with self._changed:
                first, self._here = not self._here, True
            if first:
                _LOG.warning(
                    "large JSON of REST calls is read in the server's own process now: %r", error.error
                )
            return function(*args, **kwargs)
        return found

    def stop(self) -> None:
        """End the processes and what they do; what waits is told that the server goes. Does not wait.
        Idempotent."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            workers = list(self._workers)
        for worker in workers:
            worker.kill()

    def join(self, deadline: float) -> None:
        """After `stop`: wait for the threads, to `deadline`, monotonic seconds, at most."""
        for thread in self._threads:
            join_within(thread, max(deadline - time.monotonic(), 0.0))

    def _start_thread(self) -> None:
        """Requires the lock."""
        process = JsonProcess()
        reserved = self.processes > 1 and not self._workers
        self._workers.append(process)
        name = f"REST JSON apart {len(self._workers)}"
        thread = threading.Thread(target=self._work, args=(process, reserved), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self, process: JsonProcess, reserved: bool) -> None:
        while (ticket := self._next(reserved)) is not None:
            job, ended = ticket.job, self._ended
            assert job is not None
            if job.future.set_running_or_notify_cancel():
                self._mine.process, self._mine.deadline = process, job.deadline
                try:
                    if ended:
                        raise Draining("this server")
                    job.future.set_result(job.function())
                except BaseException as error:
                    job.future.set_exception(error)
            with self._changed:
                self._queue.done(ticket)
            # Nothing of it is kept until the next one comes.
            del job, ticket
        process.close()

    def _next(self, reserved: bool) -> Ticket[_Job[Any]] | None:
        """The next job for a thread; None: there are no more."""
        with self._changed:
            while True:
                if reserved:
                    ticket = self._queue.take(large=False)
                    self._reserved_is_free = ticket is None
                else:
                    # No further process is started for what the reserved one can take at once.
                    ticket = self._queue.take(small=not self._reserved_is_free)
                if ticket is not None or self._ended:
                    return ticket
                self._changed.wait()

    def _let_go(self, ticket: Ticket[_Job[Any]], future: Future[Any]) -> None:
        if future.cancelled():
            with self._changed:
                self._queue.give_up(ticket)
