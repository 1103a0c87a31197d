"""Tells suspects.py what has become of calls, and the log which callers run apart from now on."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.suspects import Peer, Suspects
from hotgraph_server.errors import RunFailed

_LOG = logging.getLogger(__name__)

# Callers make as many connections as they like, and each could have a line.
_BETWEEN_LINES_S = 10.0

# TensorFlow's codes of failures that come from outside of a call: it was cancelled, took too long, found no
# memory, met another step, or something that it needs was not there for a moment.
_NOT_ITS_OWN = frozenset({1, 4, 8, 10, 14})


class FailingCallers:
    """The executor's own, in its thread. What becomes of the calls of one batch is told at its end.

    Args:
        title: of the version, for the log.
        suspects: of its queue.
    """

    def __init__(self, title: str, suspects: Suspects) -> None:
        self._title = title
        self._suspects = suspects
        self._next_line = -math.inf
        self._untold = 0
        # Of the present batch, by peer and signature.
        self._fails = False
        self._failed: Counter[tuple[Peer, str]] = Counter()
        self._answered: Counter[tuple[Peer, str]] = Counter()

    def begins(self) -> None:
        """A batch has failed: from now on its answers count, whether a suspect is known or not."""
        self._fails = True

    def failed(self, call: Call, error: Exception | None) -> None:
        """A call has failed by itself."""
        if call.peer is None or call.lane is None:
            return
        if isinstance(error, RunFailed) and error.code not in _NOT_ITS_OWN:
            self._failed[call.peer, call.signature.name] += 1

    def answered(self, calls: Sequence[Call]) -> None:
        """Calls of one signature have been answered."""
        if self._fails or self._suspects.known:
            name = calls[0].signature.name
            self._answered.update([(call.peer, name) for call in calls])

    def settle(self, now: float) -> None:
        """The batch has ended."""
        if not self._failed and not self._answered:
            return
        failed, answered = self._failed, self._answered
        self._failed, self._answered, self._fails = Counter(), Counter(), False
        for peer, name in {**failed, **answered}:
            key = (peer, name)
            apart_s = self._suspects.ended(peer, name, failed[key], answered[key], now)
            if apart_s:
                self._tell(peer, name, apart_s, now)

    def _tell(self, peer: Peer, signature: str, apart_s: float, now: float) -> None:
        if now < self._next_line:
            self._untold += 1
            return
        others, self._untold, self._next_line = self._untold, 0, now + _BETWEEN_LINES_S
        _LOG.warning(
            "%s: calls of signature %r from %s keep failing, and run apart from those of others for %g s%s",
            self._title,
            signature,
            peer,
            apart_s,
            f"; {others} times since the last line this was so of other callers" if others else "",
        )
