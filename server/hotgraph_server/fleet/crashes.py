"""Which models end the server that loads them. Pure.

A model that takes its server down takes down all others on it too, and would do so at each new beginning. So
after some times it is left out, and tried again only now and then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MOST = 3
"""So many times in a row a model may end its server."""

PAUSE_S = 600.0
"""Then it is left out for so long after each time."""

_FORGOTTEN_S = 3600.0

Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass
class Crashes:
    """Of one server, and those after it.

    Attributes:
        times: and the moment of the last one, by model and by what it was asked for with: another version is
            another program.
    """

    times: dict[Key, tuple[int, float]] = field(default_factory=dict)

    def ended(self, model: str, parameters: Mapping[str, str], now_s: float) -> None:
        """The server has ended while it loaded this."""
        key = _key(model, parameters)
        count, _ = self.times.pop(key, (0, 0.0))
        self.times = {one: found for one, found in self.times.items() if now_s - found[1] < _FORGOTTEN_S}
        self.times[key] = count + 1, now_s

    def loaded(self, model: str, parameters: Mapping[str, str]) -> None:
        """It was loaded."""
        self.times.pop(_key(model, parameters), None)

    def is_suspect(self, model: str, parameters: Mapping[str, str]) -> bool:
        """Has it been there when a server ended?"""
        return _key(model, parameters) in self.times

    def why_not(self, model: str, parameters: Mapping[str, str], now_s: float) -> str:
        """Why it is not loaded now; empty: it may be."""
        count, last_s = self.times.get(_key(model, parameters), (0, 0.0))
        left_s = last_s + PAUSE_S - now_s
        if count < MOST or left_s <= 0:
            return ""
        return f"its server has ended {count} times while it loaded it; tried again in {left_s:.0f} s"


def _key(model: str, parameters: Mapping[str, str]) -> Key:
    return model, tuple(sorted(parameters.items()))
