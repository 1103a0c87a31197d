"""Runs that fail, and what is run again so that each call gets what it would have got alone.

Which calls go together is decided in retry_rules.py. Joined calls never change state (batching/rules.py),
so running them again is safe; a call that has failed alone is run again only for its memory, in pieces.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.joining import PLAIN
from hotgraph_server.execution.error_hints import blamed
from hotgraph_server.execution.large_calls import Pieces
from hotgraph_server.execution.retry_rules import Parts
from hotgraph_server.execution.runs import Ran, Runs
from hotgraph_server.statistics import Event

_LOG = logging.getLogger(__name__)


class Reruns:
    """The runner's own; `title` is the version's, for the log."""

    def __init__(self, title: str, runs: Runs, pieces: Pieces) -> None:
        self._title = title
        self._runs = runs
        self._pieces = pieces

    def after(self, calls: Sequence[Call], ran: Ran) -> None:
        """End calls, whose run together has failed, in other runs."""
        self._runs.failing.begins()
        if len(calls) > 1:
            self._in_parts(calls, ran)
        elif self._runs.joining(calls[0]).buckets:
            # The rows that filled the bucket may have been too many.
            self._runs.count_failed(calls[0], calls[0].rows, ran)
            if self._runs.is_wanted(calls[0]):
                self._alone(calls[0])
        else:
            self._failed_alone(calls[0], ran)

    def _alone(self, call: Call) -> bool:
        """Run a call as if there were no others. Returns whether it got an answer."""
        # Where each number of rows is compiled anew, its own rows fill it up: no caller may make us compile.
        ran = self._runs.execute([call], None if call.signature.compiles else PLAIN)
        if ran.error is not None:
            return self._failed_alone(call, ran)
        self._runs.answer([call], ran)
        return True

    def _failed_alone(self, call: Call, ran: Ran) -> bool:
        """Returns whether it got an answer after all, from fewer rows at a time."""
        runs = self._runs
        if ran.out_of_memory:
            runs.count(call, Event.OUT_OF_MEMORY)
        if not ran.out_of_memory or not self._pieces.may_split(call):
            runs.end_failed(call, call.rows, ran)
            return False
        runs.count_failed(call, call.rows, ran)
        answered = self._pieces.run_all(call, call.rows // 2)
        if answered:
            runs.learn(call.signature.name, call.rows)
        return answered

    def _in_parts(self, calls: Sequence[Call], ran: Ran) -> None:
        runs = self._runs
        _LOG.debug("%s: %d calls are run again in parts: %s", self._title, len(calls), ran.error)
        runs.count(calls[0], Event.RERUN)
        parts = Parts(calls)
        did_not_fit = self._take_apart(parts, calls, ran)
        one_is_to_blame = False
        while (part := parts.next()) is not None:
            wanted = [call for call in part if runs.is_wanted(call)]
            if not wanted:
                continue
            if len(wanted) == 1:
                if self._alone(wanted[0]):
                    parts.answered(wanted[0])
                else:
                    runs.count(wanted[0], Event.POISON)
                    one_is_to_blame = True
                continue
            ran = runs.execute(wanted)
            if ran.error is None:
                runs.answer(wanted, ran)
            else:
                did_not_fit = self._take_apart(parts, wanted, ran) or did_not_fit
        if did_not_fit and not one_is_to_blame:
            runs.learn(calls[0].signature.name, did_not_fit)

    def _take_apart(self, parts: Parts, calls: Sequence[Call], ran: Ran) -> int:
        """Calls have failed together. Returns how many rows they are if memory is the reason, else 0."""
        rows = sum(call.rows for call in calls)
        self._runs.count_failed(calls[0], rows, ran)
        if not ran.out_of_memory:
            parts.failed(calls, blamed(calls, str(ran.error)))
            return 0
        self._runs.count(calls[0], Event.OUT_OF_MEMORY)
        parts.out_of_memory(calls)
        return rows
