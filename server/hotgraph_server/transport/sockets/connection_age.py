"""When a connection has been open, or without a call, for long enough. Pure.

Why a server wants that. What balances connections and not calls (a Kubernetes Service, an L4 balancer) sends
nothing to a server that comes later until connections are made anew; and whom certificates let in is asked at
the handshake alone.

Age. After `max_age_s`, a tenth more or less so that connections of one moment do not all come back at one,
the peer is asked to go; its calls go on, and so do those that are on their way. After `age_grace_s` more
what is left is cut off. What HTTP/2 says to that is in http2/send_side.py. HTTP/1.1 has no word that could
not cross a request: the next answer says it, and only who asks nothing for `QUIET_S` is closed without
one. Who has no call and is still there after `DEAF_S` does not listen, and is closed, as grpc's own server
has it.

Idle. A connection without a call for `max_idle_s` is asked to go, at most a quarter of that later: calls are
counted when it is looked at, and cost nothing for it.

Zero is no time at all here; that nothing is limited is infinity (settings say it with zero).
"""

from __future__ import annotations

import enum
import math

import grpc

from hotgraph_server.errors import CallError
from hotgraph_server.transport.sockets.times import Times

SPREAD = 0.1
"""By so much of it an age is longer or shorter; what grpc has (proposal A9)."""

QUIET_S = 2.0
"""Who was asked to go and asks nothing for so long will ask nothing: longer than a caller in a loop needs for
its next request, seconds."""

DEAF_S = 20.0
"""Who has no call and has not gone so long after it was asked does not listen, seconds; what grpc has."""

_LOOKS_AN_IDLE_TIME = 4


class ConnectionAged(CallError):
    """A call is cut off, because its connection is older than any may be. Another one is as good."""

    status = grpc.StatusCode.UNAVAILABLE

    def __init__(self, age_s: float, grace_s: float) -> None:
        super().__init__(
            f"the connection has had its time ({age_s:g} s, max-connection-age-s), and its calls {grace_s:g}"
            " s more (max-connection-age-grace-s)"
        )


class Step(enum.Enum):
    """What is to be done with a connection."""

    NOTHING = enum.auto()
    ASK = enum.auto()
    """The peer is to go with its next calls; said again and again, for one that could not be asked before."""
    CLOSE_IF_QUIET = enum.auto()
    """The same, and none is expected."""
    CLOSE = enum.auto()
    """It was asked long ago, has no call, and is to be closed."""
    CUT = enum.auto()
    """Its calls are to end now."""


class ConnectionAge:
    """Of one connection.

    Args:
        times: see there.
        now: when it was opened, monotonic seconds.
        share: from -1 to 1: how much shorter or longer it is to live than others, in SPREAD.
    """

    def __init__(self, times: Times, now: float, share: float = 0.0) -> None:
        self._times = times
        self._ask_at = now + times.max_age_s * (1.0 + SPREAD * share)
        self._cut_at = math.inf
        self._asked_at: float | None = None
        self._calls = 0
        self._looked_at = self._quiet_since = now

    @property
    def due_at(self) -> float:
        """When to look next, monotonic seconds; infinite: never."""
        return min(self._ask_at, self._cut_at, self._look_for_quiet())

    def _look_for_quiet(self) -> float:
        """When it may have been quiet for long enough, or a call may have come since."""
        looks = _LOOKS_AN_IDLE_TIME if self._asked_at is None else 1
        return min(self._quiet_since + self._enough_s, self._looked_at + self._enough_s / looks)

    @property
    def _enough_s(self) -> float:
        """How long it has to be quiet for something to be done."""
        return self._times.max_idle_s if self._asked_at is None else QUIET_S

    def look(self, now: float, calls: int, quiet: bool) -> Step:
        """What is to be done now.

        Args:
            calls, quiet: of the connection; see Spoken.
        """
        self._looked_at = now
        if not quiet or calls != self._calls:
            # Whenever the last of them has ended: it was not before the last look.
            self._calls, self._quiet_since = calls, now
        if now >= self._cut_at:
            self._cut_at = math.inf
            return Step.CUT
        if now >= self._ask_at:
            self._ask_at, self._cut_at = math.inf, now + self._times.age_grace_s
            self._asked_at = now if self._asked_at is None else self._asked_at
            return Step.ASK
        # In the words of `due_at`, since a difference may be less by a bit.
        if now < self._quiet_since + self._enough_s:
            return Step.NOTHING if self._asked_at is None else Step.ASK
        self._quiet_since = now
        if self._asked_at is None:
            self._asked_at = now
        return Step.CLOSE if now >= self._asked_at + DEAF_S else Step.CLOSE_IF_QUIET
