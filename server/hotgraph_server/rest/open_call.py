"""One call of a client of REST, between the event loop that serves it and the threads that answer it.

To protocols it is a Reply. The loop waits for whichever comes first: the answer, the deadline, the client's
leaving, or the server's end; in all but the first case the call leaves the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from hotgraph_server.call_observer import CallObserver
from hotgraph_server.errors import CallError, Cancelled, DeadlineExceeded, Draining
from hotgraph_server.transport.service import Answered, Left

# Past its deadline a call is late for every clock, however coarse the loop's timer is, seconds.
_LATE_S = 1e-3


class OpenCall:
    """A Reply whose answer a coroutine waits for. Made in the loop's thread.

    Attributes:
        deadline: monotonic seconds; infinite for none.
        peer, observer: as a Reply's.
        nbytes_out: about how large the answer is, if the giver says so.
    """

    observer: CallObserver | None = None

    def __init__(self, deadline: float, peer: str = "") -> None:
        self.deadline = deadline
        self.peer = peer
        self.nbytes_out = 0
        self._loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[Callable[[], Answered]] = self._loop.create_future()
        self._cancel: Callable[[], Left] | None = None

    def finish(self, encode: Callable[[], Answered]) -> None:
        """As a Reply's; `encode` becomes what `answer` returns."""
        # A loop that has ended has answered this call without us.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle, encode)

    def when_gone(self, cancel: Callable[[], Left]) -> None:
        """As a Reply's."""
        self._cancel = cancel

    def expire_at(self, deadline: float) -> None:
        """As a Reply's."""
        self.deadline = min(self.deadline, deadline)

    async def answer(self, gone: Awaitable[object], ending: asyncio.Future[None]) -> Callable[[], Answered]:
        """Wait for the answer; once, after the call has been handed in.

        Args:
            gone: is done when the client has left.
            ending: is done when the server waits no longer.

        Returns:
            What makes the answer's bytes, or raises the CallError that it is.

        Raises:
            DeadlineExceeded, Cancelled, Draining: what came first.
        """
        leaving: asyncio.Future[Any] = asyncio.ensure_future(gone)
        timeout = None
        if self.deadline != float("inf"):
            timeout = max(self.deadline - time.monotonic(), 0.0) + _LATE_S
        try:
            await asyncio.wait(
                (self._answered, leaving, ending), timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if self._answered.done():
                return self._answered.result()
            left = self._cancel() if self._cancel is not None else None
            if left is True and not ending.done() and not leaving.done():
                # It has begun what cannot be cancelled any more, and its caller shall hear what came of it.
                await asyncio.wait((self._answered, ending), return_when=asyncio.FIRST_COMPLETED)
                if self._answered.done():
                    return self._answered.result()
            if isinstance(left, CallError):
                raise left
            if ending.done():
                raise Draining("this server")
            raise Cancelled if leaving.done() else DeadlineExceeded
        finally:
            # What cancels it knows the call, whose completion knows this: a cycle, if it were not cut here.
            self._cancel = None
            leaving.cancel()

    def _settle(self, encode: Callable[[], Answered]) -> None:
        if not self._answered.done():
            self._answered.set_result(encode)
