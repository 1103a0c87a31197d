"""What is run next when a run has failed. Pure: which calls go together, and how many rows at most.

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

Out of memory is another failure: nobody's row is to blame, but the number of them. The calls are run again
in groups of half the rows, once, which is one failed run more; if one of these fails again, it is treated
like any other failure. The limit is learnt only when no single call ran out of memory by itself: one that
does (an input that asks the graph for a huge tensor) would otherwise take everybody's batches away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hotgraph_server.batching.call import Call

_ONE_BY_ONE = 4

# One that was learnt in a bad moment (another process on the same GPU) must not last for ever; after so many
# runs that filled it twice the rows are tried again. A guess.
_TRY_MORE_AFTER = 1000


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


def within_rows(calls: Sequence[Call], max_rows: int) -> list[list[Call]]:
    """The calls in groups of at most `max_rows`, in their order; a larger call is a group of its own."""
    groups: list[list[Call]] = []
    room = 0
    for call in calls:
        if not groups or call.rows > room:
            groups.append([])
            room = max_rows
        groups[-1].append(call)
        room -= call.rows
    return groups


class RowLimits:
    """How many rows a run of each signature may have: as set, or less where memory said so.

    Args:
        max_rows: as set.
        caps: less, for some signatures, by their names.
    """

    def __init__(self, max_rows: int, caps: Mapping[str, int] | None = None) -> None:
        self._max_rows = max_rows
        self._caps = caps or {}
        self._learnt: dict[str, int] = {}
        self._full_runs: dict[str, int] = {}

    def of(self, signature: str) -> int:
        """The limit now."""
        if not (self._learnt or self._caps):
            return self._max_rows
        return self._learnt.get(signature) or self._most(signature)

    def learn(self, signature: str, rows: int) -> int:
        """A run of so many rows did not fit. Returns the limit from now on: half of them."""
        limit = self._learnt[signature] = max(min(rows, self.of(signature)) // 2, 1)
        self._full_runs[signature] = 0
        return limit

    def ran(self, signature: str, rows: int) -> bool:
        """A run of so many rows went well. Returns whether the limit has risen for it."""
        limit = self._learnt.get(signature) if self._learnt else None
        # Whole calls seldom fill a batch to the last row.
        if limit is None or 2 * rows <= limit:
            return False
        self._full_runs[signature] += 1
        if self._full_runs[signature] < _TRY_MORE_AFTER:
            return False
        self._full_runs[signature] = 0
        self._learnt[signature] = 2 * limit
        if 2 * limit >= self._most(signature):
            del self._learnt[signature]
        return True

    def _most(self, signature: str) -> int:
        return self._caps.get(signature, self._max_rows)
