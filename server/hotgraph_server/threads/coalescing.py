"""Do once for many what need not be done for each.

Who ends the calls of a batch one by one (execution/finisher.py), or takes in what many callers sent
(transport/http2/server.py), does so in `with together():`. Who would act on each of them (the transport,
which sends; the queue, which wakes its executor) asks `at_the_end` whether it may wait: then its action is
done once, when the block is left, in the same thread. Neither knows of the other.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

Action = Callable[[], None]


class _Postponed(threading.local):
    """Actions of the block that this thread is in, each once; None outside of any."""

    actions: dict[Action, None] | None = None


_postponed = _Postponed()


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Postpone actions to the end of the block, however it ends. Not to be nested."""
    actions = _postponed.actions = {}
    try:
        yield
    finally:
        _postponed.actions = None
        for action in actions:
            action()


def at_the_end(action: Action) -> bool:
    """Have an action done at the end of this thread's block. Returns False if it is in none."""
    actions = _postponed.actions
    if actions is None:
        return False
    actions[action] = None
    return True
