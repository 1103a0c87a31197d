"""Answers in the order in which their calls came, whatever order they were run in.

Each call that is taken in gets a turn. What its run gives, an answer or an error (`finish` of its
completion), is held until all calls before it have ended. A call whose caller leaves, that expires
or is turned away (`leave`) ends at once: it waits for no turn, and those behind it do not wait for it any
more.

A held answer does not keep its call from ending in time: if its caller leaves or its deadline passes, that is
what it ends with, at once, and the answer is dropped. The call was counted when its run ended, so `leave`
says False. Only a call that has changed state hears what came of it, however late.

One thread at a time gives answers out, so two that find their turn at once cannot overtake each other; the
other leaves its own to the first. Deliveries happen outside the lock.
"""

from __future__ import annotations

import threading
from collections import deque

from hotgraph_server.batching.completion import Completion, Outcome


class Order:
    """Of the calls of one queue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the turns, and what is held in them
        self._turns: deque[Turn] = deque()
        self._giving_out = False

    def __len__(self) -> int:
        """Turns that have not come."""
        return len(self._turns)

    def enter(self, completion: Completion, *, writes: bool) -> Turn:
        """The completion of a call behind all that came before, in place of its own.

        Args:
            completion: its own.
            writes: does the call change state?
        """
        turn = Turn(self, completion, writes=writes)
        with self._lock:
            self._turns.append(turn)
        return turn

    def hold(self, turn: Turn, outcome: Outcome) -> bool:
        """Give an outcome out when its turn comes, which may be now. Returns whether it is the first."""
        with self._lock:
            if turn.over or turn.held is not None:
                return False
            turn.held = outcome
        self._give_out()
        return True

    def drop(self, turn: Turn) -> bool:
        """Forget what is held for a call. Returns whether there was anything."""
        with self._lock:
            if turn.held is None:
                return False
            turn.over, turn.held = True, None
        return True

    def skip(self, turn: Turn) -> None:
        """Let no other turn wait for this one."""
        with self._lock:
            turn.over = True
        self._give_out()

    def _give_out(self) -> None:
        with self._lock:
            if self._giving_out:
                return  # The thread that does looks again before it stops.
            self._giving_out = True
        while ready := self._next():
            for turn, outcome in ready:
                turn.give(outcome)

    def _next(self) -> list[tuple[Turn, Outcome]]:
        """The outcomes whose turn has come; none: and no thread gives out any more."""
        ready: list[tuple[Turn, Outcome]] = []
        with self._lock:
            while self._turns:
                turn = self._turns[0]
                if not turn.over:
                    if turn.held is None:
                        break
                    ready.append((turn, turn.held))
                    turn.over, turn.held = True, None
                self._turns.popleft()
            self._giving_out = bool(ready)
        return ready


class Turn(Completion):
    """A completion whose outcome waits for its turn.

    Attributes:
        held: what its run gave; the order's.
        over: need those behind not wait for it? The order's.
    """

    __slots__ = ("_order", "_writes", "held", "over")

    def __init__(self, order: Order, completion: Completion, *, writes: bool) -> None:
        super().__init__(completion.finish)
        self._order = order
        self._writes = writes
        self.held: Outcome | None = None
        self.over = False

    def leave(self, outcome: Outcome) -> bool:
        """End the call at once. Returns whether it was taken; False: it had ended, or its run has begun."""
        if self._claim.acquire(False):
            self.give(outcome)
            self._order.skip(self)
            return True
        if not self._writes and self._order.drop(self):
            self.give(outcome)
            self._order.skip(self)
        return False

    def give(self, outcome: Outcome) -> None:
        """Deliver now."""
        super()._finish(outcome)

    def _finish(self, outcome: Outcome) -> bool:
        return self._order.hold(self, outcome)
