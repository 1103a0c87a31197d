"""What a child hears from its parent, and what the parent hears from it: plain values. Pure."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from ..load import Answer, Assignment


@dataclass(frozen=True)
class Prepare:
    """Make ready for this; answered by `Ready` or `Failed`."""

    assignment: Assignment


@dataclass(frozen=True)
class Begin:
    """Send what was prepared, from this moment on; answered by `Known`, and `Finished` or `Failed`."""

    begin_s: float


@dataclass(frozen=True)
class Change:
    """Go on at this rate, of this process, and with these weights of the payloads; None: as before."""

    rate: float | None = None
    weights: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Stop:
    """Have no more calls due."""


@dataclass(frozen=True)
class Ready:
    """Connected, or as far as it goes."""


@dataclass(frozen=True)
class Failed:
    """Cannot go on with this assignment."""

    why: str


def _microseconds() -> array[int]:
    return array("I")


@dataclass
class Known:
    """What came to be known of the calls that were due in one second; see `load.Interval`.

    Attributes:
        latency_us, lag_us: each call's.
    """

    second: int
    due: int = 0
    answered: int = 0
    rows: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    latency_us: array[int] = field(default_factory=_microseconds)
    lag_us: array[int] = field(default_factory=_microseconds)


@dataclass(frozen=True)
class Finished:
    """What is known when all calls have ended; see `load.Ended`.

    Attributes:
        known: what was not told before.
    """

    known: list[Known]
    answers: list[Answer]
    unchecked: int
    cpu_s: float
    seconds: float
    error_texts: dict[str, str]


Asked = Prepare | Begin | Change | Stop
Told = Ready | Failed | list[Known] | Finished
