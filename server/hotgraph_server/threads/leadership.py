"""Leader and followers: who waits for calls runs them, so that a call changes no thread on its way.

The pattern, and its words, are those of Schmidt, O'Ryan, Pyarali, Kircher and Buschmann, "Leader/Followers: a
design pattern for efficient multi-threaded event demultiplexing and dispatching" (2000). One thread at a time
is the leader. It takes turns at the sockets: it waits for them, reads, hands in the calls that came, and
sends answers. The others follow. There are two kinds of them:

* the **serving thread** has nothing else to do, and leads where nobody else does;
* **executors** lead while they have nothing to run, and what they read for themselves they run at once.

The lead is a lock: who holds it takes turns. Nobody is made to give it up.

    an executor has run, and nothing waits         it takes the lead, if it is free; else it sleeps
    a turn brought an executor work of its own     it lays the lead down, runs, and takes it up again
    ... but the run is a long one                  it promotes the serving thread before it runs
    ... or more waits when it has run              it does too: more comes than one thread can do
    a turn brought one other executor a short run  the leader wakes it, lays the lead down and follows
    ... several, or a long one                     the leader wakes them, and leads on

What is long. While a run keeps the interpreter, nobody else could read in any case. While it is in the graph,
somebody could, and that is what a hand-over would buy. So a run is long whose time in the graph is predicted
to be more than what a hand-over costs: the time from waking a thread to its going on, of which the median of
the last ones is known (`hand_over_s`). With a crowd of callers runs are longer, and the division of work
comes back by itself.

While a short run is made, nobody leads. Predictions fail, so the serving thread watches: a run that has kept
the lead down for `WATCH_S` finds it gone when it ends. While nothing runs, the serving thread sleeps, and is
woken by the next run: that costs the call nothing, for the leader does it behind the start.

Threads. `serve` is the serving thread's; `take`, `turn`, `run` and `promote` are an executor's, in that
order. Anything else is for any thread. Why nothing is lost:

* `_lead` is released by the thread that took it, in `_lay_down` alone, so two never take turns at once; what
  a turn uses needs no other lock.
* `_missed` is set before an executor that has run looks at the lead for the second time, and looked at behind
  the laying down: where the executor that was woken has run before its waker's turn is over, one of the two
  sees the other. Without this both would follow.
* `_promoted` is set before the lead is laid down, and taken back by whoever takes it up: the serving thread
  that wakes late finds an executor leading again, and sleeps on.
* `_serving` is what the serving thread sleeps on; it may be released once too often, which is one look more.
* `_dozes` is set before the last look at `_runs`, and `_runs` counted before the look at `_dozes`: one of the
  two threads sees the other. Without this a run that hangs would leave the sockets to nobody.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from hotgraph_server.threads.batch_scope import BatchScope
from hotgraph_server.threads.progress import Sign

_LOG = logging.getLogger(__name__)

WATCH_S = 0.02
"""The serving thread looks so often whether one run keeps the lead down; two looks make it sure."""

# Of a hand-over before one was measured, and the most that is believed: beyond that the machine is busy.
_FIRST_S = 100e-6
_MOST_S = 500e-6
_KEPT = 15

Turn = Callable[[float], bool]
"""Takes a turn: waits so many seconds at most (infinite: for as long as it takes), and does what has come.
Returns whether that was the last one."""


class Turns(NamedTuple):
    """Turns that were taken so far, and what a hand-over costs, seconds."""

    by_serving: int
    by_executors: int
    hand_over_s: float


class Leadership:
    """Of one server.

    Args:
        auto: executors lead too; False: the serving thread always does.

    Attributes:
        scope: the batch scope of the threads.
        hand_over_s: what a hand-over costs, seconds.
    """

    def __init__(self, *, auto: bool = True) -> None:
        self.scope = BatchScope()
        self.hand_over_s = _FIRST_S
        self._auto = auto
        self._lead = threading.Lock()
        # Set by `serve`, and gone when it ends.
        self._turn: Turn | None = None
        self._wake: Callable[[], None] = lambda: None
        self._ended = False
        self._thread: threading.Thread | None = None
        # Of the leader.
        self._leader = 0  # its thread, while it takes a turn; else 0
        self._missed = False  # an executor with nothing to run has found no lead since the turn began
        self._woken = 0  # executors that it has woken in this turn
        self._woken_for_s = 0.0  # what the last of them will be in the graph for
        # For the watch.
        self._runs = 0  # that the lead was laid down for
        self._promoted = False
        self._dozes = False
        self._serving = threading.Lock()
        self._serving.acquire()
        self._by_serving = self._by_executors = 0
        self._hand_overs: deque[float] = deque(maxlen=_KEPT)

    @property
    def turns(self) -> Turns:
        """What was done so far."""
        return Turns(self._by_serving, self._by_executors, self.hand_over_s)

    def sign(self) -> list[Sign]:
        """Of whoever takes turns: each sign asks for one, so that the next shows another number, wherever
        runs are under way. Empty: nobody has begun to."""
        thread = self._thread
        if thread is None:
            return []
        steps = self._by_serving + self._by_executors
        self._wake()
        return [Sign(thread.name, thread.is_alive() and not self._ended, steps, has_work=True)]

    # The serving thread's.

    def serve(self, turn: Turn, wake: Callable[[], None]) -> None:
        """Lead where nobody else does; returns after the last turn, whoever took it.

        Args:
            turn: see Turn; may raise, which ends this.
            wake: lets a turn that waits go on; any thread.
        """
        self._turn, self._wake = turn, wake
        self._thread = threading.current_thread()
        self._lead.acquire()
        try:
            while not self._ended:
                self._by_serving += 1
                if self._take_turn(turn, float("inf")) and not self._hand_on():
                    self._watch()
        finally:
            # Nobody takes a turn any more.
            self._ended = True
            self._turn = None

    def _watch(self) -> None:
        """Follow, until the lead is ours."""
        runs = self._runs
        while True:
            woken = self._serving.acquire(timeout=WATCH_S)
            same_run = self._runs == runs
            if (self._promoted or same_run) and self._lead.acquire(False):
                self._take_up()
                return
            if same_run and not woken:
                # The leader waits for sockets, and may do so for long.
                self._dozes = True
                if self._runs == runs and not self._promoted:
                    self._serving.acquire()
                self._dozes = False
            runs = self._runs

    # An executor's.

    def take(self, *, again: bool = False) -> bool:
        """Take up the lead, if nobody has it. Returns whether it is ours.

        Args:
            again: if it is not, that is asked once more before this thread sleeps.
        """
        if not self._auto or self._ended or self._turn is None:
            return False
        if not self._lead.acquire(False):
            if again:
                return False
            self._missed = True
            if not self._lead.acquire(False):
                return False
        self._take_up()
        return True

    def turn(self, timeout_s: float) -> bool:
        """Take a turn; see Turn. Returns whether the lead is still ours. One that breaks is the serving
        thread's trouble: it leads from then on, or ends by it."""
        turn = self._turn
        assert turn is not None
        self._by_executors += 1
        try:
            goes_on = self._take_turn(turn, timeout_s)
        except Exception:
            _LOG.exception("a turn broke")
            self.promote()
            return False
        if self._ended:
            self.promote()
            return False
        return not goes_on or self._hand_on()

    def run(self, graph_s: float, *, behind_turn: bool) -> None:
        """Lay the lead down for a run.

        Args:
            graph_s: that it is predicted to be in the graph for.
            behind_turn: what runs is what the last turn brought; False: it waited already.
        """
        if behind_turn and graph_s <= self.hand_over_s:
            self._lay_down()
        else:
            self.promote()

    def promote(self) -> None:
        """Lay the lead down, and let the serving thread lead."""
        self._promoted = True
        self._lay_down()
        self._rouse()

    # Any thread's.

    @property
    def leads(self) -> bool:
        """Is this thread the leader, and takes a turn?"""
        return self._leader == threading.get_ident()

    def wake(self) -> None:
        """Let the leader go on that waits in a turn."""
        self._wake()

    def wakes(self, graph_s: float) -> None:
        """This thread, if it is the leader, wakes an executor for a run of so many seconds in the graph."""
        if self._leader == threading.get_ident():
            self._woken += 1
            self._woken_for_s = graph_s

    def took(self, seconds: float) -> None:
        """So long it took from waking an executor to its going on."""
        # The last ones, as any of several executors finds them.
        self._hand_overs.append(min(seconds, _MOST_S))
        kept = sorted(self._hand_overs)
        if len(kept) == _KEPT:
            self.hand_over_s = kept[_KEPT // 2]

    def _take_turn(self, turn: Turn, timeout_s: float) -> bool:
        """Returns whether the lead goes on to the executor that this turn has woken."""
        self._woken, self._missed = 0, False
        self._leader = threading.get_ident()
        try:
            if turn(timeout_s):
                self._ended = True
        finally:
            self._leader = 0
        return self._auto and self._woken == 1 and self._woken_for_s <= self.hand_over_s and not self._ended

    def _hand_on(self) -> bool:
        """Lay the lead down for the executor that this turn has woken. Returns whether it is ours again: that
        one has run already, and found us leading still."""
        self._lay_down()
        if self._missed and self._lead.acquire(False):
            self._take_up()
            return True
        return False

    def _take_up(self) -> None:
        assert self._lead.locked()
        self._promoted = False

    def _lay_down(self) -> None:
        assert self._lead.locked()
        self._runs += 1
        self._lead.release()
        if self._dozes:
            self._dozes = False
            self._rouse()

    def _rouse(self) -> None:
        with suppress(RuntimeError):
            self._serving.release()
