"""What has become of calls that were sent on. Plain values."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple


class Outcome(enum.Enum):
    """How it ended."""

    ANSWERED = "answered"
    ERROR = "error"  # the peer's
    UNREACHABLE = "unreachable"  # no peer that has the model could be reached
    LEFT = "left"  # by its caller, or by its deadline
    REFUSED = "refused"  # too many were under way


class ForwardingFigures(NamedTuple):
    """
    Attributes:
        ended: calls so far, by outcome.
        seconds: that answered ones took from being taken to their answer, in sum.
        under_way: calls now.
        held_bytes: of their messages.
        peers: that the file names now.
    """

    ended: Mapping[Outcome, int]
    seconds: float
    under_way: int
    held_bytes: int
    peers: int
