"""Which callers run apart for a while, because their calls keep failing. Pure: no thread, no lock, no clock.

A poisoned call costs the batch that it is in two runs at least, and costs them again each time that it comes.
A peer that sends little else is told from one that sends one now and then by a score, for each peer and
signature:

* a call that fails by itself adds 1, an answer takes 1 away, between 0 and APART_AT; calls that were in one
  batch count together. Memory, deadlines and callers who leave say nothing.
* At APART_AT the peer is a suspect: its calls of that signature run one by one, in a lane of their own
  (backlog.py), for FIRST_S. If the next one fails after that, for twice as long, and so on up to MAX_S.
* When answers have brought the score down to BACK_AT, it is none any more, whatever the time.

A peer is a connection, and behind one there may be many callers (a proxy). The score falls as long as fewer
than half of the calls fail, so with 8 % poison it comes to APART_AT by chance once in some million calls (the
gambler's ruin: 10.5 / 11.5**6 for each new rise), with 20 % once in some thousand, and some five calls alone
bring it back. One that sends nothing but poison is known after six failures. Where more than half of a batch
is poison, there is no run of several to be had of it anyway.

What is known is bounded: callers make as many connections as they like, so of more than MAX_KNOWN peers the
one is forgotten whose last failure is longest ago, and each is after FORGET_S. Peers without a failure
are not known at all.

One thread, the executor, tells of outcomes. Any may ask: that reads one entry of a dict.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Mapping

APART_AT = 6
BACK_AT = 1
FIRST_S = 1.0
MAX_S = 60.0
MAX_KNOWN = 1024
FORGET_S = 600.0

Peer = Hashable
_Key = tuple[Peer, str]


class _Record:
    __slots__ = ("apart_s", "failed_at", "score")

    def __init__(self) -> None:
        self.score = 0
        self.failed_at = -math.inf
        self.apart_s = FIRST_S / 2  # how long the last time was


class Suspects:
    """Of one version. Moments are monotonic seconds.

    Attributes:
        over_at: from then on there is no suspect, unless another call fails.
        known: how many peers there are whose answers count.
    """

    def __init__(self) -> None:
        self.over_at = -math.inf
        self.known = 0
        self._until: dict[_Key, float] = {}
        self._records: OrderedDict[_Key, _Record] = OrderedDict()  # by last failure

    def is_one(self, peer: Peer, signature: str, now: float) -> bool:
        """Shall a call of `peer` that comes at `now` run apart?"""
        return self._until.get((peer, signature), -math.inf) > now

    def ended(self, peer: Peer, signature: str, failed: int, answered: int, now: float) -> float:
        """So many calls of one peer that were run together, or a single one, have failed, and they
        themselves were to blame, and so many have been answered. They count as one step: in which order the
        members of a batch end says nothing.

        Returns:
            for how many seconds the peer is a suspect from now on; 0: it is none, or was one before.
        """
        key = (peer, signature)
        record = self._records.get(key)
        if failed <= answered:
            if record is not None:
                self._lower(key, record, answered - failed)
            return 0.0
        if record is None:
            self._forget(now)
            record = self._records[key] = _Record()
            self.known = len(self._records)
        self._records.move_to_end(key)
        record.failed_at = now
        record.score = min(record.score + failed - answered, APART_AT)
        if record.score < APART_AT or self.is_one(peer, signature, now):
            return 0.0
        record.apart_s = min(2 * record.apart_s, MAX_S)
        # Whole, for others may be reading.
        self._until = {
            one: until for one, until in self._until.items() if until > now and one in self._records
        } | {key: now + record.apart_s}
        self.over_at = max(self.over_at, now + record.apart_s)
        return record.apart_s

    def at(self, now: float) -> Mapping[str, int]:
        """How many suspects there are at `now`, by signature; any thread may ask."""
        found: dict[str, int] = {}
        for (_, signature), until in list(self._until.items()):
            if until > now:
                found[signature] = found.get(signature, 0) + 1
        return found

    def _lower(self, key: _Key, record: _Record, answers: int) -> None:
        record.score -= answers
        if record.score <= BACK_AT:
            self._until.pop(key, None)
        if record.score <= 0:
            del self._records[key]
            self.known = len(self._records)

    def _forget(self, now: float) -> None:
        """Those that are too many, and those that have not failed for long."""
        while self._records:
            oldest = next(iter(self._records))
            if len(self._records) < MAX_KNOWN and self._records[oldest].failed_at > now - FORGET_S:
                return
            del self._records[oldest]
