"""Which calls become spans, by their callers' word or by chance. No locks, no clock.

Parent-based: a call whose caller keeps its own span gets one, a call whose caller does not gets none. Chance
decides for calls that come without a caller's span. What nothing comes of costs a look at one header, a
comparison, and a random number if there is a rate; no object is made.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from hotgraph_server.observability.tracing.traceparent import (
    HEADER,
    STATE_HEADER,
    SpanIdentity,
    is_plainly_unsampled,
    parse,
    passed_on,
)

Header = Callable[[str], str | None]

_FIRST_ID, _LAST_TRACE_ID, _LAST_SPAN_ID = 1, 2**128 - 1, 2**64 - 1


class Sampler:
    """Any thread may call it.

    Args:
        rate: 0 to 1: of calls without a caller's span, which share gets one.
        draw: a number from 0 up to 1, without it.
        number: a random one between two, both included.
    """

    def __init__(
        self,
        rate: float,
        draw: Callable[[], float] = random.random,
        number: Callable[[int, int], int] = random.randint,
    ) -> None:
        self._rate = rate
        self._draw = draw
        self._number = number

    def drawn(self, header: Header) -> SpanIdentity | None:
        """The span of a call with these headers; None: it gets none."""
        text = header(HEADER)
        if text is None:
            return self._by_chance()
        if is_plainly_unsampled(text):
            return None
        parent = parse(text)
        if parent is None:
            return self._by_chance()
        if not parent.sampled:
            return None
        state = passed_on(header(STATE_HEADER))
        return SpanIdentity(parent.trace_id, self._span_id(), parent.span_id, state)

    def _by_chance(self) -> SpanIdentity | None:
        if not self._rate or self._draw() >= self._rate:
            return None
        return SpanIdentity(self._number(_FIRST_ID, _LAST_TRACE_ID), self._span_id())

    def _span_id(self) -> int:
        return self._number(_FIRST_ID, _LAST_SPAN_ID)
