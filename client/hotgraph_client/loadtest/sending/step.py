"""One assignment in this process: connected first, then sent."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

from ..load import Assignment
from .calls import Call, Reply
from .loop import Control, Loop
from .messages import Finished
from .pools import Pool, requests_of
from .schedule import schedule_of
from .tally import Tally

_CONNECT_S = 3.0


class Step:
    """An assignment that is ready to be sent. A context manager, which hangs up; used by one thread.

    Servers that cannot be reached are no error: the calls end with `UNREACHABLE`, one by one.

    Raises:
        OSError: the host's name is unknown.
        ValueError: an assignment that cannot be sent; the text says why.
    """

    def __init__(self, assignment: Assignment) -> None:
        if not assignment.payloads:
            raise ValueError("an assignment without payloads")
        schedule_of(assignment, 0.0)
        self._assignment = assignment
        self._loop: Loop | None = None
        self._pool = Pool(assignment, requests_of(assignment), self._over)
        self._pool.open(_CONNECT_S)

    def __enter__(self) -> Step:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def run(self, begin_s: float, control: Control, tally: Tally | None = None) -> Finished:
        """Send the calls, from `begin_s` on, and see all of them end.

        Args:
            tally: that hears of them; None: one of its own, which sums them up.
        """
        assignment = self._assignment
        tally = tally or Tally(assignment, begin_s + assignment.warm_up_s)
        loop = self._loop = Loop(assignment, begin_s, schedule_of(assignment, begin_s), tally, control)
        with _without_pauses():
            loop.run(self._pool)
        return Finished(
            loop.untold, tally.answers, tally.unchecked, loop.cpu_s, loop.seconds, tally.error_texts
        )

    def _over(self, call: Call, reply: Reply, now: float) -> None:
        if self._loop is not None:
            self._loop.over(call, reply, now)


@contextlib.contextmanager
def _without_pauses() -> Iterator[None]:
    """No collection of garbage while latencies are measured."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
