"""Which of the models that are loaded is missed least: GreedyDual-Size. Pure: no thread, no clock.

The rule (Cao and Irani, "Cost-Aware WWW Proxy Caching Algorithms", USITS 1997). Each model has a credit; when
it is called, that becomes what is the level now plus what a reload costs for each byte that it holds. The one
with the least credit goes first, and the level rises to its credit. So a model that is not called sinks, in
relation to those that are, the slower the dearer it is; among models that cost alike this is LRU exactly.
Equal credit, which those have that were called between the same two that went, goes by the last call.

The cost is the shortest load that was seen of it, in seconds: what else a machine does makes loads longer,
and never shorter. Frequency (GreedyDual-Size-Frequency) is left out: it keeps what was popular once, and who
has 200 models wants to be able to tell why one of them went.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

_GIB = 2.0**30
# A model of no size would never go.
_LEAST_BYTES = 2**20


class _Credit(NamedTuple):
    """What it is compared by, least first."""

    credit: float
    called: int


class Ages:
    """Of the models that are loaded. One thread at a time."""

    def __init__(self) -> None:
        self._level = 0.0
        self._calls = 0
        self._credits: dict[str, _Credit] = {}

    def called(self, name: str, cost_s: float, nbytes: int) -> None:
        """A model has been called, or has been loaded for a call.

        Args:
            cost_s: what a reload costs, seconds.
            nbytes: that it holds.
        """
        self._calls += 1
        worth = cost_s / (max(nbytes, _LEAST_BYTES) / _GIB)
        self._credits[name] = _Credit(self._level + worth, self._calls)

    def gave_up(self, name: str) -> None:
        """A model has had to go for another one."""
        found = self._credits.pop(name, None)
        if found is not None:
            self._level = max(self._level, found.credit)

    def forget(self, name: str) -> None:
        """A model has gone for another reason."""
        self._credits.pop(name, None)

    def least_first(self, names: Iterable[str]) -> list[str]:
        """In the order in which they should go; what was never called goes first."""
        nothing = _Credit(self._level, 0)
        return sorted(names, key=lambda name: (self._credits.get(name, nothing), name))
