"""How an owner waits for the end of a thread: for so long at most, and a warning names one that stays."""

from __future__ import annotations

import logging
import threading

_LOG = logging.getLogger(__name__)


def join_within(thread: threading.Thread, timeout_s: float, given_s: float | None = None) -> bool:
    """Wait for its end. Returns whether it came in time.

    One that was never started has ended. So has one that asks for its own end: it cannot wait for itself.

    Args:
        thread: which has been told to end.
        timeout_s: to wait at most.
        given_s: what the warning says that it was given, where that is not `timeout_s`.
    """
    if thread.ident is None or thread is threading.current_thread():
        return True
    thread.join(timeout_s)
    if thread.is_alive():
        _LOG.warning(
            "thread %r has not ended after %.1f s", thread.name, timeout_s if given_s is None else given_s
        )
    return not thread.is_alive()
