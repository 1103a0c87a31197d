"""What a page may change of a load: its rate, how often calls have so many rows, and whether it goes on."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ..flags import MAX_RATE


class Changeable(Protocol):
    """Processes that send."""

    def change(self, rate: float | None = None, weights: Sequence[float] | None = None) -> None:
        """Send that many calls a second from now on, and each payload so often relative to the others."""


class Control:
    """Guards what the load is now; every change is whole or refused."""

    def __init__(
        self,
        senders: Changeable,
        stop: Callable[[], None],
        rate: float,
        rows: Sequence[int],
        mix: Mapping[int, float],
    ) -> None:
        """
        Args:
            stop: ends the load.
            rows: of each payload.
            mix: share of calls by their rows.
        """
        self._senders = senders
        self._stop = stop
        self._rows = tuple(rows)
        self._lock = threading.Lock()
        self._rate = rate
        self._mix = {count: float(share) for count, share in mix.items()}
        self._paused = False
        self._stopped = False

    def state(self) -> dict[str, Any]:
        """As the page shows it."""
        with self._lock:
            mix = {str(rows): share for rows, share in sorted(self._mix.items())}
            return {"rate": self._rate, "mix": mix, "paused": self._paused, "stopped": self._stopped}

    def change(self, wanted: Mapping[str, Any]) -> None:
        """Have the load as `wanted` says: any of rate, mix, paused and stopped.

        Raises:
            ValueError: it makes no sense, in one line; nothing was changed.
        """
        unknown = set(wanted) - {"rate", "mix", "paused", "stopped"}
        if unknown:
            raise ValueError(f"a load has no {', '.join(sorted(unknown))}")
        with self._lock:
            rate = _rate(wanted.get("rate", self._rate))
            mix = self._mix if "mix" not in wanted else _mix(wanted["mix"], self._mix)
            paused = _bool("paused", wanted.get("paused", self._paused))
            stopped = _bool("stopped", wanted.get("stopped", self._stopped)) or self._stopped
            weights = self._weights(mix) if mix != self._mix else None
            rate_now = (0.0 if paused else rate) if (rate, paused) != (self._rate, self._paused) else None
            if weights is not None or rate_now is not None:
                self._senders.change(rate_now, weights)
            stopping = stopped and not self._stopped
            self._rate, self._mix, self._paused, self._stopped = rate, mix, paused, stopped
        if stopping:
            self._stop()

    def _weights(self, mix: Mapping[int, float]) -> tuple[float, ...]:
        return tuple(mix[rows] / self._rows.count(rows) for rows in self._rows)


def _rate(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_RATE:
        raise ValueError(f"a rate is a number above 0, {MAX_RATE:g} at most")
    return float(value)


def _bool(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is true or false")
    return value


def _mix(value: Any, known: Mapping[int, float]) -> dict[int, float]:
    if not isinstance(value, dict) or set(value) != {str(rows) for rows in known}:
        raise ValueError(f"a mix has a weight for each of {', '.join(map(str, sorted(known)))} rows")
    weights = {int(rows): weight for rows, weight in value.items()}
    for weight in weights.values():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= MAX_RATE:
            raise ValueError("a weight is a number, 0 or above")
    total = math.fsum(weights.values())
    if total <= 0:
        raise ValueError("of all weights one at least is above 0")
    return {rows: weight / total for rows, weight in weights.items()}
