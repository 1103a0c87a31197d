"""The gate before the calls of a version that change state: one line of writes, across versions.

Guarantees:

* Until `redirect`, a call goes to the version's own queue.
* From `redirect` on, none is queued there any more: a call that another thread is submitting at that instant
  is either queued before `redirect` returns, or goes where the gate leads. So what the executor is asked
  after `redirect` comes behind the last write that the version runs.
* Between `redirect` and `release`, calls are held back in their order, as calls of the target's version.
  `release` queues them there in that order, before any that is submitted later; those that the target refuses
  end with its error. From then on calls go straight to the target.
* `resume` takes a redirection back: what was held back ends, unrun, and calls go to the version's own queue
  again.
* A call that the target's version does not know is refused at once. A call that has ended while it was held
  back is queued nowhere.
* The target may be redirected in its turn: then calls go on from there. Gates lead to later versions only, so
  no two of them wait for each other.

Locks. One, and everything that puts calls into their order happens under it, queueing included: a thread
that were let go before its call is queued could queue it behind the last that the version runs. No call ends
under it.

Any thread may submit; one at a time redirects, releases and resumes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from hotgraph_server.batching.call import Call
from hotgraph_server.errors import CallError, NotReady


class WriteTarget(Protocol):
    """Where a gate may lead; the gate of another version is one."""

    def adopt(self, call: Call) -> bool:
        """Make a call that is queued nowhere one of this version. Returns whether it knows such calls; False:
        the call is as it was."""

    def submit(self, call: Call) -> None:
        """Queue a call that was adopted.

        Raises:
            CallError: it cannot be queued.
        """


class WriteGate:
    """Of one version.

    Args:
        title: of the version.
        put: queues a call at the version; raises CallError.
        adopt: see WriteTarget.
    """

    def __init__(self, title: str, put: Callable[[Call], None], adopt: Callable[[Call], bool]) -> None:
        self.adopt = adopt
        self._title = title
        self._put = put
        self._lock = threading.Lock()  # guards what follows, and the order of what is queued
        self._target: WriteTarget | None = None
        self._held: list[Call] | None = None

    @property
    def is_redirected(self) -> bool:
        """Do calls go to another version, now or when they are released?"""
        return self._target is not None

    def submit(self, call: Call) -> None:
        """Queue a call where calls go, or hold it back.

        Raises:
            CallError: it cannot be queued.
        """
        with self._lock:
            target = self._target
            if target is None:
                self._put(call)
                return
            if not target.adopt(call):
                raise NotReady(f"{self._title} is being replaced; the call was not run")
            if self._held is None:
                target.submit(call)
            else:
                self._held.append(call)

    def redirect(self, target: WriteTarget) -> None:
        """Hold back what comes from now on; it is meant for `target`."""
        with self._lock:
            self._target, self._held = target, []

    def release(self) -> None:
        """Queue at the target what was held back, in its order, and hold back nothing more."""
        refused: list[tuple[Call, CallError]] = []
        with self._lock:
            target, held, self._held = self._target, self._held or [], None
            assert target is not None
            for call in held:
                if call.completion.taken:
                    continue
                try:
                    target.submit(call)
                except CallError as error:
                    refused.append((call, error))
        for call, refusal in refused:
            call.completion.leave(refusal)

    def resume(self) -> None:
        """The target does not take over: end what was held back, and let calls go as before."""
        with self._lock:
            held, self._held, self._target = self._held or [], None, None
        for call in held:
            call.completion.leave(NotReady("the next version could not take over; the call was not run"))
