"""How much a peer may ask of us that is good for nothing. Pure; the clock is given.

Frames that cost time and carry no call (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, unknown types,
headers that only churn the table, streams that are opened and reset in one breath) are each fine by
themselves, and honest peers send some: a ping for every round trip that brings data, two updates of windows
for an answer. So each is paid for, from an allowance that calls and data fill up again. A peer that has spent
it is cut off with ENHANCE_YOUR_CALM (RFC 9113, section 10.5). The figures are those of nghttp2's limit for
"glitches", but for what calls give back.
"""

from __future__ import annotations

from collections.abc import Callable

from hotgraph_server.transport.http2.frames import Code
from hotgraph_server.transport.http2.protocol_errors import ConnectionBroken

MAX = 10_000.0
PER_S = 330.0

RAPID_RESET = 10
"""What a stream costs that is reset before its request is complete, or at once: what was done to open it."""
CALL = 8
"""What a call gives back: it may come with a ping, two updates, new headers, and be cancelled."""
DATA = 3
"""What a frame of data gives back, in or out: the peer may send two updates and a ping."""
WORTH_BYTES = 1024
"""What a frame brings at least to count as one of data, but for the end of a message that goes out."""


class Allowance:
    """Of one connection.

    Args:
        clock: monotonic seconds.

    Attributes:
        left: of it; more than MAX it never is, and to earn then is in vain.
    """

    __slots__ = ("_clock", "_filled_at", "left")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.left = MAX
        self._filled_at = clock()

    def spend(self, amount: float = 1) -> None:
        """The peer has asked for something that is no call.

        Raises:
            ConnectionBroken: there was not so much left.
        """
        self.left -= amount
        if self.left >= 0:
            return
        now = self._clock()
        self.earn((now - self._filled_at) * PER_S)
        self._filled_at = now
        if self.left < 0:
            raise ConnectionBroken(Code.ENHANCE_YOUR_CALM, "too many frames that carry no call")

    def earn(self, amount: float) -> None:
        """Something useful has come, or gone."""
        self.left = min(self.left + amount, MAX)
