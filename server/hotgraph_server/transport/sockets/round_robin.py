"""Who is served next: which connections a round serves, in which order, and for how long. Pure.

A round has `round_s`, and passes over those that it has no time for. The next one serves these first, in
their order and whatever they have, so that each waits for those before it and no longer; then those that have
something new, then those that had more than there was time for. The share of each is its part of the round
among those that have something new, and no more than its part of `connection_share_s` among those that had
more.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

Member = TypeVar("Member", bound=Hashable)


class RoundRobin(Generic[Member]):
    """For one thread at a time.

    Attributes:
        share_s: for each in this round, seconds.
        new: have something new in this round, beside what they were left with.
        unfinished: have had their share of this round, and more than there was time for.
        passed_over: were not served, the longest first; and have they something new?
    """

    def __init__(self) -> None:
        self.share_s = 0.0
        self.new: dict[Member, None] = {}
        self.unfinished: dict[Member, None] = {}
        self.passed_over: dict[Member, bool] = {}
        self._late: dict[Member, None] = {}  # were unfinished in the last round

    def begin(self, ready: Iterable[Member], round_s: float, connection_share_s: float) -> Sequence[Member]:
        """A round. Returns who is to be served, in this order; the first always, the others as far as there
        is time.

        Args:
            ready: have something new.
        """
        late, self.unfinished = self.unfinished, {}
        first, self.passed_over = self.passed_over, {}
        new = dict.fromkeys(member for member, has_new in first.items() if has_new)
        for member in ready:
            new[member] = None
        self.share_s = min(connection_share_s / max(len(late), 1), round_s / max(len(new), 1))
        self.new, self._late = new, late
        return list(dict.fromkeys((*first, *new, *late)))

    def forget(self, member: Member) -> None:
        """It is gone, and nothing of it is kept until the next round."""
        for members in (self.new, self.unfinished, self._late):
            members.pop(member, None)
        self.passed_over.pop(member, None)

    def pass_over(self, members: Sequence[Member]) -> None:
        """There is no time for them in this round."""
        self.passed_over = {member: member in self.new for member in members}
        late = dict.fromkeys(member for member in members if member in self._late)
        self.unfinished = late | self.unfinished
