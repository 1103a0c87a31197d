"""How a call ends before its answer: its caller leaves, its deadline comes, or the server stops."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hotgraph_server.errors import CallError, Cancelled, DeadlineExceeded
from hotgraph_server.transport.service import Left

_LOG = logging.getLogger(__name__)


class Leaving:
    """What calls of every transport do then. The attributes are the subclass's, which has slots for them.

    Attributes:
        open: an answer can still be sent.
        _gone: nobody waits for it any more.
        _awaited: it has been left, and its outcome is still to come.
        _leave: tells the one who works on it.
    """

    # The subclass has them: of two bases with slots of their own no class can be made.
    __slots__ = tuple[str, ...]()

    open: bool
    _gone: bool
    _awaited: bool
    _leave: Callable[[], Left] | None

    def when_gone(self, cancel: Callable[[], Left]) -> None:
        """See Reply and OpenStream."""
        self._leave = cancel
        # Looked at after the note: if the end came between the two, one of the threads sees the other's.
        if self._gone:
            cancel()
        if not self.open:
            self._leave = None

    def expire(self) -> None:
        """The deadline has come."""
        self._break_off(DeadlineExceeded(), waits=True)

    def cancel(self, error: CallError | None = None) -> None:
        """The server will wait no longer; None: because it ends."""
        self._break_off(error or Cancelled())

    def _end_with(self, error: CallError, leave: Callable[[], Left] | None) -> None:
        """Nobody waits for an outcome; let the caller hear this, if it can hear anything. `leave`: by which
        the one who worked on it was told."""
        raise NotImplementedError

    def _break_off(self, error: CallError, *, waits: bool = False) -> None:
        """`waits`: for an outcome that is still to come though the call has been left."""
        if not self.open:
            return
        if waits and self._awaited:
            return
        leave = self._leave
        left = self._left()
        if waits and left is True:
            self._awaited = True
            return
        self._end_with(left if isinstance(left, CallError) else error, leave)

    def _left(self) -> Left:
        """The caller waits for no answer any more: tell the one who works on it."""
        self._gone = True
        leave, self._leave = self._leave, None
        if leave is None:
            return None
        try:
            return leave()
        except Exception:
            # One call's trouble; the serving thread has others to look after.
            _LOG.exception("a call could not be told that its caller has gone")
            return None
