"""Runs that change state: in the order of arrival, each exactly once, and each caller hears what came of it.

A call is run only if its completion could be kept for the run's outcome: a call whose caller had left before
is never run, one whose caller leaves later is answered all the same. Nothing is run a second time, in parts,
or at fewer rows. A run that fails is undone before anything else is run (state/session_state.py), so that no
reader sees half of it. A run that went well is answered when the durability policy allows it
(state/durability.py), often in another thread and after later runs.

The executor's own, in the executor's thread.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence

from hotgraph_server.batching.call import Call
from hotgraph_server.errors import InternalError, NotDurable, RunFailed, forget_traceback
from hotgraph_server.execution.runs import Ran, Runs
from hotgraph_server.state.session_state import SessionState

_LOG = logging.getLogger(__name__)


class WriteRuns:
    """The runner's own.

    Args:
        title: of the version, for the log and for errors.
        runs: does and counts them.
        writes: keeps what they write.
    """

    def __init__(self, title: str, runs: Runs, writes: SessionState) -> None:
        self._title = title
        self._runs = runs
        self._writes = writes

    def run(self, calls: Sequence[Call]) -> None:
        """Run those of `calls`, all of one lane or a single one, that are still wanted; together, once."""
        begun = [call for call in calls if self._may_begin(call)]
        if not begun:
            return
        ran = self._runs.execute(begun)
        if ran.error is None:
            self._runs.failing.answered(begun)
            self._runs.count_answered(begun, ran)
            self._writes.ended_well(functools.partial(self._answer, begun, ran))
            return
        self._writes.failed()
        self._end_all_failed(begun, ran)

    def _may_begin(self, call: Call) -> bool:
        """Shall this call be run now? If so, its caller cannot cancel it any more."""
        return self._runs.is_wanted(call) and call.completion.begin()

    def _answer(self, calls: Sequence[Call], ran: Ran, problem: str | None) -> None:
        if problem is None:
            self._runs.finish(calls, ran.answers)
            return
        for call in calls:
            call.completion.finish(NotDurable(self._title, problem))

    def _end_all_failed(self, calls: Sequence[Call], ran: Ran) -> None:
        """End calls with the error of the one run that they were in, which is not tried again."""
        first = calls[0]
        arrivals = [call.arrived for call in calls if call.completion.begin()]
        self._runs.count_ends(arrivals, first, sum([call.rows for call in calls]), ran)
        error = ran.error
        if not isinstance(error, RunFailed):
            _LOG.error("%s: signature %r broke", self._title, first.signature.name, exc_info=error)
        for call in calls:
            # An error of its own for each: what sends one changes it.
            own = RunFailed(error.code, str(error)) if isinstance(error, RunFailed) else InternalError()
            call.completion.finish(own)
        assert error is not None
        forget_traceback(error)
