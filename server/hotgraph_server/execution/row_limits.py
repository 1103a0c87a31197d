"""How many rows a run may have: as set, less where memory said so, and the calls of a batch in groups of so
many. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hotgraph_server.batching.call import Call

# One that was learnt in a bad moment (another process on the same GPU) must not last for ever; after so many
# runs that filled it twice the rows are tried again. A guess.
TRY_MORE_AFTER = 1000


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

    Attributes:
        any: is there a signature whose limit is, or was, less than is set? Until then there is nothing to
        ask.
    """

    def __init__(self, max_rows: int, caps: Mapping[str, int] | None = None) -> None:
        self._max_rows = max_rows
        self._caps = caps or {}
        self.any = bool(caps)
        self._learnt: dict[str, int] = {}
        self._full_runs: dict[str, int] = {}

    def of(self, signature: str) -> int:
        """The limit now."""
        return self._learnt.get(signature) or self._most(signature)

    def learn(self, signature: str, rows: int) -> int:
        """A run of so many rows did not fit. Returns the limit from now on: half of them."""
        self.any = True
        limit = self._learnt[signature] = max(min(rows, self.of(signature)) // 2, 1)
        self._full_runs[signature] = 0
        return limit

    def ran(self, signature: str, rows: int) -> bool:
        """A run of so many rows went well. Returns whether the limit has risen for it."""
        limit = self._learnt.get(signature)
        # Whole calls seldom fill a batch to the last row.
        if limit is None or 2 * rows <= limit:
            return False
        self._full_runs[signature] += 1
        if self._full_runs[signature] < TRY_MORE_AFTER:
            return False
        self._full_runs[signature] = 0
        self._learnt[signature] = 2 * limit
        if 2 * limit >= self._most(signature):
            del self._learnt[signature]
        return True

    def _most(self, signature: str) -> int:
        return self._caps.get(signature, self._max_rows)
