"""Runs that change state: in the order of arrival, each exactly once, and each caller hears what came of it.

A call is run only if its completion could be kept for the run's outcome: who had left before is never run,
who leaves later is answered all the same. Nothing is run a second time, in parts, or at fewer rows. A run
that fails is undone before anything else is run (state/session_state.py), so that no reader sees half of it.
A run that went well is answered when the promise of what a crash costs allows it (state/durability.py), often
in another thread and after later runs.

The executor's own, in the executor's thread.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from hotgraph_server.batching.call import Call
from hotgraph_server.errors import NotDurable
from hotgraph_server.execution.finisher import finish
from hotgraph_server.execution.runs import Ran, Runs
from hotgraph_server.state.session_state import Writes


class Writing:
    """The runner's own.

    Args:
        title: of the version, for errors.
        runs: does and counts them.
        writes: keeps what they write.
    """

    def __init__(self, title: str, runs: Runs, writes: Writes) -> None:
        self._title = title
        self._runs = runs
        self._writes = writes

    def run(self, calls: Sequence[Call]) -> None:
        """Run those of `calls`, all of one lane or a single one, that are still wanted; together, once."""
        begun = [call for call in calls if self._runs.may_begin(call)]
        if not begun:
            return
        ran = self._runs.execute(begun)
        if ran.error is None:
            self._runs.count_answered(begun, ran)
            self._writes.ended_well(functools.partial(self._answer, begun, ran))
            return
        self._writes.failed()
        self._runs.end_all_failed(begun, ran)

    def _answer(self, calls: Sequence[Call], ran: Ran, problem: str | None) -> None:
        if problem is None:
            finish(calls, ran.answers)
            return
        for call in calls:
            call.completion.finish(NotDurable(self._title, problem))
