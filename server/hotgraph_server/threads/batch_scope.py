"""Do once for many calls what need not be done for each: wake an executor, send what lies in an outbox.

Four owners work on the calls of a batch one after the other, in one thread, and each gets the same scope when
it is constructed:

    opens it      the serving thread, around all that it reads in one go           transport/sockets/server.py
                  the finisher, and a run that it is not worth handing over to it,
                  around the answers of all calls of the run                        execution/finisher.py
    postpones     the queue: to wake its executor, when calls come                  batching/queue.py
                  the transport: to send answers, when calls end                   transport/sockets/server.py

So a burst that is read in one go is one wake-up, and its answers are one write. Neither end knows of the
other; between them lie protocols, admission and completions, which need not know either. That is why the
scope is not passed along with each call: it would be an argument of some sixteen functions on the way.

Contract
    * A scope is open in a thread from `with` to its end, and is of no other thread's concern.
    * What is postponed in it is done once, however often it was asked for, in the order in which it was first
      asked for, when the scope ends, however it ends. By then it is not open any more: what that does in turn
      is not postponed again.
    * Where no scope is open, `postpone` says so, and the action is for its owner to do at once.
    * It is not opened again where it is open: nothing that is done in it opens it.
    * Owners that have different scopes do all the same things, only oftener.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

Action = Callable[[], None]


class _Here(threading.local):
    """Of one thread: the actions that are postponed, each once; None: the scope is not open."""

    actions: dict[Action, None] | None = None


class BatchScope:
    """Of one server; any thread may use it."""

    def __init__(self) -> None:
        self._here = _Here()

    def __enter__(self) -> None:
        self._here.actions = {}

    def __exit__(self, *_: object) -> None:
        here = self._here
        actions, here.actions = here.actions, None
        for action in actions or ():
            action()

    def postpone(self, action: Action) -> bool:
        """Have an action done at the end of this thread's scope. Returns False if none is open here."""
        actions = self._here.actions
        if actions is None:
            return False
        actions[action] = None
        return True
