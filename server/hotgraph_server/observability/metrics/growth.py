"""How much counters grow while something is done. Pure, but for reading them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

Counters = Callable[[], Mapping[str, Mapping[Any, int]]]
"""What only grows, by its name: its series, each by whatever tells them apart."""


class Growth:
    """How much the counters of some names grow from now on."""

    def __init__(self, counters: Counters, names: Sequence[str]) -> None:
        self._counters = counters
        self._names = tuple(names)
        self._before = counters() if names else {}

    def by_name(self) -> list[tuple[str, int]]:
        """By how much, for each of the names that is there. Series of versions that have gone meanwhile count
        no more."""
        if not self._names:
            return []
        now = self._counters()
        return [
            (name, _increase(self._before.get(name, {}), now[name])) for name in self._names if name in now
        ]


def _increase(before: Mapping[Hashable, int], now: Mapping[Hashable, int]) -> int:
    return sum(count - before.get(series, 0) for series, count in now.items())
