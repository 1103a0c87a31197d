"""Do threads that others wait for get on? Signs of them come in, and what hangs comes out. Pure: no thread,
lock or clock; what threads note of themselves (Steps) is plain attributes, which one thread writes.

The rule. A thread hangs that has something to do, is not in the middle of a long step, and has done no step
for `within_s`. A thread that has ended though it is needed is dead, and hangs at once. What is no sign of it:

* that much waits: each step takes one piece away, and that is progress, however long the queue is;
* a long step (a run of a graph), which nobody can tell from one that never ends. Where its owner knows how
  long steps may be, `step_s` says so; it is infinite otherwise;
* that nothing happens where there is nothing to do;
* that no look was taken: where the process as a whole stood still, no thread did. So the time between two
  looks counts for `look_s` at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple


class Steps:
    """What a thread notes of its steps; it alone writes, and any thread reads.

    Attributes:
        count: steps so far.
        in_hand: it has something to do, which nobody else sees waiting.
        long_since: the present one may take long, and began then, monotonic seconds; None: it may not.
    """

    __slots__ = ("count", "in_hand", "long_since")

    def __init__(self) -> None:
        self.count = 0
        self.in_hand = False
        self.long_since: float | None = None

    def begin_long(self, now: float) -> None:
        """A step that may take long begins."""
        self.long_since = now

    def done(self) -> None:
        """A step is done."""
        # In this order: who finds no long step finds it counted.
        self.count += 1
        self.long_since = None


class Sign(NamedTuple):
    """What is seen of a thread at a moment.

    Attributes:
        thread: its name.
        alive: it has not ended.
        steps: that it has done so far, in a number that never falls.
        has_work: there is something that it should do now.
        long_since: see Steps.
        may_hold_s: so long it may let work lie, for more to come, seconds.
    """

    thread: str
    alive: bool
    steps: int
    has_work: bool
    long_since: float | None = None
    may_hold_s: float = 0.0


class _Seen(NamedTuple):
    """What is kept of a thread.

    Attributes:
        steps, long_since: as they were seen.
        idle_s: for so long it has done nothing though there is something to do, seconds.
        long_s: for so long it has been in its long step, seconds.
    """

    steps: int = -1
    idle_s: float = 0.0
    long_since: float | None = None
    long_s: float = 0.0


_UNSEEN = _Seen()


class Progress:
    """Judges threads by what is seen of them at one look after the other.

    Args:
        within_s: a step that may not take long takes no longer.
        step_s: one that may takes no longer; infinite: it may.
        look_s: looks follow each other within this.
    """

    def __init__(self, within_s: float, step_s: float = math.inf, look_s: float = math.inf) -> None:
        self._within_s = within_s
        self._step_s = step_s
        self._look_s = look_s
        self._looked_at = math.inf
        self._seen: dict[str, _Seen] = {}  # by name, at the last look

    def look(self, now: float, signs: Iterable[Sign]) -> list[str]:
        """What hangs, and since when, in words; empty: everything gets on.

        Args:
            now: monotonic seconds, ascending from look to look.
            signs: of all threads that are needed now. One that is not among them is forgotten.
        """
        passed_s = min(max(now - self._looked_at, 0.0), self._look_s)
        self._looked_at = now
        hanging: list[str] = []
        seen: dict[str, _Seen] = {}
        for sign in signs:
            before = self._seen.get(sign.thread, _UNSEEN)
            gets_on = sign.steps != before.steps or not sign.has_work or sign.long_since is not None
            idle_s = 0.0 if gets_on else before.idle_s + passed_s
            long_s = 0.0
            if sign.long_since is not None:
                goes_on = sign.long_since == before.long_since
                long_s = before.long_s + passed_s if goes_on else min(now - sign.long_since, self._look_s)
            seen[sign.thread] = _Seen(sign.steps, idle_s, sign.long_since, long_s)
            if not sign.alive:
                hanging.append(f"thread {sign.thread!r} has ended")
            elif idle_s > self._within_s + sign.may_hold_s:
                hanging.append(f"thread {sign.thread!r} has done nothing for {idle_s:.0f} s")
            elif long_s > self._step_s:
                hanging.append(f"thread {sign.thread!r} is in one run for {long_s:.0f} s")
        self._seen = seen
        return hanging
