"""Something for the executor's thread to do that is no call of a client's.

It waits in the queue like a call that changes state, behind all of them that came before it, is never refused
for load, and takes no part in statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.completion import Completion, Outcome
from hotgraph_server.errors import CallError
from hotgraph_server.signatures import Signature
from hotgraph_server.state.session_state import SessionState

# Of no name that a SavedModel could give to a signature.
_SIGNATURE = Signature("(executor task)", (), (), writes=True)


class ExecutorTask(Call):
    """Waits in the queue until `run`.

    Args:
        task: what is to be done.
        arrived: monotonic seconds.
        level: of priority: that of calls that change state.

    Attributes:
        done: what the task returned or raised; or the CallError that the queue ended it with, unrun.
    """

    __slots__ = ("_task", "done")

    def __init__(self, task: Callable[[SessionState], Any], *, arrived: float, level: int) -> None:
        self.done: Future[Any] = Future()
        self._task = task
        super().__init__(_SIGNATURE, (), (), Completion(self._deliver), arrived=arrived, level=level)

    def run(self, writes: SessionState) -> None:
        """In the executor's thread."""
        if not self.completion.begin():
            return
        try:
            self.done.set_result(self._task(writes))
        except Exception as error:
            self.done.set_exception(error)
        self.completion.finish(())

    def _deliver(self, outcome: Outcome) -> None:
        if isinstance(outcome, CallError):
            self.done.set_exception(outcome)
