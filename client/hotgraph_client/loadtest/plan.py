"""Which loads are put on, and in which order. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CALLS_PER_PROCESS = 2000.0
"""Calls a second that one process is given to send where nothing says how many there shall be: two thirds of
what one does on a core of an EPYC with little lag."""

MAX_PROCESSES = 8

PROBED_SHARES = (0.2, 0.4, 0.6, 0.8, 0.95)
"""Of what a closed loop gets out of a server: the loads where none is asked for."""


@dataclass(frozen=True)
class Open:
    """Calls at `rate` a second; of a replay when they came, of a trace when it says; of a live load until
    somebody changes it."""

    rate: float
    replay: bool = False
    trace: bool = False
    live: bool = False

    @property
    def label(self) -> str:
        """As reports and tables name it."""
        if self.has_moments:
            return "replay" if self.replay else "trace"
        return "live" if self.live else f"{self.rate:.5g}/s"

    @property
    def has_moments(self) -> bool:
        """Whether each call has a moment of its own, which no rate changes."""
        return self.replay or self.trace


@dataclass(frozen=True)
class Closed:
    """`callers` that each wait for their answer before they call again."""

    callers: int

    @property
    def label(self) -> str:
        """As reports and tables name it."""
        return f"{self.callers} caller{'s' if self.callers > 1 else ''}"


Load = Open | Closed


@dataclass(frozen=True)
class Sweep:
    """--rate LOW..HIGH."""

    low: float
    high: float


def sweep(between: Sweep, steps: int) -> tuple[float, ...]:
    """Rates from the lower to the higher one, each by the same number larger than the one before."""
    return tuple(
        float(f"{between.low + (between.high - between.low) * place / (steps - 1):.6g}")
        for place in range(steps)
    )


def in_turn(loads: Sequence[Load], repeats: int) -> Iterator[tuple[int, Load]]:
    """Places and loads, all of them and then all again: what drifts on a machine drifts for each alike."""
    for _ in range(repeats):
        yield from enumerate(loads)


def probed(capacity: float) -> tuple[Load, ...]:
    """The loads of a server that can do so many calls a second."""
    return tuple(Open(float(f"{max(capacity * share, 1.0):.2g}")) for share in PROBED_SHARES)


def processes_for(loads: Sequence[Load], cores: int, destinations: int = 1) -> int:
    """How many processes send, where nobody says: half of the cores at most, for a server may be on the
    others; a multiple of the destinations, so that each has its share."""
    most = max(1, min(cores // 2, MAX_PROCESSES))
    wanted = max((_wanted(load) for load in loads), default=most)
    return math.ceil(max(1, min(wanted, most)) / destinations) * destinations


def _wanted(load: Load) -> int:
    if isinstance(load, Closed):
        return math.ceil(load.callers / 16)
    return MAX_PROCESSES if load.has_moments else math.ceil(load.rate / CALLS_PER_PROCESS)
