"""Who is asked next, and when: servers in turns, and retries as gRPC makes them. No clock: the time is given.

The figures are those of gRPC's service config (channel.py): a call that ends UNAVAILABLE is sent again after
about 0.1, 0.2, 0.4 ... s, one second at most, unless the server says how long to stay away; and never beyond
its deadline.
"""

from __future__ import annotations

import itertools
import random

from ..errors import HotgraphError, Unreachable

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0

# gRPC's: clients that have failed together do not come back together.
_JITTER = 0.2

# So long a server that refused a connection is asked only if no other is there; channel.py's, for gRPC.
_DOWN_S = 1.0


class Turns:
    """Servers by their numbers, who take turns call by call. Any number of threads may ask."""

    def __init__(self, servers: int) -> None:
        self._next = itertools.count()
        self._down_until = [float("-inf")] * servers

    def order(self, now: float) -> list[int]:
        """All servers: whose turn it is first, and those that are down last."""
        servers = len(self._down_until)
        first = next(self._next) % servers
        turned = [(first + step) % servers for step in range(servers)]
        return sorted(turned, key=lambda server: self._down_until[server] > now)

    def down(self, server: int, now: float) -> None:
        """No connection to this one came about."""
        self._down_until[server] = now + _DOWN_S


class Attempts:
    """The attempts of one call.

    Args:
        retries: how many there may be after the first.
        deadline: when the call ends.
    """

    def __init__(self, retries: int, deadline: float) -> None:
        self._left = retries
        self._deadline = deadline
        self._pause_s = _FIRST_PAUSE_S

    def pause_s(self, error: HotgraphError, now: float) -> float:
        """Seconds from one that has ended with `error` to the next.

        Raises:
            HotgraphError: `error` itself, where there is no next one.
        """
        if not isinstance(error, Unreachable) or not self._left:
            raise error
        self._left -= 1
        pause_s = self._pause_s * random.uniform(1 - _JITTER, 1 + _JITTER)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if error.pushback_ms is not None:
            pause_s = error.pushback_ms / 1e3
        if now + pause_s >= self._deadline:
            raise error
        return pause_s
