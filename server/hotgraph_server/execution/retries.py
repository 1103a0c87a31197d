"""Runs that fail, and what is run again so that each call gets what it would have got alone.

A run fails as a whole. Its calls are run again so that each gets what it would have got alone: in halves, and
the failing halves in halves, because a group that succeeds proves all its members at once. One poisoned call
among n costs some 2 log2(n / 4) + 4 runs more.

Often the error points at a call (error_hints.py). Then that one is run by itself and the others together: a
hint that is right costs two runs, whatever n is. A hint is never believed, only tried: what ends a call is
its own run, or one that has succeeded. If the call that was blamed runs well, the hint was wrong, which has
cost this one run; the others are then known to fail and are taken in halves, and no more hints of this batch
are taken.

The effort is bounded, whatever is in the calls and whatever the errors say. Each call is run by itself once
at most, and a run of several either ends all of them, two at least, which are then not run by themselves, or
fails. When more than F = max(1 + floor(log2 n), n / 4) runs of several have failed, the first one counted,
poison is the rule in this batch and not the exception: what is left goes one by one, and no group is run any
more. So n calls never take more than n + F runs besides the first. (Groups of up to four without a hint go
one by one, which costs no more.)

Out of memory is another failure: no row is to blame, but the number of them. The calls are run again
in groups of half the rows, once, which is one failed run more; if one of these fails again, it is treated
like any other failure. The limit is learnt only when no single call ran out of memory by itself: one that
does (an input that asks the graph for a huge tensor) would otherwise take all other calls' batches away.

Which calls go together is decided by `Parts`, which is pure; `Retries` runs them. Joined calls never change
state (warmup/batching_rules.py), so running them again is safe; a call that has failed alone is run again
only for its memory, in pieces.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.joining import PLAIN
from hotgraph_server.execution.error_hints import blamed
from hotgraph_server.execution.large_calls import LargeCalls
from hotgraph_server.execution.row_limits import within_rows
from hotgraph_server.execution.runs import Ran, Runs
from hotgraph_server.statistics import Event

_LOG = logging.getLogger(__name__)

_ONE_BY_ONE = 4


class Parts:
    """The parts of a failed batch that are still to be run; in arrival order, but for calls that are blamed.

    Args:
        calls: what was run together, at least two.
    """

    def __init__(self, calls: Sequence[Call]) -> None:
        self._waiting: list[list[Call]] = []  # the next one last
        self._failures_left = max(len(calls).bit_length(), len(calls) // 4)
        self._halved_rows = False
        self._blamed: Call | None = None  # it goes by itself, and the next part is the others
        self._hints = True

    def next(self) -> list[Call] | None:
        """The calls to run next; None: none are left."""
        return self._waiting.pop() if self._waiting else None

    def failed(self, calls: Sequence[Call], blamed: Call | None = None) -> None:
        """These calls, at least two, failed together: take them apart. `blamed`: the one of them that the
        error points at."""
        self._failures_left -= 1
        if self._failures_left < 0:
            self._waiting = [[call] for part in [*self._waiting, calls] for call in reversed(part)]
        elif blamed is not None and self._hints:
            self._blamed = blamed
            self._waiting += [[call for call in calls if call is not blamed], [blamed]]
        else:
            self._halve(calls)

    def answered(self, call: Call) -> None:
        """This call ran well by itself."""
        if call is self._blamed:
            self._hints = False
            self._halve(self._waiting.pop())

    def _halve(self, calls: Sequence[Call]) -> None:
        if len(calls) <= _ONE_BY_ONE:
            self._waiting += [[call] for call in reversed(calls)]
        else:
            middle = len(calls) // 2
            self._waiting += [list(calls[middle:]), list(calls[:middle])]

    def out_of_memory(self, calls: Sequence[Call]) -> None:
        """These calls, at least two, did not fit into memory together."""
        if self._halved_rows:
            self.failed(calls)
            return
        self._halved_rows = True
        self._waiting += reversed(within_rows(calls, max(sum(call.rows for call in calls) // 2, 1)))


class Retries:
    """The runner's own; `title` is the version's, for the log."""

    def __init__(self, title: str, runs: Runs, large_calls: LargeCalls) -> None:
        self._title = title
        self._runs = runs
        self._large_calls = large_calls

    def after(self, calls: Sequence[Call], ran: Ran) -> None:
        """End calls, whose run together has failed, in other runs."""
        self._runs.failing.begins()
        if len(calls) > 1:
            self._in_parts(calls, ran)
        elif self._runs.joining(calls[0]).buckets:
            # The rows that filled the bucket may have been too many.
            self._runs.count_failed(calls[0], calls[0].rows, ran)
            if self._runs.is_wanted(calls[0]):
                self._run_alone(calls[0])
        else:
            self._failed_alone(calls[0], ran)

    def _run_alone(self, call: Call) -> bool:
        """Run a call as if there were no others. Returns whether it got an answer."""
        # Where each number of rows is compiled by itself, its own rows fill it up: no caller may make us
        # compile.
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
        if not ran.out_of_memory or not self._large_calls.may_split(call):
            runs.end_failed(call, call.rows, ran)
            return False
        runs.count_failed(call, call.rows, ran)
        answered = self._large_calls.run_all(call, call.rows // 2)
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
                if self._run_alone(wanted[0]):
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
