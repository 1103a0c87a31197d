"""The place where one call's outcome lands, once.

Guarantees:

* Answer, error, deadline and cancellation race for the completion; the first one takes it, every later one
  does nothing. Each is told by the return value whether it was the one.
* The outcome is delivered in the thread of the finisher that took the completion, outside every lock of
  ours, exactly once.
* A delivery that raises harms no other call: it is logged, and the finisher goes on to the next.
* A runner that must know that it will be a run's outcome that lands here, calls `begin`, before the run or
  when it has ended: from then on `leave` does nothing, and those who `finish` race among themselves, as ever.
  So a call that changes state has either been left and is never run, or is run and hears what came of it; and
  any call is counted by how it ends before its caller can look.

Nothing here waits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from hotgraph_server.errors import CallError
from hotgraph_server.tensors import Array

_LOG = logging.getLogger(__name__)

Outcome = Sequence[Array] | CallError
"""The arrays of the outputs that the call asked for, in its order, or why there are none."""


class Completion:
    """One-shot; any thread may finish it.

    Attributes:
        taken: has the call ended? True may be news from an instant ago; False may be stale.
    """

    __slots__ = ("_begun", "_claim", "_deliver", "taken")

    def __init__(self, deliver: Callable[[Outcome], object]) -> None:
        # A lock that is taken once and never given back is the cheapest atomic flag that Python has:
        # acquire() without blocking is one C call, so two finishers cannot both see it free.
        self._claim = threading.Lock()
        self._deliver = deliver
        self._begun: threading.Lock | None = None
        # A plain attribute, because it is read for every call of every batch.
        self.taken = False

    def begin(self) -> bool:
        """Keep the completion for the outcome of a run that is about to begin, or has ended. Returns whether
        it is kept; False: the call had ended."""
        if self._begun is not None:
            return not self.taken
        if not self._claim.acquire(False):
            return False
        self._begun = threading.Lock()
        return True

    @property
    def begun(self) -> bool:
        """Is there an outcome to come that neither caller nor timer can keep away? False may be stale."""
        return self._begun is not None

    def leave(self, outcome: Outcome) -> bool:
        """`finish`, for callers, timers and queues, which do not run the call: nothing happens if its run has
        begun."""
        return self._finish(outcome) if self._claim.acquire(False) else False

    def finish(self, outcome: Outcome) -> bool:
        """End the call with `outcome`. Returns whether it was taken; False: the call had ended."""
        claim = self._begun or self._claim
        return self._finish(outcome) if claim.acquire(False) else False

    def _finish(self, outcome: Outcome) -> bool:
        self.taken = True
        try:
            self._deliver(outcome)
        except Exception:
            _LOG.exception("could not deliver the outcome of a call")
        return True
